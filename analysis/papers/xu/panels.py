"""The figures of the report: which studies each needs, its tables, its drawing, its caption. Add yours to `PANELS`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.panels import Panel, Prepared, Tables, drawer
from analysis.papers.xu import findings, tables
from analysis.printed import xu
from analysis.reading.evidence import SENSITIVITY_STUDY, Evidence


def _of(runs: pd.DataFrame, /, **prepared: pd.DataFrame) -> Prepared:
    """Tables that hold each of these runs."""
    return Prepared(prepared, tuple(str(run_id) for run_id in runs["run_id"]))


# headline


def _headline(evidence: Evidence) -> Prepared:
    metrics = ("accuracy/test", "delta_w/gap_23")
    runs = tables.of_condition(evidence.runs("headline"), tables.PRINTED_CONDITIONS, ["square"])
    return _of(runs, curves=tables.curves(evidence, runs, metrics), fires=tables.fires(runs))


def _both(evidence: Evidence, conditions: tuple[str, ...], studies: tuple[str, ...] = ("headline", "relu")) -> pd.DataFrame:
    """The runs of these studies and conditions with square and ReLU, square first, each run once."""
    found = [evidence.runs(study) for study in studies if len(evidence.runs(study))]
    runs = pd.concat(found, ignore_index=True).drop_duplicates("run_id")
    return pd.concat([tables.of_condition(runs, conditions, [name]) for name in ("square", "relu")], ignore_index=True)


def _eigenvalues(evidence: Evidence) -> Prepared:
    metrics = [f"delta_w/lambda_{k}" for k in range(1, 6)]
    runs = tables.having(evidence, _both(evidence, tables.PRINTED_CONDITIONS), metrics)
    return _of(runs, curves=tables.curves(evidence, runs, metrics))


def _repulsion(evidence: Evidence) -> Prepared:
    runs = tables.having(evidence, _both(evidence, tables.PRINTED_CONDITIONS), ["repulsion/rate"])
    return _of(runs, points=tables.repulsion(evidence, runs))


def _sign_match(evidence: Evidence) -> Prepared:
    runs = tables.having(evidence, _both(evidence, ("grok",), ("theorem6",)), ["repulsion/rate"])
    return _of(runs, points=tables.repulsion(evidence, runs), published=tables.published_sign_match())


def _detector(evidence: Evidence) -> Prepared:
    runs = _both(evidence, ("grok", "eta0", "random_labels", "data_starved"), ("headline", "relu", "controls"))
    of = ["activation", "condition"]
    fires = tables.fires(runs).assign(generalised=tables.metric(runs, "test_50_epoch").notna())
    shares = tables.shares(runs, of).join(fires.groupby(of)["generalised"].mean(), on=of)
    printed = [xu.FIRES.get((a, c), np.nan) for a, c in zip(shares["activation"], shares["condition"], strict=True)]
    return _of(runs, shares=shares.assign(published=printed), fires=fires)


# settings of the detector


def _windows(evidence: Evidence) -> Prepared:
    runs = tables.of_condition(evidence.runs("headline"), tables.PRINTED_CONDITIONS, ["square"])
    if runs.empty:
        return Prepared({"shares": runs})
    measured = tables.by_window(evidence, runs, tables.WINDOWS)
    summary = tables.gaps_and_shares(measured, ("condition", "window"))
    return _of(measured, shares=summary, runs=measured, published=tables.published_windows())


def _precision(evidence: Evidence) -> Prepared:
    runs = tables.of_condition(evidence.runs("svd"), tables.PRINTED_CONDITIONS, ["square"])
    runs = runs[runs["seed"] < tables.PRECISION_SEEDS]
    if runs.empty:
        return Prepared({"shares": runs})
    measured = tables.by_method(evidence, runs, tables.PRECISION_WINDOWS)
    return _of(measured, shares=tables.gaps_and_shares(measured, ("condition", "window", "method")), runs=measured)


# sweeps


def _eta(evidence: Evidence) -> Prepared:
    found = tables.eta(evidence.runs("eta"))
    return _of(found["runs"][found["runs"]["fitted"]], **found)


def _draw_eta(prepared: Tables) -> Any:
    points = prepared["runs"][prepared["runs"]["fitted"]]
    fit = prepared["fit"].iloc[0]
    text = (
        f"$t_\\rho$ = {fit['slope']:.2f} $t_{{test}}$ {'−' if fit['intercept'] < 0 else '+'} {abs(fit['intercept']):.0f}\n"
        f"$R^2$ = {fit['r_squared']:.2f}, {fit['n']:.0f} runs"
    )
    return drawer("eta_scatter")(points, prepared["line"], text)


def _scaling(evidence: Evidence) -> Prepared:
    runs = evidence.runs("scaling")
    return _of(runs, cells=tables.scaling(runs))


def _sensitivity(evidence: Evidence) -> Prepared:
    found = evidence.sensitivity()
    if found is None:
        return Prepared({"surface": pd.DataFrame()})
    return Prepared({"surface": evidence.files.csv(found["run_id"], "surface.csv")}, (str(found["run_id"]),))


def _activations(evidence: Evidence) -> Prepared:
    runs = evidence.runs("activations")
    runs = runs[runs["condition"].isin(tables.PRINTED_CONDITIONS)]
    return _of(runs, table=tables.activations(runs))


def _draw_activations(prepared: Tables) -> Any:
    from analysis.figures.report import Column

    columns = (
        Column("grok_generalised_share", "grok_generalised_text", "test ≥ 0.5,\nweight decay"),
        Column("eta0_generalised_share", "eta0_generalised_text", "test ≥ 0.5,\nnone"),
        Column("grok_fired_share", "grok_fired_text", "fires,\nweight decay"),
        Column("eta0_fired_share", "eta0_fired_text", "fires,\nnone"),
        Column("none", "test_50_text", "test ≥ 0.5\nat epoch\n[quartiles]"),
        Column("none", "fire_text", "fires\nat epoch\n[quartiles]"),
        Column("none", "separation_text", "late gap\nratio\n[95 %]"),
    )
    return drawer("activations")(prepared["table"].assign(none=np.nan), columns)


PANELS: tuple[Panel, ...] = (
    Panel(
        "headline",
        "Test accuracy and spectral gap",
        "Square activation, M = 71, w = 20; λ are eigenvalues of the Gram of the last 20 weight updates. Lines: median over "
        "seeds; bands: quartiles; ticks at the top: fires, a run each.",
        ("headline",),
        _headline,
        lambda t: drawer("headline")(t["curves"], t["fires"]),
        finding=findings.headline,
    ),
    Panel(
        "eigenvalues",
        "The five largest eigenvalues",
        "λ₁ … λ₅ of the Gram of the last 20 weight updates. Lines: median over seeds; bands: quartiles.",
        ("headline", "relu"),
        _eigenvalues,
        lambda t: drawer("eigenvalues")(t["curves"]),
        finding=findings.eigenvalues,
    ),
    Panel(
        "repulsion",
        "Repulsion rate and its null",
        "A pair's entry in the inverse has the sign opposite to its cosine; the 200 most similar pairs. Points: median; bars: "
        "quartiles; thin: random pairs.",
        ("headline", "relu"),
        _repulsion,
        lambda t: drawer("repulsion")(t["points"]),
        finding=findings.repulsion,
    ),
    Panel(
        "sign_match",
        "The published estimator, the repulsion rate and Theorem 6",
        "On the 200 most similar pairs, runs with weight decay. Points: median over seeds; bars: quartiles. Crosses: the "
        "printed rows of seed 0.",
        ("theorem6",),
        _sign_match,
        lambda t: drawer("sign_match")(t["points"], t["published"]),
        finding=findings.sign_match,
    ),
    Panel(
        "detector",
        "Where the detector fires",
        "Left: share of runs in which it fires, 95 % interval (Clopper–Pearson); × published. Right: the epochs. Filled: test "
        "accuracy reaches 0.5; hollow: never. Random labels and too few pairs keep weight decay.",
        ("headline", "relu", "controls"),
        _detector,
        lambda t: drawer("detector_controls")(t["shares"], t["fires"]),
        finding=findings.detector,
    ),
    Panel(
        "windows",
        "Window sensitivity",
        "Square activation, read from the bands of the same runs. Top: share that fires, 95 % interval. Middle: fire epochs. "
        "Bottom: late λ₂/λ₃ (epochs 200 to 400), median and quartiles; crosses: printed.",
        ("headline",),
        _windows,
        lambda t: drawer("windows")(t["shares"], t["runs"], t["published"]),
        finding=findings.windows,
    ),
    Panel(
        "precision",
        "Precision of the spectrum",
        f"The same updates through each spectrum method; square activation, seeds 0 to {tables.PRECISION_SEEDS - 1}. "
        f"Shares with "
        "their 95 % Clopper–Pearson intervals; late λ₂/λ₃ as median and quartiles over seeds.",
        ("svd",),
        _precision,
        lambda t: drawer("precision")(t["shares"]),
        finding=findings.precision,
    ),
    Panel(
        "sensitivity",
        "Sensitivity surfaces",
        "Youden's J of the slope detector (share that fires with weight decay less that of the controls) by window and "
        "threshold; star: published setting. Intervals are in the data.",
        (SENSITIVITY_STUDY,),
        _sensitivity,
        lambda t: drawer("surfaces")(t["surface"]),
        finding=findings.sensitivity,
    ),
    Panel(
        "eta",
        "Weight decay: the ρ rule against generalisation",
        "A point per run of 600 epochs that reaches both. Line: least squares over these runs, with the 95 % band of its mean; "
        "dashed: the printed line.",
        ("eta",),
        _eta,
        _draw_eta,
        finding=findings.eta,
    ),
    Panel(
        "scaling",
        "Modulus and share of training pairs",
        "Per cell: runs that reach test accuracy 0.99, and medians of the epochs; – where none has it. Lead: from ρ ≥ 0.075 to "
        "test accuracy ≥ 0.5.",
        ("scaling",),
        _scaling,
        lambda t: drawer("scaling")(t["cells"]),
        finding=findings.scaling,
    ),
    Panel(
        "activations",
        "Activations",
        "Runs that generalise and runs that fire, with weight decay and without; medians with quartiles of the epochs "
        "with weight decay; the ratio of median late gaps, with weight decay over without, and its 95 % interval.",
        ("activations",),
        _activations,
        _draw_activations,
        finding=findings.activations,
    ),
)
"""In the order of the report."""
