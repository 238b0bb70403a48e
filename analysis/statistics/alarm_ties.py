"""Whether alarms follow the event that they announce: rank correlations within groups, and what chance gives. Runs in.

A mean of correlations of few runs is above 0.3 by chance in one of eight draws, so that a permutation test stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.alarms import Watched
from analysis.statistics.estimates import SEED

DRAWS = 999
"""Permutations."""
FEWEST = 3
"""Runs of a group with fewer say nothing."""

Late = Sequence[tuple[Watched, float]]
"""Runs with the epochs of their alarms."""


class Tie(NamedTuple):
    """How alarms go with t50.

    Attributes:
        value: mean over groups of Spearman's correlation. p: how often one at least as high comes where t50 is permuted within
            groups; 1 without a group. n: runs in these groups.
    """

    value: float
    p: float
    n: int


def tie(late: Late) -> Tie:
    """The mean over groups of Spearman's correlation of alarm and t50, with a permutation test, one-sided.

    A group in which one of the two does not vary counts as 0, one of fewer than three runs is left out; 0 if none is left.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for run, epoch in late:
        groups.setdefault(run.group, []).append((epoch, run.t50))
    kept = [np.array(one).T for one in groups.values() if len(one) >= FEWEST]
    if not kept:
        return Tie(0.0, 1.0, 0)
    rng = np.random.default_rng(SEED)
    pairs = [(_ranks(alarms), _ranks(events)) for alarms, events in kept]
    value = float(np.mean([x @ y for x, y in pairs]))
    drawn = np.mean([rng.permuted(np.tile(y, (DRAWS, 1)), axis=1) @ x for x, y in pairs], axis=0)
    return Tie(value, (1 + int((drawn >= value - 1e-12).sum())) / (1 + DRAWS), sum(one.shape[1] for one in kept))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, centred and of length 1: their product with others is Spearman's correlation; 0 where nothing varies."""
    ranks = stats.rankdata(values)
    centred = ranks - ranks.mean()
    size = float(np.linalg.norm(centred))
    return centred / size if size > 0 else np.zeros(len(ranks))


def tied(late: Late) -> float:
    """The value of `tie`."""
    return tie(late).value


def within(late: Late, cells: Sequence[object]) -> tuple[float, int]:
    """Spearman's correlation of alarm and t50 over runs, each less the median of its cell, and of how many runs.

    What is left of both once the config is known. 0 where one of the two does not vary, or no cell has three runs.

    Args:
        late: runs and alarms. cells: of each run what its config is.
    """
    epochs = np.array([(epoch, run.t50) for run, epoch in late], dtype=np.float64).reshape(-1, 2)
    parts = []
    for cell in dict.fromkeys(cells):
        mine = epochs[[one == cell for one in cells]]
        if len(mine) >= FEWEST:
            parts.append(mine - np.median(mine, axis=0))
    if not parts:
        return 0.0, 0
    left = np.concatenate(parts)
    return float(_ranks(left[:, 0]) @ _ranks(left[:, 1])), len(left)
