"""Train tracked runs: each is created or gone on with, has its epochs trained, and is marked if that fails.

Numbers come from `training`, what is kept of them from `recorders`; several seeds of one config train in lockstep (`group`),
each its own MLflow run.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from grok.runs import words
from grok.runs.branch import Branch
from grok.runs.group import FigureMaker, Group, Outcome, Progress
from grok.runs.member import Member
from grok.runs.trial import check_own
from grok.spec.config import PROTOCOL_VERSION, ResolvedConfig, RunConfig
from grok.spec.plugins import blamed
from grok.store.errors import StoreError, TakenOverError, brief, masked, one_line
from grok.store.files import CheckpointError, load
from grok.store.prior import create, with_table_of, with_threads_of
from grok.store.provenance import code_tags
from grok.store.run import RESUME, TrackedRun
from grok.store.store import Store
from grok.store.system import watched
from grok.store.tags import NOTE, RESUMED_WITH, StoredRun
from grok.training.devices import check_device
from grok.training.loop import Training
from grok.training.parts import check_parts, task_of
from grok.training.size import check_size

LOG = logging.getLogger("grok")
FAILURE = "failure.txt"
"""What a run was stopped by, until it goes on."""


def train_tracked(
    configs: Sequence[ResolvedConfig],
    store: Store,
    *,
    resume: Sequence[StoredRun | str | None] = (),
    parent: str | None = None,
    tags: dict[str, str] | None = None,
    figures: FigureMaker | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    confirm: Callable[[], None] = lambda: None,
    branch: Branch | None = None,
) -> list[Outcome]:
    """Train runs that differ in their seed only, in lockstep, each as its own MLflow run.

    Args:
        configs: one per seed.
        store: where to.
        resume: per seed, the run to go on with or its id, or None for a new one; empty for all new.
        parent: MLflow run that new runs are nested under.
        tags: more tags, without our prefix.
        figures: draws the run's figures at the end.
        progress: told of each block of epochs.
        should_stop: asked at each epoch; True saves the state and ends as `interrupted`.
        confirm: called before runs are saved, stopped, finished or marked as failed; raises TakenOverError if another
            process has one of them now, which is then left as it is.
        branch: a state of another run that a single new run goes on from.

    Returns:
        An outcome per config.

    Raises:
        ConfigError: if the device is not there or the activation cannot be imported; no run was created then.
        StoreError: if the store fails. Whatever is raised later, the runs are first marked `failed` with the reason.
        OwnCodeError: if code of somebody's own fails in mid-run, with its name.
    """
    check_trainable(configs[0], len(configs))
    prior = [store.get(run) if isinstance(run, str) else run for run in resume] or [None] * len(configs)
    if prior[0] is not None:
        configs = [with_table_of(prior[0], with_threads_of(prior[0], config)) for config in configs]
    training = Training(configs[0], [config.seed for config in configs])
    configs = [run.config for run in training.runs]  # a caller may have left an `auto`, which the training replaces
    tracked: list[TrackedRun] = []
    try:
        for config, run in zip(configs, prior, strict=True):
            tracked.append(create(store, config, parent, tags) if run is None else store.reopen(run, tags))
            files = tracked[-1].list_files("")
            if "config.json" not in files:
                _log_start(config, tracked[-1], training, len(tracked) - 1)
            elif run is not None:
                tracked[-1].check_config(config)
                _note_resumed(config, tracked[-1], run, training)
            if FAILURE in files:
                tracked[-1].delete(FAILURE)
        members = [Member(training, index) for index in range(len(configs))]
        restored = all(run.resumed for run in tracked) and _restore(training, members, tracked)
        if branch is not None and not restored:
            _load_branch(training, members[0], branch)
        with watched([run.run_id for run in tracked]):
            return Group(training, members, tracked, figures, progress, should_stop, confirm).run()
    except BaseException as error:
        told = blamed(error)
        if told is not None:
            told.__cause__ = error
        _mark_failed(configs, tracked, told or error, confirm)
        if told is not None:
            raise told from error
        raise


def check_trainable(config: RunConfig, seeds: int = 1) -> None:
    """Refuse, before a run is made, a device that is not there, a part that cannot be used, and what memory cannot hold.

    Args:
        config: of the runs. seeds: that are trained in lockstep.

    Raises:
        ConfigError: if so.
    """
    check_device(config)
    check_parts(config)
    check_size(config.resolved(), seeds)
    check_own(config)


def _log_start(config: ResolvedConfig, run: TrackedRun, training: Training, index: int) -> None:
    run.log_config(config)
    run.set_tags(words.host_tags(training) | {NOTE: words.running(config)})
    problem, (name, source) = training.problems[index], task_of(config).dataset(config)
    run.log_dataset(problem.train_inputs.numpy(), problem.train_labels.numpy(), f"{name}, train", source, "training")
    run.log_dataset(problem.test_inputs.numpy(), problem.test_labels.numpy(), f"{name}, test", source, "evaluation")
    _put_config(config, run)


def _put_config(config: ResolvedConfig, run: TrackedRun) -> None:
    run.put_json("config.json", {"config": config.to_strings(), "config_hash": config.hash, "protocol": PROTOCOL_VERSION})


def _note_resumed(config: ResolvedConfig, run: TrackedRun, before: StoredRun, training: Training) -> None:
    """Say what differs from the process that began the run: its code, its machine.

    `config.json` is written again: it may have been cut short since, and the params, which were held against their hash, have
    all that is in it.
    """
    _put_config(config, run)
    now = {**code_tags(), **words.host_tags(training)}
    differs = [f"{name} {value}" for name, value in now.items() if before.get(name) != value]
    run.set_tags({NOTE: words.running(config)} | ({RESUMED_WITH: ", ".join(differs)} if differs else {}))


def _restore(training: Training, members: list[Member], tracked: list[TrackedRun]) -> bool:
    """Go on from the newest saved state that every run of the group has; from the start if there is none.

    A state that is not whole, or not as it was written, is passed over and said so.

    Returns:
        Whether there was one.

    Raises:
        CheckpointError: if a state is whole and does not fit; it is dropped, so that the same command begins anew.
    """
    saved = set.intersection(*(set(run.list_files(RESUME)) for run in tracked))
    for name in sorted(saved, reverse=True):
        try:
            with tempfile.TemporaryDirectory() as folder:
                loaded = [load(run.get_file(name, Path(folder) / run.run_id)) for run in tracked]
        except (CheckpointError, StoreError) as error:
            LOG.warning("%s %s is passed over: %s Training goes on from an earlier state.", tracked[0].run_id, name, error)
            continue
        if all(facts.get("config_hash") == member.config.hash for member, (_, facts) in zip(members, loaded, strict=True)):
            try:
                training.load([member.restore(*state) for member, state in zip(members, loaded, strict=True)])
                for member in members:
                    member.resume()
            except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
                for run in tracked:
                    run.delete(name)
                raise CheckpointError(
                    f"state must be that of the run's config, got {name} of {tracked[0].run_id} ({brief(error, 120)}). "
                    "It is dropped: repeat the command."
                ) from error
            return True
    return False


def _load_branch(training: Training, member: Member, branch: Branch) -> None:
    """Go on from the state of another run.

    Raises:
        CheckpointError: if it does not fit.
    """
    try:
        training.load([member.restore(branch.tensors, branch.facts)])
        member.resume()
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"state must be that of the run's config, got step {branch.step} of {branch.run_id} ({brief(error, 120)}). "
            "Delete it and train anew."
        ) from error


def _mark_failed(
    configs: Sequence[ResolvedConfig], tracked: list[TrackedRun], error: BaseException, confirm: Callable[[], None]
) -> None:
    """End the runs that are this process's still and that are not done: of a group, some may be.

    What is told of the failure is written first: a run that is ended may be another process's at once.
    """
    state = "interrupted" if isinstance(error, (KeyboardInterrupt, TakenOverError)) else "failed"
    lost = set(error.run_ids) if isinstance(error, TakenOverError) else set()
    try:
        confirm()
    except Exception as other:
        lost |= set(other.run_ids) if isinstance(other, TakenOverError) else set()
    for config, run in zip(configs, tracked, strict=False):
        with contextlib.suppress(Exception):  # the store may be what failed; the caller hears of the first error
            if run.run_id in lost or run.look().done:
                continue
            reason = f"{type(error).__name__}: {one_line(error)}"
            with contextlib.suppress(Exception):
                run.set_tags({NOTE: words.stopped(config, f"Failed: {reason}")})
            with contextlib.suppress(Exception):
                run.put_text(FAILURE, masked("".join(traceback.format_exception(error))))
            run.end(state, reason)
