"""A study's summary: one row per run, one per condition, medians with quartiles. Arrays and tables in, tables out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics.estimates import quartile_columns
from grok.spec.config import EXECUTION_FIELDS, RunConfig
from grok.spec.fields import to_text

MEASURES = ("fire_epoch", "late_gap_23", "test_50_epoch", "test_99_epoch", "accuracy/test", "rho_epoch", "lead")
REPULSION = ("rate", "null_rate", "theorem6", "published_estimator", "median_cos", "positive_share")
PLAIN = ("condition", "activation", "optimizer")
"""Settings whose values need no name beside them."""
Label = tuple[str, ...]
"""Condition, then the settings that vary within one, as words."""


def repulsion(runs: pd.DataFrame, histories: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Repulsion by condition, setting and epoch: median and quartiles over seeds.

    Args:
        runs: a row per run.
        histories: by run id.

    Returns:
        condition, what varies, epoch, runs, and `<name>`, `<name>_q1`, `<name>_q3` of each of `REPULSION`; empty if none
        was measured.
    """
    keys = ["condition", *settings(runs)]
    columns = [f"repulsion/{name}" for name in REPULSION]
    parts = []
    for run in runs.to_dict("records"):
        history = histories[run["run_id"]]
        if "repulsion/rate" in history:
            seen = history.dropna(subset=["repulsion/rate"])[["epoch", *columns]]
            parts.append(seen.assign(**{key: told(run[key]) for key in keys}))
    if not parts:
        return pd.DataFrame()
    rows: list[dict[str, Any]] = []
    for values, group in pd.concat(parts).groupby([*keys, "epoch"], sort=False):
        row: dict[str, Any] = {str(k): v for k, v in zip((*keys, "epoch"), values, strict=True)} | {"runs": len(group)}
        for name in REPULSION:
            row |= _quartiles(name, group[f"repulsion/{name}"])
        rows.append(row)
    return pd.DataFrame(rows)


def _quartiles(name: str, values: pd.Series) -> dict[str, float]:
    """Median and quartiles as `<name>`, `<name>_q1`, `<name>_q3`, NaN if no value is known; `<name>_n` values."""
    return quartile_columns(name, values) | {f"{name}_n": int(values.notna().sum())}


def settings(runs: pd.DataFrame) -> list[str]:
    """The config fields, and `window`, that differ between runs; seeds and fields of execution left out."""
    fields = [name for name in RunConfig().to_strings() if name not in ("seed", *EXECUTION_FIELDS)]
    return [name for name in fields if name in runs and runs[name].map(str).nunique() > 1]


def told(value: object) -> str:
    """A setting as a command line has it where it is a list, else as Python has it."""
    return to_text(value) if isinstance(value, tuple) else str(value)


def conditions(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per condition and setting, the seeds gathered.

    Args:
        runs: a row per run.

    Returns:
        condition, the config fields that vary, `runs`, `diverged`, `diverged_epoch` (earliest; only where one diverged),
        `fired` (how many), `fire_epochs` (each, by seed), and for each of `MEASURES` the median with its quartiles:
        `<name>`, `<name>_q1`, `<name>_q3`, over the `<name>_n` runs that have it.
    """
    keys = ["condition", *settings(runs)]
    rows = []
    for values, group in runs.groupby(
        [runs[key].map(told) if runs[key].dtype == object else runs[key] for key in keys], sort=False
    ):
        row = dict(zip(keys, values, strict=True)) | {"runs": len(group)}
        row["diverged"] = int((group["state"] == "diverged").sum())
        if row["diverged"]:
            row["diverged_epoch"] = group["diverged_epoch"].min()
        row["fired"] = int(group["fired"].sum())
        in_order = group.sort_values("seed")["fire_epoch"] if "fire_epoch" in group else pd.Series([np.nan] * len(group))
        row["fire_epochs"] = " ".join("–" if np.isnan(epoch) else f"{epoch:.0f}" for epoch in in_order)
        for name in MEASURES:
            row |= _quartiles(name, group[name] if name in group else pd.Series(dtype=float))
        rows.append(row)
    return pd.DataFrame(rows)


def label_fields(runs: pd.DataFrame) -> list[str]:
    """`condition` and the fewest settings that tell the runs of one condition apart; seeds are gathered."""
    kept = ["condition"]
    texts = runs.map(str)
    for name in sorted(settings(runs), key=lambda name: name not in PLAIN):
        if texts.groupby(kept)[name].nunique().max() > 1:
            kept.append(name)
    return kept


def label(row: Mapping[Any, Any], fields: Sequence[str]) -> Label:
    """What a row is called in figures and tables: its condition, then what varies within one."""
    return tuple(told(row[name]) if name in PLAIN else f"{name}={told(row[name])}" for name in fields)


def series(runs: pd.DataFrame, histories: dict[str, pd.DataFrame], metric: str) -> dict[Label, pd.DataFrame]:
    """Median and quartiles of a metric over the seeds of each condition, by epoch.

    Args:
        runs: a row per run.
        histories: by run id.
        metric: a column of the histories.

    Returns:
        By label: columns epoch, median, low, high; each epoch over the runs that have it, so that one which diverged early
        does not hide the others.
    """
    fields = label_fields(runs)
    out: dict[Label, pd.DataFrame] = {}
    for _, group in runs.groupby([runs[name].map(str) for name in fields], sort=False):
        columns = [histories[run_id].set_index("epoch")[metric] for run_id in group["run_id"] if metric in histories[run_id]]
        if not columns:
            continue
        table = pd.concat(columns, axis=1, join="outer").sort_index().dropna(how="all")
        low, median, high = np.nanpercentile(table.to_numpy(), [25, 50, 75], axis=1) if len(table) else ([], [], [])
        out[label(group.iloc[0].to_dict(), fields)] = pd.DataFrame(
            {"epoch": table.index, "median": median, "low": low, "high": high}
        )
    return out


def repulsion_series(table: pd.DataFrame, fields: Sequence[str], name: str) -> dict[Label, pd.DataFrame]:
    """A quantity of `repulsion`'s table by label: columns epoch, median, low, high.

    Args:
        table: as `repulsion` gives it. fields: as `label_fields` gives them. name: one of `REPULSION`.
    """
    out = {}
    for _, group in table.groupby(list(fields), sort=False):
        columns = {"epoch": "epoch", name: "median", f"{name}_q1": "low", f"{name}_q3": "high"}
        out[label(group.iloc[0].to_dict(), fields)] = group[list(columns)].rename(columns=columns)
    return out
