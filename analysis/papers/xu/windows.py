"""Claims on the detector's window, threshold and spectrum method: the paper's window table and the rebuttal's sentence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits import verdicts as rules
from analysis.exhibits.model import CAVEAT, CONTRADICTED, NOT_REPRODUCED, REPRODUCED, Claim, Measured
from analysis.exhibits.sources import Sources, fire_epochs
from analysis.papers.xu.headline import CONTROL, GROK, XU
from analysis.statistics import estimates as statistics
from grok.numerics.series import late_median

NEVER = math.nan
TABLE: dict[int, tuple[tuple[float, float, float], tuple[float, float, float], str, str]] = {
    5: ((144, 149, 153), (179, 193, 263), "408", "8.0"),
    10: ((NEVER, NEVER, 347), (263, 266, 278), "64", "2.3"),
    20: ((173, 173, 174), (NEVER, NEVER, NEVER), "285", "1.3"),
    30: ((180, 180, 180), (NEVER, NEVER, NEVER), "140", "1.2"),
}
"""By window: fire epochs with weight decay and without, late gaps with and without; square, seeds 0–2."""
REBUTTAL = "rebuttal to the reviews of Xu (arXiv 2605.08119)"
THRESHOLDS = tuple(sign * size / 100 for sign in (-1, 1) for size in range(1, 6))
"""±0.01 … ±0.05 as slope thresholds."""
OFFSETS = tuple(round(0.04 + threshold, 2) for threshold in THRESHOLDS)
"""The other reading: ±0.01 … ±0.05 about the published 0.04."""
READINGS = {
    "positive thresholds 0.01 … 0.05": THRESHOLDS[5:],
    "offsets ±0.01 … ±0.05 to 0.04": OFFSETS,
    "thresholds ±0.01 … ±0.05 as written": THRESHOLDS,
}
"""What the rebuttal's ±0.01 … ±0.05 may mean."""
METHODS = ("gram", "svd", "randomized_5", "randomized_10", "randomized_20")
HOLDS = "all three"
REBUTTAL_WINDOWS = (5, 10, 20)
EPOCH = 174
CELLS = (
    "Each cell (window, threshold, method) holds if at least 14/15 square runs with weight decay fire, their median fire epoch "
    "is 174 to within one, and no ReLU run with weight decay fires. Reproduced if every cell holds; with a caveat if 90 % do; "
    "contradicted if less than half do; otherwise not reproduced. ±0.01 … ±0.05 is read three ways, as positive thresholds, as "
    "offsets to 0.04 and as written, and the reading of which the largest share of cells holds decides. As written it cannot "
    "hold: s > θ with a negative θ fires on a flat gap at the first epoch allowed, 100."
)


def _window(window: int) -> Callable[[Sources], Measured]:
    grok, control, gap_grok, gap_control = TABLE[window]

    def measure(sources: Sources) -> Measured:
        parts = []
        for condition, epochs, late in ((GROK, grok, gap_grok), (CONTROL, control, gap_control)):
            runs = sources.take("headline", condition=condition, seed=(0, 1, 2))
            gaps = [sources.evidence.gap(run_id, window=window) for run_id in runs["run_id"]]
            parts.append(rules.epochs(f"{condition} fires", fire_epochs(gaps), epochs))
            parts.append(rules.median(f"{condition} late gap", [late_median(gap) for gap in gaps], late))
        return rules.judge(parts)

    return measure


class Cell(NamedTuple):
    """One setting of the detector on both activations.

    Attributes:
        window, threshold, method: the setting.
        fired, square, epoch: square runs with weight decay that fire, of how many, at which median epoch.
        relu_fired, relu: the same of ReLU.
        control_fired, control: of square without weight decay, which the sentence leaves out.
    """

    window: int
    threshold: float
    method: str
    fired: int
    square: int
    epoch: float
    relu_fired: int
    relu: int
    control_fired: int
    control: int

    @property
    def fires(self) -> bool:
        """Whether at least 14/15 square runs fire."""
        return self.fired * 15 >= 14 * self.square

    @property
    def on_time(self) -> bool:
        """Whether they do at 174, to within one."""
        return abs(self.epoch - EPOCH) <= 1

    @property
    def silent(self) -> bool:
        """Whether no ReLU run fires."""
        return self.relu_fired == 0


def cells(
    sources: Sources,
    square: pd.DataFrame,
    relu: pd.DataFrame,
    control: pd.DataFrame,
    windows: Sequence[int],
    methods: Sequence[str],
) -> Iterator[Cell]:
    """The rebuttal's grid on some runs, each spectrum computed once for all thresholds."""
    if set(methods) != {"gram"}:  # run by run, so that each file of factors is read once for all methods
        for run in pd.concat((square, relu, control)).to_dict("records"):
            for method, window in itertools.product(METHODS, windows):
                sources.evidence.gap(run["run_id"], window=window, method=method, seed=run["seed"])
    for method in methods:
        for window in windows:
            gaps = [
                [
                    sources.evidence.gap(run["run_id"], window=window, method=method, seed=run["seed"])
                    for run in runs.to_dict("records")
                ]
                for runs in (square, relu, control)
            ]
            for threshold in sorted({level for levels in READINGS.values() for level in levels}):
                fires = [fire_epochs(series, threshold) for series in gaps]
                counts = [int(np.isfinite(epochs).sum()) for epochs in fires]
                median = statistics.median_interval(fires[0]).value
                yield Cell(
                    window, threshold, method, counts[0], len(square), median, counts[1], len(relu), counts[2], len(control)
                )


def judge_cells(found: Sequence[Cell], note: str = "") -> Measured:
    """The verdict on the rebuttal's sentence, by `CELLS`."""
    held = [cell.fires and cell.on_time and cell.silent for cell in found]
    share = sum(held) / len(held)
    if all(held):
        verdict = REPRODUCED
    elif share >= 0.9:
        verdict = CAVEAT
    else:
        verdict = CONTRADICTED if share < 0.5 else NOT_REPRODUCED
    shares = {
        HOLDS: sum(held),
        "at least 14/15 square fire": sum(cell.fires for cell in found),
        "at epoch 174 ± 1": sum(cell.on_time for cell in found),
        "ReLU silent": sum(cell.silent for cell in found),
        "square without weight decay silent (not in the sentence)": sum(cell.control_fired == 0 for cell in found),
    }
    text = f"of {len(found)} cells: " + "; ".join(f"{name} in {count}" for name, count in shares.items())
    n = len(found)
    return Measured(
        text, verdict, {name: statistics.Estimate(c / n, math.nan, math.nan, n) for name, c in shares.items()}, note
    )


def judge_readings(found: Sequence[Cell], note: str = "") -> Measured:
    """The verdict on the reading most favourable to the sentence, and all readings in words.

    Args:
        found: the cells of every threshold of `READINGS`. note: goes to the claim.
    """
    judged = {name: judge_cells([cell for cell in found if cell.threshold in levels]) for name, levels in READINGS.items()}
    name = max(judged, key=lambda name: judged[name].estimates[HOLDS].value)  # the first of several
    text = "; ".join(f"{reading}, {one.text}" for reading, one in judged.items())
    named = {f"{reading}: {key}": e for reading, one in judged.items() for key, e in one.estimates.items()}
    return Measured(text, judged[name].verdict, named, f"Judged as {name}. {note}".strip())


def _by_gram(window: int) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = (
            sources.take("headline", condition=GROK),
            sources.take("relu", condition=GROK),
            sources.take("headline", condition=CONTROL),
        )
        return judge_readings(list(cells(sources, *runs, (window,), ("gram",))))

    return measure


def _by_method(method: str) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = (
            sources.take("svd", condition=GROK, activation="square"),
            sources.take("svd", condition=GROK, activation="relu"),
            sources.take("svd", condition=CONTROL, activation="square"),
        )
        found = list(cells(sources, *runs, REBUTTAL_WINDOWS, (method,)))
        exact = {(cell.window, cell.threshold): cell[3:] for cell in cells(sources, *runs, REBUTTAL_WINDOWS, ("gram",))}
        same = sum(exact[cell.window, cell.threshold] == cell[3:] for cell in found)
        return judge_readings(found, f"{same} of {len(found)} cells give the same counts and epochs as the float64 Gram.")

    return measure


def _fires_text(epochs: tuple[float, ...]) -> str:
    return ", ".join(rules.number(epoch) for epoch in epochs)


CLAIMS = (
    *(
        Claim(
            f"window-{window}",
            f"The detector with window {window}: when it fires, and the late gaps (seeds 0–2).",
            f"{XU}, window table",
            f"fires {_fires_text(grok)} with weight decay, {_fires_text(control)} without; "
            f"late gap {gap_grok} and {gap_control}",
            "fire epoch and late λ₂/λ₃ at that window, from the band of the headline's runs",
            ("headline",),
            " ".join((rules.EPOCHS, rules.MEDIAN, rules.PARTS)),
            _window(window),
        )
        for window, (grok, control, gap_grok, gap_control) in TABLE.items()
    ),
    *(
        Claim(
            f"robust-window-{window}",
            f"With window {window}, every slope threshold ±0.01 … ±0.05 keeps at least 14/15 at epoch 174 and ReLU silent.",
            REBUTTAL,
            "≥ 14/15 at 174, ReLU silent, every threshold",
            "the detector on float64 Grams at that window, threshold by threshold",
            ("headline", "relu"),
            CELLS,
            _by_gram(window),
        )
        for window in REBUTTAL_WINDOWS
    ),
    *(
        Claim(
            f"robust-{method.replace('_', '-')}",
            f"The same at windows 5, 10 and 20 with {name}.",
            REBUTTAL,
            "≥ 14/15 at 174, ReLU silent, every setting",
            f"the detector on spectra by {name}, setting by setting",
            ("svd",),
            CELLS,
            _by_method(method),
        )
        for method, name in (
            ("svd", "the full SVD"),
            *((f"randomized_{o}", f"randomised SVD, oversampling {o}") for o in (5, 10, 20)),
        )
    ),
)
