"""The figures of the lifecycle of the spectral edge."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, INK

Tables = Mapping[str, pd.DataFrame]
WIDTH = 7.2
"""Inches: of a figure that is printed in one column."""
CALLED = {
    "grok": "true labels",
    "prefix": "labels of prefixes",
    "random": "random labels",
    "memo": "no weight decay",
    "scale_quarter": "initial weights × ¼",
    "scale_4": "initial weights × 4",
    "decay_half": "weight decay × ½",
    "decay_2": "weight decay × 2",
    "rate_half": "learning rate × ½",
    "rate_2": "learning rate × 2",
    "post": "after grokking",
    "pre": "before grokking",
    "projected": "projected",
}
"""What a reader calls the conditions of the registry."""
REMOVALS = {
    "edge": "the edge, $v_1$ and $v_2$",
    "bulk": "the bulk, $v_3$ and $v_4$",
    "random_plane": "a random plane",
    "isotropic": "random, same norm",
    "radial_displacement": r"along $\theta$, same norm",
    "radial_residual": r"along $\theta$, same rest",
    "angle_matched": "same norm and angle",
    "zero": "all attention weights",
}
"""What a reader calls what is removed."""
LEAVES = 600
"""Step of the first full published window without the first interval, (5 + 1) · 100."""
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (6, 2, 1, 2)), (0, (2, 2)))


def called(condition: str) -> str:
    """A condition as a reader calls it."""
    return CALLED.get(condition, condition.replace("_", " "))


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)], "linewidth": 1}


def lifecycle_flip(tables: Tables) -> Figure:
    """A panel per condition over ηωt: grad% of each run, and medians of test accuracy and of cos²(v₁, θ)."""
    parts = [(str(condition), part) for condition, part in tables["curves"].groupby("condition", sort=False)]
    columns = min(3, len(parts))
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(WIDTH / 3 * columns, 0.6 + 1.7 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for ax in panels[len(parts) :]:
        ax.remove()
    for ax, (condition, part) in zip(panels, parts, strict=False):
        for number, (_, run) in enumerate(part.groupby("run_id", sort=False)):
            label = "grad% of $v_1$, a run" if number == 0 else None
            ax.plot(run["eta_omega_t"], run["grad_share"], color=COLOURS[0], linewidth=0.8, label=label)
        middle = part.groupby("eta_omega_t")[["accuracy_test", "cos2_theta"]].median()
        for place, (name, label) in enumerate(
            (("accuracy_test", "test accuracy"), ("cos2_theta", r"$\cos^2(v_1, \theta)$")), start=1
        ):
            ax.plot(middle.index, middle[name], label=label, **_look(place))
        steps, end = float(part["step"].max()), float(part["eta_omega_t"].max())
        ax.axvline(LEAVES * end / steps, color=INK, linestyle="--", linewidth=0.8)
        ax.set_title(f"{called(condition)},\n{steps:.0f} steps", loc="left", fontsize=8)
        ax.set(ylim=(-0.03, 1.03))
    for ax in panels[::columns]:
        ax.set_ylabel("share")
    figure.supxlabel(r"$\eta\omega t$")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncol=3, fontsize=8)
    return figure


def lifecycle_grid(tables: Tables) -> Figure:
    """Falls against (W + 1)·N, a panel per condition."""
    table = tables["grid"]
    conditions = list(dict.fromkeys(table["condition"]))
    columns = max(1, min(3, len(conditions)))
    rows = max(1, -(-len(conditions) // columns))
    figure = Figure(figsize=(WIDTH / 3 * columns, 0.9 + 1.9 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for ax in panels[len(conditions) :]:
        ax.remove()
    ends = np.array([table["leaves"].min(), table["leaves"].max()]) if len(table) else np.array([100, 4000])
    for ax, condition in zip(panels, conditions, strict=False):
        shown = table[(table["condition"] == condition)].dropna(subset=["falls"])
        for place, width in enumerate(sorted(table["rows"].unique())):
            part = shown[shown["rows"] == width]
            mark = {"marker": "osD^"[place % 4], "color": COLOURS[place], "markersize": 4, "linestyle": "none"}
            ax.plot(part["leaves"], part["falls"], label=f"W = {width}", alpha=0.7, **mark)
        ax.plot(ends, ends, color=INK, linewidth=0.8)
        ax.set(xscale="log", yscale="log")
        ax.set_title(called(str(condition)), loc="left", fontsize=8)
    for ax in panels[::columns]:
        ax.set_ylabel("grad% falls, step")
    figure.supxlabel("(W + 1) N, steps")
    if conditions:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncol=4, fontsize=8)
    return figure


def lifecycle_ablation(tables: Tables) -> Figure:
    """A mark per removal, a group per phase."""
    table = tables["costs"].set_index("step").drop(columns="share")
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(table.columns)
    marks = "osD^vP*X"
    for place, name in enumerate(table.columns):
        at = np.arange(len(table)) + (place - len(table.columns) / 2 + 0.5) * width
        look: dict[str, Any] = {
            "marker": marks[place % len(marks)],
            "color": COLOURS[place % len(COLOURS)],
            "linestyle": "none",
        }
        axes.plot(at, table[name], label=REMOVALS.get(str(name), str(name).replace("_", " ")), markersize=5, **look)
    axes.set_xticks(np.arange(len(table)), [f"step {step:.0f}" for step in table.index])
    axes.set(ylabel="accuracy lost")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def lifecycle_sweep(tables: Tables) -> Figure:
    """A panel per phase."""
    table = tables["sweep"]
    steps = sorted(table["step"].unique())
    columns = min(3, len(steps))
    rows = -(-len(steps) // columns)
    figure = Figure(figsize=(WIDTH / 3 * columns, 0.6 + 1.9 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for ax in panels[len(steps) :]:
        ax.remove()
    for ax, step in zip(panels, steps, strict=False):
        part = table[table["step"] == step]
        for place, (condition, runs) in enumerate(part.groupby("condition", sort=False)):
            for number, (_, run) in enumerate(runs.groupby("seed")):
                curve = run[run["name"] == "accuracy"].sort_values("x")
                ax.plot(curve["x"], curve["value"], label=called(str(condition)) if number == 0 else None, **_look(place))
                marked = run[run["name"] == "published"]
                first = None if place or number else r"published step, 0.005 $\Vert\theta\Vert$"
                ax.plot(marked["x"], marked["value"], "|", color=INK, markersize=8, label=first)
        ax.set_title(f"step {step:.0f}", loc="left", fontsize=9)
    for ax in panels[::columns]:
        ax.set_ylabel("token accuracy")
    figure.supxlabel("displacement along $v_1$")
    if steps:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncol=2, fontsize=8)
    return figure


def lifecycle_phases(tables: Tables) -> Figure:
    """A panel per threshold, a line per run."""
    table = tables["phases"].dropna(subset=["offset", "grad_share"])
    levels, seeds = sorted(tables["phases"]["level"].unique()), sorted(tables["phases"]["seed"].unique())
    figure = Figure(figsize=(WIDTH / 3 * len(levels), 3.0), layout="constrained")
    for ax, level in zip(np.atleast_1d(figure.subplots(1, len(levels), sharey=True)), levels, strict=True):
        for seed, run in table[table["level"] == level].groupby("seed"):
            ax.plot(run["offset"], run["grad_share"], label=f"seed {seed}", **_look(seeds.index(seed)))
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.set(title=f"accuracy {level:g}", xlabel="step less grok step", ylim=(-0.03, 1.03))
        ax.set_ylabel("grad% of $v_1$" if level == levels[0] else "")
        ax.locator_params(axis="x", nbins=4)
        if not ax.lines[1:]:
            ax.text(0.5, 0.5, "no run gets there", transform=ax.transAxes, ha="center", fontsize=8)
    found = {label: line for ax in figure.axes for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if found:
        figure.legend(found.values(), found.keys(), loc="outside upper center", ncol=5, fontsize=7)
    return figure


def lifecycle_probes(tables: Tables) -> Figure:
    """A panel per condition, a line per reader; the untrained network is at step 0."""
    table = tables["probes"]
    conditions = list(dict.fromkeys(table["condition"]))
    readers = list(dict.fromkeys(table["reader"]))
    figure = Figure(figsize=(WIDTH / 3 * len(conditions), 2.6 + 0.17 * -(-len(readers) // 2)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(conditions), sharey=True))
    for ax, condition in zip(panels, conditions, strict=True):
        for reader, part in table[table["condition"] == condition].groupby("reader", sort=False):
            marker = "s" if (part["step"] == 0).all() else "o"
            look = _look(readers.index(reader))
            ax.plot(part["step"], part["score"], label=str(reader), marker=marker, markersize=3, **look)
        ax.set_title(called(str(condition)), loc="left", fontsize=9)
        ax.locator_params(axis="x", nbins=4)
        ax.set(xlabel="step")
    panels[0].set(ylabel="score")
    keys = {label: line for ax in panels for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(keys.values(), keys.keys(), loc="outside lower center", ncol=2, fontsize=6.5, handlelength=3)
    return figure


def lifecycle_intervention(tables: Tables) -> Figure:
    """A panel per score; start and end of each run, an arm a place."""
    arms = list(tables["branches"].groupby(["condition", "weight_decay", "state", "update"], sort=False))
    names = [_arm(*(str(part) for part in arm)) for arm, _ in arms]
    scores = ("linear R²", "standardised", "accuracy")
    figure = Figure(figsize=(WIDTH, 0.9 + 0.24 * len(arms)), layout="constrained")
    panels = figure.subplots(1, len(scores), sharey=True)
    for ax, score in zip(panels, scores, strict=True):
        for place, (_, part) in enumerate(arms):
            for offset, run in zip(np.linspace(-0.2, 0.2, len(part)), part.to_dict("records"), strict=True):
                ends = [run[f"{score}, start"], run[f"{score}, end"]]
                ax.plot(ends, [place + offset] * 2, color=COLOURS[0], linewidth=1)
                ax.plot(ends[1], place + offset, "o", color=COLOURS[1], markersize=3)
        ax.set(title=score, xlabel="start to end (point)", ylabel="")
    panels[0].set_yticks(range(len(arms)), names, fontsize=7)
    panels[0].invert_yaxis()
    panels[0].set(ylabel="branch")
    return figure


def _arm(condition: str, decay: str, state: str, update: str) -> str:
    """A branch in a reader's words."""
    moments = {"keep": "moments kept", "reset": "moments reset"}.get(state, state)
    kept = {"free": "", "aligned": r", updates along $\theta$ only", "unaligned": r", updates across $\theta$ only"}
    rest = kept.get(update, f", {update}")
    return (
        rf"{called(condition)}: $\omega$ = {float(decay):g}, {moments}{rest}"
        if not rest.strip(", ")
        else f"{called(condition)}{rest}"
    )


TIMES = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Ends of the stretches of ηωt that have a mark each."""


def lifecycle_flow(tables: Tables) -> Figure:
    """A column per task, a row per reading of W, a mark per stretch of ηωt; what lies far out at a side is counted."""
    table = tables["flow"]
    tasks, readings = list(dict.fromkeys(table["task"])), sorted(table["window"].unique())
    figure = Figure(figsize=(WIDTH / 3 * len(tasks), 0.5 + 2.3 * len(readings)), layout="constrained")
    panels = figure.subplots(len(readings), len(tasks), squeeze=False)
    for row, window in zip(panels, readings, strict=True):
        for ax, task in zip(row, tasks, strict=True):
            part = table[(table["task"] == task) & (table["window"] == window)]
            low, high = (float(part["predicted"].quantile(share)) for share in (0.01, 0.99))
            room = 0.1 * (high - low) or 1.0
            inside = part["predicted"].between(low - 3 * room, high + 3 * room)
            for place, (begin, end) in enumerate(itertools.pairwise(TIMES)):
                mine = part[inside & (part["eta_omega_t"] > begin) & (part["eta_omega_t"] <= end)]
                mark = {"marker": "osD^"[place], "color": COLOURS[place], "markersize": 3, "linestyle": "none", "alpha": 0.7}
                ax.plot(mine["predicted"], mine["measured"], label=rf"$\eta\omega t$ {begin:g} to {end:g}", **mark)
            ends = float(part["measured"].min()), float(part["measured"].max())
            limits = min(low - room, 0.0), max(high + room, 0.0)
            ax.plot(ends, ends, color=INK, linewidth=0.8)
            ax.locator_params(nbins=3)
            ax.ticklabel_format(style="sci", scilimits=(0, 0))
            ax.tick_params(labelsize=8)
            beyond = int((~part["predicted"].between(*limits)).sum())
            outside = f"\n{beyond} {'point' if beyond == 1 else 'points'} outside" if beyond else ""
            ax.set_title(f"{task}, W = {window:g}{outside}", loc="left", fontsize=8)
            ax.set(xlim=limits)
            ax.set_ylabel("measured dg/dt" if ax is row[0] else "")
            ax.set_xlabel("predicted dg/dt", loc="left")  # at the right stands the power of ten
    if len(table):
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper center", ncol=4, fontsize=8)
    return figure


def lifecycle_classes(tables: Tables) -> Figure:
    """A panel per quantity, a line per task over ηωt."""
    table = tables["classes"]
    table = table[table["window"] == table["window"].min()]
    names = ("grad_share", "curvature", "damping", "driving")
    figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
    for ax, name in zip(figure.subplots(1, len(names), sharey=True), names, strict=True):
        for place, (task, part) in enumerate(table.groupby("task", sort=False)):
            ax.plot(part["eta_omega_t"], part[name], marker="osD^"[place % 4], label=str(task), **_look(place))
        title = "grad%" if name == "grad_share" else f"share of {name}"
        ax.set_title(title, loc="left", fontsize=8)
        ax.set_ylabel("share" if name == names[0] else "")
        ax.set(xlabel=r"$\eta\omega t$", xlim=(0, 4.4), ylim=(-0.03, 1.03))
    figure.axes[0].legend(fontsize=7)
    return figure
