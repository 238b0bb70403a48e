"""Claims on the sweeps: weight decay, and modulus against share of training pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from analysis.exhibits import verdicts as rules
from analysis.exhibits.model import Claim, Measured
from analysis.exhibits.sources import Sources, column, watched
from analysis.papers.xu.headline import XU
from analysis.statistics import estimates as statistics


class EtaRow(NamedTuple):
    """A printed row of the η table: runs that grok of 5, median epochs, None where a dash is printed."""

    condition: str
    grok: int
    rho: str
    test: str | None
    lead: str | None
    fire: str


ETA_ROWS = (
    EtaRow("η 1e-5", 0, "542", None, None, "397"),
    EtaRow("η 5e-5", 5, "185", "312", "127", "280"),
    EtaRow("η 1e-4", 5, "20", "174", "154", "199"),
    EtaRow("η 2e-4", 5, "17", "101", "84", "173"),
    EtaRow("η 5e-4", 5, "23", "102", "79", "553"),
)
LONG = "η 1e-5, 2000 epochs"


def _eta(row: EtaRow) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("eta", condition=row.condition)
        watched(sources, runs, "features/rho")
        test = column(runs, "test_50_epoch")
        parts = [rules.count("grok", int(np.isfinite(test).sum()), len(runs), row.grok, 5)]
        rho = column(runs, "rho_epoch")
        if row.grok == 0:
            parts.append(rules.count("ρ fires", int(np.isfinite(rho).sum()), len(runs), 1, 5))
        parts.append(rules.median("ρ ≥ 0.075", rho, row.rho, event=True))
        if row.test is not None:
            parts.append(rules.median("test ≥ 0.5", test, row.test, event=True))
        if row.lead is not None:
            parts.append(rules.median("lead", column(runs, "lead"), row.lead, event=True))
        parts.append(rules.median("slope fires", column(runs, "fire_epoch"), row.fire, event=True))
        return rules.judge(parts)

    return measure


def _regression(sources: Sources) -> Measured:
    runs = sources.take("eta", condition=tuple(row.condition for row in ETA_ROWS))
    fit = statistics.regression(column(runs, "test_50_epoch"), column(runs, "rho_epoch"))
    parts = [
        rules.interval("slope", fit.slope, "0.80"),
        rules.interval("intercept", fit.intercept, "-75"),
        rules.interval("R²", fit.r_squared, "0.87"),
    ]
    return rules.judge(parts, f"Over the {fit.slope.n} runs that reach both; the intervals take them as independent.")


def _long(sources: Sources) -> Measured:
    runs = sources.take("eta", condition=LONG)
    watched(sources, runs, "features/rho")
    names = {"test ≥ 0.5": ("test_50_epoch", "1527"), "ρ ≥ 0.075": ("rho_epoch", "527")}
    parts = [rules.digits(name, column(runs, key)[0], epoch, event=True) for name, (key, epoch) in names.items()]
    high = column(runs, "test_99_epoch")[0]
    return rules.judge(parts, f"Test ≥ 0.99 comes at {high:.0f}." if math.isfinite(high) else "")


class ScalingCell(NamedTuple):
    """A printed cell of the M × p table: runs that grok of 5, median epochs, None where a dash is printed."""

    modulus: int
    share: str
    n_train: int
    grok: int
    test: str | None
    rho: str | None
    lead: str | None


SCALING = (
    ScalingCell(41, "0.1", 168, 0, None, "13", None),
    ScalingCell(41, "0.2", 336, 0, None, "14", None),
    ScalingCell(41, "0.3", 504, 0, None, "15", None),
    ScalingCell(41, "0.5", 840, 5, "201", "18", "135"),
    ScalingCell(71, "0.1", 504, 0, None, "11", None),
    ScalingCell(71, "0.2", 1008, 5, "580", "13", "462"),
    ScalingCell(71, "0.3", 1512, 5, "249", "15", "183"),
    ScalingCell(71, "0.5", 2520, 5, "88", "20", "55"),
    ScalingCell(127, "0.1", 1612, 0, None, "11", None),
    ScalingCell(127, "0.2", 3225, 5, "205", "16", "153"),
    ScalingCell(127, "0.3", 4838, 5, "120", "22", "88"),
    ScalingCell(127, "0.5", 8064, 0, None, None, None),
)


def _scaling(cell: ScalingCell) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("scaling", diverged=True, modulus=cell.modulus, n_train=cell.n_train)
        test = column(runs, "test_99_epoch")
        parts = [rules.count("grok", int(np.isfinite(test).sum()), len(runs), cell.grok, 5)]
        if cell.rho is None:
            parts.append(rules.count("diverged", int((runs["state"] == "diverged").sum()), len(runs), 5, 5))
        if cell.test is not None:
            parts.append(rules.median("test ≥ 0.99", test, cell.test, event=True))
        if cell.rho is not None:
            watched(sources, runs, "features/rho")
            parts.append(rules.median("ρ ≥ 0.075", column(runs, "rho_epoch"), cell.rho, event=True))
        if cell.lead is not None:
            parts.append(rules.median("lead", column(runs, "lead"), cell.lead, event=True))
        return rules.judge(parts, _divergence(column(runs, "diverged_epoch")))

    return measure


def _divergence(epochs: np.ndarray) -> str:
    seen = statistics.quartiles(epochs)
    return "" if math.isnan(seen.value) else f"{seen.n} diverged, at median epoch {rules.number(seen.value)}."


def _eta_text(row: EtaRow) -> str:
    rho = f"{row.rho} (1 of 5)" if row.grok == 0 else row.rho
    return f"grok {row.grok}/5; ρ {rho}; test ≥ 0.5 {row.test or '–'}; lead {row.lead or '–'}; slope {row.fire}"


def _scaling_text(cell: ScalingCell) -> str:
    if cell.rho is None:
        return f"{cell.grok}/5, numerical divergence, ρ NaN"
    return f"grok {cell.grok}/5; test ≥ 0.99 {cell.test or '–'}; ρ {cell.rho}; lead {cell.lead or '–'}"


RULE = " ".join((rules.COUNT, rules.MEDIAN, rules.PARTS))
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
        + rules.MEDIAN
        + " "
        + rules.PARTS,
        _regression,
    ),
    Claim(
        "eta-long",
        "One seed at η = 1e-5 groks at 1527, with ρ ≥ 0.075 at 527.",
        f"{XU}, η table",
        "1527; 527",
        "the run of 2000 epochs, seed 0",
        ("eta",),
        rules.DIGITS + " " + rules.PARTS,
        _long,
    ),
    *(
        Claim(
            f"scaling-{cell.modulus}-{cell.share}",
            f"M = {cell.modulus}, p = {cell.share}: who groks, and when.",
            f"{XU}, M × p table",
            _scaling_text(cell),
            "runs that reach test accuracy 0.99; median epochs of that, of ρ ≥ 0.075 and of the lead",
            ("scaling",),
            RULE,
            _scaling(cell),
        )
        for cell in SCALING
    ),
)
