"""The tables behind the report's figures: evidence in, tidy tables out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from analysis.printed.xu import ETA_LINE, RELU_0, SEED_0, WINDOW_TABLE
from analysis.reading.derived import detected
from analysis.reading.evidence import Evidence
from analysis.statistics.clusters import clustered_band, clustered_line
from analysis.statistics.estimates import clopper_pearson, quartile_columns, ratio_of_medians
from analysis.words import spread

WINDOWS = (3, 5, 7, 10, 15, 20, 25, 30, 40, 64)
"""Of the window figure; ours, from the smallest with a λ₃ to the longest that a band holds by default."""
PRECISION_WINDOWS = (5, 10, 20)
PRECISION_SEEDS = 5
PRINTED_CONDITIONS = ("grok", "eta0")


def of_condition(runs: pd.DataFrame, conditions: Iterable[str], activations: Iterable[str] = ()) -> pd.DataFrame:
    """The runs of these conditions and activations (all if none is named), sorted by activation, condition and seed."""
    order = {name: number for number, name in enumerate(conditions)}
    out = runs[runs["condition"].isin(order)]
    if activations := tuple(activations):
        out = out[out["activation"].isin(activations)]
    return out.sort_values(
        ["activation", "condition", "seed", "run_id"],
        ignore_index=True,
        key=lambda column: column.map(order) if column.name == "condition" else column,
    )


def metric(runs: pd.DataFrame, name: str) -> pd.Series:
    """A summary metric of each run, NaN where it has none."""
    return runs[name].astype(float) if name in runs else pd.Series(np.nan, index=runs.index)


def having(evidence: Evidence, runs: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """The runs whose history has a value of one of these metrics."""
    names = list(metrics)
    seen = [evidence.history(run_id).reindex(columns=names).notna().to_numpy().any() for run_id in runs["run_id"]]
    return runs[np.array(seen, dtype=bool)].reset_index(drop=True)


def curves(evidence: Evidence, runs: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Median and quartiles over seeds by epoch: activation, condition, metric, epoch, runs, median, q1, q3."""
    parts = []
    for (activation, condition), group in runs.groupby(["activation", "condition"], sort=False):
        histories = {run_id: evidence.history(run_id) for run_id in group["run_id"]}
        for name in metrics:
            series = [history.set_index("epoch")[name] for history in histories.values() if name in history]
            if not series:
                continue
            table = pd.concat(series, axis=1).sort_index().dropna(how="all")
            values = table.to_numpy()
            percentile = np.nanpercentile if np.isnan(values).any() else np.percentile  # the same, and the latter is quick
            low, middle, high = percentile(values, [25, 50, 75], axis=1)
            parts.append(
                pd.DataFrame(
                    {
                        "activation": activation,
                        "condition": condition,
                        "metric": name,
                        "epoch": table.index,
                        "runs": table.notna().sum(axis=1).to_numpy(),
                        "median": middle,
                        "q1": low,
                        "q3": high,
                    }
                )
            )
    columns = ["activation", "condition", "metric", "epoch", "runs", "median", "q1", "q3"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def fires(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per run: run_id, activation, condition, seed, fire_epoch (NaN: never)."""
    return runs[["run_id", "activation", "condition", "seed"]].assign(fire_epoch=metric(runs, "fire_epoch"))


def shares(runs: pd.DataFrame, keys: Sequence[str], event: str = "fired") -> pd.DataFrame:
    """How many runs of each group had an event: keys, `event`, runs, share and its Clopper–Pearson interval low, high."""
    rows = []
    for values, group in runs.groupby(list(keys), sort=False):
        known = metric(group, event).fillna(0.0)
        estimate = clopper_pearson(int(known.sum()), len(known))
        counts = {event: int(known.sum()), "runs": len(known)}
        rows.append(
            dict(zip(keys, values, strict=True))
            | counts
            | {"share": estimate.value, "low": estimate.low, "high": estimate.high}
        )
    return pd.DataFrame(rows, columns=[*keys, event, "runs", "share", "low", "high"])


def repulsion(evidence: Evidence, runs: pd.DataFrame) -> pd.DataFrame:
    """Repulsion by activation, condition and epoch over seeds, with the null.

    Returns:
        activation, condition, epoch, runs; median and quartiles of rate, published_estimator, theorem6 and null_rate;
        null_low and null_high, the least and the greatest share that ten draws of random pairs gave in any run.
    """
    names = ("rate", "published_estimator", "theorem6", "null_rate")
    found = []
    for run in runs.to_dict("records"):
        history = evidence.history(run["run_id"])
        if "repulsion/rate" in history:
            seen = history.dropna(subset=["repulsion/rate"])
            found.append(seen.assign(activation=run["activation"], condition=run["condition"]))
    rows = []
    if found:
        for (activation, condition, epoch), group in pd.concat(found).groupby(["activation", "condition", "epoch"], sort=False):
            row = {"activation": activation, "condition": condition, "epoch": epoch, "runs": len(group)}
            for name in names:
                row |= quartile_columns(name, group[f"repulsion/{name}"])
            row |= {"null_low": group["repulsion/null_low"].min(), "null_high": group["repulsion/null_high"].max()}
            rows.append(row)
    columns = ["activation", "condition", "epoch", "runs", *(f"{n}{q}" for n in names for q in ("", "_q1", "_q3"))]
    return pd.DataFrame(rows, columns=[*columns, "null_low", "null_high"])


def published_sign_match() -> pd.DataFrame:
    """The printed sign-match rows: activation, epoch, value."""
    rows = [(name, epoch, float(text)) for name, row in (("square", SEED_0), ("relu", RELU_0)) for epoch, text in row.items()]
    return pd.DataFrame(rows, columns=["activation", "epoch", "value"])


def published_windows() -> pd.DataFrame:
    """The printed late gaps: condition, window, gap."""
    rows = [("grok", window, float(row.late_grok)) for window, row in WINDOW_TABLE.items()]
    rows += [("eta0", window, float(row.late_control)) for window, row in WINDOW_TABLE.items()]
    return pd.DataFrame(rows, columns=["condition", "window", "gap"])


def by_window(evidence: Evidence, runs: pd.DataFrame, windows: Sequence[int]) -> pd.DataFrame:
    """Each run once per detector window that its band holds.

    Returns:
        run_id, condition, seed, method, window, fired, fire_epoch (NaN: never), late_gap_23.
    """
    return by_method(evidence, runs.assign(spectrum_methods=pd.Series([("gram",)] * len(runs), index=runs.index)), windows)


def by_method(evidence: Evidence, runs: pd.DataFrame, windows: Sequence[int]) -> pd.DataFrame:
    """Each run once per recorded spectrum method and window: columns as `by_window` has them."""
    rows = []
    for run in runs.to_dict("records"):
        for window in windows:
            if window > run["max_window"]:
                continue
            for method in run["spectrum_methods"]:
                gap = evidence.gap(run["run_id"], window=window, method=method, seed=run["seed"])
                rows.append(
                    {
                        "run_id": run["run_id"],
                        "condition": run["condition"],
                        "seed": run["seed"],
                        "method": method,
                        "window": window,
                    }
                    | detected(run, gap)
                )
    columns = ["run_id", "condition", "seed", "method", "window", "fired", "fire_epoch", "late_gap_23"]
    return pd.DataFrame(rows, columns=columns)


def gaps_and_shares(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Share that fires with its interval, and the late gap's median and quartiles (`gap`, `gap_q1`, `gap_q3`), by group."""
    out = shares(table, keys)
    late = [quartile_columns("gap", group["late_gap_23"]) for _, group in table.groupby(list(keys), sort=False)]
    return pd.concat([out, pd.DataFrame(late, columns=["gap", "gap_q1", "gap_q3"])], axis=1)


def eta(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The ρ rule against generalisation over the sweep of weight decay.

    Args:
        runs: of the study, with `rho_epoch`.

    Returns:
        `runs`: run_id, weight_decay, epochs, seed, test_50_epoch, rho_epoch, fitted (has both, and is not the one long run);
        `fit`: slope, intercept and R² with intervals that leave out one seed at a time, n; empty with fewer than three seeds;
        `line`: x, fit, low, high (95 % band of the mean, likewise), published.
    """
    table = runs[["run_id", "weight_decay", "epochs", "seed"]].assign(
        test_50_epoch=metric(runs, "test_50_epoch"), rho_epoch=metric(runs, "rho_epoch")
    )
    table = table.sort_values(["weight_decay", "epochs", "seed"], ignore_index=True)
    both = table[["test_50_epoch", "rho_epoch"]].notna().all(axis=1)
    table["fitted"] = both & (table["epochs"] == table["epochs"].min())
    x, y, seed = (table.loc[table["fitted"], name].to_numpy() for name in ("test_50_epoch", "rho_epoch", "seed"))
    found = clustered_line(x, y, seed)
    if np.isnan(found.slope.estimate.value):
        return {"runs": table, "fit": pd.DataFrame(), "line": pd.DataFrame()}
    fit: dict[str, float] = {"n": len(x)}
    for name, (estimate, _, _) in zip(("slope", "intercept", "r_squared"), found, strict=True):
        fit |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    at = np.linspace(x.min(), x.max(), 60)
    line, low, high = clustered_band(x, y, seed, at)
    slope, intercept = (float(text) for text in ETA_LINE[:2])
    lines = {"x": at, "fit": line, "low": low, "high": high, "published": intercept + slope * at}
    return {"runs": table, "fit": pd.DataFrame([fit]), "line": pd.DataFrame(lines)}


def scaling(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per modulus and share of training pairs.

    Args:
        runs: with `rho_epoch` and `lead`.

    Returns:
        modulus, share (p, one digit), n_train, grokked (test accuracy ≥ 0.99), runs, grok_rate with its interval, diverged,
        and medians with quartiles of test_50_epoch, test_99_epoch, rho_epoch and lead over the runs that have them.
    """
    p = (runs["n_train"].astype(float) / runs["modulus"].astype(float) ** 2).round(1)
    runs = runs.assign(share=p, grokked=metric(runs, "test_99_epoch").notna().astype(float)).sort_values(["modulus", "share"])
    rows = []
    for (modulus, share), group in runs.groupby(["modulus", "share"]):
        estimate = clopper_pearson(int(group["grokked"].sum()), len(group))
        row = {
            "modulus": modulus,
            "share": share,
            "n_train": group["n_train"].iloc[0],
            "grokked": int(group["grokked"].sum()),
            "runs": len(group),
            "grok_rate": estimate.value,
            "grok_rate_low": estimate.low,
            "grok_rate_high": estimate.high,
            "diverged": int((group["state"] == "diverged").sum()),
        }
        for name in ("test_50_epoch", "test_99_epoch", "rho_epoch", "lead"):
            row |= quartile_columns(name, metric(group, name))
        rows.append(row)
    return pd.DataFrame(rows)


def activations(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per activation: shares that generalise and fire in both conditions, epochs, and the separation of late gaps."""
    rows = []
    for activation, group in runs.groupby("activation", sort=False):
        row: dict[str, object] = {"activation": activation}
        parts = {name: group[group["condition"] == name] for name in PRINTED_CONDITIONS}
        for name, part in parts.items():
            happened = {"generalised": metric(part, "test_50_epoch").notna(), "fired": metric(part, "fired").fillna(0) > 0}
            for event, seen in happened.items():
                share, key = clopper_pearson(int(seen.sum()), len(part)), f"{name}_{event}"
                row |= {f"{key}_share": share.value, f"{key}_low": share.low, f"{key}_high": share.high}
                row[f"{key}_text"] = f"{int(seen.sum())}/{len(part)}"
        for key, label in (("test_50_epoch", "test_50"), ("fire_epoch", "fire")):
            found = quartile_columns(label, metric(parts["grok"], key))
            row |= {**found, f"{label}_text": spread(found[label], found[f"{label}_q1"], found[f"{label}_q3"], decimals=0)}
        late = [metric(parts[name], "late_gap_23").dropna().to_numpy() for name in PRINTED_CONDITIONS]
        ratio = ratio_of_medians(*late)
        row |= {"separation": ratio.value, "separation_low": ratio.low, "separation_high": ratio.high}
        row["separation_text"] = spread(ratio.value, ratio.low, ratio.high)
        rows.append(row)
    return pd.DataFrame(rows)
