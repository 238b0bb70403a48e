"""Our TPE proposes what Optuna's does, number for number, whatever the space has and whoever adds trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial

from analysis.sensitivity import search, tpe
from analysis.sensitivity.settings import SensitivityConfig
from analysis.sensitivity.storage import quiet

SPACE = SensitivityConfig(window="3..20").space(20)
DIRECTIONS = {
    "maximize": ["maximize"],
    "minimize": ["minimize"],
    "both": ["maximize", "maximize"],
}


def value_of(setting: dict[str, Any], count: int) -> list[float]:
    """Made up, coarse enough for many ties, as Youden's J of a few runs is."""
    near = -abs(setting["window"] - 12) / 3 - abs(setting["first_epoch"] - 100) / 40 + (setting["rule"] == "slope")
    return [float(np.round(near * 2) / 2), float(setting["smoothing"] // 4)][:count]


def tried(sampler: TPESampler, directions: list[str], trials: int, *, others: int = 0, pruned: int = -1) -> list[FrozenTrial]:
    """Trials asked and told in memory, as `search` does it; now and then some of another worker are added."""
    with quiet():
        memory = optuna.create_study(directions=directions, sampler=sampler)
        elsewhere = optuna.create_study(directions=directions, sampler=optuna.samplers.RandomSampler(seed=5))
        for number in range(trials):
            trial = memory.ask()
            setting = search.suggest(trial, SPACE)
            if number == pruned:
                memory.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                memory.tell(trial, value_of(setting, len(directions)))
            for _ in range(others if number % 7 == 3 else 0):
                other = elsewhere.ask()
                elsewhere.tell(other, value_of(search.suggest(other, SPACE), len(directions)))
                memory.add_trial(elsewhere.trials[-1])
    return memory.get_trials(deepcopy=False)


def told(trials: list[FrozenTrial]) -> list[Any]:
    return [(trial.number, trial.state, trial.values, list(trial.params.items()), trial.distributions) for trial in trials]


def plain(seed: int) -> TPESampler:
    """Optuna's own, as it was used before."""
    with quiet():
        return TPESampler(seed=seed, multivariate=True, n_startup_trials=search.STARTUP)


def ours(seed: int) -> TPESampler:
    with quiet():
        return tpe.tpe(seed=seed, multivariate=True, n_startup_trials=search.STARTUP)


def test_the_pinned_optuna_is_the_one_that_it_is_written_for() -> None:
    """Where this fails Optuna was moved: searches are slow until `analysis/sensitivity/tpe.py` is held against the new one."""
    assert optuna.__version__ == tpe.WRITTEN_FOR
    assert isinstance(ours(0), tpe.KeptTPE)
    with quiet():
        assert isinstance(search.sampler_of(SensitivityConfig(), 0), tpe.KeptTPE)


def test_another_optuna_gets_its_own_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tpe, "WRITTEN_FOR", "5.0.1")
    assert type(ours(0)) is TPESampler


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_proposes_what_optuna_proposes(seed: int) -> None:
    """Over four rules, each with parameters of its own: 200 trials that are conditional on the rule."""
    expected = tried(plain(seed), DIRECTIONS["maximize"], 200)
    assert told(tried(ours(seed), DIRECTIONS["maximize"], 200)) == told(expected)
    assert {trial.params["rule"] for trial in expected} == set(SPACE.own)


@pytest.mark.parametrize("directions", ["minimize", "both"])
def test_it_does_so_in_the_other_direction_and_of_two_objectives(directions: str) -> None:
    assert told(tried(ours(3), DIRECTIONS[directions], 70)) == told(tried(plain(3), DIRECTIONS[directions], 70))


def test_it_does_so_where_other_workers_add_trials() -> None:
    assert told(tried(ours(4), DIRECTIONS["maximize"], 60, others=3)) == told(
        tried(plain(4), DIRECTIONS["maximize"], 60, others=3)
    )


def test_it_leaves_pruned_trials_to_optuna() -> None:
    assert told(tried(ours(5), DIRECTIONS["maximize"], 50, pruned=8)) == told(
        tried(plain(5), DIRECTIONS["maximize"], 50, pruned=8)
    )


def test_finished_trials_are_split_once_a_trial_and_become_numbers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    halves, numbers = [], []
    real_halves, real_column = tpe.KeptTPE._halves, optuna.distributions.IntDistribution.to_internal_repr
    monkeypatch.setattr(tpe.KeptTPE, "_halves", lambda self, study: halves.append(1) or real_halves(self, study))
    monkeypatch.setattr(
        optuna.distributions.IntDistribution,
        "to_internal_repr",
        lambda self, value: numbers.append(1) or real_column(self, value),
    )
    trials = tried(ours(0), DIRECTIONS["maximize"], 60)
    assert len(halves) == 60 - search.STARTUP
    whole = sum(
        isinstance(kind, optuna.distributions.IntDistribution) for trial in trials for kind in trial.distributions.values()
    )
    assert len(numbers) < 6 * whole  # Optuna itself needs some, of the trial that is asked for; it would be thousands
