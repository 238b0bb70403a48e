"""Figures of the lifecycle: grad% on every window of every arm, the fall over N and W, ablations and controls, a sweep."""

from __future__ import annotations

import pandas as pd

from analysis.exhibits.panels import Panel, Prepared, drawer
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle.flip import ARMS, grid
from analysis.papers.lifecycle.reading import DYCK, SCALE, anatomy
from analysis.papers.lifecycle.sentences import costs
from analysis.reading.evidence import Evidence

CURVES = ["condition", "run_id", "seed", "step", "eta_omega_t", "grad_share", "cos2_theta", "cos2_theta_0", "accuracy_test"]
METRICS = ("edge/grad_share", "edge/cos2_theta", "edge/cos2_theta_0", "accuracy/test")


def curves(evidence: Evidence, studies: tuple[str, ...] = (DYCK, SCALE)) -> pd.DataFrame:
    """A row per snapshot of each run with weight decay: `CURVES`; steps, ηωt, shares and squared cosines in [0, 1]."""
    tables = []
    for study in studies:
        conditions = [condition for owner, condition in ARMS if owner == study]
        for run in evidence.runs(study).to_dict("records"):
            if run["condition"] not in conditions:
                continue
            history = evidence.history(str(run["run_id"]))
            if "step" not in history:
                continue
            part = history[["step"]].assign(condition=run["condition"], run_id=run["run_id"], seed=int(run["seed"]))
            part["eta_omega_t"] = part["step"] * float(run["learning_rate"]) * float(run["weight_decay"])
            for metric in METRICS:
                name = metric.removeprefix("edge/").replace("/", "_")
                part[name] = history[metric] if metric in history else float("nan")
            tables.append(part[CURVES])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=CURVES)


def _flip(evidence: Evidence) -> Prepared:
    table = curves(evidence)
    return Prepared({"curves": table}, tuple(dict.fromkeys(table["run_id"])))


def _grid(evidence: Evidence) -> Prepared:
    sources = Sources(evidence)
    if evidence.runs(DYCK).empty:
        return Prepared({"grid": pd.DataFrame()})
    try:
        return Prepared({"grid": grid(sources)}, tuple(sources.run_ids))
    except Absent:
        return Prepared({"grid": pd.DataFrame()})


def _ablation(evidence: Evidence) -> Prepared:
    sources = Sources(evidence)
    if evidence.runs(DYCK).empty:
        return Prepared({"costs": pd.DataFrame()})
    try:
        return Prepared({"costs": costs(sources)}, tuple(sources.run_ids))
    except Absent:
        return Prepared({"costs": pd.DataFrame()})


def _sweep(evidence: Evidence) -> Prepared:
    tables, used = [], []
    for run in evidence.runs(DYCK).to_dict("records"):
        if run["condition"] not in ("grok", "prefix"):
            continue
        sweep = anatomy(Sources(evidence), str(run["run_id"]), "sweep")
        sweep = sweep[sweep["name"].isin(("accuracy", "published"))]
        tables.append(sweep.assign(condition=run["condition"], seed=int(run["seed"])))
        used.append(str(run["run_id"]))
    return Prepared({"sweep": pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()}, tuple(used))


PANELS: tuple[Panel, ...] = (
    Panel(
        "lifecycle-flip",
        "grad% of the edge on every window",
        "A line per run, N = 100 and W = 5, exact split; above by step, dashed where the first interval has left the window, "
        "below by ηωt. Runs without weight decay have 1 by definition and are not drawn.",
        (DYCK, SCALE),
        _flip,
        drawer("lifecycle_flip"),
    ),
    Panel(
        "lifecycle-grid",
        "Where grad% falls, over N and W",
        "A point per run, N and W, with weight decay and true labels, against the step (W + 1)·N; the line is equality. "
        "Runs in which it never falls are not drawn.",
        (DYCK,),
        _grid,
        drawer("lifecycle_grid"),
    ),
    Panel(
        "lifecycle-ablation",
        "What removing the edge costs, and what else removes as much",
        "Median over seeds of the loss of token accuracy on 300 test sequences, at three phases.",
        (DYCK,),
        _ablation,
        drawer("lifecycle_ablation"),
    ),
    Panel(
        "lifecycle-sweep",
        "Accuracy along the edge, from ablation through the published step",
        "A line per run at each phase; the published displacement of 0.005 ‖θ‖ is marked.",
        (DYCK,),
        _sweep,
        drawer("lifecycle_sweep"),
    ),
)
