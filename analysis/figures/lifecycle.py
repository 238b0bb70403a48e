"""The figures of the lifecycle of the spectral edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS

Tables = Mapping[str, pd.DataFrame]
LEAVES = 600
"""Step of the first full published window without the first interval, (5 + 1) · 100."""
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (6, 2, 1, 2)), (0, (2, 2)))


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)], "linewidth": 1}


def lifecycle_flip(tables: Tables) -> Figure:
    """A line per run, a colour and dash per condition; by step and by ηωt."""
    table = tables["curves"]
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    axes = figure.subplots(2, 1, sharey=True)
    for place, (condition, part) in enumerate(table.groupby("condition", sort=False)):
        for number, (_, run) in enumerate(part.groupby("run_id", sort=False)):
            label = str(condition) if number == 0 else None
            for ax, x in zip(axes, ("step", "eta_omega_t"), strict=True):
                ax.plot(run[x], run["grad_share"], label=label, **_look(place))
    axes[0].axvline(LEAVES, color="black", linestyle="--", linewidth=0.8)
    axes[0].set(xlabel="step", ylabel="grad% of $v_1$", ylim=(-0.03, 1.03))
    axes[1].set(xlabel=r"$\eta\omega t$", ylabel="grad% of $v_1$")
    axes[0].legend(fontsize=7, ncol=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def lifecycle_grid(tables: Tables) -> Figure:
    """Falls against (W + 1)·N."""
    table = tables["grid"].dropna(subset=["falls"])
    figure = Figure(figsize=(5.2, 4.0), layout="constrained")
    axes = figure.subplots()
    for place, (rows, part) in enumerate(table.groupby("rows")):
        axes.plot(part["leaves"], part["falls"], "osD^"[place % 4], color=COLOURS[place], label=f"W = {rows}", alpha=0.7)
    ends = np.array([table["leaves"].min(), table["leaves"].max()]) if len(table) else np.array([100, 4000])
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="(W + 1) N, steps", ylabel="step at which grad% falls below one half")
    axes.legend()
    return figure


def lifecycle_ablation(tables: Tables) -> Figure:
    """Bars by removal, a group per phase."""
    table = tables["costs"].set_index("step").drop(columns="share")
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(table.columns)
    hatches = ("", "//", "..", "xx", "--", "++", "\\\\", "oo")
    for place, name in enumerate(table.columns):
        at = np.arange(len(table)) + (place - len(table.columns) / 2 + 0.5) * width
        colour, hatch = COLOURS[place % len(COLOURS)], hatches[place % len(hatches)]
        axes.bar(at, table[name], width, label=str(name).replace("_", " "), color=colour, hatch=hatch)
    axes.set_xticks(np.arange(len(table)), [f"step {step:.0f}" for step in table.index])
    axes.set(ylabel="accuracy lost")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def lifecycle_sweep(tables: Tables) -> Figure:
    """A panel per phase."""
    table = tables["sweep"]
    steps = sorted(table["step"].unique())
    figure = Figure(figsize=(2.4 * len(steps), 3.0), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(steps), sharey=True))
    for ax, step in zip(panels, steps, strict=True):
        part = table[table["step"] == step]
        for place, (condition, runs) in enumerate(part.groupby("condition", sort=False)):
            for number, (_, run) in enumerate(runs.groupby("seed")):
                curve = run[run["name"] == "accuracy"].sort_values("x")
                ax.plot(curve["x"], curve["value"], label=str(condition) if number == 0 else None, **_look(place))
                marked = run[run["name"] == "published"]
                ax.plot(marked["x"], marked["value"], "k|", markersize=8)
        ax.set(title=f"step {step:.0f}", xlabel="displacement along $v_1$")
    panels[0].set(ylabel="token accuracy")
    panels[0].legend(fontsize=7)
    return figure
