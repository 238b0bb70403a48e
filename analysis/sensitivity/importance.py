"""Which part of a setting moves the result: total Sobol indices on a designed sample, or a named Optuna evaluator on trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial
from scipy import stats
from scipy.stats import qmc

from analysis.sensitivity.space import Values, from_unit
from analysis.statistics.estimates import Estimate

RESAMPLES = 200
FOREST_RESAMPLES = 20
"""An Optuna evaluator fits a forest for each."""
TREES = 64


class Importance(NamedTuple):
    """How much each parameter moves a target.

    Attributes:
        target: what is moved, over what. evaluator: the method, by name. seed: of sample and resamples. n: evaluations.
        informative: whether the target varied at all; if not, no parameter has a value.
        values: by parameter, the largest first, with intervals over resamples.
    """

    target: str
    evaluator: str
    seed: int
    n: int
    informative: bool
    values: dict[str, Estimate]


def sobol_total(
    function: Callable[[dict[str, Any]], float], dimensions: Sequence[tuple[str, Values]], samples: int, seed: int, target: str
) -> Importance:
    """Total Sobol index of each parameter: the share of the target's variance that goes if all others are fixed.

        S_T(i) = E[(f(A) − f(A with column i of B))²] / (2 Var f)

    A and B are the halves of a scrambled Sobol sequence, which scipy is handed with their values: its own sample has points of
    other bits, and its own bootstrap no seed. 95 % intervals are percentiles over resamples of the rows.

    Args:
        function: setting → target. dimensions: the parameters that vary and their values.
        samples: rows N, a power of two; N (d + 2) evaluations. seed: of scramble and resamples. target: in words.

    Source: M. J. W. Jansen, Computer Physics Communications 117 (1999); A. Saltelli et al., ibid. 181 (2010), table 2 (f).
    """
    d = len(dimensions)
    rng = np.random.default_rng(seed)
    points = qmc.Sobol(2 * d, scramble=True, rng=rng).random(samples)
    first, second = points[:, :d], points[:, d:]

    def values(rows: np.ndarray) -> np.ndarray:
        named = [{name: from_unit(v, u) for (name, v), u in zip(dimensions, row, strict=True)} for row in rows]
        return np.array([[function(setting) for setting in named]])

    mixed = [np.where(np.arange(d) == i, second, first) for i in range(d)]
    f = {"f_A": values(first), "f_B": values(second), "f_AB": np.array([values(rows) for rows in mixed])}
    point = _total_indices(f, np.arange(samples))
    varied = bool(np.isfinite(point).all())
    resampled = [_total_indices(f, rng.integers(0, samples, samples)) for _ in range(RESAMPLES if varied else 0)]
    names = [name for name, _ in dimensions]
    return Importance(
        target, "sobol_total", seed, samples * (d + 2), varied, _ranked(names, point, np.array(resampled), samples)
    )


def _total_indices(f: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """(d,) float64 from some rows of the sample; NaN where the target does not vary on them, for which scipy has 0."""
    taken = {name: values[..., rows] for name, values in f.items()}
    if np.ptp(np.concatenate((taken["f_A"], taken["f_B"]), axis=None)) == 0:
        return np.full(len(f["f_AB"]), np.nan)
    taken["f_AB"] = np.concatenate((taken["f_AB"], taken["f_A"][None]))  # and one idle parameter: scipy fails on one alone
    indices: np.ndarray = stats.sobol_indices(func=taken, n=len(rows)).total_order[:-1]
    return indices


def _ranked(names: Sequence[str], point: np.ndarray, resampled: np.ndarray, n: int) -> dict[str, Estimate]:
    """The largest first; all NaN where there is nothing to rank."""
    if not len(resampled):
        return {name: Estimate(float("nan"), float("nan"), float("nan"), n) for name in names}
    low, high = np.nanpercentile(resampled, [2.5, 97.5], axis=0)
    order = sorted(range(len(names)), key=lambda i: -point[i])
    return {names[i]: Estimate(float(point[i]), float(low[i]), float(high[i]), n) for i in order}


def of_trials(trials: Sequence[FrozenTrial], evaluator: str, seed: int, target: str) -> Importance:
    """An Optuna evaluator on a search's trials, for the first objective and the parameters that every trial has.

    A search crowds around good settings, so this is the importance where it looked, not over the whole space. `fanova` and
    `mdi` are shares of variance and of impurity, `ped_anova` of reaching the best tenth. Intervals: percentiles over resamples
    of the trials, each with a seed of its own.

    Args:
        trials: finished. evaluator: `fanova`, `mdi` or `ped_anova`. seed: of forests and resamples. target: in words.
    """
    kept = sorted(set.intersection(*(set(trial.params) for trial in trials))) if trials else []
    varied = len({trial.values[0] for trial in trials}) > 1 and bool(kept)
    rng = np.random.default_rng(seed)
    if not varied:
        return Importance(
            target, evaluator, seed, len(trials), False, _ranked(kept, np.empty(0), np.empty((0, 0)), len(trials))
        )

    def shares(chosen: Sequence[FrozenTrial], forest_seed: int) -> np.ndarray:
        study = optuna.create_study()
        study.add_trials(
            [optuna.trial.create_trial(value=-t.values[0], params=t.params, distributions=t.distributions) for t in chosen]
        )
        if len({t.values[0] for t in chosen}) < 2:
            return np.full(len(kept), np.nan)
        found = optuna.importance.get_param_importances(study, evaluator=_evaluator(evaluator, forest_seed), params=kept)
        return np.array([float(found.get(name, 0.0)) for name in kept])

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        point = shares(trials, seed)
        picks = [rng.integers(0, len(trials), len(trials)) for _ in range(FOREST_RESAMPLES)]
        resampled = np.array([shares([trials[i] for i in pick], seed + 1 + turn) for turn, pick in enumerate(picks)])
    finally:
        optuna.logging.set_verbosity(verbosity)
    return Importance(target, evaluator, seed, len(trials), True, _ranked(kept, point, resampled, len(trials)))


def _evaluator(name: str, seed: int) -> Any:
    if name == "fanova":
        return optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
    if name == "mdi":
        return optuna.importance.MeanDecreaseImpurityImportanceEvaluator(n_trees=TREES, seed=seed)
    return optuna.importance.PedAnovaImportanceEvaluator()
