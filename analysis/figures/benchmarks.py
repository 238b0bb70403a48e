"""The figures of the benchmarks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLE, legend, titled

SHADES = (*COLOURS, "#999999", "#F0E442", "#000000")
"""A colour for each part of a run's time: the palette, its yellow, grey and black."""
AXIS_LABELS = {
    "width": "width $K$",
    "modulus": "modulus $M$",
    "n_train": "training pairs $n$",
    "window": "window and lags kept $w$",
    "seeds": "seeds in lockstep",
}


def time_parts(parts: pd.DataFrame, title: str) -> Figure:
    """Where the time of whole runs goes: a stacked bar per run.

    Args:
        parts: a row per run, its index the run's label; a column per part, seconds, NaN where a run has none.
        title: above the figure.
    """
    with rc_context(STYLE):
        figure = titled(title, 1.4 + 0.45 * len(parts))
        ax = figure.subplots()
        left = np.zeros(len(parts))
        for number, name in enumerate(parts.sum().sort_values(ascending=False).index):
            seconds = parts[name].fillna(0.0).to_numpy()
            ax.barh(parts.index, seconds, left=left, color=SHADES[number % len(SHADES)], label=name, height=0.6)
            left += seconds
        for row, whole in enumerate(left):
            ax.text(whole, row, f" {whole:.1f} s", va="center", fontsize=8)
        ax.set_xlabel("seconds")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.12)
        legend(ax, 4)
    return figure


def ratio_rounds(ratios: dict[str, list[float]], title: str) -> Figure:
    """Ratios, a dot per round and a bar at the median.

    Args:
        ratios: label to the values of all rounds.
        title: above the figure.
    """
    with rc_context(STYLE):
        figure = titled(title, 1.1 + 0.36 * len(ratios))
        ax = figure.subplots()
        for row, values in enumerate(ratios.values()):
            ax.barh(row, np.median(values), color=COLOURS[5], height=0.6)
            ax.plot(values, np.full(len(values), row), linestyle="none", marker="o", markersize=3, color=COLOURS[0])
            ax.text(max(values), row, f"  {np.median(values):.2f}", va="center", fontsize=8)
        ax.set_yticks(range(len(ratios)), list(ratios))
        ax.set_xlabel("ratio (dots: rounds)")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.12)
    return figure


def growth(points: pd.DataFrame, title: str) -> Figure:
    """Time of an epoch against what grows, a panel each: the epoch, the floor, and the spectra.

    Args:
        points: columns axis, value, epoch_ms, floor_ms, spectra_ms.
        title: above the figure.
    """
    axes_of = [axis for axis in AXIS_LABELS if axis in set(points["axis"])]
    with rc_context(STYLE):
        rows = -(-len(axes_of) // 2)
        figure = titled(title, 0.7 + 2.1 * rows)
        panels = np.atleast_1d(figure.subplots(rows, 2 if len(axes_of) > 1 else 1)).ravel()
        for ax, axis in zip(panels, axes_of, strict=False):
            _growth_panel(ax, points[points["axis"] == axis].sort_values("value"), AXIS_LABELS[axis])
        for ax in panels[len(axes_of) :]:
            ax.set_axis_off()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _growth_panel(ax: Axes, table: pd.DataFrame, label: str) -> None:
    for name, text, colour in (
        ("epoch_ms", "epoch", COLOURS[0]),
        ("floor_ms", "floor", COLOURS[1]),
        ("spectra_ms", "spectra of an epoch", COLOURS[2]),
    ):
        ax.plot(table["value"], table[name], color=colour, marker="o", markersize=3, label=text)
    ax.set(xscale="log", yscale="log", xlabel=label, ylabel="ms")
    ax.set_xticks(table["value"].to_list(), [str(value) for value in table["value"]], fontsize=7)
    ax.minorticks_off()


def core_use(ways: pd.DataFrame, title: str) -> Figure:
    """Ways to use the cores: what each gets done, against the first.

    Args:
        ways: columns label, what (`loop` or `tracked`), per_s.
        title: above the figure.
    """
    with rc_context(STYLE):
        figure = titled(title, 2.4)
        ax = figure.subplots()
        labels = list(dict.fromkeys(ways["label"]))
        kinds = {"loop": "training loop", "tracked": "whole tracked runs"}
        for number, (what, text) in enumerate(kinds.items()):
            rates = ways[ways["what"] == what].set_index("label")["per_s"].reindex(labels)
            place = np.arange(len(labels)) + 0.38 * number - 0.19
            bars = ax.barh(place, rates / rates.iloc[0], height=0.36, color=COLOURS[number], label=text)
            ax.bar_label(bars, fmt=" %.2f", fontsize=8)
        ax.set_yticks(range(len(labels)), labels)
        ax.set_xlabel(f"work done in a second, {labels[0]} = 1")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.12)
        legend(ax, 2)
    return figure
