"""Optuna studies over detector settings: found again by name, seeded, on one process or several.

A worker asks and tells in memory and adds each finished trial to the shared storage as one entry: a trial takes about a
millisecond, and a journal file takes several for every parameter that is written by itself. So there is never a running trial
to lose: a killed worker leaves finished trials only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from analysis.sensitivity.cells import Cells
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.objectives import Outcome
from analysis.sensitivity.settings import SensitivityConfig
from analysis.sensitivity.space import PUBLISHED, Space, Values, has, only, varies
from analysis.sensitivity.storage import Task, lock, open_study, quiet
from analysis.sensitivity.tpe import tpe
from grok.detectors.base import Range
from grok.runs.fanout import Fanout
from grok.spec.fields import ConfigError

STARTUP = 20
"""Random trials before TPE models anything."""
CHUNK = 100
"""Trials of a worker's turn, to which the runs are sent anew, and at most between two reports."""
NEVER = -1e6
"""Lead of a setting that breaks the bound on the false-positive rate, for each unit that it is broken by."""


@dataclass
class Times:
    """Seconds of one search by part, summed over workers; `wall` is the clock's."""

    detectors: float = 0.0
    sampler: float = 0.0
    storage: float = 0.0
    wall: float = 0.0
    trials: int = 0

    def add(self, other: Times) -> None:
        """Sum the parts of another worker."""
        for name in ("detectors", "sampler", "storage", "trials"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class Found:
    """A search after the command: its finished trials by number, and the time that the new ones took."""

    task: Task
    trials: list[FrozenTrial]
    times: Times = field(default_factory=Times)
    stopped: bool = False


def sampler_of(config: SensitivityConfig, turn: int) -> optuna.samplers.BaseSampler:
    """The named sampler; its seed depends on the turn (of `next_turn`), so that no two workers of a study, of one command or of
    several, and no command that goes on with it, repeat each other.
    """
    seed = int(np.random.SeedSequence([config.seed, turn]).generate_state(1)[0])
    match config.sampler:
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
        case "qmc":
            return optuna.samplers.QMCSampler(
                seed=seed, scramble=True, warn_independent_sampling=False, warn_asynchronous_seeding=False
            )
        case "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed)
        case _:
            # without `group`, which models each rule's parameters jointly too and takes twice the time at 300 trials
            return tpe(seed=seed, multivariate=True, n_startup_trials=STARTUP)


def next_turn(task: Task, shared: optuna.Study) -> int:
    """How many samplers the study has had, counted in the study itself: one more from now on."""
    with lock(task):
        turn = int(shared.user_attrs.get("turns", 0))
        shared.set_user_attr("turns", turn + 1)
    return turn


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """One setting; what does not vary is not a parameter of the trial, a rule's own parameters bear its name."""
    rules = list(space.own)
    rule = trial.suggest_categorical("rule", rules) if len(rules) > 1 else rules[0]
    chosen = {name: only(values) for name, values in space.common.items() if name != "rule" and not varies(values)}
    for name, values in space.dimensions(rule):
        prefix = f"{rule}." if name in space.own[rule] else ""
        chosen[name] = _suggest_one(trial, prefix + name, values)
    return space.setting(rule, chosen)


def parameters_of(space: Space, setting: dict[str, Any]) -> dict[str, Any]:
    """The parameters by which `suggest` comes to a setting of the space."""
    rule = setting["rule"]
    own = space.own[rule]
    chosen = {f"{rule}.{name}" if name in own else name: setting[name] for name, _ in space.dimensions(rule)}
    return ({"rule": rule} if len(space.own) > 1 else {}) | chosen


def _suggest_one(trial: optuna.Trial, name: str, values: Values) -> Any:
    if not isinstance(values, Range):
        return trial.suggest_categorical(name, values)
    if values.whole:
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def value_of(task: Task, found: Outcome) -> list[float]:
    """The objectives' values of an outcome on calibration seeds; a broken bound on the false-positive rate costs the lead."""
    excess = max(found.fpr - task.config.alpha, 0.0)
    lead = found.lead + NEVER * excess
    return {"separation": [found.j], "lead": [lead], "multi": [found.j, lead]}[task.objective]


def search(
    task: Task,
    cells: Cells,
    *,
    report: Callable[[int], None] = lambda count: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Found:
    """Bring an Optuna study to `n_trials` finished trials, whoever made the first of them.

    Args:
        task: which study. cells: the runs.
        report: told how many finished trials there are, now and then.
        should_stop: True ends the search after the trials at hand.

    Raises:
        StoreError: if the study is of other runs or of another question.
    """
    study = open_study(task)
    start, times, workers = time.perf_counter(), Times(), task.config.workers
    left = task.config.n_trials - len(_finished(study))
    report(task.config.n_trials - max(left, 0))
    if left > 0 and workers == 1:
        times.add(_try_settings(task, cells, task.config.n_trials, report, should_stop))
    elif left > 0:
        needed = for_workers(cells, task)
        turns = range(-(-left // CHUNK) + workers)  # some spare ones, for workers that find less to do
        for spent in Fanout("loky", workers).map(work, [(task, needed) for _ in turns]):
            times.add(spent)
            report(len(_finished(study)))
            if should_stop():
                break
    times.wall = time.perf_counter() - start
    trials = _finished(study)
    return Found(task, trials, times, len(trials) < task.config.n_trials)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def work(payload: tuple[Task, Cells]) -> Times:
    """Try settings for a while: what a worker process does with one turn."""
    task, cells = payload
    return _try_settings(task, cells, CHUNK)


def _try_settings(
    task: Task,
    cells: Cells,
    most: int,
    report: Callable[[int], None] = lambda count: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Times:
    """Ask, try and add until the study has its trials, or `most` have been tried."""
    shared = open_study(task)
    judge = Judge(cells, task.activation, task.controls, task.config)
    with quiet():
        turn = next_turn(task, shared)
        sampler = sampler_of(task.config, turn)
        known = _finished(shared)
        memory = optuna.create_study(directions=task.directions, sampler=sampler)
        memory.add_trials(known)
        if turn == 0 and not known and has(task.space, PUBLISHED):
            memory.enqueue_trial(parameters_of(task.space, PUBLISHED), user_attrs={"published": True})
        seen, times = {trial.number for trial in known}, Times()
        for count in range(1, most + 1):
            if not _one(task, judge, shared, memory, seen, times) or should_stop():
                break
            if count % CHUNK == 0:
                report(len(seen))
    return times


def _one(task: Task, judge: Judge, shared: optuna.Study, memory: optuna.Study, seen: set[int], times: Times) -> bool:
    """One trial: asked in memory, tried, added to the shared study unless that is complete by now; whether to go on."""
    began = time.perf_counter()
    trial = memory.ask()
    setting = suggest(trial, task.space)
    asked = time.perf_counter()
    calibration, held = judge.both(setting)
    tried = time.perf_counter()
    values = value_of(task, calibration)
    frozen = memory.tell(trial, values)
    told = time.perf_counter()
    entry = optuna.trial.create_trial(
        state=TrialState.COMPLETE,
        values=values,
        params=frozen.params,
        distributions=frozen.distributions,
        user_attrs=trial.user_attrs | {"setting": setting, "calibration": _counts(calibration), "held_out": _counts(held)},
    )
    with lock(task):
        there = shared.get_trials(deepcopy=False)
        finished = [other for other in there if other.state == TrialState.COMPLETE]
        room = len(finished) < task.config.n_trials
        if room:
            shared.add_trial(entry)
    others = [other for other in finished if other.number not in seen]
    memory.add_trials(others)
    seen.update(other.number for other in others)
    if room:
        seen.add(len(there))  # numbers are given in order, and the lock was ours
    times.add(Times(tried - asked, asked - began + told - tried, time.perf_counter() - told, trials=int(room)))
    return room


def _counts(found: Outcome) -> dict[str, float | None]:
    lead = None if np.isnan(found.lead) else found.lead
    return {"fires": found.fires, "n": found.n, "false": found.false, "controls": found.controls, "lead": lead}


def best(found: Found, count: int = 5) -> list[FrozenTrial]:
    """The best trials by the first objective, the earlier of equals first; of `multi`, the Pareto front by lead."""
    if found.task.objective == "multi":
        return sorted(front(found.trials), key=lambda trial: (-trial.values[0], -trial.values[1], trial.number))
    sign = 1 if found.task.minimise else -1
    return sorted(found.trials, key=lambda trial: (sign * trial.values[0], trial.number))[:count]


def front(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that no other beats in both objectives, one for each pair of values."""
    kept: list[FrozenTrial] = []
    top = -np.inf
    for trial in sorted(trials, key=lambda trial: (-trial.values[0], -trial.values[1], trial.number)):
        if trial.values[1] > top:
            kept.append(trial)
            top = trial.values[1]
    return kept


def for_workers(cells: Cells, task: Task) -> Cells:
    """The part of the cells that a task's workers need."""
    wanted = {(task.activation, name) for name in ("grok", *task.controls)}
    methods = task.space.common["method"]
    raw = {} if methods == ("gram",) else {key: cell for key, cell in cells.raw.items() if key in wanted}
    plain = {
        key: replace(cell, factors=[{}] * len(cell.factors)) if not raw else cell
        for key, cell in cells.cells.items()
        if key in wanted
    }
    return Cells(plain, raw, cells.missing, cells.left_out)


def check_method(cells: Cells, activation: str, controls: tuple[str, ...], space: Space) -> None:
    """Refuse a spectrum method, or a window of one, that the runs do not serve.

    Raises:
        ConfigError: if so.
    """
    for method in space.common["method"] if isinstance(space.common["method"], tuple) else ():
        for condition in ("grok", *controls):
            cell = cells.cell(activation, condition, method)
            if cell is None:
                raise ConfigError(
                    f"method must be one that the runs of {activation} {condition} recorded, got {method}. Run the study svd."
                )
            if max(space.windows()) > cell.largest_window(method):
                most = cell.largest_window(method)
                raise ConfigError(
                    f"window must be at most {most} for method {method} of {activation} {condition}, got "
                    f"{max(space.windows())}. Lower it."
                )
