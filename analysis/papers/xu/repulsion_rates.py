"""Repulsion rates of measured runs, and when two of them are alike: what claims, questions and other chapters share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.exhibits.sources import ENOUGH, Absent, Sources
from analysis.reading.columns import columns_of
from analysis.statistics.estimates import Estimate, median_interval
from analysis.words import spread
from grok.numerics.nulls import MEAN_LOSS, PUBLISHED
from grok.spec.studies import load_study

MARGIN = 0.02
"""Two rates are alike within four of 200 pairs, a sixth of the published rise."""
LEVEL = 0.9
"""Share of pairs from which on they are said to repel."""
RIDGES = {PUBLISHED: "η", MEAN_LOSS: "nη/2"}
UNIT = "One number per seed: the pairs of a network are not independent."
SIMILAR, FEWEST = 0.15, 20
"""|cos| from which pairs count as similar, and pairs that a bin must hold to be compared."""
WAYS = (
    f"Rises or falls: the exact interval of the median is clear of 0 and the median at least {MARGIN} away; alike: the "
    f"interval is within ±{MARGIN}; otherwise not precise enough to tell."
)
"""When a difference of two rates is told to be one."""


@dataclass(frozen=True)
class Rates:
    """The measured tables of some runs.

    Attributes:
        runs: as taken. tables: of each, in the same order.
    """

    runs: pd.DataFrame
    tables: tuple[pd.DataFrame, ...]

    @classmethod
    def of(cls, sources: Sources, runs: pd.DataFrame) -> Rates:
        """Those of runs that were measured.

        Raises:
            StoreError: if one was not.
        """
        return cls(runs, tuple(sources.evidence.measured(run_id, "repulsion") for run_id in runs["run_id"]))

    def at(self, epoch: int | None, kind: str, ridge: str, features: str = "network", sign: int | None = None) -> np.ndarray:
        """The rate of each run at an epoch, or at its last, of pairs of one sign of cos or of all; NaN where not measured."""
        return np.array([_rate(columns_of(table), epoch, kind, ridge, features, sign) for table in self.tables])

    def change(self, epoch: int | None, kind: str, ridge: str) -> np.ndarray:
        """rate(epoch) − rate(0) of each run."""
        return less(self.at(epoch, kind, ridge), self.at(0, kind, ridge))


def less(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """One rate less another, run by run, without the last bits of the subtraction: the ends of a margin belong to it."""
    return np.asarray(np.round(one - other, 9))


def _rate(columns: dict[str, np.ndarray], epoch: int | None, kind: str, ridge: str, features: str, sign: int | None) -> float:
    of_sign = np.ones(len(columns["epoch"]), dtype=bool) if sign is None else columns["sign"] == sign
    when = int(columns["epoch"][of_sign].max()) if epoch is None else epoch
    chosen = of_sign & (columns["epoch"] == when) & (columns["kind"] == kind)
    chosen &= (columns["ridge"] == ridge) & (columns["features"] == features)
    pairs = int(columns["pairs"][chosen].sum())
    return float(columns["repel"][chosen].sum()) / pairs if pairs else np.nan


def enough(there: int, n: int) -> bool:
    """Whether so many of n runs speak for all."""
    return there > 0 and there >= ENOUGH * n


def known(name: str, values: np.ndarray) -> Estimate:
    """The median of what was measured of all but a few runs.

    Raises:
        Absent: if less than 80 % were measured.
    """
    there = int(np.isfinite(values).sum())
    if not enough(there, len(values)):
        raise Absent(f"{name} was measured in {there} of {len(values)} runs. Run python -m entry_points.measure")
    return median_interval(values)


def as_told(estimate: Estimate) -> str:
    """The value with its interval."""
    return spread(*estimate[:3])


def activations_of_study() -> dict[str, None]:
    """The activations of the study of them, in its order."""
    return dict.fromkeys(cell.config.activation for cell in load_study("activations").cells)


def matched(table: pd.DataFrame, epoch: int, ridge: str, signs: Sequence[int]) -> tuple[float, float]:
    """The rate at an epoch less that at epoch 0 of pairs as similar.

        Σ_b w_b [r_t(b) − r_0(b)],  w_b the share of the epoch's pairs in bin b of |cos| and sign

    Over bins with |cos| ≥ 0.15 and at least 20 pairs at both epochs.

    Args:
        table: of a run. signs: of cos that count.

    Returns:
        The difference, NaN if no bin can be compared; and the share of the epoch's similar pairs that such bins hold.
    """
    mine = table[(table["kind"] == "all") & (table["ridge"] == ridge) & (table["features"] == "network")]
    mine = mine[(mine["low"] >= SIMILAR) & mine["sign"].isin(signs)][["epoch", "low", "sign", "pairs", "repel"]]
    now, before = (mine[mine["epoch"] == when] for when in (epoch, 0))
    both = now.merge(before, on=["low", "sign"], suffixes=("", "_0"))
    both = both[(both["pairs"] >= FEWEST) & (both["pairs_0"] >= FEWEST)]
    if both.empty:
        return np.nan, 0.0
    rise = both["repel"] / both["pairs"] - both["repel_0"] / both["pairs_0"]
    return float(np.average(rise, weights=both["pairs"])), float(both["pairs"].sum() / now["pairs"].sum())
