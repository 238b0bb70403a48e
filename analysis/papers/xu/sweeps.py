"""Claims on the sweeps: weight decay, and modulus against share of training pairs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from analysis.exhibits import verdicts
from analysis.exhibits.model import TABLE, Claim, Measured
from analysis.exhibits.sources import Sources, column, watched
from analysis.printed.xu import ETA_LINE, ETA_LONG, ETA_ROWS, SCALING, XU, EtaRow, ScalingSetting
from analysis.statistics import estimates as statistics
from analysis.words import number

LONG = "η 1e-5, 2000 epochs"


def _eta(row: EtaRow) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("eta", condition=row.condition)
        watched(sources, runs, "features/rho")
        test = column(runs, "test_50_epoch")
        parts = [verdicts.count("grok", int(np.isfinite(test).sum()), len(runs), row.grok, 5)]
        rho = column(runs, "rho_epoch")
        if row.grok == 0:
            parts.append(verdicts.count("ρ fires", int(np.isfinite(rho).sum()), len(runs), 1, 5))
        parts.append(verdicts.median("ρ ≥ 0.075", rho, row.rho, event=True))
        if row.test is not None:
            parts.append(verdicts.median("test ≥ 0.5", test, row.test, event=True))
        if row.lead is not None:
            parts.append(verdicts.median("lead", column(runs, "lead"), row.lead, event=True))
        parts.append(verdicts.median("slope fires", column(runs, "fire_epoch"), row.fire, event=True))
        return verdicts.judge(parts)

    return measure


def _regression(sources: Sources) -> Measured:
    runs = sources.take("eta", condition=tuple(row.condition for row in ETA_ROWS))
    fit = statistics.regression(column(runs, "test_50_epoch"), column(runs, "rho_epoch"))
    parts = [
        verdicts.interval(name, value, printed)
        for name, value, printed in zip(("slope", "intercept", "R²"), fit, ETA_LINE, strict=True)
    ]
    return verdicts.judge(parts, f"Over the {fit.slope.n} runs that reach both; the intervals take them as independent.")


def _long(sources: Sources) -> Measured:
    runs = sources.take("eta", condition=LONG)
    watched(sources, runs, "features/rho")
    names = {"test_50_epoch": "test ≥ 0.5", "rho_epoch": "ρ ≥ 0.075"}
    parts = [verdicts.digits(names[key], column(runs, key)[0], epoch, event=True) for key, epoch in ETA_LONG.items()]
    high = column(runs, "test_99_epoch")[0]
    return verdicts.judge(parts, f"Test ≥ 0.99 comes at {high:.0f}." if math.isfinite(high) else "")


def _scaling(entry: ScalingSetting) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("scaling", diverged=True, modulus=entry.modulus, n_train=entry.n_train)
        test = column(runs, "test_99_epoch")
        parts = [verdicts.count("grok", int(np.isfinite(test).sum()), len(runs), entry.grok, 5)]
        if entry.rho is None:
            parts.append(verdicts.count("diverged", int((runs["state"] == "diverged").sum()), len(runs), 5, 5))
        if entry.test is not None:
            parts.append(verdicts.median("test ≥ 0.99", test, entry.test, event=True))
        if entry.rho is not None:
            watched(sources, runs, "features/rho")
            parts.append(verdicts.median("ρ ≥ 0.075", column(runs, "rho_epoch"), entry.rho, event=True))
        if entry.lead is not None:
            parts.append(verdicts.median("lead", column(runs, "lead"), entry.lead, event=True))
        return verdicts.judge(parts, _divergence(column(runs, "diverged_epoch")))

    return measure


def _divergence(epochs: np.ndarray) -> str:
    seen = statistics.quartiles(epochs)
    return "" if math.isnan(seen.value) else f"{seen.n} diverged, at median epoch {number(seen.value)}."


def _eta_text(row: EtaRow) -> str:
    rho = f"{row.rho} (1 of 5)" if row.grok == 0 else row.rho
    return f"grok {row.grok}/5; ρ {rho}; test ≥ 0.5 {row.test or '–'}; lead {row.lead or '–'}; slope {row.fire}"


def _scaling_text(entry: ScalingSetting) -> str:
    if entry.rho is None:
        return f"{entry.grok}/5, numerical divergence, ρ NaN"
    return f"grok {entry.grok}/5; test ≥ 0.99 {entry.test or '–'}; ρ {entry.rho}; lead {entry.lead or '–'}"


RULE = " ".join((verdicts.COUNT, verdicts.MEDIAN, verdicts.PARTS))
CLAIMS = (
    *(
        Claim(
            f"eta-{row.condition.removeprefix('η ')}",
            f"The sweep of weight decay at {row.condition}, 600 epochs.",
            f"{XU}, η table",
            _eta_text(row),
            "runs that reach test accuracy 0.5; median epochs of ρ ≥ 0.075, test ≥ 0.5, their difference, and the "
            "slope detector",
            ("eta",),
            RULE,
            _eta(row),
            kind=TABLE,
        )
        for row in ETA_ROWS
    ),
    Claim(
        "eta-regression",
        "ρ's epoch follows from that of test ≥ 0.5 by a line.",
        f"{XU}, η table",
        "t_ρ = 0.80 t_test − 75, R² = 0.87",
        "least squares over the runs of 600 epochs that reach both",
        ("eta",),
        "Slope, intercept and R²: as a median, with t intervals and, for R², a bootstrap interval. "
        + verdicts.MEDIAN
        + " "
        + verdicts.PARTS,
        _regression,
        kind=TABLE,
    ),
    Claim(
        "eta-long",
        "One seed at η = 1e-5 groks at 1527, with ρ ≥ 0.075 at 527.",
        f"{XU}, η table",
        "1527; 527",
        "the run of 2000 epochs, seed 0",
        ("eta",),
        verdicts.DIGITS + " " + verdicts.PARTS,
        _long,
        kind=TABLE,
    ),
    *(
        Claim(
            f"scaling-{entry.modulus}-{entry.share}",
            f"M = {entry.modulus}, p = {entry.share}: who groks, and when.",
            f"{XU}, M × p table",
            _scaling_text(entry),
            "runs that reach test accuracy 0.99; median epochs of that, of ρ ≥ 0.075 and of the lead",
            ("scaling",),
            RULE,
            _scaling(entry),
            kind=TABLE,
        )
        for entry in SCALING
    ),
)
