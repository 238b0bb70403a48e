"""A study's summary: one row per run, one per condition, medians with quartiles. Arrays and tables in, tables out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grok.config import EXECUTION_FIELDS, RunConfig
from grok.detectors import fire_epoch
from grok.history import LATE_EPOCHS
from grok.spectra import gap, rolling_eigenvalues

MEASURES = ("fire_epoch", "late_gap_23", "test_50_epoch", "test_99_epoch", "accuracy/test")
PLAIN = ("activation", "optimizer")
"""Settings whose values need no name beside them."""


def by_window(runs: pd.DataFrame, bands: dict[str, dict[str, np.ndarray]], windows: tuple[int, ...]) -> pd.DataFrame:
    """The runs' table once per window, with the detector's verdict and the late gap read from the band.

    Args:
        runs: as `queries.study_runs` gives it.
        bands: by run id.
        windows: each at most the band's lags.

    Returns:
        `runs` with `window`, `fired`, `fire_epoch` and `late_gap_23` replaced, len(windows) times as long.
    """
    rows = []
    for window in windows:
        for row in runs.to_dict("records"):
            band = bands[row["run_id"]]["w"]
            series = gap(rolling_eigenvalues(band, window, 3), 2, window)
            fired = fire_epoch(series, row["slope_lag"], row["slope_threshold"], row["first_epoch"])
            late = series[LATE_EPOCHS[0] : LATE_EPOCHS[1] + 1]
            measured = {"window": window, "fired": float(fired is not None), "fire_epoch": np.nan if fired is None else fired}
            measured["late_gap_23"] = float(np.nanmedian(late)) if np.isfinite(late).any() else np.nan
            rows.append(row | measured)
    return pd.DataFrame(rows)


def settings(runs: pd.DataFrame) -> list[str]:
    """The config fields, and `window`, that differ between runs; seeds and fields of execution left out."""
    fields = [name for name in RunConfig().to_strings() if name not in ("seed", *EXECUTION_FIELDS)]
    return [name for name in fields if name in runs and runs[name].map(str).nunique() > 1]


def conditions(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per condition and setting, the seeds gathered.

    Args:
        runs: a row per run.

    Returns:
        condition, the config fields that vary, `runs`, `diverged`, `diverged_epoch` (earliest; only where one diverged),
        `fired` (how many), and for each of `MEASURES` the median with its quartiles: `<name>`, `<name>_q1`, `<name>_q3`,
        over the runs that have it.
    """
    keys = ["condition", *settings(runs)]
    rows = []
    for values, group in runs.groupby(
        [runs[key].map(str) if runs[key].dtype == object else runs[key] for key in keys], sort=False
    ):
        row = dict(zip(keys, values, strict=True)) | {"runs": len(group)}
        row["diverged"] = int((group["state"] == "diverged").sum())
        if row["diverged"]:
            row["diverged_epoch"] = group["diverged_epoch"].min()
        row["fired"] = int(group["fired"].sum())
        for name in MEASURES:
            known = group[name].dropna() if name in group else pd.Series(dtype=float)
            quartiles = np.percentile(known, [50, 25, 75]) if len(known) else [np.nan] * 3
            row |= dict(zip((name, f"{name}_q1", f"{name}_q3"), quartiles, strict=True))
        rows.append(row)
    out = pd.DataFrame(rows)
    return out.sort_values(keys[1:] or keys, kind="stable", ignore_index=True) if len(keys) > 1 else out


def markdown(table: pd.DataFrame) -> str:
    """The condition table as Markdown for people: `median [q1, q3]`, a dash where nothing was measured."""
    names = {
        "fire_epoch": "fires at", "late_gap_23": "late λ₂/λ₃", "test_50_epoch": "test ≥ 0.5 at",
        "test_99_epoch": "test ≥ 0.99 at", "accuracy/test": "test accuracy, last",
    }  # fmt: skip
    keys = [name for name in table.columns[: list(table.columns).index("runs")] if name != "checkpoint_epochs"]
    lines = ["| " + " | ".join([*keys, "runs", "fired", *names.values(), "diverged"]) + " |"]
    lines.append("|" + "---|" * (len(keys) + len(names) + 3))
    for row in table.to_dict("records"):
        cells = [f"{row[key]:g}" if isinstance(row[key], float) else str(row[key]) for key in keys]
        cells += [str(row["runs"]), f"{row['fired']}/{row['runs']}"]
        cells += [_spread(row[name], row[f"{name}_q1"], row[f"{name}_q3"]) for name in names]
        cells.append(f"{row['diverged']} (epoch {row['diverged_epoch']:.0f})" if row["diverged"] else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(median: float, low: float, high: float) -> str:
    if np.isnan(median):
        return "–"
    middle, lower, upper = (f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}" for value in (median, low, high))
    return f"{middle} [{lower}, {upper}]"


def series(runs: pd.DataFrame, histories: dict[str, pd.DataFrame], metric: str) -> dict[str, pd.DataFrame]:
    """Median and quartiles of a metric over the seeds of each condition, by epoch.

    Args:
        runs: a row per run.
        histories: by run id.
        metric: a column of the histories.

    Returns:
        By label (the condition and what varies within one): columns epoch, median, low, high; each epoch over the runs that
        have it, so that one which diverged early does not hide the others.
    """
    varied = [name for name in settings(runs) if runs.groupby("condition")[name].agg(lambda x: x.map(str).nunique()).max() > 1]
    out = {}
    for values, group in runs.groupby(["condition", *(runs[name].map(str) for name in varied)], sort=False):
        columns = [histories[run_id].set_index("epoch")[metric] for run_id in group["run_id"] if metric in histories[run_id]]
        if not columns:
            continue
        table = pd.concat(columns, axis=1, join="outer").sort_index().dropna(how="all")
        low, median, high = np.nanpercentile(table.to_numpy(), [25, 50, 75], axis=1) if len(table) else ([], [], [])
        texts = [str(value) for value in values]
        parts = [text if name in PLAIN else f"{name}={text}" for name, text in zip(varied, texts[1:], strict=True)]
        out[", ".join([texts[0], *parts])] = pd.DataFrame({"epoch": table.index, "median": median, "low": low, "high": high})
    return out
