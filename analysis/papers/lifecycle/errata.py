"""Chapters of errata where a control decides: probes, the ratio of g₂₃, a line over depths, what is so by definition."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.exhibits.model import Chapter
from analysis.exhibits.sources import Absent, Sources
from analysis.papers.lifecycle.arms import THRESHOLDS, events
from analysis.papers.lifecycle.margins import LOGGED
from analysis.papers.lifecycle.reading import DYCK, LONG, PUBLISHED_N, grok_step, ledger, measured, run_of, value
from grok.numerics.edge import compression, gap_23
from grok.runs.edge_shares import windows

PROBED: tuple[str, ...] = (
    "before/linear_raw/token",
    "before/linear_standardised_ols/token",
    "before/linear_standardised_ols/sequence",
    "before/mlp_raw/token",
    "before/mlp_standardised/sequence",
    "after/logistic_standardised/sequence",
)
PROBE_STEPS = (200, 500, 600, 1400, 2000, 3900)


def probe_table(sources: Sources) -> pd.DataFrame:
    """Scores by condition, step and reader, the median over seeds, and the nulls: shuffled labels and the untrained network."""
    rows = []
    for condition in ("grok", "memo", "prefix"):
        runs = [str(run_id) for run_id in sources.take(DYCK, condition=condition)["run_id"]]
        for step in PROBE_STEPS:
            for name in (*PROBED, "shuffled/linear_raw/token", "shuffled/mlp_raw/token"):
                score = float(np.median([measured(sources, run_id, "probe", name, step) for run_id in runs]))
                rows.append([condition, step, name, score])
        for name in ("linear_raw/token", "linear_standardised_ols/sequence", "mlp_raw/token"):
            found = [measured(sources, run_id, "untrained", name, PROBE_STEPS[0]) for run_id in runs]
            rows.append([condition, 0, f"untrained/{name}", float(np.median(found))])
    return pd.DataFrame(rows, columns=["condition", "step", "reader", "score"])


def _probes(sources: Sources) -> tuple[str, pd.DataFrame]:
    table = probe_table(sources)
    late = table[(table["condition"] == "grok") & (table["step"].isin((0, PROBE_STEPS[-1])))].set_index("reader")["score"]
    told = [f"{name} {late[name]:.3f}" for name in (*PROBED, "untrained/linear_raw/token", "untrained/mlp_raw/token")]
    return f"At step {PROBE_STEPS[-1]} with weight decay: " + ", ".join(told) + ".", table


def _g23(sources: Sources) -> tuple[str, pd.DataFrame]:
    """The published ratio, the same without its maximum, and what its selection gives by chance, with decay and without."""
    rows = []
    groks = [grok_step(sources, str(run_id), 0.95, LOGGED) for run_id in sources.take(DYCK, condition="grok")["run_id"]]
    until_then = float(np.nanmedian(groks)) if np.isfinite(groks).any() else float("nan")
    for condition, study in (("grok", DYCK), ("memo", LONG)):
        for run in sources.take(study, condition=condition).to_dict("records"):
            edges = windows(ledger(sources, str(run["run_id"]), PUBLISHED_N), 3)
            grok = grok_step(sources, str(run["run_id"]), 0.95, LOGGED) if condition == "grok" else until_then
            until = [place for place, one in enumerate(edges) if one.end * PUBLISHED_N <= grok]
            if len(until) > 2:
                rows.append([condition, int(run["seed"]), grok, *compression(gap_23(edges), until[-1], first=1)])
    table = pd.DataFrame(rows, columns=["condition", "seed", "until", "published", "plain", "shuffled"])
    if table.empty:
        raise Absent("no run reached the grok step")
    middle = table.groupby("condition", sort=False)[["published", "plain", "shuffled"]].median()
    told = [
        f"{condition}: {row['published']:.3g} as published, {row['plain']:.3g} without the maximum, {row['shuffled']:.3g} for "
        "the same values in any order"
        for condition, row in middle.iterrows()
    ]
    return "; ".join(told) + " (medians).", table


def _ramp(sources: Sources) -> tuple[str, pd.DataFrame]:
    """Elevation over depth beside that of a straight line."""
    rows = []
    for run in sources.take(DYCK, condition="grok").to_dict("records"):
        for step in PROBE_STEPS[1:]:
            run_id, names = str(run["run_id"]), ("elevation", "ramp", "quadratic")
            found = {name: measured(sources, run_id, "fourier", name, step) for name in names}
            rows.append({"seed": int(run["seed"]), "step": step} | found)
    table = pd.DataFrame(rows)
    middle = table[["elevation", "ramp", "quadratic"]].median()
    text = f"Elevation {middle['elevation']:.2f} (median), a ramp over the same depths {middle['ramp']:.2f}, a parabola "
    return text + f"{middle['quadratic']:.2f}.", table


def _by_definition(sources: Sources) -> tuple[str, pd.DataFrame]:
    """Grad% without decay, whatever the labels: it can be nothing but 1."""
    tables = [events(sources, DYCK, condition).table for condition in ("memo", "prefix_memo", "random_memo")]
    table = pd.concat(tables, ignore_index=True)
    shares = [value(sources, run_id, "edge/grad_share", 600) for run_id in table["run_id"]]
    text = f"grad% at step 600 of the {len(shares)} runs without decay, true labels or not: {min(shares):g} to {max(shares):g}."
    return text, table.assign(grad_share_600=shares)


OFFSETS = (-400, -200, 0, 200, 400, 1000, 2000)
TIMES = (0.5, 1.0, 2.0, 4.0)


def phase_table(sources: Sources) -> pd.DataFrame:
    """grad% at fixed offsets from the grok step at each threshold: a row per run, threshold and offset; NaN outside the run."""
    rows = []
    for run in sources.take(DYCK, condition="grok").to_dict("records"):
        history = sources.evidence.history(str(run["run_id"])).set_index("step")
        for level in THRESHOLDS:
            grok = grok_step(sources, str(run["run_id"]), level)
            for offset in OFFSETS:
                step = grok + offset
                found = history["edge/grad_share"].get(step, float("nan")) if np.isfinite(grok) else float("nan")
                pace = float(run["learning_rate"]) * float(run["weight_decay"])
                rows.append([int(run["seed"]), level, grok, offset, step * pace, float(found)])
    return pd.DataFrame(rows, columns=["seed", "level", "grok_step", "offset", "eta_omega_t", "grad_share"])


def _phases(sources: Sources) -> tuple[str, pd.DataFrame]:
    table = phase_table(sources)
    told = []
    for level, part in table.groupby("level"):
        steps = part.drop_duplicates("seed")["grok_step"]
        at = part[part["offset"] == 0]["grad_share"]
        reached = int(steps.notna().sum())
        where = ", ".join("never" if np.isnan(step) else f"{step:.0f}" for step in steps)
        there = f" (at steps {where}), grad% there {at.min():.2f} to {at.max():.2f}" if reached else ""
        told.append(f"{level:g} is reached in {reached} of {len(steps)} runs{there}")
    wide = table.pivot(index=["seed", "level", "grok_step"], columns="offset", values="grad_share").reset_index()
    wide = wide.rename(columns={offset: f"{offset:+d}" for offset in OFFSETS}).rename_axis(columns=None)
    for time in TIMES:
        wide[f"ηωt = {time:g}"] = [_share_at(sources, int(seed), time) for seed in wide["seed"]]
    return "; ".join(
        told
    ) + ". Columns: grad% so many steps from the grok step, and at an ηωt, which is the same for each.", wide


def _share_at(sources: Sources, seed: int, time: float) -> float:
    """grad% of a run that groks at an ηωt; NaN outside the run."""
    run = run_of(sources, DYCK, "grok", seed)
    step = round(time / (float(run["learning_rate"]) * float(run["weight_decay"])))
    return float(sources.evidence.history(str(run["run_id"])).set_index("step")["edge/grad_share"].get(step, float("nan")))


CHAPTERS: tuple[Chapter, ...] = (
    Chapter(
        "lifecycle-probes",
        "What a probe with a fixed penalty on raw features reads, and what its nulls do",
        (DYCK,),
        "lifecycle-probes",
        "The published probe has a ridge penalty of 1 on raw features, whose scale weight decay shrinks, sits before the last "
        "norm, and is scored on tokens most of which have the same prefix, hence the same features, in its training part. "
        "Labels are shuffled token by token, so that equal prefixes disagree: that null cannot show what memory of prefixes "
        "gives, the split by sequence can. "
        "Beside it: standardised features, no penalty, sequences apart, the network's own kind of read-out, shuffled labels, "
        "and the untrained network.",
        _probes,
    ),
    Chapter(
        "lifecycle-phases",
        "What is at grokking depends on what grokking is",
        (DYCK,),
        "lifecycle-phases",
        "The paper puts the grok step at the first logged test accuracy of 0.95; the author's earlier paper has 0.99 for the "
        "same configuration and seeds. Phases at fixed offsets from each threshold stand side by side, and every window is "
        "drawn.",
        _phases,
    ),
    Chapter(
        "lifecycle-g23",
        "The compression of g₂₃ is at least one by construction",
        (DYCK, LONG),
        None,
        "The early value is the largest up to the grok step, the late one the last of the same: their ratio cannot be below "
        "one, and runs without decay, which do not grok, have larger ones in the paper's own table. Here both are read at the "
        "same steps: each run that groks up to its grok step, runs without decay up to the median of these.",
        _g23,
    ),
    Chapter(
        "lifecycle-ramp",
        "How elevated a straight line over the same depths is",
        (DYCK,),
        None,
        "The elevation over depth is the share of the largest frequency times the number of bins. A response that only grows "
        "with depth, without any period, has 3.8.",
        _ramp,
    ),
    Chapter(
        "lifecycle-by-definition",
        "Without weight decay grad% is one by definition",
        (DYCK,),
        None,
        "E_w is zero where nothing decays, so that runs without decay cannot show that alignment needs grokking. The control "
        "that can is decay without generalisation: labels of prefixes.",
        _by_definition,
    ),
)
