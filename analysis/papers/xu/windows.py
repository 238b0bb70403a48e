"""Claims on the detector's window: the paper's window table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.exhibits import verdicts
from analysis.exhibits.margins import RATIO
from analysis.exhibits.model import NOT_TESTABLE, TABLE, Claim, Measured
from analysis.exhibits.sources import Absent, Sources, fire_epochs
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.printed.xu import WINDOW_SEEDS, WINDOW_TABLE, XU
from analysis.words import number
from grok.numerics.series import late_median

Found = tuple[np.ndarray, Sequence[float]]
"""Fire epochs of some runs, NaN if never, and their late gaps."""


def judged(window: int, found: Mapping[str, Found]) -> Measured:
    """A row of the table: one rule, for the claim and for a sensitivity study.

    Args:
        window: of the row. found: by condition.
    """
    row, parts = WINDOW_TABLE[window], []
    for condition, epochs, late in ((GROK, row.grok, row.late_grok), (CONTROL, row.control, row.late_control)):
        fires, gaps = found[condition]
        parts.append(verdicts.epochs(f"{condition} fires", fires, epochs))
        parts.append(verdicts.median(f"{condition} late gap", gaps, late, margin=RATIO))
    return verdicts.judge(parts)


def of_runs(runs: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """By window: verdict and text on what a sensitivity study measured; without a window that it has not of all three seeds."""
    out = {}
    for window, found in runs.items():
        if all(one.whole for one in found.values()):
            try:
                told = judged(window, {name: (one.fires, one.late) for name, one in found.items()})
            except Absent as reason:
                out[window] = {"verdict": NOT_TESTABLE, "text": str(reason)}
            else:
                out[window] = {"verdict": told.verdict, "text": told.text}
    return out


def _window(window: int) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        found = {}
        for condition in (GROK, CONTROL):
            runs = sources.take("headline", condition=condition, seed=WINDOW_SEEDS)
            gaps = [sources.evidence.gap(run_id, window=window) for run_id in runs["run_id"]]
            found[condition] = fire_epochs(gaps), [late_median(gap) for gap in gaps]
        return judged(window, found)

    return measure


def _fires_text(epochs: tuple[float, ...]) -> str:
    return ", ".join(number(epoch) for epoch in epochs)


CLAIMS = tuple(
    Claim(
        f"window-{window}",
        f"The detector with window {window}: when it fires, and the late gaps (seeds 0–2).",
        f"{XU}, window table",
        f"fires {_fires_text(grok)} with weight decay, {_fires_text(control)} without; late gap {gap_grok} and {gap_control}",
        "fire epoch and late λ₂/λ₃ at that window, from the band of the headline's runs",
        ("headline",),
        " ".join((verdicts.EPOCHS, verdicts.MEDIAN, verdicts.PARTS)),
        _window(window),
        kind=TABLE,
    )
    for window, (grok, control, gap_grok, gap_control) in WINDOW_TABLE.items()
)
