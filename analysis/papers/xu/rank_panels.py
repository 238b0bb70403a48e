"""The figure of the ranks: ratios of neighbouring eigenvalues by condition, beside those of drifts that have no rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibits.panels import Panel, Prepared, Tables
from analysis.papers.xu import findings
from analysis.papers.xu.ranks import KINDS, LATE, LAYERS, medians
from analysis.reading.evidence import Evidence
from grok.numerics.rank import LEAD, RATIOS
from grok.store.errors import StoreError


def _of_run(evidence: Evidence, run_id: str) -> pd.DataFrame:
    try:
        return evidence.measured(run_id, "ranks")
    except StoreError:
        return pd.DataFrame(columns=["layer", "first"])


def prepare(evidence: Evidence) -> Prepared:
    """Per layer, kind and k: median and quartiles over runs of λ_k/λ_{k+1} of unit-norm updates, and the drifts' largest."""
    rows, used = [], list[str]()
    for study, condition, activation in KINDS.values():
        runs = evidence.runs(study)
        if runs.empty:
            continue
        for layer, name in LAYERS.items():
            chosen = runs[(runs["condition"] == condition) & (runs["activation"] == activation)]
            found = {run_id: medians(_of_run(evidence, run_id), layer, LATE[0]) for run_id in chosen["run_id"]}
            known = {run_id: one for run_id, one in found.items() if one is not None}
            if not known:
                continue
            used += known
            ratios = np.exp(np.array([one["unit"] for one in known.values()]))
            drifts = np.exp(np.array([one["unit"] - one["excess"] for one in known.values()]))
            place = {"layer": name, "activation": activation, "condition": condition, "runs": len(known)}
            for k in range(RATIOS):
                low, middle, high = np.quantile(ratios[:, k], [0.25, 0.5, 0.75])
                drift = float(np.median(drifts[:, k]))
                rows.append(place | {"k": k + 1, "ratio": middle, "q1": low, "q3": high, "drift": drift})
    return Prepared({"ratios": pd.DataFrame(rows)}, tuple(dict.fromkeys(used)))


def draw(tables: Tables) -> Any:
    """The figure."""
    from analysis.figures.ranks import ratios

    return ratios(tables["ratios"])


PANELS: tuple[Panel, ...] = (
    Panel(
        "ranks",
        "Ratios of neighbouring eigenvalues, and what drifts without a rank have",
        f"λ_k/λ_k+1 of the last 20 updates, each scaled to length 1, over epochs {LATE[0]} … {LATE[1]}. Markers: median over "
        f"seeds; bars: quartiles; grey: the most of a drift without a rank. Told: {LEAD:g} times all others and the drift.",
        ("headline", "relu", "controls"),
        prepare,
        draw,
        finding=findings.ranks,
    ),
)
