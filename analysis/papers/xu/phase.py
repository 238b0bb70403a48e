"""Claims and questions on when: lags behind each run's own grokking, what comes after, and what fires without it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.exhibits import verdicts
from analysis.exhibits.margins import EPOCH, PLATEAU
from analysis.exhibits.model import (
    ABSTRACT,
    CAVEAT,
    CONTRADICTED,
    IMPRECISE,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    NOTES,
    REPRODUCED,
    TEXT,
    Axis,
    Claim,
    Entry,
    Measured,
)
from analysis.exhibits.parts import each_known
from analysis.exhibits.sources import Absent, Sources, column, fired, series
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.papers.xu.meaning import GROKKED
from analysis.printed.xu import ETA_ROWS, FINDINGS, LAG_QUARTILES, LAGS, XU
from analysis.statistics import estimates as statistics
from analysis.statistics.exact import quantile_sides
from analysis.words import number, spread
from grok.spec.studies import load_study

GAP = "delta_w/gap_23"
AFTER = {"test_50_epoch": "after test ≥ 0.5", "test_99_epoch": "after test ≥ 0.99"}
ON, LATER, AROUND = 300, 400, 10
"""Epochs between which a gap that is a plateau stays, and how far around each the gap is taken as a median."""
FOCUSED, SPREADING, BY_TIAN = ("square", "cube"), ("relu", "sigmoid"), ("silu", "tanh")
"""Powers, whose memorisation is said to be focused; what the sentence names as spreading; and what Tian names too."""


def lags(study: str, printed_runs: int | None = None) -> Callable[[Sources], Measured]:
    """The claim on how many epochs after each run's own grokking the detector fires, on the runs of a study.

    Args:
        study: of square networks. printed_runs: named ones, of which it must come later in each; None: judged for all seeds.
    """

    def measure(sources: Sources) -> Measured:
        runs = sources.take(study, condition=GROK, activation="square")
        parts = []
        for name, printed in LAGS.items():
            lag = column(runs, "fire_epoch") - column(runs, name)
            parts.append(verdicts.median(AFTER[name], lag, printed, event=True))
        later, name = int((lag > 0).sum()), "fire later than test ≥ 0.99"  # of the last of them; NaN is not later
        if printed_runs is None:
            parts.append(verdicts.every(name, later, len(runs)))
        else:
            parts.append(verdicts.count(name, later, len(runs), printed_runs, printed_runs))
        return verdicts.judge(parts)

    return measure


def lag_quartiles(study: str) -> Callable[[Sources], Measured]:
    """The claim on the quartiles of the lag after test ≥ 0.99, on the runs of a study."""

    def measure(sources: Sources) -> Measured:
        runs = sources.take(study, condition=GROK, activation="square")
        lag = column(runs, "fire_epoch") - column(runs, "test_99_epoch")
        if not len(statistics.known(lag)):
            raise Absent("no run both fires and reaches test ≥ 0.99")
        return verdicts.judge([verdicts.quartiles("quartiles", lag, LAG_QUARTILES, EPOCH)], "Printed of six seeds of a pilot.")

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
    ends = (float(np.nanmin([first, last])), float(np.nanmax([first, last])))
    axes = (
        *(
            Axis(f"λ₂/λ₃ at epoch {epoch}", "", found[f"λ₂/λ₃ at {epoch}"], samples=each_known(values), ends=ends)
            for epoch, values in ((ON, first), (LATER, last))
        ),
        Axis("their ratio", "1", found["ratio"], margin=f"{1 / PLATEAU:g} … {PLATEAU:g}", samples=each_known(kept)),
    )
    where = {REPRODUCED: "within", CONTRADICTED: "outside of"}.get(verdict, "neither within nor outside of")
    why = f"Tests put the ratio of both epochs, {number(found['ratio'].value)}, {where} a factor of {PLATEAU:g} of 1."
    short = "; ".join(f"λ₂/λ₃ {number(found[f'λ₂/λ₃ at {epoch}'].value)} at epoch {epoch}" for epoch in (ON, LATER))
    return Measured(text, verdict, found, p=min(sides.inside, sides.outside), short=short, why=why, axes=axes)


TWO_RULES = (
    "“Never” has two rules, both fixed beforehand: of named runs and controls one that fires refutes it; of fresh seeds it is "
    "judged by the share of all seeds, so that a few may fire."
)


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
    shares, _, ids, entries = _shares(counts, verdict_of=lambda fires, n: fires == 0, published="0")
    loudest = max(counts, key=lambda name: counts[name][0] / counts[name][1])
    fires, n = counts[loudest]
    why = (
        f"No run fires, of {sum(n for _, n in counts.values())}."
        if silent
        else (
            f"“Never” allows no run, and {fires} of {n} fire {loudest}"
            f"{': more than half' if loud else ', though not more than half of any kind'}."
        )
    )
    return Measured(text, verdict, shares, TWO_RULES, ids, entries, why=why)


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
    worst = min(counts, key=lambda name: counts[name][0] / counts[name][1])
    k, n = counts[worst]
    few = ", fewer than half" if bad else ""
    why = "Every run that fires groks." if verdict == REPRODUCED else f"{worst}: {k} of the {n} runs that fire grok{few}."
    short = f"{sum(k for k, _ in counts.values())} of {sum(n for _, n in counts.values())} runs that fire grok"
    return Measured(text, verdict, *_shares(counts, verdict_of=lambda k, n: k == n, published="all"), why=why, short=short)


def _focused(sources: Sources) -> Measured:
    told, shares, entries = list[str](), dict[str, statistics.Estimate](), list[Entry]()
    for activation in dict.fromkeys(cell.config.activation for cell in load_study("activations").cells):
        runs = sources.take("activations", condition=GROK, activation=activation)
        groks = column(runs, "accuracy/test") >= GROKKED
        side = "focused" if activation in FOCUSED else "spreading" if activation in SPREADING else ""
        fires, of = fired(runs[groks]), int(groks.sum())
        text = f"{fired(runs)}/{len(runs)} fire, {of}/{len(runs)} grok"
        text += f", {fires} of these fire" if 0 < of < len(runs) else ""
        told.append(f"{activation} {text}")
        shares[activation] = statistics.clopper_pearson(fired(runs), len(runs))
        if side:
            own = _side(fires if side == "focused" else of - fires, of) if of else NOT_TESTABLE
            said = "fires" if side == "focused" else "silent"
            entries.append(Entry(activation, {"activation": activation, "memorisation": side}, said, text, own))
    judged = {entry.verdict for entry in entries} - {NOT_TESTABLE}
    if not judged:
        raise Absent("no run of a named activation groks")
    dull = [entry.id for entry in entries if entry.verdict == NOT_TESTABLE]
    verdict = next((one for one in (CONTRADICTED, NOT_REPRODUCED) if one in judged), CAVEAT if dull else REPRODUCED)
    note = f"No run groks with {', '.join(dull)}: shown, and not judged. " if dull else ""
    tian = "; ".join(text for text in told if text.startswith(BY_TIAN))
    note += f"Tian names two more that spread, which this sentence does not: {tian}."
    off = next((entry for entry in entries if entry.verdict == verdict), None)
    why = {
        REPRODUCED: "Every activation that groks does what its side is said to do.",
        CAVEAT: f"Every activation that groks does what its side is said to do; {', '.join(dull)} never groks.",
    }.get(verdict, f"{off.id} {off.measured}, where it is said to be {off.published}." if off else "")
    return Measured("; ".join(told), verdict, shares, note, entries=tuple(entries), why=why)


def _side(as_said: int, n: int) -> str:
    """The verdict on an activation of which some of n grokking runs do what its side is said to do."""
    return REPRODUCED if as_said == n else CONTRADICTED if 2 * as_said < n else NOT_REPRODUCED


CLAIMS = (
    Claim(
        "lags",
        "The detector fires 72 epochs after test ≥ 0.5 and 35 after test ≥ 0.99: it lags grokking rather than leading it.",
        f"{FINDINGS}, headline",
        "+72; +35; later in every run",
        "fire epoch less that of the event, run by run; medians, and runs that fire later than test ≥ 0.99",
        ("headline",),
        " ".join((verdicts.MEDIAN, verdicts.COUNT, verdicts.PARTS)),
        lags("headline", 15),
        kind=NOTES,
    ),
    Claim(
        "lag-quartiles",
        "The quartiles of the lag after test ≥ 0.99 are 34 and 36.",
        f"{FINDINGS}, interpretation; six seeds of a pilot",
        "[34, 36]",
        "fire epoch less that of test ≥ 0.99, run by run; quartiles",
        ("headline",),
        verdicts.QUARTILES + " " + verdicts.MEDIAN,
        lag_quartiles("headline"),
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
        "runs with weight decay that fire, of every activation of the study, and of these those that grok; powers (x², x³) are "
        "said to be focused, ReLU and sigmoid spreading; the rest are shown, SiLU and tanh, which Tian names too, in the note",
        ("activations",),
        f"Both sides alike, on the runs that grok (test accuracy {GROKKED} or above at the end): reproduced if every one with "
        "a focused activation fires and none with a spreading one; contradicted if of one activation more than half do the "
        "opposite; otherwise not reproduced. An activation of which no run groks is not judged, and what holds of the others "
        "then holds with a caveat.",
        _focused,
        kind=TEXT,
    ),
)
