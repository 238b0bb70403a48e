"""The figures of a sensitivity study."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLE, legend, plain
from analysis.figures.surface import CONTROLS, MARK, PUBLISHED_LABEL

ROC_WINDOWS = (5, 10, 20, 30)
MOST_SLICES = 16
ORDERED = ("w", "v", "12", "23", "34", "slope", "level", "sustained", "cusum", "rising", "falling")
"""Values of a list, as every figure has them; others follow by name."""
LABELS = {"12": "λ₁/λ₂", "23": "λ₂/λ₃", "34": "λ₃/λ₄", "w": "ΔW", "v": "ΔV"}
MOST_LEVEL = 3
"""Values of a list whose names stand beside each other."""
JITTER = 0.16
"""Half of how far dots of one value stand apart."""


def roc(table: pd.DataFrame) -> Figure:
    """True against false positives as the threshold moves, a panel for each activation, a line for each window."""
    chosen = table[table["window"].isin(ROC_WINDOWS)]
    activations, controls = list(dict.fromkeys(chosen["activation"])), list(dict.fromkeys(chosen["control"]))
    with rc_context(STYLE):
        figure = Figure(figsize=(2.1 * len(controls) + 1.0, 2.3 * len(activations) + 0.6))
        axes = figure.subplots(len(activations), len(controls), sharex=True, sharey=True, squeeze=False)
        for (row, activation), (column, control) in ((a, c) for a in enumerate(activations) for c in enumerate(controls)):
            ax = axes[row, column]
            part = chosen[(chosen["activation"] == activation) & (chosen["control"] == control)]
            for number, (window, line) in enumerate(part.sort_values("threshold").groupby("window")):
                ax.plot(
                    line["fpr"], line["tpr"], marker="o", markersize=3, color=COLOURS[number % len(COLOURS)], label=f"{window}"
                )
            ax.plot([0, 1], [0, 1], color="gray", linewidth=0.8, linestyle=":")
            ax.set_title(f"{plain(activation)} against\n{plain(CONTROLS.get(control, control))}", fontsize=8)
            ax.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
        for ax in axes[-1]:
            ax.set_xlabel("false-positive rate")
        for ax in axes[:, 0]:
            ax.set_ylabel("true-positive rate")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), title="window", loc="outside lower center", ncols=6)
    return figure


def importance(entries: Sequence[dict[str, Any]]) -> Figure:
    """Importances with their intervals, a panel for each target; one without information says so."""
    with rc_context(STYLE):
        rows = sum(max(len(entry["values"]), 2) for entry in entries)
        figure = Figure(figsize=(5.6, 0.24 * rows + 0.95 * len(entries) + 0.2))
        heights = [max(len(entry["values"]), 2) for entry in entries]
        axes = figure.subplots(len(entries), 1, squeeze=False, height_ratios=heights)[:, 0]
        for ax, entry in zip(axes, entries, strict=True):
            ax.set_title(textwrap.fill(f"{entry['target']} ({entry['evaluator']}, n = {entry['n']})", 62))
            values = entry["values"][::-1]
            names = [value["parameter"].replace("_", " ") for value in values]
            ax.set_yticks(range(len(names)), names)
            ax.grid(axis="y", visible=False)
            if not entry["informative"]:
                ax.text(0.5, 0.5, "no information: the target does not vary", ha="center", va="center", transform=ax.transAxes)
                continue
            point = np.array([value["value"] for value in values])
            ends = np.array([(value["low"], value["high"]) for value in values]).T
            ax.barh(range(len(names)), point, color=COLOURS[0], alpha=0.35)
            ax.errorbar(point, range(len(names)), xerr=np.abs(ends - point), fmt="o", markersize=3, color=COLOURS[0], capsize=2)
            ax.set_xlim(left=0)
        axes[-1].set_xlabel("importance, 95 % over resamples")
    return figure


def slices(trials: pd.DataFrame, parameters: Sequence[str], value: str = "j") -> Figure:
    """The value of each trial against each parameter, one panel a parameter; darker is later, as the key says.

    Values of a list stand in the order of `ORDERED`, jittered, so that trials do not lie on each other; the first trial is
    marked where it is the published setting.
    """
    shown = [name for name in parameters if name in trials and trials[name].nunique() > 1][:MOST_SLICES]
    columns = min(4, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    with rc_context(STYLE):
        figure = Figure(figsize=(2.1 * columns + 0.4, 1.9 * rows + 0.3))
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
        rng = np.random.default_rng(0)
        first, last = trials["number"].min(), trials["number"].max()
        for ax, name in zip(axes.flat, shown, strict=False):
            part = trials.dropna(subset=[name])
            x, names = _places(part[name], rng)
            y = part[value].to_numpy(dtype=np.float64) + rng.uniform(-JITTER, JITTER, len(part)) / 8
            dots = ax.scatter(x, y, c=part["number"], cmap="viridis_r", vmin=first, vmax=last, s=7, alpha=0.7, linewidths=0)
            marked = part["published"].to_numpy(dtype=bool) if "published" in part else np.zeros(len(part), dtype=bool)
            for place in np.flatnonzero(marked):
                ax.plot(x[place], y[place], label=PUBLISHED_LABEL.partition(":")[0], **MARK)
            ax.set_xlabel(name.replace("_", " "))
            if names:
                ax.set_xticks(range(len(names)), names, rotation=25 if len(names) > MOST_LEVEL else 0)
            if name == "level":
                ax.set_xscale("log")
        for ax in axes.flat[len(shown) :]:
            ax.set_axis_off()
        for ax in axes[:, 0]:
            ax.set_ylabel("J, calibration seeds")
        if shown:
            figure.colorbar(dots, ax=list(axes.flat), label="trial", shrink=0.8)
            handles, labels = axes[0, 0].get_legend_handles_labels()
            if handles:
                figure.legend(handles[:1], labels[:1], loc="outside lower left")
    return figure


def _places(values: pd.Series, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """(n,) float64 places of a parameter's values, and what stands at 0, 1, … if they are of a list."""
    if not (values.dtype == object or str(values.dtype) == "str"):
        return values.to_numpy(dtype=np.float64), []
    texts = values.astype(str)
    names = sorted(set(texts), key=lambda text: (ORDERED.index(text) if text in ORDERED else len(ORDERED), text))
    places = texts.map({name: place for place, name in enumerate(names)}).to_numpy(dtype=np.float64)
    return places + rng.uniform(-JITTER, JITTER, len(texts)), [LABELS.get(name, name) for name in names]


def pareto(trials: pd.DataFrame, front: Sequence[dict[str, Any]]) -> Figure:
    """Lead against false-positive rate of the search's trials and its front, on calibration seeds; and the front's settings
    on held-out seeds.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.0))
        ax = figure.subplots()
        ax.scatter(
            trials["fpr"], trials["lead"], s=8, color="gray", alpha=0.4, linewidths=0, label="setting, calibration seeds"
        )
        if front:
            x, y = [row["fpr"] for row in front], [row["lead"] for row in front]
            ax.plot(
                x,
                y,
                drawstyle="steps-post",
                color=COLOURS[1],
                marker="o",
                markersize=4,
                label="best lead at that rate or below, calibration seeds",
            )
            held = [row for row in front if row["fpr_held"] is not None and row["lead_held"] is not None]
            ax.plot(
                [row["fpr_held"] for row in held],
                [row["lead_held"] for row in held],
                linestyle="none",
                color=COLOURS[0],
                marker="x",
                markersize=5,
                label="those settings, held-out seeds",
            )
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set(xlabel="false-positive rate", ylabel="lead before test accuracy 0.5, epochs", xlim=(-0.04, 1.04))
        legend(ax, 1)
    return figure
