"""Figures of the lifecycle: grad% on every window, the fall over N and W, ablations, probes, branches, the gap flow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.exhibits.panels import Panel, Prepared, drawer
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle import classes, findings
from analysis.papers.lifecycle.ablation_sentences import costs
from analysis.papers.lifecycle.arms import ARMS, THRESHOLDS, grids
from analysis.papers.lifecycle.controls import intervention_table
from analysis.papers.lifecycle.errata import probe_table
from analysis.papers.lifecycle.reading import DYCK, INTERVENTION, MINI, MODULAR, SCALE, anatomy, grok_step
from analysis.reading.evidence import Evidence

METRICS = (
    *("edge/grad_share", "edge/grad_share_trapezoid", "edge/energy_gradient", "edge/energy_decay", "edge/cross"),
    *("edge/cos2_theta", "edge/cos2_theta_0", "accuracy/train", "accuracy/test", "accuracy/test_unseen_prefix"),
    *("norm/attention", "norm/all"),
)
CURVES = ["condition", "run_id", "seed", "step", "eta_omega_t"]
CURVES += [metric.removeprefix("edge/").replace("/", "_") for metric in METRICS]


def curves(evidence: Evidence, studies: tuple[str, ...] = (DYCK, SCALE)) -> pd.DataFrame:
    """A row per snapshot of each run with weight decay: `CURVES`; steps, ηωt, shares in [0, 1], and so on."""
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


def _table(evidence: Evidence, name: str, make: Callable[[Sources], pd.DataFrame]) -> Prepared:
    """A table with the runs that it took, or an empty one where they are absent."""
    sources = Sources(evidence)
    try:
        table = make(sources)
    except Absent:
        return Prepared({name: pd.DataFrame()})
    return Prepared({name: table}, tuple(sources.run_ids))


def _phases(evidence: Evidence) -> Prepared:
    """Every window against the offset from the grok step at each threshold."""

    def make(sources: Sources) -> pd.DataFrame:
        tables = []
        for run in sources.take(DYCK, condition="grok").to_dict("records"):
            history = evidence.history(str(run["run_id"]))[["step", "edge/grad_share"]]
            for level in THRESHOLDS:
                offset = history["step"] - grok_step(sources, str(run["run_id"]), level)
                tables.append(history.assign(seed=int(run["seed"]), level=level, offset=offset))
        return pd.concat(tables, ignore_index=True).rename(columns={"edge/grad_share": "grad_share"})

    return _table(evidence, "phases", make)


def _flow(evidence: Evidence) -> Prepared:
    """Predicted and measured dg/dt of each interval, under both readings of W."""

    def make(sources: Sources) -> pd.DataFrame:
        tables = []
        for task, runs in classes.there(sources).items():
            for run in runs:
                for window in classes.WINDOWS:
                    times, gap, terms = classes.measured_flow(sources, run, window)
                    part = pd.DataFrame({"eta_omega_t": times[:-1], "measured": np.diff(gap) / float(run["evaluate_every"])})
                    part = part.assign(task=task, seed=int(run["seed"]), window=window, predicted=terms.total[:-1])
                    part = part.assign(**{name: getattr(terms, name)[:-1] for name in classes.TERMS})
                    tables.append(part)
        return pd.concat(tables, ignore_index=True)

    return _table(evidence, "flow", make)


def _named_probes(sources: Sources) -> pd.DataFrame:
    table = probe_table(sources)
    return table.assign(reader=[findings.reader_name(str(name)) for name in table["reader"]])


def _sweep(evidence: Evidence) -> Prepared:
    tables, used = [], []
    for run in evidence.runs(DYCK).to_dict("records"):
        if run["condition"] != "grok":
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
        "Every window of N = 100, W = 5: grad% of each run, medians of test accuracy and of cos²(v₁, θ); dashed: the first "
        "interval has left the window. Runs without weight decay have 1 by definition.",
        (DYCK, SCALE),
        _flip,
        drawer("lifecycle_flip"),
        finding=findings.flip,
    ),
    Panel(
        "lifecycle-grid",
        "Where grad% falls, over N and W",
        "A panel per condition with weight decay, a point per run, N and W, against the step (W + 1)·N; the line is equality. "
        "Runs in which it never falls are not drawn.",
        (DYCK, SCALE),
        lambda evidence: _table(evidence, "grid", grids),
        drawer("lifecycle_grid"),
        finding=findings.grid,
    ),
    Panel(
        "lifecycle-ablation",
        "What removing the edge costs, and what else removes as much",
        "Median over seeds of the loss of token accuracy on 300 test sequences, at five phases.",
        (DYCK,),
        lambda evidence: _table(evidence, "costs", costs),
        drawer("lifecycle_ablation"),
        finding=findings.ablation,
    ),
    Panel(
        "lifecycle-phases",
        "grad% by what the grok step is taken to be",
        "Every window of each run with weight decay and true labels, N = 100 and W = 5, against the offset from the first step "
        "at 0.95, 0.98 and 0.99. A run that never gets there is not drawn.",
        (DYCK,),
        _phases,
        drawer("lifecycle_phases"),
        finding=findings.phases,
    ),
    Panel(
        "lifecycle-probes",
        "What a probe reads, and what its nulls do",
        "Median over seeds by step. Linear and MLP probes are scored by R², the logistic read-out by accuracy.",
        (DYCK,),
        lambda evidence: _table(evidence, "probes", _named_probes),
        drawer("lifecycle_probes"),
        finding=findings.probes,
    ),
    Panel(
        "lifecycle-intervention",
        "What is left after a change, against where it began",
        "Linear R² as published and with standardised features and no penalty, and test accuracy: start and end of each branch "
        "of Dyck-1, a line per run.",
        (INTERVENTION,),
        lambda evidence: _table(evidence, "branches", intervention_table),
        drawer("lifecycle_intervention"),
        finding=findings.intervention,
    ),
    Panel(
        "lifecycle-flow",
        "What the gap flow equation predicts, and what the gap does",
        "Measured against predicted dg/dt per step, a point per interval up to ηωt = 4; the line is equality. W in rows "
        "above, in steps below; titles count the points outside of a panel.",
        (DYCK, MINI, MODULAR),
        _flow,
        drawer("lifecycle_flow"),
        finding=findings.flow,
    ),
    Panel(
        "lifecycle-classes",
        "Three tasks at the same ηωt",
        "Median over seeds of grad%, and of the shares of the gap flow's three terms, W in rows.",
        (DYCK, MINI, MODULAR),
        lambda evidence: _table(evidence, "classes", lambda sources: classes.medians(classes.phases(sources))),
        drawer("lifecycle_classes"),
        finding=findings.classes,
    ),
    Panel(
        "lifecycle-sweep",
        "Accuracy along the edge, from ablation through the published step",
        "A line per run at each phase; the published displacement of 0.005 ‖θ‖ is marked.",
        (DYCK,),
        _sweep,
        drawer("lifecycle_sweep"),
        finding=findings.sweep,
    ),
)
