"""Claims on the sweeps: weight decay, and modulus against share of training pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.exhibits import verdicts
from analysis.exhibits.margins import ACCURACY, EPOCH, R_SQUARED, RATIO
from analysis.exhibits.model import CAVEAT, NOTES, REPRODUCED, TEXT, Claim, Measured
from analysis.exhibits.sources import Sources, at, column, series, watched
from analysis.printed.xu import ETA_LEADS, ETA_LINE, ETA_LONG, ETA_ROWS, FINDINGS, SCALING, XU, EtaRow, ScalingSetting
from analysis.reading.derived import with_ending
from analysis.statistics import estimates as statistics
from analysis.statistics.clusters import clustered_line
from analysis.words import number

LONG = "η 1e-5, 2000 epochs"
RHO = "features/rho"
CHANCE_BY, CHANCE = 250, "0.008"
"""Epoch by which the author's notes have train accuracy at 0.008 = 1/127."""


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
    fit = clustered_line(column(runs, "test_50_epoch"), column(runs, "rho_epoch"), runs["seed"].to_numpy())
    margins = (RATIO, EPOCH, R_SQUARED)
    parts = [
        verdicts.interval(name, value, printed, margin)
        for name, value, printed, margin in zip(("slope", "intercept", "R²"), fit, ETA_LINE, margins, strict=True)
    ]
    seeds = runs["seed"].nunique()
    return verdicts.judge(
        parts, f"Over the {fit.slope.estimate.n} runs that reach both; intervals leave out one of {seeds} seeds at a time."
    )


def _long(sources: Sources) -> Measured:
    runs = sources.take("eta", condition=LONG)
    watched(sources, runs, "features/rho")
    names = {"test_99_epoch": "test ≥ 0.99", "rho_epoch": "ρ ≥ 0.075", "lead": "lead to test ≥ 0.5"}
    parts = [verdicts.digits(names[key], column(runs, key)[0], epoch, event=True) for key, epoch in ETA_LONG.items()]
    half = column(runs, "test_50_epoch")[0]
    return verdicts.judge(parts, f"Test ≥ 0.5 comes at {half:.0f}." if math.isfinite(half) else "")


def _leads(sources: Sources) -> Measured:
    """Runs of the four η at which the network groks in which ρ comes before test ≥ 0.5."""
    runs = sources.take("eta", condition=tuple(row.condition for row in ETA_ROWS if row.grok))
    watched(sources, runs, "features/rho")
    lead = column(runs, "lead")
    return verdicts.judge([verdicts.count("positive lead", int((lead > 0).sum()), len(runs), ETA_LEADS, ETA_LEADS)])


def _everywhere(sources: Sources) -> Measured:
    """Runs of the whole M × p table in which ρ reaches its level."""
    runs = sources.take("scaling", diverged=True)
    watched(sources, runs[runs["state"] != "diverged"], "features/rho")
    parts, cells = [], len(SCALING) * 5
    fired = np.isfinite(column(runs, "rho_epoch"))
    parts.append(verdicts.count("ρ ≥ 0.075", int(fired.sum()), len(runs), cells, cells))
    stopped = int((runs["state"] == "diverged").sum())
    return verdicts.judge(parts, f"{stopped} of them diverged." if stopped else "")


def _scaling(entry: ScalingSetting) -> Callable[[Sources], Measured]:
    def measure(sources: Sources) -> Measured:
        runs = sources.take("scaling", diverged=True, modulus=entry.modulus, n_train=entry.n_train)
        test = column(runs, "test_99_epoch")
        parts = [verdicts.count("grok", int(np.isfinite(test).sum()), len(runs), entry.grok, 5)]
        note = ""
        if entry.rho is None:
            ended, note = _ended(sources, runs)
            parts += ended
        if entry.test is not None:
            parts.append(verdicts.median("test ≥ 0.99", test, entry.test, event=True))
        if entry.rho is not None:
            watched(sources, runs, "features/rho")
            parts.append(verdicts.median("ρ ≥ 0.075", column(runs, "rho_epoch"), entry.rho, event=True))
        if entry.lead is not None:
            parts.append(verdicts.median("lead", column(runs, "lead"), entry.lead, event=True))
        found = verdicts.judge(parts, note or _divergence(column(runs, "diverged_epoch")))
        if entry.rho is None and found.verdict == REPRODUCED and not (runs["state"] == "diverged").any():
            return replace(found, verdict=CAVEAT, note=f"Published as a numerical divergence; no run diverges. {found.note}")
        return found

    return measure


def _ended(sources: Sources, runs: pd.DataFrame) -> tuple[list[verdicts.Part], str]:
    """What the author saw of a cell that he calls divergence: train accuracy at chance, no ρ at the end; and how these
    runs ended.
    """
    for metric in ("loss/train", "accuracy/train", "norm/w"):
        watched(sources, runs, metric)
    ends = with_ending(runs, {run_id: sources.evidence.history(run_id) for run_id in runs["run_id"]})
    train = at(sources, runs, "accuracy/train", CHANCE_BY)
    silent = sum(not np.isfinite(series(sources, run_id, RHO)[-1:]).any() for run_id in runs["run_id"])
    parts = [
        verdicts.median(f"train accuracy at {CHANCE_BY}", train, CHANCE, margin=ACCURACY),
        verdicts.count("no ρ at the end", silent, len(runs), 5, 5),
    ]
    told = ", ".join(f"{name} {n}" for name, n in ends["ended"].value_counts().items())
    median = statistics.quartiles(ends["ended_epoch"].to_numpy(dtype=np.float64)).value
    when = "" if math.isnan(median) else f", at median epoch {number(median)}"
    meaning = "both layers vanish and the loss stays that of an output of zero, every number finite"
    return parts, f"How they ended: {told}{when}. Collapsed: {meaning}."


def _divergence(epochs: np.ndarray) -> str:
    seen = statistics.quartiles(epochs)
    return "" if math.isnan(seen.value) else f"{seen.n} diverged, at median epoch {number(seen.value)}."


def _eta_text(row: EtaRow) -> str:
    rho = f"{row.rho} (1 of 5)" if row.grok == 0 else row.rho
    return f"grok {row.grok}/5; ρ {rho}; test ≥ 0.5 {row.test or '–'}; lead {row.lead or '–'}; slope {row.fire}"


def _scaling_text(entry: ScalingSetting) -> str:
    if entry.rho is None:
        return f"{entry.grok}/5, numerical divergence: train accuracy 0.008 by epoch 250, ρ NaN"
    return f"grok {entry.grok}/5; test ≥ 0.99 {entry.test or '–'}; ρ {entry.rho}; lead {entry.lead or '–'}"


RULE = " ".join((verdicts.COUNT, verdicts.MEDIAN, verdicts.PARTS))
CLAIMS = (
    *(
        Claim(
            f"eta-{row.condition.removeprefix('η ')}",
            f"The sweep of weight decay at {row.condition}, 600 epochs.",
            f"{FINDINGS}, η table",
            _eta_text(row),
            "runs that reach test accuracy 0.5; median epochs of ρ ≥ 0.075, test ≥ 0.5, their difference, and the "
            "slope detector",
            ("eta",),
            RULE,
            _eta(row),
            kind=NOTES,
        )
        for row in ETA_ROWS
    ),
    Claim(
        "eta-regression",
        "ρ's epoch follows from that of test ≥ 0.5 by a line.",
        f"{XU}, figure of the η sweep",
        "t_ρ = 0.80 t_test − 75, R² = 0.87",
        "least squares over the runs of 600 epochs that reach both",
        ("eta",),
        verdicts.LINE + " " + verdicts.MEDIAN + " " + verdicts.PARTS,
        _regression,
        kind=TEXT,
    ),
    Claim(
        "eta-leads",
        "ρ ≥ 0.075 comes before test ≥ 0.5 in every run of the η sweep that groks.",
        f"{XU}, η sweep",
        "20/20",
        "runs at the four η at which all grok, with the epoch of test ≥ 0.5 later than that of ρ ≥ 0.075",
        ("eta",),
        verdicts.COUNT,
        _leads,
        kind=TEXT,
    ),
    Claim(
        "eta-long",
        "One seed at η = 1e-5 groks at 1527, with ρ ≥ 0.075 at 527, 567 epochs before test ≥ 0.5.",
        f"{XU}, η sweep",
        "1527; 527; 567",
        "the run of 2000 epochs, seed 0; it groks where test accuracy reaches 0.99, as its lead shows",
        ("eta",),
        verdicts.DIGITS + " " + verdicts.PARTS,
        _long,
        kind=TEXT,
    ),
    Claim(
        "scaling-rho",
        "ρ ≥ 0.075 fires in every run of the M × p table, whether it groks or not.",
        f"{XU}, M × p sweep",
        "60/60",
        "runs of the table in which ρ reaches 0.075, those that diverge among them",
        ("scaling",),
        verdicts.COUNT,
        _everywhere,
        kind=TEXT,
    ),
    *(
        Claim(
            f"scaling-{entry.modulus}-{entry.share}",
            f"M = {entry.modulus}, p = {entry.share}: who groks, and when.",
            f"{FINDINGS}, M × p table",
            _scaling_text(entry),
            "runs that reach test accuracy 0.99; "
            + (
                "median train accuracy at epoch 250, and runs without ρ at the end"
                if entry.rho is None
                else "median epochs of that, of ρ ≥ 0.075 and of the lead"
            ),
            ("scaling",),
            RULE,
            _scaling(entry),
            kind=NOTES,
        )
        for entry in SCALING
    ),
)
