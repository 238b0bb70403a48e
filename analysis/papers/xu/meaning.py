"""What the spectrum and the detector mean: ReLU's silence, and whether the detector marks grokking."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits import verdicts
from analysis.exhibits.model import (
    ABSTRACT,
    CAVEAT,
    CONTRADICTED,
    NOT_REPRODUCED,
    REPRODUCED,
    TABLE,
    Answer,
    Claim,
    Measured,
    Question,
)
from analysis.exhibits.sources import Absent, Sources, column, fired, series
from analysis.papers.xu.headline import CONTROL, GROK, late_gaps, paired_p
from analysis.printed.xu import XU
from analysis.statistics import estimates as statistics
from analysis.statistics.estimates import Estimate
from analysis.words import number, spread
from grok.numerics.series import late_median

MUCH, ALIKE = 10.0, 2.0
"""What `≫` and `≈` are taken to mean: at least a factor of 10, at most a factor of 2."""
GROKKED = 0.9
"""Test accuracy at the end from which a run is taken to have grokked."""


def _relu_fires(sources: Sources) -> Measured:
    runs = sources.take("relu", condition=GROK)
    others = sources.take("relu", condition=CONTROL)
    loud, test = fired(others), statistics.median_interval(column(runs, "accuracy/test"))
    note = f"The networks end at test accuracy {spread(*test[:3])}. Without weight decay {loud}/{len(others)} fire."
    return verdicts.judge([verdicts.count("fires", fired(runs), len(runs), 0, 15)], note)


def _relu_separation(sources: Sources) -> Measured:
    grok, control = late_gaps(sources, "relu")
    return verdicts.judge([verdicts.ratio("separation", grok, control, "1.4")], paired_p(grok, control))


def late_ratios(sources: Sources, runs: pd.DataFrame) -> np.ndarray:
    """(runs, 4) float64: λ_k/λ_{k+1} for k = 1 … 4, per run the median over epochs 200 … 400."""
    out = []
    for run_id in runs["run_id"]:
        values = [series(sources, run_id, f"delta_w/lambda_{k}") for k in range(1, 6)]
        with np.errstate(divide="ignore", invalid="ignore"):
            out.append([late_median(above / below) for above, below in itertools.pairwise(values)])
    ratios = np.array(out)
    if np.isnan(ratios).any():
        raise Absent(f"λ₁ … λ₅ over epochs 200 … 400 are known of {(~np.isnan(ratios).any(axis=1)).sum()} of {len(runs)} runs")
    return ratios


def ratio_estimates(ratios: np.ndarray) -> dict[str, Estimate]:
    """The medians over runs of the four ratios of neighbouring eigenvalues, (runs, 4), by name."""
    names = ("λ₁/λ₂", "λ₂/λ₃", "λ₃/λ₄", "λ₄/λ₅")
    return {name: statistics.median_interval(ratios[:, k]) for k, name in enumerate(names)}


def _relu_spectrum(sources: Sources) -> Measured:
    found = ratio_estimates(late_ratios(sources, sources.take("relu", condition=GROK)))
    first, *rest = (estimate.value for estimate in found.values())
    alike = sum(value <= ALIKE for value in rest)
    if first >= MUCH and alike == len(rest):
        verdict = REPRODUCED
    elif first >= MUCH and alike:
        verdict = CAVEAT
    else:
        verdict = CONTRADICTED if first < ALIKE else NOT_REPRODUCED
    return Measured("; ".join(f"{name} {spread(*e[:3])}" for name, e in found.items()), verdict, found)


class Fires(NamedTuple):
    """How often the detector fires among runs of one kind.

    Attributes:
        share: with Clopper–Pearson interval. epoch: quartiles of the fire epochs. test: quartiles of the final test accuracy.
        grokked: runs with a final test accuracy of at least `GROKKED`.
    """

    share: Estimate
    epoch: Estimate
    test: Estimate
    grokked: int

    @property
    def fired(self) -> int:
        """Runs that fire."""
        return round(self.share.value * self.share.n)

    def text(self) -> str:
        """In words."""
        when = f" at {spread(*self.epoch[:3])}" if self.fired else ""
        return f"{self.fired}/{self.share.n}{when}, test accuracy {number(self.test.value)}"


def fires_of(runs: pd.DataFrame) -> Fires:
    """The detector on some runs, from their summaries.

    Raises:
        Absent: if a run has not recorded whether it fired or what its final test accuracy is.
    """
    test = column(runs, "accuracy/test")
    if np.isnan(test).any():
        raise Absent(f"the final test accuracy is known of {np.isfinite(test).sum()} of {len(runs)} runs")
    return Fires(
        statistics.clopper_pearson(fired(runs), len(runs)),
        statistics.quartiles(column(runs, "fire_epoch")),
        statistics.quartiles(test),
        int((test >= GROKKED).sum()),
    )


POSITIVES = {"square, groks": ("headline", GROK, "square"), "ReLU, groks": ("relu", GROK, "relu")}
NEGATIVES = {
    f"{name}, {condition.replace('_', ' ')}": ("controls", condition, activation)
    for name, activation in (("square", "square"), ("ReLU", "relu"))
    for condition in ("random_labels", "data_starved")
}
"""By name: study, condition, activation. Weight decay is on in all."""


def _kinds(sources: Sources, wanted: dict[str, tuple[str, str, str]]) -> dict[str, Fires]:
    """The square kinds, which must be there, and the ReLU kinds that are."""
    found = {}
    for name, (study, condition, activation) in wanted.items():
        try:
            runs = sources.take(study, condition=condition, activation=activation)
        except Absent:
            if activation == "square":
                raise
            sources.shortfalls.append(f"none of {name}")
            continue
        found[name] = fires_of(runs)
    return found


def _marks_grokking(sources: Sources) -> Answer:
    positives, negatives = _kinds(sources, POSITIVES), _kinds(sources, NEGATIVES)
    none = [name for name, kind in negatives.items() if kind.grokked]
    if none:
        counts = ", ".join(f"{name} {negatives[name].grokked}/{negatives[name].share.n}" for name in none)
        raise Absent(f"some negatives generalise, so they are none: {counts}")
    groks = {name: kind for name, kind in positives.items() if kind.grokked == kind.share.n}
    if not groks:
        raise Absent("no kind of run that should grok does so in every run")
    loud = {name: kind for name, kind in negatives.items() if kind.fired}
    silent = {name: kind for name, kind in groks.items() if kind.fired < kind.share.n}
    kinds = groks | negatives
    text = "; ".join(f"{name} fires in {kind.text()}" for name, kind in kinds.items())
    dull = [f"{name} {kind.grokked}/{kind.share.n}" for name, kind in positives.items() if name not in groks]
    note = "Weight decay is on in all. " + (f"Left out, since not every run groks: {', '.join(dull)}. " if dull else "")
    if first := next(iter(groks.values()), None):
        tests = ", ".join(
            f"{name} p = {statistics.counts_differ(first.fired, first.share.n, kind.fired, kind.share.n):.2g}"
            for name, kind in kinds.items()
            if kind is not first
        )
        note += f"Fisher's exact test against {next(iter(groks))}: {tests}."
    answer = "Yes" if not loud and not silent else "No"
    return Answer(f"{answer}: {text}", {name: kind.share for name, kind in kinds.items()}, note.strip())


CLAIMS = (
    Claim(
        "relu-grok-fires",
        "With ReLU the detector never fires on the runs that grok.",
        f"{XU}, ReLU table",
        "0/15",
        "runs whose λ₂/λ₃ slope passes 0.04 from epoch 100 on, of 800",
        ("relu",),
        verdicts.COUNT,
        _relu_fires,
        kind=ABSTRACT,
    ),
    Claim(
        "relu-separation",
        "With ReLU the late gaps of the two conditions are 1.4 times apart.",
        f"{XU}, ReLU table",
        "1.4×",
        "ratio of the two medians over seeds of the late λ₂/λ₃",
        ("relu",),
        verdicts.RATIO + " " + verdicts.MEDIAN,
        _relu_separation,
        kind=TABLE,
    ),
    Claim(
        "relu-spectrum",
        "With ReLU one eigenvalue dominates and the next four are alike.",
        f"{XU}, ReLU table",
        "λ₁ ≫ λ₂ ≈ λ₃ ≈ λ₄ ≈ λ₅",
        "ratios of neighbours, per run the median over epochs 200 … 400",
        ("relu",),
        "≫ is a factor of 10 or more, ≈ of 2 or less, medians over seeds. Reproduced if all four relations hold; with a "
        "caveat if the first and some of the others do; contradicted if λ₁ ≈ λ₂; otherwise not reproduced.",
        _relu_spectrum,
        kind=TABLE,
    ),
)
QUESTIONS = (
    Question(
        "marks-grokking",
        "Does the detector mark grokking?",
        ("headline", "controls", "relu"),
        "Fires of runs that grok (square; ReLU, where there), and of negatives that keep weight decay (random labels, too few "
        f"training pairs; square, and ReLU where there). A run groks if its test accuracy ends at {GROKKED} or above; no "
        "answer if a negative does, or if no positive kind does in every run. Yes if every run of the positive kinds fires and "
        "none of the negative; otherwise no, with the counts.",
        _marks_grokking,
    ),
)
