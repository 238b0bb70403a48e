"""Claims on the detector's window: the paper's window table."""

from __future__ import annotations

from collections.abc import Callable

from analysis.exhibits import verdicts
from analysis.exhibits.model import TABLE, Claim, Measured
from analysis.exhibits.sources import Sources, fire_epochs
from analysis.papers.xu.headline import CONTROL, GROK
from analysis.printed.xu import WINDOW_SEEDS, WINDOW_TABLE, XU
from analysis.words import number
from grok.numerics.series import late_median


def _window(window: int) -> Callable[[Sources], Measured]:
    grok, control, gap_grok, gap_control = WINDOW_TABLE[window]

    def measure(sources: Sources) -> Measured:
        parts = []
        for condition, epochs, late in ((GROK, grok, gap_grok), (CONTROL, control, gap_control)):
            runs = sources.take("headline", condition=condition, seed=WINDOW_SEEDS)
            gaps = [sources.evidence.gap(run_id, window=window) for run_id in runs["run_id"]]
            parts.append(verdicts.epochs(f"{condition} fires", fire_epochs(gaps), epochs))
            parts.append(verdicts.median(f"{condition} late gap", [late_median(gap) for gap in gaps], late))
        return verdicts.judge(parts)

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
