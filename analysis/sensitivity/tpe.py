"""Optuna's TPE, proposal for proposal, without its passes over all trials for each parameter.

Optuna fetches, sorts and splits all finished trials anew for each parameter that is sampled by itself, and turns their
parameters into numbers anew each time. Finished trials do not change: here they are split once a trial, and each parameter of
each trial becomes a number once. What is drawn, from which generator and in which order, stays Optuna's, so the trials are
the same.

This rests on parts of Optuna that it does not promise to keep: with another version than `WRITTEN_FOR` the sampler is Optuna's
own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe import sampler as of_optuna
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

WRITTEN_FOR = "5.0.0"
"""The version of Optuna whose private parts `KeptTPE` uses; test_tpe.py holds it against the plain sampler."""
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def tpe(**arguments: Any) -> TPESampler:
    """The TPE sampler of a study that one process asks, in memory.

    No trial but the one that is asked for runs there: Optuna's constant liar, which stands for those that others try, has
    nothing to stand for, and costs a copy of all trials and an attribute a parameter.

    Args:
        arguments: of `TPESampler`.
    """
    kind = KeptTPE if optuna.__version__ == WRITTEN_FOR else TPESampler
    return kind(constant_liar=False, **arguments)


@dataclass
class _Column:
    """One parameter of the finished trials as Optuna's numbers, in their order; NaN where a trial does not have it."""

    distribution: BaseDistribution
    values: list[float] = field(default_factory=list)
    array: np.ndarray = field(default_factory=lambda: np.empty(0))


@dataclass
class _Kept:
    """The finished trials of a study: numbers and first objective, one for each, and columns of parameters.

    Attributes:
        plain: whether all are complete and none has a constraint, as in every study of ours.
    """

    trials: list[FrozenTrial] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    columns: dict[str, _Column] = field(default_factory=dict)
    plain: bool = True

    def extended(self, finished: list[FrozenTrial]) -> _Kept:
        """With the trials that have finished since; made anew where they are not simply later ones."""
        known = len(self.trials)
        kept = self
        if known > len(finished) or (known and finished[known - 1] is not self.trials[-1]):
            kept, known = _Kept(), 0
        for trial in finished[known:]:
            kept.plain &= trial.state == TrialState.COMPLETE and not trial.constraints
            kept.values.append(trial.values[0] if trial.values else np.nan)
        kept.trials = finished
        return kept

    def column(self, name: str, distribution: BaseDistribution) -> np.ndarray:
        """(trials,) float64, NaN for those without it."""
        own = self.columns.get(name)
        if own is None or own.distribution != distribution:
            own = self.columns[name] = _Column(distribution)
        if len(own.values) < len(self.trials):
            for trial in self.trials[len(own.values) :]:
                known = name in trial.params
                own.values.append(distribution.to_internal_repr(trial.params[name]) if known else np.nan)
            own.array = np.array(own.values, dtype=np.float64)
        return own.array


class KeptTPE(TPESampler):
    """`TPESampler` for one study in memory; trials are named by their places among the finished ones where Optuna has lists."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._kept, self._asked = _Kept(), -1
        self._split: tuple[np.ndarray, np.ndarray] | None = None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Forget the split of the trial before."""
        super().before_trial(study, trial)
        self._asked = -1

    def _places(self, study: Study, trial: FrozenTrial) -> tuple[np.ndarray, np.ndarray] | None:
        """Places of the trials below and above, split once for all parameters of a trial; None where Optuna must do it."""
        if trial.number != self._asked:
            finished = study._get_trials(deepcopy=False, states=FINISHED, use_cache=True)
            self._kept, self._asked = self._kept.extended(finished), trial.number
            self._split = self._halves(study) if self._kept.plain else None
        return self._split

    def _halves(self, study: Study) -> tuple[np.ndarray, np.ndarray]:
        trials = self._kept.trials
        if self._gamma is None:
            several = len(study.directions) > 1
            self._gamma = of_optuna.default_gamma_multiobjective if several else of_optuna.default_gamma
        below = self._gamma(len(trials))
        if len(study.directions) > 1:
            numbers = [trial.number for trial in trials]
            halves = of_optuna._split_trials(study, trials, below)
            first, second = (np.searchsorted(numbers, [trial.number for trial in half]) for half in halves)
            return first, second
        values = np.array(self._kept.values)
        order = np.argsort(values if study.direction == StudyDirection.MINIMIZE else -values, kind="stable")
        return np.sort(order[:below]), np.sort(order[below:])

    def _get_internal_repr(self, trials: Any, search_space: dict[str, BaseDistribution], study: Study) -> dict[str, np.ndarray]:
        if isinstance(trials, list):
            return super()._get_internal_repr(trials, search_space, study)
        columns = {name: self._kept.column(name, distribution)[trials] for name, distribution in search_space.items()}
        whole = ~np.any([np.isnan(column) for column in columns.values()], axis=0)
        return {name: column[whole] for name, column in columns.items()}

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        places = self._places(study, trial)
        if places is None:
            return super()._sample(study, trial, search_space)
        below = self._build_parzen_estimator(study, search_space, places[0], handle_below=True)  # type: ignore[arg-type]
        above = self._build_parzen_estimator(study, search_space, places[1], handle_below=False)  # type: ignore[arg-type]
        samples = below.sample(self._rng.rng, self._n_ei_candidates)
        found = self._compare(samples, self._compute_acquisition_func(samples, below, above))
        return {name: search_space[name].to_external_repr(value) for name, value in found.items()}
