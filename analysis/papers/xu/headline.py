"""Claims on the headline: square, with weight decay and without, fifteen seeds each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.exhibits import verdicts
from analysis.exhibits.margins import ACCURACY, EPOCH, RATIO
from analysis.exhibits.model import ABSTRACT, NOTES, TEXT, Claim, Measured
from analysis.exhibits.sources import Absent, Sources, at, by_seed, column, fired, series, watched
from analysis.printed.xu import EIGENVALUES, FINDINGS, LEVELS, RHO_LEVELS, SUSTAINED, XU
from analysis.statistics import estimates as statistics
from analysis.statistics.exact import sign_flip
from grok.numerics.series import fire_epoch, first_crossing
from grok.runs.measure import ONSET_END

GROK, CONTROL = "grok", "eta0"
ENDED = "accuracy/test"
ROUNDING = (
    "Past epoch 200 or so training amplifies rounding: thread count and order of summation move λ₂ and λ₃ of one seed by "
    "tens of per cent."
)


def _fires(condition: str, published: int) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("headline", condition=condition)
        return verdicts.judge([verdicts.count("fires", fired(runs), len(runs), published, 15)])

    return measure


def _median(condition: str, name: str, printed: str, spread: tuple[float, float] | None) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        values = column(sources.take("headline", condition=condition), name)
        event = name.endswith("_epoch")
        margin = EPOCH if event else ACCURACY if name == ENDED else RATIO
        parts = [verdicts.median("median", values, printed, event=event, margin=margin)]
        came = len(statistics.known(values)) > 0
        return verdicts.judge(parts + ([verdicts.quartiles("quartiles", values, spread, margin)] if spread and came else []))

    return measure


def _separation(sources: Sources) -> Measured:
    grok, control = late_gaps(sources, "headline")
    note = f"Of eigenvalues; the ratio of singular values is its square root. {paired_p(grok, control)}"
    return verdicts.judge([verdicts.ratio("separation", grok, control, "229")], note)


def late_gaps(sources: Sources, study: str) -> tuple[np.ndarray, np.ndarray]:
    """The late λ₂/λ₃ with weight decay and without, entry i of both of one seed."""
    grok, control = (sources.take(study, condition=condition) for condition in (GROK, CONTROL))
    return by_seed(grok, control, "late_gap_23")


def paired_p(above: np.ndarray, below: np.ndarray) -> str:
    """The exact test that two conditions are alike, in words: every sign of the differences of logarithms, seed by seed."""
    found = sign_flip(np.log(above) - np.log(below))
    return f"Exact sign-flip test of the logarithms over {found.n} seeds: p = {found.p:.2g}, of {found.smallest:.2g} at least."


def _train_accuracy(sources: Sources) -> Measured:
    parts, exact, runs = [], 0, 0
    for condition in (GROK, CONTROL):
        values = verdicts.measured(condition, at(sources, sources.take("headline", condition=condition), "accuracy/train", 25))
        parts.append(verdicts.median(condition, values, "1.0", margin=ACCURACY))
        exact, runs = exact + int((values == 1.0).sum()), runs + len(values)
    note = f"Exactly 1 in {exact} of {runs} runs. The notes print it of a pilot of seed 0; judged are the medians of all seeds."
    return verdicts.judge(parts, note)


def _seed0(sources: Sources) -> Measured:
    runs = sources.take("headline", condition=GROK, seed=0)
    names = {"fire_epoch": 173.0, "test_50_epoch": 101.0, "test_99_epoch": 139.0}
    return verdicts.judge([verdicts.epochs(name, column(runs, name), [epoch]) for name, epoch in names.items()])


def _eigenvalues(condition: str, epoch: int, printed: tuple[str, str, str]) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("headline", condition=condition, seed=0)
        found = [at(sources, runs, f"delta_w/lambda_{k}", epoch)[0] for k in (1, 2, 3)]
        parts = [verdicts.digits(f"λ{k}", value, text) for k, value, text in zip("₁₂₃", found, printed, strict=True)]
        return verdicts.judge(parts, ROUNDING if epoch >= 200 else "")

    return measure


def sustained(values: np.ndarray, level: float, epochs: int) -> int | None:
    """The first epoch from which a series stays at a level or above for as many epochs, that one among them; None if none is.

    Args:
        values: (T + 1,) float64 by epoch; NaN is below every level. epochs: from 1 to T + 1.

    Example:
        >>> sustained(np.array([0.0, 26.0, 24.0, 26.0, 27.0, 28.0]), 25, 3)
        3
    """
    held = np.flatnonzero(np.convolve(values >= level, np.ones(epochs), "valid") > epochs - 0.5)
    return int(held[0]) if len(held) else None


def _level(level: float, epoch: str, grok: int, control: int | None) -> Callable[[Sources], Measured]:
    return _gap_12(lambda gap: sustained(gap, level, SUSTAINED.get(level, 1)), epoch, grok, control)


def _gap_12(
    detect: Callable[[np.ndarray], int | None], epoch: str, grok: int, control: int | None
) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        parts, came, note = [], [], ""
        for condition, published in ((GROK, grok), (CONTROL, control)):
            runs = sources.take("headline", condition=condition)
            seen = [detect(series(sources, run_id, "delta_w/gap_12")) for run_id in runs["run_id"]]
            watched(sources, runs, "delta_w/gap_12")
            fires = np.array([np.nan if fire is None else float(fire) for fire in seen])
            if published is not None:
                parts.append(verdicts.count(f"{condition} fires", int(np.isfinite(fires).sum()), len(runs), published, 15))
            if published:
                came.append(fires)
            elif published == 0:
                note = _twice(np.isfinite(fires), column(runs, "fired") == 1)
        return verdicts.judge([*parts, verdicts.median("epoch", np.concatenate(came), epoch, event=True)], note)

    return measure


def _twice(own: np.ndarray, other: np.ndarray) -> str:
    """That runs which refute one claim refute another too; empty if none does. Both (n,) bool, by run."""
    both = int((own & other).sum())
    if not both:
        return ""
    which = "it is" if both == 1 else "they are"
    return (
        f"Of the {own.sum()} that fire without weight decay {both} also fire{'s' if both == 1 else ''} by λ₂/λ₃ (the claim "
        f"headline-control-fires): {which} one fact, counted in both claims."
    )


CADENCE = "ρ is observed every {} epochs: an event is known to lie after one observation and not after the next."


def cadence(sources: Sources, runs: pd.DataFrame, until: int = ONSET_END) -> str:
    """How often ρ is known up to an epoch, where that is not at each; empty where it is."""
    known = [np.isfinite(series(sources, run_id, "features/rho")[:until]).all() for run_id in runs["run_id"]]
    return "" if all(known) else CADENCE.format(int(runs["observe_every"].max()))


def _rho(level: str, epoch: int, control: int | None) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("headline", condition=GROK)
        watched(sources, runs, "features/rho")
        crossings = [rho_crossing(sources, run_id, float(level)) for run_id in runs["run_id"]]
        came = [pair for pair in crossings if pair is not None]
        parts = [verdicts.count("fires", len(came), len(runs), 15, 15)]
        if control is not None:
            others = sources.take("headline", condition=CONTROL)
            watched(sources, others, "features/rho")
            reached = sum(rho_crossing(sources, run_id, float(level)) is not None for run_id in others["run_id"])
            parts.append(verdicts.count("control fires", reached, len(others), control, 15))
        parts.append(verdicts.between("epoch", came, str(epoch)))
        return verdicts.judge(parts, cadence(sources, runs))

    return measure


def rho_crossing(sources: Sources, run_id: str, level: float) -> tuple[float, float] | None:
    """The observed epochs between which ρ first reaches a level: (last below, first at or above); None if it never does."""
    rho = series(sources, run_id, "features/rho")
    first = first_crossing(rho, level, strict=False)
    if first is None:
        return None
    before = np.flatnonzero(np.isfinite(rho[:first]))
    return float(before[-1]) if len(before) else -1.0, float(first)


def _rho_control(sources: Sources) -> Measured:
    runs = sources.take("headline", condition=CONTROL)
    watched(sources, runs, "features/rho")
    highest = np.nanmax([np.nanmax(series(sources, run_id, "features/rho")) for run_id in runs["run_id"]])
    told = f"After epoch {ONSET_END} ρ is known every {int(runs['observe_every'].max())} epochs."
    return verdicts.judge([verdicts.at_most("largest ρ", highest, "0.065")], cadence(sources, runs) or told)


def _relu_rho(sources: Sources) -> Measured:
    runs: pd.DataFrame = sources.take("relu")
    first = at(sources, runs, "features/rho", 0)
    if np.isnan(first).any():
        raise Absent(f"ρ at epoch 0 is known of {np.isfinite(first).sum()} of {len(runs)} runs")
    above = first >= 0.075
    return verdicts.judge([verdicts.count("above at epoch 0", int(above.sum()), len(runs), 30, 30)])


HEADLINE = f"{XU}, headline"
MEDIANS = verdicts.MEDIAN + " " + verdicts.QUARTILES + " " + verdicts.PARTS


KINDS = dict.fromkeys(("grok-fires", "control-fires", "fire-epoch", "separation"), ABSTRACT)
KINDS |= dict.fromkeys(("late-gap-grok", "late-gap-control"), TEXT)
KINDS |= dict.fromkeys(("test-epoch", "control-accuracy", "train-accuracy", "seed-0"), NOTES)
"""Whose word the numbers of the headline are, by the end of the claim's id."""


def _claim(
    id: str, statement: str, published: str, recomputed: str, rule: str, measure: Callable[[Sources], Measured]
) -> Claim:
    kind = KINDS[id.removeprefix("headline-")]
    source = FINDINGS if kind == NOTES else HEADLINE
    return Claim(id, statement, source, published, recomputed, ("headline",), rule, measure, kind=kind)


CLAIMS = (
    _claim(
        "headline-grok-fires",
        "With weight decay the slope detector fires in every run.",
        "15/15",
        "runs whose λ₂/λ₃ slope passes 0.04 from epoch 100 on",
        verdicts.COUNT,
        _fires(GROK, 15),
    ),
    _claim(
        "headline-control-fires",
        "Without weight decay the slope detector never fires.",
        "0/15",
        "runs whose λ₂/λ₃ slope passes 0.04 from epoch 100 on",
        verdicts.COUNT,
        _fires(CONTROL, 0),
    ),
    _claim(
        "headline-fire-epoch",
        "It fires at median epoch 174.",
        "174 [173, 174]",
        "median and quartiles of the fire epoch",
        MEDIANS,
        _median(GROK, "fire_epoch", "174", (173, 174)),
    ),
    _claim(
        "headline-late-gap-grok",
        "The late λ₂/λ₃ with weight decay is about 300.",
        "≈ 300",
        "per run the median of λ₂/λ₃ over epochs 200 … 400",
        verdicts.MEDIAN,
        _median(GROK, "late_gap_23", "300", None),
    ),
    _claim(
        "headline-late-gap-control",
        "The late λ₂/λ₃ without weight decay is 1.31.",
        "1.31",
        "per run the median of λ₂/λ₃ over epochs 200 … 400",
        verdicts.MEDIAN,
        _median(CONTROL, "late_gap_23", "1.31", None),
    ),
    _claim(
        "headline-separation",
        "The late gaps of the two conditions are 229 times apart.",
        "229×",
        "ratio of the two medians over seeds",
        verdicts.RATIO + " " + verdicts.MEDIAN,
        _separation,
    ),
    _claim(
        "headline-test-epoch",
        "Test accuracy reaches 0.5 at median epoch 102.",
        "102 [99, 102]",
        "first epoch with test accuracy ≥ 0.5",
        MEDIANS,
        _median(GROK, "test_50_epoch", "102", (99, 102)),
    ),
    _claim(
        "headline-control-accuracy",
        "Runs without weight decay end near test accuracy 0.03.",
        "0.03",
        "test accuracy at the last epoch",
        verdicts.MEDIAN,
        _median(CONTROL, ENDED, "0.03", None),
    ),
    _claim(
        "headline-train-accuracy",
        "Train accuracy is 1.0 by epoch 25.",
        "1.0",
        "train accuracy at epoch 25, with weight decay and without",
        verdicts.MEDIAN + " " + verdicts.PARTS,
        _train_accuracy,
    ),
    _claim(
        "headline-seed-0",
        "Seed 0 fires at 173; its test accuracy reaches 0.5 at 101 and 0.99 at 139.",
        "173, 101, 139",
        "the run of seed 0",
        verdicts.EPOCHS + " " + verdicts.PARTS,
        _seed0,
    ),
    *(
        Claim(
            f"eigenvalues-{condition}-{epoch}",
            f"The three top eigenvalues of seed 0 at epoch {epoch}, {'with' if condition == GROK else 'without'} weight decay "
            "(printed as σ).",
            f"{FINDINGS}, eigenvalues",
            ", ".join(printed),
            "λ₁, λ₂, λ₃ of ΔᵀΔ over the last 20 updates",
            ("headline",),
            verdicts.DIGITS + " " + verdicts.PARTS,
            _eigenvalues(condition, epoch, printed),
            kind=NOTES,
        )
        for condition, epoch, printed in EIGENVALUES
    ),
    *(
        Claim(
            f"gap12-level-{level:g}",
            f"λ₁/λ₂ ≥ {level:g}{f', sustained for {SUSTAINED[level]} epochs,' if level in SUSTAINED else ''} fires at median "
            f"epoch {epoch}.",
            f"{FINDINGS}, λ₁/λ₂ detectors",
            f"{grok}/15 with weight decay{'' if control is None else f', {control}/15 without'}; epoch {epoch}",
            f"first epoch {f'of {SUSTAINED[level]} ' if level in SUSTAINED else ''}with λ₁/λ₂ at the level or above",
            ("headline",),
            " ".join((verdicts.COUNT, verdicts.MEDIAN, verdicts.PARTS)),
            _level(level, epoch, grok or 0, control),
            kind=NOTES,
        )
        for level, epoch, grok, control in LEVELS
    ),
    Claim(
        "gap12-slope",
        "The slope detector on λ₁/λ₂ fires at median epoch 139.",
        f"{FINDINGS}, λ₁/λ₂ detectors",
        "15/15 at 139, 0/15",
        "first epoch from 100 on with a log-slope of λ₁/λ₂ above 0.04 over 25 epochs",
        ("headline",),
        " ".join((verdicts.COUNT, verdicts.MEDIAN, verdicts.PARTS)),
        _gap_12(lambda gap: fire_epoch(gap, 25, 0.04, 100), "139", 15, 0),
        kind=NOTES,
    ),
    *(
        Claim(
            f"rho-{level}",
            f"ρ ≥ {level} fires in every run with weight decay, at median epoch {epoch}.",
            f"{FINDINGS}, ρ thresholds",
            f"15/15 at {epoch}" + ("" if control is None else f", {control}/15 without"),
            "first observed epoch with ρ at the level",
            ("headline",),
            " ".join((verdicts.COUNT, verdicts.BETWEEN, verdicts.PARTS)),
            _rho(level, epoch, control),
            kind=NOTES,
        )
        for level, epoch, control in RHO_LEVELS
    ),
    Claim(
        "rho-control-max",
        "Without weight decay ρ stays at or below 0.065.",
        f"{FINDINGS}, ρ thresholds",
        "0.065",
        "largest ρ observed in any run without weight decay",
        ("headline",),
        verdicts.AT_MOST,
        _rho_control,
        kind=NOTES,
    ),
    Claim(
        "rho-relu-start",
        "On ReLU ρ is above its threshold at epoch 0.",
        XU,
        "all 30",
        "runs with ρ ≥ 0.075 at epoch 0",
        ("relu",),
        verdicts.COUNT,
        _relu_rho,
        kind=TEXT,
    ),
)
