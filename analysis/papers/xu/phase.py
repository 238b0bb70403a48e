"""Claims and questions on when: lags behind each run's own grokking, what comes after, and what fires without it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.exhibits import verdicts
from analysis.exhibits.margins import EPOCH, PLATEAU
from analysis.exhibits.model import (
    ABSTRACT,
    CONTRADICTED,
    IMPRECISE,
    NOT_REPRODUCED,
    NOTES,
    REPRODUCED,
    TEXT,
    Claim,
    Entry,
    Measured,
)
from analysis.exhibits.sources import Absent, Sources, column, fired, series
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.papers.xu.meaning import GROKKED
from analysis.printed.xu import ETA_ROWS, FINDINGS, LAGS, XU
from analysis.statistics import estimates as statistics
from analysis.statistics.exact import quantile_sides
from analysis.words import number, spread

GAP = "delta_w/gap_23"
AFTER = {"test_50_epoch": "after test ≥ 0.5", "test_99_epoch": "after test ≥ 0.99"}
ON, LATER, AROUND = 300, 400, 10
"""Epochs between which a gap that is a plateau stays, and how far around each the gap is taken as a median."""
FOCUSED, SPREADING = ("square", "cube"), ("relu", "sigmoid")
"""Powers, whose memorisation is said to be focused, and the activations that are named as spreading."""


def lags(study: str, activation: str = "square") -> Callable[[Sources], Measured]:
    """The claim on how many epochs after each run's own grokking the detector fires, on the runs of a study."""

    def measure(sources: Sources) -> Measured:
        runs = sources.take(study, condition=GROK, activation=activation)
        parts = []
        for name, (printed, ends) in LAGS.items():
            lag = column(runs, "fire_epoch") - column(runs, name)
            parts.append(verdicts.median(AFTER[name], lag, printed, event=True))
            if ends and len(statistics.known(lag)):
                parts.append(verdicts.quartiles(f"{AFTER[name]}, quartiles", lag, ends, EPOCH))
        return verdicts.judge(parts)

    return measure


def around(gap: np.ndarray, epoch: int) -> float:
    """The median of a gap from `AROUND` epochs before an epoch to as many after, as far as it goes; NaN if it is unknown."""
    seen = statistics.known(gap[epoch - AROUND : epoch + AROUND + 1])
    return float(np.median(seen)) if len(seen) else np.nan


def _plateau(sources: Sources) -> Measured:
    runs = sources.take("headline", condition=GROK)
    gaps = [series(sources, run_id, GAP) for run_id in runs["run_id"]]
    first, last = (np.array([around(gap, epoch) for gap in gaps]) for epoch in (ON, LATER))
    kept = verdicts.measured(f"λ₂/λ₃ at {ON} and {LATER}", last / first)
    sides = quantile_sides(kept, 1 / PLATEAU, PLATEAU)
    found = {
        f"λ₂/λ₃ at {ON}": statistics.median_interval(first),
        f"λ₂/λ₃ at {LATER}": statistics.median_interval(last),
        "ratio": statistics.median_interval(kept),
    }
    verdict = REPRODUCED if sides.inside <= 0.05 else CONTRADICTED if sides.outside <= 0.05 else IMPRECISE
    text = "; ".join(f"{name} {spread(*estimate[:3])}" for name, estimate in found.items())
    return Measured(text, verdict, found, p=min(sides.inside, sides.outside))


def _never(sources: Sources) -> Measured:
    kinds = {
        "with weight decay": ("relu", GROK),
        "without weight decay": ("relu", CONTROL),
        "random labels": ("controls", "random_labels"),
        "too few pairs": ("controls", "data_starved"),
    }
    counts = {}
    for name, (study, condition) in kinds.items():
        try:
            runs = sources.take(study, condition=condition, activation="relu")
        except Absent:
            if study == "relu":
                raise
            sources.shortfalls.append(f"none of ReLU, {name}")
            continue
        counts[name] = fired(runs), len(runs)
    loud = any(2 * fires > n for fires, n in counts.values())
    silent = not any(fires for fires, _ in counts.values())
    verdict = REPRODUCED if silent else CONTRADICTED if loud else NOT_REPRODUCED
    text = "; ".join(f"{name} {fires}/{n}" for name, (fires, n) in counts.items())
    return Measured(text, verdict, *_shares(counts, verdict_of=lambda fires, n: fires == 0, published="0"))


def _shares(
    counts: dict[str, tuple[int, int]], verdict_of: Callable[[int, int], bool], published: str
) -> tuple[dict[str, statistics.Estimate], str, tuple[str, ...], tuple[Entry, ...]]:
    """Estimates, note, run ids and entries of `Measured`, of counts by kind."""
    shares = {name: statistics.clopper_pearson(k, n) for name, (k, n) in counts.items()}
    entries = tuple(
        Entry(name, {"runs": name}, published, f"{k}/{n}", REPRODUCED if verdict_of(k, n) else NOT_REPRODUCED)
        for name, (k, n) in counts.items()
    )
    return shares, "", (), entries


def _kinds_of_square(sources: Sources) -> dict[str, pd.DataFrame]:
    """Square runs by what may keep them from grokking; those whose study is not there are a shortfall."""
    wanted = {
        "weight decay": ("headline", GROK),
        "no weight decay": ("headline", CONTROL),
        "random labels": ("controls", "random_labels"),
        "too few pairs": ("controls", "data_starved"),
    } | {row.condition: ("eta", row.condition) for row in ETA_ROWS}
    found = {}
    for name, (study, condition) in wanted.items():
        try:
            found[name] = sources.take(study, condition=condition, activation="square")
        except Absent:
            if study == "headline":
                raise
            sources.shortfalls.append(f"none of {name}")
    return found


def _sufficient(sources: Sources) -> Measured:
    counts = {}
    for name, runs in _kinds_of_square(sources).items():
        test = verdicts.measured(f"the final test accuracy, {name},", column(runs, "accuracy/test"))
        if len(test) < len(runs):
            raise Absent(f"the final test accuracy is known of {len(test)} of {len(runs)} runs, {name}")
        fires = column(runs, "fired") == 1
        if np.isnan(column(runs, "fired")).any():
            raise Absent(f"whether the detector fired is not known of every run, {name}")
        if fires.any():
            counts[name] = int((test[fires] >= GROKKED).sum()), int(fires.sum())
    if not counts:
        raise Absent("the detector fired in no run")
    bad = any(2 * k < n for k, n in counts.values())
    verdict = REPRODUCED if all(k == n for k, n in counts.values()) else CONTRADICTED if bad else NOT_REPRODUCED
    text = "; ".join(f"{name} {k} of {n} that fire" for name, (k, n) in counts.items())
    return Measured(text, verdict, *_shares(counts, verdict_of=lambda k, n: k == n, published="all"))


def _focused(sources: Sources) -> Measured:
    counts, dull, judged = dict[str, tuple[int, int]](), list[str](), list[bool]()
    for activation in (*FOCUSED, *SPREADING):
        runs = sources.take("activations", condition=GROK, activation=activation)
        groks = column(runs, "accuracy/test") >= GROKKED
        if activation in FOCUSED and not groks.all():
            dull.append(f"{activation} {int(groks.sum())}/{len(runs)}")
            runs = runs[groks]
        if len(runs):
            counts[activation] = fired(runs), len(runs)
            judged.append(activation in FOCUSED)
    if not any(judged):
        raise Absent("no run with a power activation groks")
    ends = [(k, n) if focused else (n - k, n) for (k, n), focused in zip(counts.values(), judged, strict=True)]
    verdict = REPRODUCED if all(k == n for k, n in ends) else NOT_REPRODUCED
    verdict = CONTRADICTED if any(2 * k < n for k, n in ends) else verdict
    text = "; ".join(f"{name} fires in {k}/{n}" for name, (k, n) in counts.items())
    shares = {name: statistics.clopper_pearson(k, n) for name, (k, n) in counts.items()}
    entries = tuple(
        Entry(
            name,
            {"activation": name, "memorisation": "focused" if focused else "spreading"},
            "fires" if focused else "silent",
            f"{k}/{n}",
            REPRODUCED if k == (n if focused else 0) else NOT_REPRODUCED,
        )
        for (name, (k, n)), focused in zip(counts.items(), judged, strict=True)
    )
    note = f"Of the powers only runs that grok count: {', '.join(dull)}." if dull else ""
    return Measured(text, verdict, shares, note, entries=entries)


CLAIMS = (
    Claim(
        "lags",
        "The detector fires 72 epochs after test ≥ 0.5 and 35 after test ≥ 0.99: it lags grokking rather than leading it.",
        f"{FINDINGS}, headline",
        "+72; +35 [34, 36]",
        "fire epoch less that of the event, run by run; medians and quartiles",
        ("headline",),
        " ".join((verdicts.MEDIAN, verdicts.QUARTILES, verdicts.PARTS)),
        lags("headline"),
        kind=NOTES,
    ),
    Claim(
        "plateau",
        "After grokking the gap λ₂/λ₃ rises to a plateau.",
        f"{XU}, figure of the lock-in",
        "a plateau",
        f"λ₂/λ₃ at epoch {LATER} over that at {ON}, seed by seed, each a median over {AROUND} epochs either way, to the end",
        ("headline",),
        f"Reproduced if exact tests put the median of the ratio within a factor of {number(PLATEAU)} of 1; contradicted if "
        "they put it outside; otherwise not precise enough to tell.",
        _plateau,
        kind=TEXT,
    ),
    Claim(
        "relu-never-fires",
        "With ReLU the detector never fires.",
        f"{XU}, abstract",
        "never",
        "fires of every kind of ReLU run: with weight decay, without, on random labels, with too few pairs",
        ("relu", "controls"),
        "Reproduced if no run of any kind fires; contradicted if more than half of one kind do; otherwise not reproduced.",
        _never,
        kind=ABSTRACT,
    ),
    Claim(
        "sufficient",
        "If the detector fires, the network has grokked.",
        f"{FINDINGS}, M × p sweep",
        "sufficient",
        f"of square runs that fire, of each control and η, how many end at test accuracy {GROKKED} or above",
        ("headline", "controls", "eta"),
        "Reproduced if all that fire have; contradicted if of one kind fewer than half have; otherwise not reproduced.",
        _sufficient,
        kind=NOTES,
    ),
    Claim(
        "theorem5",
        "The signature appears with power activations, whose memorisation is focused, and not with ReLU or sigmoid, where it "
        "spreads.",
        f"{XU}, interpretation by Theorem 5 of Tian (arXiv 2509.21519)",
        "fires with powers; silent with ReLU and sigmoid",
        "runs with weight decay that fire: x² and x³, of those that grok; ReLU and sigmoid",
        ("activations",),
        "Reproduced if every run of a power that groks fires and none of ReLU and sigmoid; contradicted if of one activation "
        "more than half do the opposite; otherwise not reproduced.",
        _focused,
        kind=TEXT,
    ),
)
