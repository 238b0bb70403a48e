"""Claims on what the spectrum and the detector mean: ReLU's silence, ranks, and whether the detector marks grokking."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.exhibits import verdicts
from analysis.exhibits.model import CAVEAT, CONTRADICTED, NOT_REPRODUCED, REPRODUCED, Claim, Measured
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


def _ratio_estimates(ratios: np.ndarray) -> dict[str, Estimate]:
    names = ("λ₁/λ₂", "λ₂/λ₃", "λ₃/λ₄", "λ₄/λ₅")
    return {name: statistics.median_interval(ratios[:, k]) for k, name in enumerate(names)}


def _relu_spectrum(sources: Sources) -> Measured:
    found = _ratio_estimates(late_ratios(sources, sources.take("relu", condition=GROK)))
    first, *rest = (estimate.value for estimate in found.values())
    alike = sum(value <= ALIKE for value in rest)
    if first >= MUCH and alike == len(rest):
        verdict = REPRODUCED
    elif first >= MUCH and alike:
        verdict = CAVEAT
    else:
        verdict = CONTRADICTED if first < ALIKE else NOT_REPRODUCED
    return Measured("; ".join(f"{name} {spread(*e[:3])}" for name, e in found.items()), verdict, found)


def _ranks(sources: Sources) -> Measured:
    counts, text = dict[str, Estimate](), []
    largest = dict[str, Estimate]()
    for name, study, rank in (("square", "headline", 2), ("relu", "relu", 1)):
        ratios = late_ratios(sources, sources.take(study, condition=GROK))
        ranks = np.nanargmax(ratios, axis=1) + 1
        counts[f"{name} of rank {rank}"] = statistics.clopper_pearson(int((ranks == rank).sum()), len(ranks))
        largest |= {f"{name} {key}": estimate for key, estimate in _ratio_estimates(ratios).items()}
        told = ", ".join(f"rank {r} in {int((ranks == r).sum())}" for r in sorted(set(ranks.tolist())))
        text.append(f"{name}: {told} of {len(ranks)}")
    shares = [estimate.value for estimate in counts.values()]
    if all(share == 1 for share in shares):
        verdict = REPRODUCED
    elif all(share >= 0.8 for share in shares):
        verdict = CAVEAT
    else:
        verdict = CONTRADICTED if any(share <= 0.2 for share in shares) else NOT_REPRODUCED
    note = "; ".join(f"{name} {spread(*estimate[:3])}" for name, estimate in largest.items()) + "."
    return Measured("; ".join(text), verdict, counts | largest, note)


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


def _marks_grokking(sources: Sources) -> Measured:
    positives, negatives = _kinds(sources, POSITIVES), _kinds(sources, NEGATIVES)
    none = [name for name, kind in negatives.items() if kind.grokked]
    if none:
        counts = ", ".join(f"{name} {negatives[name].grokked}/{negatives[name].share.n}" for name in none)
        raise Absent(f"some negatives generalise, so they are none: {counts}")
    groks = {name: kind for name, kind in positives.items() if kind.grokked == kind.share.n}
    shares = {name: kind.share.value for name, kind in groks.items()}
    others = {name: kind.share.value for name, kind in negatives.items()}
    if any(share > 0.5 for share in others.values()) or any(share < 0.5 for share in shares.values()):
        verdict = CONTRADICTED
    elif not groks:
        raise Absent("no kind of run that should grok does so in every run")
    elif all(share * 15 >= 14 for share in shares.values()) and all(share * 15 <= 1 for share in others.values()):
        verdict = REPRODUCED
    else:
        verdict = NOT_REPRODUCED
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
    return Measured(text, verdict, {name: kind.share for name, kind in kinds.items()}, note.strip())


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
    ),
    Claim(
        "ranks",
        "The updates of the square network that groks are of rank 2, those of ReLU of rank 1.",
        XU,
        "rank 2; rank 1",
        "the k ≤ 4 with the largest λ_k/λ_{k+1}, per run the median over epochs 200 … 400",
        ("headline", "relu"),
        "Reproduced if every run has the rank that its activation is said to have; with a caveat if 80 % of each do; "
        "contradicted if 20 % or less of one do; otherwise not reproduced.",
        _ranks,
    ),
    Claim(
        "marks-grokking",
        "The detector marks grokking.",
        XU,
        "fires if and only if the network groks",
        "fires of runs that grok (square; ReLU, where there), and of negatives that keep weight decay (random labels, too few "
        "training pairs; square, and ReLU where there)",
        ("headline", "controls", "relu"),
        f"A run groks if its test accuracy ends at {GROKKED} or above. Not testable if a negative does, or if no positive kind "
        "does in every run. Reproduced if of each positive kind at least 14/15 fire and of each negative kind at most 1/15; "
        "contradicted if more than half of one negative kind fire, or less than half of one positive kind; otherwise not "
        "reproduced.",
        _marks_grokking,
    ),
)
