"""The ranks of the updates, where nulls without a rank leave any to be told.

The rules were fixed before the runs: analysis/claims/PREREGISTRATION-repulsion.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.exhibits.model import (
    ABSTRACT,
    CAVEAT,
    CONTRADICTED,
    NOT_REPRODUCED,
    REPRODUCED,
    Answer,
    Axis,
    Claim,
    Entry,
    Measured,
    Question,
)
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.printed.xu import XU
from analysis.statistics.estimates import Estimate, clopper_pearson, median_interval
from analysis.words import number, spread
from grok.numerics.rank import LEAD, PHASES, Told, detrended_rank, tell

PUBLISHED = {"square": ("headline", 2), "relu": ("relu", 1)}
"""Study and published rank by activation."""
LATE, LATER = PHASES
KINDS = {
    "square, weight decay": ("headline", GROK, "square"),
    "square, none": ("headline", CONTROL, "square"),
    "square, random labels": ("controls", "random_labels", "square"),
    "square, starved": ("controls", "data_starved", "square"),
    "ReLU, weight decay": ("relu", GROK, "relu"),
    "ReLU, none": ("relu", CONTROL, "relu"),
    "ReLU, random labels": ("controls", "random_labels", "relu"),
    "ReLU, starved": ("controls", "data_starved", "relu"),
}
"""By name: study, condition, activation."""
RATIO_NAMES = ("λ₁/λ₂", "λ₂/λ₃", "λ₃/λ₄", "λ₄/λ₅")
LAYERS = {"w": "W", "v": "V"}


def medians(table: pd.DataFrame, layer: str, first: int) -> dict[str, np.ndarray] | None:
    """A layer's medians of the phase that begins at an epoch, as `tell` takes them; None if the run does not reach it.

    Args:
        table: what was measured of a run. layer: `w` or `v`. first: epoch.
    """
    mine = table[(table["layer"] == layer) & (table["first"] == first)]
    return {str(name): of.sort_values("k")["value"].to_numpy() for name, of in mine.groupby("of")} or None


def phase_medians(sources: Sources, runs: pd.DataFrame, layer: str = "w", first: int = LATE[0]) -> list[dict[str, np.ndarray]]:
    """The medians of each run.

    Raises:
        Absent: if a run ends before the phase does, or was trained with too small a window.
    """
    found = [medians(sources.evidence.measured(run_id, "ranks"), layer, first) for run_id in runs["run_id"]]
    there = [one for one in found if one is not None]
    if len(there) < len(found):
        raise Absent(f"ranks from epoch {first} on are known of {len(there)} of {len(found)} runs")
    return there


def counted(ranks: list[int]) -> str:
    """`rank 2 in 14, none in 1 of 15`."""
    names = [f"rank {rank} in {ranks.count(rank)}" for rank in sorted(set(ranks) - {0})]
    return f"{', '.join([*names, *([f'none told in {ranks.count(0)}'] if 0 in ranks else [])])} of {len(ranks)}"


def _strength(told: list[Told]) -> str:
    """Lead and excess, medians over runs."""
    lead, excess, above = (np.array([getattr(one, name) for one in told]) for name in ("lead", "excess", "above"))
    where = sorted({one.largest for one in told})
    return (
        f"largest ratio at k = {', '.join(map(str, where))}, lead {number(float(np.median(lead)))}, over any drift "
        f"{number(float(np.median(excess)))}, {number(float(np.median(above)))} eigenvalues above a random walk"
    )


def _verdict(shares: Sequence[float]) -> str:
    """Of the shares of runs that have the published rank, where no other rank has 80 % of any kind."""
    if all(share == 1 for share in shares):
        return REPRODUCED
    return CAVEAT if all(share >= 0.8 for share in shares) else NOT_REPRODUCED


def _ranks(sources: Sources) -> Measured:
    found, entries, shares, others, notes = dict[str, Estimate](), list[Entry](), list[float](), list[float](), list[str]()
    untold = whole = 0
    for activation, (study, published) in PUBLISHED.items():
        runs = phase_medians(sources, sources.take(study, condition=GROK))
        told = [tell(one) for one in runs]
        ranks = [one.rank for one in told]
        share = clopper_pearson(ranks.count(published), len(ranks))
        other = max((ranks.count(rank) / len(ranks) for rank in (1, 2, 3, 4) if rank != published), default=0.0)
        none = ranks.count(0) / len(ranks)
        untold, whole = untold + ranks.count(0), whole + len(ranks)
        own = (
            CONTRADICTED
            if other >= 0.8
            else REPRODUCED
            if share.value == 1
            else CAVEAT
            if share.value >= 0.8
            else NOT_REPRODUCED
        )
        setting = {"activation": activation, "layer": "W", "epochs": f"{LATE[0]} … {LATE[1]}"}
        entries.append(Entry(activation, setting, f"rank {published}", counted(ranks), own))
        found[f"{activation} of rank {published}"] = share
        ratios = np.exp(np.array([one["raw"] for one in runs]))
        found |= {f"{activation} {name}": median_interval(ratios[:, k]) for k, name in enumerate(RATIO_NAMES)}
        shares, others = [*shares, share.value], [*others, other]
        notes.append(f"{activation}: {_strength(told)}" + (", so no rank can be told of most" if none >= 0.5 else ""))
    verdict = CONTRADICTED if any(other >= 0.8 for other in others) else _verdict(shares)
    text = "; ".join(f"{entry.setting['activation']}: {entry.measured}" for entry in entries)
    short = ", ".join(
        f"{entry.published} in {round(share * found[f'{name} of {entry.published}'].n)}/"
        f"{found[f'{name} of {entry.published}'].n} ({'x²' if name == 'square' else 'ReLU'})"
        for name, entry, share in zip(PUBLISHED, entries, shares, strict=True)
    )
    short = f"no rank can be told in {untold}/{whole} runs" if untold == whole else short
    note = f"Medians over runs. {'; '.join(notes)}."
    axes = tuple(
        Axis(
            f"runs of {entry.published}, {'x²' if name == 'square' else 'ReLU'}",
            f"{found[key].n}/{found[key].n}",
            found[key],
        )
        for name, entry in zip(PUBLISHED, entries, strict=True)
        for key in (f"{name} of {entry.published}",)
    )
    why = {
        REPRODUCED: "Every run has the rank of its activation.",
        CAVEAT: "Four fifths of the runs of each activation have its rank, not all.",
        CONTRADICTED: "Four fifths of the runs of one activation have another rank.",
        NOT_REPRODUCED: "No rank has four fifths of the runs of each activation"
        + (f"; in {untold} of {whole} none can be told beside the next ratio, a drift and a random walk." if untold else "."),
    }[verdict]
    return Measured(text, verdict, found, note, entries=tuple(entries), short=short, why=why, axes=axes)


def _told_of(sources: Sources, layer: str, first: int) -> dict[str, list[dict[str, np.ndarray]]]:
    """Medians of each kind of run that is there; the square kinds of the headline must be."""
    found = {}
    for name, (study, condition, activation) in KINDS.items():
        try:
            runs = sources.take(study, condition=condition, activation=activation)
            found[name] = phase_medians(sources, runs, layer, first)
        except Absent:
            if study == "headline" and first == LATE[0]:
                raise
    return found


def _of_grokking(sources: Sources) -> Answer:
    texts, found = [], dict[str, Estimate]()
    for layer, name in LAYERS.items():
        for first, last in PHASES:
            for kind, runs in _told_of(sources, layer, first).items():
                ranks = [tell(one).rank for one in runs]
                most = max((1, 2, 3, 4), key=ranks.count)
                place = f"{name}, {first} … {last}, {kind}"
                texts.append(f"{place}: {counted(ranks)}")
                found[f"{place}, of rank {most}"] = clopper_pearson(ranks.count(most), len(ranks))
    return Answer("; ".join(texts), found, "A rank that runs share which do not grok is no mark of grokking.")


def _detrended(sources: Sources) -> Answer:
    texts, found = [], dict[str, Estimate]()
    for kind, runs in _told_of(sources, "w", LATE[0]).items():
        ways: Mapping[str, list[int]] = {
            "unit norms": [detrended_rank(one, "unit") for one in runs],
            "less the mean": [detrended_rank(one, "mean") for one in runs],
            "less a line": [detrended_rank(one, "line") for one in runs],
        }
        texts.append(f"{kind}: " + ", ".join(f"{name} {counted(ranks)}" for name, ranks in ways.items()))
        for name in ("unit", "mean", "line"):
            leads = np.array([one[name].max() - np.sort(one[name])[-2] for one in runs])
            found[f"{kind}, log lead, {name}"] = median_interval(leads)
    example = next(iter(found.values()))
    note = f"A ratio leads if it is {LEAD:g} times the next; the first log lead is {spread(*example[:3])}."
    return Answer("; ".join(texts), found, note)


RULE = (
    f"A run has rank k if λ_k/λ_k+1 is the largest of four and {LEAD:g} times the next, raw and of unit-norm updates, "
    f"{LEAD:g} times "
    "that of every smooth drift with as large a λ₁, and k eigenvalues are above a random walk; otherwise none can be told."
)
CLAIMS = (
    Claim(
        "ranks",
        "The updates of the square network that groks are of rank 2, those of ReLU of rank 1.",
        XU,
        "rank 2; rank 1",
        "the k ≤ 4 whose λ_k/λ_k+1 is clearly the largest, and larger than that of any drift without a rank; per run medians "
        "over "
        "epochs 200 … 400",
        ("headline", "relu"),
        f"{RULE} Reproduced if every run has the rank of its activation; with a caveat if 80 % of each do; contradicted if 80 "
        f"% of "
        "one have another; otherwise not reproduced.",
        _ranks,
        kind=ABSTRACT,
    ),
)
QUESTIONS = (
    Question(
        "rank-of-grokking",
        "Do the updates of runs that grok have a rank that those of other runs have not?",
        ("headline", "relu", "controls"),
        f"{RULE} Counts by condition, for both layers, over epochs 200 … 400 and, of runs that are long enough, 600 … 800.",
        _of_grokking,
    ),
    Question(
        "rank-detrended",
        "Does the leading ratio stay where updates are scaled to one length, or the window's trend is taken out?",
        ("headline", "relu", "controls"),
        f"The k whose λ_k/λ_k+1 is {LEAD:g} times the next, of unit-norm updates, of these less their mean over the window, "
        f"and less "
        "a straight line in time; W, epochs 200 … 400.",
        _detrended,
    ),
)
