"""Figures of the report in which every run is a point, and every share has its interval."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from analysis.figures.curves import GRAY, WIDTH
from analysis.figures.style import ACTIVATIONS, COLOURS, CONDITIONS, INK, STYLE, Axis, key, placed, plain, power

METHODS = {"gram": "float64 Gram", "gram32": "float32 Gram", "svd": "full SVD"} | {
    f"randomized_{n}": f"randomised SVD, +{n}" for n in (5, 10, 20)
}


def detector_controls(shares: pd.DataFrame, fires: pd.DataFrame, axes: Axis = None) -> Figure:
    """Where the detector fires: the share of runs, and each run's epoch, by activation and condition.

    Args:
        shares: activation, condition, fired, runs, share, low, high; a row of the figure each, top first; where they are known,
            the share that generalised and the published share.
        fires: activation, condition, fire_epoch (NaN: never), and whether it generalised, where that is known.
        axes: two that share y, to draw into; None for a figure of its own.
    """
    rows = list(zip(shares["activation"], shares["condition"], strict=True))
    steps = [0.0, *(1.0 if above == below else 1.6 for (above, _), (below, _) in pairwise(rows))]
    at = dict(zip(rows, np.cumsum(steps).tolist(), strict=True))
    with rc_context(STYLE):
        size = (WIDTH, 1.2 + 0.34 * max(at.values()))
        figure, (left, right) = placed(axes, size, 1, 2, sharey=True, width_ratios=(1, 1.35))
        for row in shares.to_dict("records"):
            y = at[row["activation"], row["condition"]]
            _, colour, _, marker = CONDITIONS[row["condition"]]
            left.plot([row["low"], row["high"]], [y, y], color=colour)
            filled = colour if row.get("generalised", 1.0) >= 0.5 else "none"
            left.plot([row["share"]], [y], color=colour, marker=marker, markersize=6.5, linestyle="", markerfacecolor=filled)
            if not np.isnan(row.get("published", np.nan)):
                left.plot([row["published"]], [y], color=INK, marker="x", markersize=7, linestyle="", clip_on=False, zorder=4)
            left.annotate(
                f"{row['fired']}/{row['runs']}", (1.03, y), xycoords=("axes fraction", "data"), va="center", fontsize=8
            )
            mine = (fires["activation"] == row["activation"]) & (fires["condition"] == row["condition"])
            fired = fires[mine].dropna(subset="fire_epoch")
            heights = y + _spread(len(fired))
            known = fired.get("generalised", pd.Series(True, fired.index)).to_numpy(bool)
            for of, face in ((known, colour), (~known, "none")):
                epochs = fired["fire_epoch"].to_numpy()[of]
                right.plot(
                    epochs,
                    heights[of],
                    linestyle="",
                    marker=marker,
                    markersize=5,
                    color=colour,
                    markerfacecolor=face,
                    alpha=0.8,
                )
            if not len(fired):
                right.annotate("never", (0.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=GRAY)
        left.set_yticks(list(at.values()), [f"{ACTIVATIONS[a]}: {CONDITIONS[c][0]}" for a, c in rows])
        left.set(xlabel="share of runs that fire", xlim=(-0.04, 1.04), xticks=(0, 0.25, 0.5, 0.75, 1))
        left.invert_yaxis()
        right.set(xlabel="fire epoch", xmargin=0.06)
    return figure


def eta_scatter(points: pd.DataFrame, line: pd.DataFrame, text: str, axes: Axis = None) -> Figure:
    """Epoch of the ρ rule against epoch of generalisation, a point per run, with the regression and the published line.

    Args:
        points: weight_decay, test_50_epoch, rho_epoch.
        line: x, fit, low, high, published.
        text: the fitted equation.
        axes: to draw into; None for a figure of its own.
    """
    values = sorted(points["weight_decay"].unique())
    markers = "osD^vP*X"
    with rc_context(STYLE):
        figure, (ax,) = placed(axes, (WIDTH, 3.6))
        for number, value in enumerate(values):
            part = points[points["weight_decay"] == value]
            ax.plot(
                part["test_50_epoch"],
                part["rho_epoch"],
                linestyle="",
                marker=markers[number % len(markers)],
                markersize=5.5,
                color=COLOURS[number % len(COLOURS)],
                label=f"$\\eta$ = {power(value)}",
            )
        if len(line):
            ax.fill_between(line["x"], line["low"], line["high"], color=GRAY, alpha=0.25, linewidth=0)
            ax.plot(line["x"], line["fit"], color=GRAY, label=text)
            ax.plot(line["x"], line["published"], color=GRAY, linestyle="--", linewidth=1, label="printed line")
        ax.set(xlabel="first epoch with test accuracy ≥ 0.5", ylabel=r"first epoch with $\rho \geq 0.075$", ylim=(0, None))
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def windows(table: pd.DataFrame, fires: pd.DataFrame, published: pd.DataFrame, axes: Axis = None) -> Figure:
    """What the window does: share of runs that fire, fire epochs, late gap, by condition.

    Args:
        table: condition, window, share, low, high, gap, gap_q1, gap_q3.
        fires: condition, window, fire_epoch.
        published: condition, window, gap.
        axes: three that share x, to draw into; None for a figure of its own.
    """
    with rc_context(STYLE):
        figure, (top, middle, bottom) = placed(axes, (WIDTH, 5.6), 3, sharex=True, height_ratios=(1, 1.2, 1.2))
        for shift, condition in ((-0.012, "grok"), (0.012, "eta0")):
            label, colour, dash, marker = CONDITIONS[condition]
            part = table[table["condition"] == condition]
            if part.empty:
                continue
            x = part["window"].to_numpy() * np.exp(shift)
            style: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": marker, "markersize": 4.5, "capsize": 2}
            top.errorbar(x, part["share"], yerr=_bars(part, "share", "low", "high"), label=label, **style)
            bottom.errorbar(x, part["gap"], yerr=_bars(part, "gap", "gap_q1", "gap_q3"), **style)
            mine = fires[fires["condition"] == condition].dropna(subset="fire_epoch")
            for window, group in mine.groupby("window"):
                x_runs = window * np.exp(2.2 * shift + 0.02 * _spread(len(group)))
                middle.plot(x_runs, group["fire_epoch"], linestyle="", marker=marker, markersize=3.5, color=colour, alpha=0.7)
            printed = published[published["condition"] == condition]
            bottom.plot(
                printed["window"],
                printed["gap"],
                linestyle="",
                marker="x",
                markersize=7,
                color=colour,
                label=f"printed, {label}",
            )
        top.set(ylabel="share that fires", ylim=(-0.05, 1.08))
        middle.set(ylabel="fire epoch")
        bottom.set(ylabel=r"late $\lambda_2/\lambda_3$", yscale="log", xlabel="window w, epochs", xscale="log")
        _ticks(bottom, sorted(table["window"].unique()))
        handles = [*top.get_legend_handles_labels()[0], *bottom.get_legend_handles_labels()[0]]
        key(figure, axes, top, handles, 2)
    return figure


def precision(table: pd.DataFrame) -> Figure:
    """The late gap and the share of runs that fire by the method that computed the spectrum, a column per window.

    Args:
        table: condition, window, method, share, low, high, gap, gap_q1, gap_q3.
    """
    found = list(dict.fromkeys(table["method"]))
    methods, sizes = sorted(found, key=[*METHODS, *found].index), sorted(table["window"].unique())
    shifts = [(shift, name) for shift, name in ((-0.15, "grok"), (0.15, "eta0")) if (table["condition"] == name).any()]
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.6 + 0.42 * len(methods)))
        axes = figure.subplots(2, len(sizes), sharey=True, sharex="row", squeeze=False)
        for (row, (name, low, high)), (column, window) in (
            (r, c) for r in enumerate((("share", "low", "high"), ("gap", "gap_q1", "gap_q3"))) for c in enumerate(sizes)
        ):
            ax = axes[row, column]
            for shift, condition in shifts:
                label, colour, _, marker = CONDITIONS[condition]
                mine = table[(table["condition"] == condition) & (table["window"] == window)]
                part = mine.set_index("method").reindex(methods)
                ax.errorbar(
                    part[name],
                    np.arange(len(methods)) + shift,
                    xerr=_bars(part, name, low, high),
                    linestyle="",
                    color=colour,
                    marker=marker,
                    markersize=4.5,
                    capsize=2,
                    label=label,
                )
            if row == 0:
                ax.set(title=f"w = {window}", xlabel="share that fires", xlim=(-0.06, 1.06))
            else:
                ax.set(xscale="log", xlabel=r"late $\lambda_2/\lambda_3$")
        for ax in axes[:, 0]:
            ax.set_yticks(range(len(methods)), [METHODS.get(method, plain(method)) for method in methods])
            ax.set_ylim(len(methods) - 0.5, -0.5)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def _bars(table: pd.DataFrame, name: str, low: str, high: str) -> np.ndarray:
    """(2, n) distances of an interval's ends, as errorbar wants them."""
    return np.asarray(np.clip(np.array([table[name] - table[low], table[high] - table[name]]), 0, None))


def _spread(count: int) -> np.ndarray:
    """Offsets in [−0.22, 0.22], which keep runs of the same epoch apart."""
    return np.linspace(-0.22, 0.22, count) if count > 1 else np.zeros(count)


def _ticks(ax: Axes, values: list[int]) -> None:
    ax.set_xticks(values)
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
