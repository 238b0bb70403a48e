"""Statements of the paper's text and of its author's notes beside the headline: quartiles, the η table's gaps, λ₃'s fall.

The runs of most were known when these claims were written; `analysis/claims/PREREGISTRATION.md` says of each what was.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.exhibits import verdicts
from analysis.exhibits.margins import RATIO
from analysis.exhibits.model import NOTES, TABLE, TEXT, Claim, Measured
from analysis.exhibits.sources import Absent, Sources, at, column, series
from analysis.papers.xu.headline import CONTROL, GROK, ROUNDING
from analysis.papers.xu.repulsion import CHECKPOINTS, ESTIMATOR, OVER_SEEDS, PUBLISHED
from analysis.papers.xu.sweeps import LONG
from analysis.printed.xu import (
    COLLAPSE,
    COLLAPSE_NOTES,
    ETA_LATE,
    ETA_LATE_FROM,
    ETA_PEAK,
    ETA_RANGE,
    ETA_ROWS,
    FINDINGS,
    LATE_QUARTILES,
    WIDEST,
    WINDOW_SEEDS,
    XU,
)
from analysis.statistics import estimates as statistics
from analysis.words import CONDITIONS, number
from grok.numerics.series import late_median

GAP = "delta_w/gap_23"
ORDER = 10.0
"""An order of magnitude: two numbers are of one order within it."""
TOGETHER, CASCADE = (5, 10), 30
"""Windows at which λ₃, λ₄ and λ₅ are said to collapse together, and at which they are said to form a cascade."""


def late_quartiles(grok: pd.DataFrame, control: pd.DataFrame) -> list[verdicts.Part]:
    """The quartiles of the late gaps that the author's notes print, of runs with weight decay and without.

    Raises:
        Absent: if too few runs have one.
    """
    parts = []
    for runs, condition in ((grok, GROK), (control, CONTROL)):
        name = f"{CONDITIONS[condition]}, quartiles"
        values = verdicts.measured(name, column(runs, "late_gap_23"))
        parts.append(verdicts.quartiles(name, values, LATE_QUARTILES[condition], RATIO))
    return parts


def _late_quartiles(sources: Sources) -> Measured:
    return verdicts.judge(late_quartiles(*(sources.take("headline", condition=condition) for condition in (GROK, CONTROL))))


def _eta_late(sources: Sources) -> Measured:
    parts = []
    for condition, printed in ETA_LATE.items():
        runs = sources.take("eta", condition=condition)
        late = [_median_from(series(sources, run_id, GAP), ETA_LATE_FROM) for run_id in runs["run_id"]]
        parts.append(verdicts.median(condition, late, printed, margin=RATIO))
    return verdicts.judge(parts, ROUNDING)


def _median_from(values: np.ndarray, first: int) -> float:
    """The median of a series from an epoch to its end; NaN if nothing is known there."""
    known = statistics.known(values[first:])
    return float(np.median(known)) if len(known) else np.nan


def _eta_range(sources: Sources) -> Measured:
    runs = sources.take("eta", condition=tuple(row.condition for row in ETA_ROWS if row.grok))
    lead = statistics.known(column(runs, "lead"))
    if not len(lead):
        raise Absent(f"the lead is known of none of {len(runs)} runs")
    ends = zip(("smallest lead", "largest lead"), (lead.min(), lead.max()), ETA_RANGE, strict=True)
    parts = [verdicts.digits(name, float(value), printed, event=True) for name, value, printed in ends]
    note = "Of single runs, as the sentence has it; the printed ends are those of the table's medians over five seeds."
    return verdicts.judge(parts, note)


def _peak(sources: Sources) -> Measured:
    runs = sources.take("eta", condition=LONG)
    gap = series(sources, runs["run_id"][0], GAP)
    if not len(statistics.known(gap)):
        raise Absent(f"λ₂/λ₃ is known at no epoch of the run {LONG}")
    when = int(np.nanargmax(gap))
    return verdicts.judge([verdicts.digits("largest λ₂/λ₃", float(gap[when]), ETA_PEAK, margin=RATIO)], f"At epoch {when}.")


def _fall(sources: Sources) -> tuple[np.ndarray, str]:
    """λ₃ at epoch 150 over that at 200 of each run with weight decay; and the other two numbers of the sentence, in words."""
    runs = sources.take("headline", condition=GROK)
    before, after = (at(sources, runs, "delta_w/lambda_3", epoch) for epoch in (150, 200))
    second = [statistics.median_interval(at(sources, runs, "delta_w/lambda_2", epoch)).value for epoch in (150, 200)]
    return before / after, f"Beside it λ₂, said to stabilise near 5e-3: {number(second[0])} at 150, {number(second[1])} at 200."


def _collapse(sources: Sources) -> Measured:
    fall, note = _fall(sources)
    part = verdicts.median("λ₃ at 150 over 200", fall, f"{COLLAPSE:g}", margin=RATIO)
    orders = f"{number(math.log10(part.estimate.value), decimals=2)} orders" if part.estimate.value > 0 else "no fall"
    return verdicts.judge([part], f"The median is {orders}; the author's notes have a factor of {COLLAPSE_NOTES}. {note}")


def _collapse_notes(sources: Sources) -> Measured:
    return verdicts.judge([verdicts.median("λ₃ at 150 over 200", _fall(sources)[0], COLLAPSE_NOTES, margin=RATIO)])


def _widths(sources: Sources) -> Measured:
    runs, parts = sources.take("headline", condition=GROK, seed=(0, 1, 2, 3, 4)), []
    for epoch in CHECKPOINTS:
        values = verdicts.measured(f"the sign match at epoch {epoch}", at(sources, runs, PUBLISHED, epoch))
        low, high = np.quantile(values, (0.25, 0.75))
        parts.append(verdicts.at_most(f"epoch {epoch}", round(float(high - low), 9), WIDEST))
    return verdicts.judge(parts, OVER_SEEDS)


def _together(sources: Sources) -> Measured:
    runs = sources.take("headline", condition=GROK, seed=WINDOW_SEEDS)
    parts, told = [], []
    for window in (*TOGETHER, CASCADE):
        third, fourth = (
            np.array([late_median(sources.evidence.gap(run_id, window=window, k=k)) for run_id in runs["run_id"]])
            for k in (3, 4)
        )
        verdicts.measured(f"λ₃/λ₅ at window {window}", third * fourth)
        low, high = ORDER**0.5, ORDER**1.5
        steps = (low <= third) & (third <= high) & (low <= fourth) & (fourth <= high)
        as_said = steps if window == CASCADE else third * fourth < ORDER
        name = f"window {window}, {'a cascade' if window == CASCADE else 'together'}"
        parts.append(verdicts.count(name, int(as_said.sum()), len(runs), len(WINDOW_SEEDS), len(WINDOW_SEEDS)))
        told.append(f"window {window}: λ₃/λ₄ {number(float(np.median(third)))}, λ₄/λ₅ {number(float(np.median(fourth)))}")
    return verdicts.judge(parts, f"Medians of the runs, {'; '.join(told)}.")


def _claim(
    id: str,
    statement: str,
    source: str,
    published: str,
    recomputed: str,
    rule: str,
    measure: Callable[[Sources], Measured],
    kind: str = NOTES,
) -> Claim:
    study = "eta" if id.startswith("eta") else "headline"
    return Claim(id, statement, source, published, recomputed, (study,), rule, measure, kind=kind)


CLAIMS = (
    _claim(
        "late-gap-quartiles",
        "The quartiles of the late λ₂/λ₃ are 168 and 320 with weight decay, 1.25 and 1.37 without.",
        f"{FINDINGS}, headline",
        "[168, 320]; [1.25, 1.37]",
        "per run the median of λ₂/λ₃ over epochs 200 … 400; quartiles over seeds",
        " ".join((verdicts.QUARTILES, verdicts.MEDIAN, verdicts.PARTS)),
        _late_quartiles,
    ),
    _claim(
        "lambda3-collapse",
        "Between epochs 150 and 200 λ₃ collapses by two orders of magnitude.",
        f"{XU}, headline",
        "100 (two orders)",
        "λ₃ at epoch 150 over that at 200, run by run, with weight decay",
        f"Two orders are a factor of 100. {verdicts.MEDIAN}",
        _collapse,
        TEXT,
    ),
    _claim(
        "lambda3-collapse-30",
        "As the gap opens λ₃ collapses by a factor of 30.",
        f"{FINDINGS}, headline and eigenvalues",
        "30×",
        "λ₃ at epoch 150 over that at 200, run by run, with weight decay: the rows of the table that the sentence points to",
        verdicts.MEDIAN,
        _collapse_notes,
    ),
    _claim(
        "rank-windows",
        "With a window of at most 10 λ₃, λ₄ and λ₅ collapse together; with 30 they form a geometric cascade.",
        f"{XU}, rank confirmation",
        "≈ 1e-5 each; 1e-4, 1e-5, 1e-6",
        "λ₃/λ₄ and λ₄/λ₅ at windows 5, 10 and 30, per run the median over epochs 200 … 400, seeds 0–2 with weight decay",
        f"Together: λ₃/λ₅ is less than {ORDER:g}, one order of magnitude; a cascade: both ratios are nearer to {ORDER:g} than "
        f"to 1 or 100, on a scale of logarithms. The levels themselves are not judged. {verdicts.COUNT} {verdicts.PARTS}",
        _together,
        TEXT,
    ),
    _claim(
        "sign-match-iqr",
        "The quartiles of the sign match over five seeds are at most 0.015 apart at every checkpoint.",
        f"{XU}, Theorem 6 table",
        f"≤ {WIDEST}",
        ESTIMATOR,
        verdicts.AT_MOST + " " + verdicts.PARTS,
        _widths,
        TABLE,
    ),
    _claim(
        "eta-late-gaps",
        "The late λ₂/λ₃ of the η table.",
        f"{FINDINGS}, η table",
        "; ".join(f"{printed} at {condition}" for condition, printed in ETA_LATE.items()),
        f"per run the median of λ₂/λ₃ from epoch {ETA_LATE_FROM} to the end, as the author's code has it",
        verdicts.MEDIAN + " " + verdicts.PARTS,
        _eta_late,
    ),
    _claim(
        "eta-lead-range",
        "The leads of the 20 runs of the η sweep that grok range from 79 to 154 epochs.",
        f"{XU}, η sweep",
        "79–154",
        "smallest and largest epoch of test ≥ 0.5 less that of ρ ≥ 0.075",
        verdicts.DIGITS + " " + verdicts.PARTS,
        _eta_range,
        TEXT,
    ),
    _claim(
        "eta-peak",
        "At η = 1e-5 λ₂/λ₃ peaks near 25.",
        f"{XU}, η sweep",
        f"≈ {ETA_PEAK}",
        "the largest λ₂/λ₃ at any epoch of the run of 2000 epochs, seed 0",
        verdicts.DIGITS,
        _peak,
        TEXT,
    ),
)
