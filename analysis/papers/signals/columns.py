"""What is told of a reading as columns of the leaderboard: shares with counts and intervals, leads, the worst control set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from analysis.statistics.alarm_scores import Score, exact
from analysis.statistics.alarm_words import Split
from analysis.statistics.estimates import Estimate


class Judged(NamedTuple):
    """Runs by one rule: what its alarms are worth, the word, the alarms by run id (NaN of none), and the repeated runs."""

    score: Score
    word: str
    epochs: dict[str, float]
    split: Split


def worth(found: Judged) -> dict[str, Any]:
    """The columns of the reading that decides."""
    s = found.score
    out = _estimates(
        {"tpr": s.tpr, "tpr_later": s.later, "fpr": s.fpr, "auroc": s.area, "relative_lead": s.relative, "seen": s.seen}
        | {f"lead_{name}": lead for name, lead in s.leads.items()}
        | {f"tpr at {rate:.2f}": _of(value, s.tpr.n) for rate, value in s.coverage.items()}
        | {"fpr_floor": _of(s.floor, s.fpr.n), "decay_tpr": s.decay_tpr, "decay_fpr": s.decay_fpr}
        | {"edge_tpr": s.edge_tpr, "edge_fpr": s.edge_fpr, "edge_lead": s.edge_lead}
        | {f"fpr {name}": rate.share for name, rate in (s.sets | s.censored).items()}
    )
    for name, rate in (s.sets | s.censored).items():
        out |= {f"fires {name}": rate.fired, f"runs {name}": rate.n}
    out |= {"auroc_unknown": s.unknown, "auroc_least": s.least_area, "auroc_least_set": s.least_set, "worst_set": s.worst}
    out |= {"alarm_with_t50": s.tied.value, "alarm_with_t50_p": s.tied.p, "alarm_with_t50_n": s.tied.n}
    return out | worst(s) | {"p": s.p, "rounding_split": found.split.split, "rounding_n": found.split.n}


def worst(found: Score) -> dict[str, Any]:
    """The control set with the highest rate, with its counts, its interval and what is decided of it."""
    one = found.sets.get(found.worst)
    names = ("worst_fires", "worst_n", "worst_fpr", "worst_low", "worst_high", "worst_decided")
    values = (0, 0, *(math.nan,) * 3, "undecided") if one is None else (one.fired, one.n, *one.share[:3], one.side)
    return dict(zip(names, values, strict=True))


def beside(name: str, found: Judged | None) -> dict[str, Any]:
    """The columns of another reading: its word under its name, and its numbers."""
    if found is None:
        return {name: None}
    s = found.score
    told = {"tpr": s.tpr, "tpr_later": s.later, "fpr": s.fpr, "auroc": s.area, "lead": s.leads["t50"]}
    return {name: found.word} | {f"{name}_{key}": value for key, value in (_estimates(told) | {"p": s.p}).items()}


def in_short(name: str, found: Judged) -> dict[str, Any]:
    """The word of another reading, and its shares."""
    s = found.score
    return {name: found.word, f"{name}_tpr": s.tpr.value, f"{name}_fpr": s.fpr.value, f"{name}_n": s.fpr.n}


def in_full(name: str, found: Judged | None) -> dict[str, Any]:
    """`beside`, with the worst set and the repeated runs."""
    if found is None:
        return {name: None}
    others = worst(found.score) | {"rounding_split": found.split.split, "rounding_n": found.split.n}
    return beside(name, found) | {f"{name}_{key}": value for key, value in others.items()}


def _estimates(found: Mapping[str, Estimate]) -> dict[str, Any]:
    out = dict[str, Any]()
    for name, one in found.items():
        out |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high, f"{name}_n": one.n}
    return out


def _of(share: float, n: int) -> Estimate:
    """A share of n runs with its exact interval, nominal where it was chosen among several."""
    return exact(0, 0) if math.isnan(share) else exact(round(share * n), n)
