"""Figures of the report over epochs: medians with quartile bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.figures.style import ACTIVATIONS, COLOURS, CONDITIONS, STYLE, Axis, key, placed, plain

WIDTH = 6.4
GRAY = "#808080"
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
SHADED = 200
"""Epochs at which the edges of a band are drawn, about; more make a large file and no other picture."""


def headline(curves: pd.DataFrame, fires: pd.DataFrame, axes: Axis = None) -> Figure:
    """Test accuracy and λ₂/λ₃ over epochs, a tick for each run's fire epoch.

    Args:
        curves: condition, metric, epoch, median, q1, q3.
        fires: condition, fire_epoch (NaN: never).
        axes: two, to draw into; None for a figure of its own.
    """
    with rc_context(STYLE):
        figure, (accuracy, gap) = placed(axes, (WIDTH, 4.4), 2, sharex=True, height_ratios=(1, 1.25))
        for metric, ax in (("accuracy/test", accuracy), ("delta_w/gap_23", gap)):
            _bands(ax, curves[curves["metric"] == metric])
        handles = accuracy.get_legend_handles_labels()[0]
        for condition, handle in zip(_known(curves["condition"], CONDITIONS), handles, strict=True):
            label, colour, _, _ = CONDITIONS[condition]
            group = fires.loc[fires["condition"] == condition, "fire_epoch"]
            known = group.dropna()
            for ax, epoch in ((ax, epoch) for ax in (accuracy, gap) for epoch in known):
                ax.axvline(epoch, ymin=0.93, color=colour, linewidth=0.9)
            middle = f", median epoch {known.median():.0f}" if len(known) else ""
            handle.set_label(f"{label}: fires in {len(known)} of {len(group)}{middle}")
        accuracy.set(ylabel="test accuracy", ylim=(-0.03, 1.16), yticks=(0, 0.25, 0.5, 0.75, 1))
        gap.set(ylabel=r"$\lambda_2/\lambda_3$ of the update Gram", yscale="log", xlabel="epoch")
        top = gap.get_ylim()[1]
        gap.set_ylim(top=top * 4)
        key(figure, axes, accuracy, handles, 1)
    return figure


def eigenvalues(curves: pd.DataFrame) -> Figure:
    """λ₁ … λ₅ over epochs, a column per activation, a row per condition.

    Args:
        curves: activation, condition, metric (`delta_w/lambda_k`), epoch, median, q1, q3.
    """
    rows, columns = _known(curves["condition"], CONDITIONS), _known(curves["activation"], ACTIVATIONS)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.0 + 2.1 * len(rows)))
        axes = figure.subplots(len(rows), len(columns), sharex="col", sharey=True, squeeze=False)
        for (i, condition), (j, activation) in ((r, c) for r in enumerate(rows) for c in enumerate(columns)):
            ax = axes[i, j]
            part = curves[(curves["condition"] == condition) & (curves["activation"] == activation)]
            if part.empty:
                ax.remove()
                continue
            ax.set(title=f"{ACTIVATIONS[activation]}, {CONDITIONS[condition][0]}", yscale="log", xlabel="epoch")
            ax.set_ylabel(r"eigenvalues of $\Delta^T\!\Delta$")
            ax.label_outer(remove_inner_ticks=False)
            for k in range(1, 6):
                line = part[part["metric"] == f"delta_w/lambda_{k}"]
                if len(line):
                    _band(ax, line, COLOURS[k - 1], DASHES[k - 1], f"$\\lambda_{k}$")
        for j in range(len(columns)):
            lowest = [ax for ax in axes[:, j] if ax in figure.axes][-1]
            lowest.set_xlabel("epoch")
            lowest.tick_params(labelbottom=True)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=5)
    return figure


def repulsion(points: pd.DataFrame, axes: Axis = None) -> Figure:
    """Repulsion rate of the most similar pairs by epoch, above the same rate of random pairs.

    Args:
        points: activation, condition, epoch, rate, rate_q1, rate_q3, null_rate, null_low, null_high.
        axes: one per activation, to draw into; None for a figure of its own.
    """
    columns = _known(points["activation"], ACTIVATIONS)
    with rc_context(STYLE):
        figure, panels = placed(axes, (WIDTH, 3.1), 1, len(columns), sharey=True)
        for ax, activation in zip(panels, columns, strict=True):
            part = points[points["activation"] == activation]
            for condition in _known(part["condition"], CONDITIONS):
                label, colour, dash, marker = CONDITIONS[condition]
                line = part[part["condition"] == condition]
                ax.fill_between(line["epoch"], line["null_low"], line["null_high"], color=colour, alpha=0.15, linewidth=0)
                ax.plot(line["epoch"], line["null_rate"], color=colour, linestyle=dash, linewidth=0.8)
                _points(ax, line, "rate", colour, dash, marker, f"{label}: top pairs")
            ax.set(title=ACTIVATIONS[activation], xlabel="epoch")
        panels[0].set_ylabel("repulsion rate")
        panels[0].set_ylim(top=1.03)  # shared, and after all is drawn
        handles = [*panels[0].get_legend_handles_labels()[0], Patch(color=GRAY, alpha=0.3, linewidth=0, label="random pairs")]
        key(figure, axes, panels[0], handles, 3)
    return figure


def sign_match(points: pd.DataFrame, published: pd.DataFrame, axes: Axis = None) -> Figure:
    """The published estimator, the repulsion rate and Theorem 6's rule on the same pairs, beside the published row.

    Args:
        points: activation, epoch, and `<name>`, `<name>_q1`, `<name>_q3` of rate, published_estimator, theorem6, null_rate.
        published: activation, epoch, value.
        axes: one per activation, to draw into; None for a figure of its own.
    """
    kinds = (
        ("theorem6", "Theorem 6's rule", COLOURS[2], ":", "^"),
        ("rate", "repulsion rate", COLOURS[0], "-", "o"),
        ("published_estimator", "published estimator", COLOURS[1], "--", "s"),
        ("null_rate", "repulsion rate, random pairs", GRAY, "-.", ""),
    )
    columns = _known(points["activation"], ACTIVATIONS)
    with rc_context(STYLE):
        figure, panels = placed(axes, (WIDTH, 3.2), 1, len(columns), sharey=True)
        for ax, activation in zip(panels, columns, strict=True):
            part = points[points["activation"] == activation]
            for name, label, colour, dash, marker in kinds:
                _points(ax, part, name, colour, dash, marker, label)
            row = published[published["activation"] == activation]
            ax.plot(row["epoch"], row["value"], linestyle="", marker="x", markersize=7, color=COLOURS[3], label="printed")
            ax.set(title=ACTIVATIONS[activation], xlabel="epoch")
        panels[0].set_ylabel("share of top pairs")
        panels[0].set_ylim(top=1.03)
        key(figure, axes, panels[0], panels[0].get_legend_handles_labels()[0], 3)
    return figure


def _known(values: pd.Series, names: Mapping[str, object]) -> list[str]:
    """Those of `names` that occur, in the order of `names`."""
    there = set(values)
    return [name for name in names if name in there]


def _bands(ax: Axes, curves: pd.DataFrame) -> None:
    for condition in _known(curves["condition"], CONDITIONS):
        label, colour, dash, _ = CONDITIONS[condition]
        _band(ax, curves[curves["condition"] == condition], colour, dash, plain(label))


def _band(ax: Axes, line: pd.DataFrame, colour: str, dash: object, label: str) -> None:
    band = line.iloc[sorted({*range(0, len(line), max(1, len(line) // SHADED)), len(line) - 1})] if len(line) else line
    ax.fill_between(band["epoch"], band["q1"], band["q3"], color=colour, alpha=0.22, linewidth=0)
    ax.plot(line["epoch"], line["median"], color=colour, linestyle=dash, label=label)


def _points(ax: Axes, line: pd.DataFrame, name: str, colour: str, dash: str, marker: str, label: str) -> None:
    spread: Sequence[np.ndarray] = ((line[name] - line[f"{name}_q1"]).to_numpy(), (line[f"{name}_q3"] - line[name]).to_numpy())
    ax.errorbar(
        line["epoch"],
        line[name],
        yerr=np.clip(spread, 0, None),
        color=colour,
        linestyle=dash,
        marker=marker,
        markersize=4,
        capsize=2,
        label=label,
    )
