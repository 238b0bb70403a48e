"""The figures of the leaderboard of signals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.style import ACTIVATIONS, COLOURS, INK, STYLE, plain
from analysis.words import said

MOST = (0.1, 0.2)
"""False alarms that an alarm may have, pooled and on its worst set."""
Tables = Mapping[str, pd.DataFrame]
WIDE = 30
"""Times the median size of values beyond which an axis is logarithmic."""
MARKS = "os^Dv*"
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)))
"""One more than there are colours, so that no two conditions look alike."""


def signals_board(tables: Tables) -> Figure:
    """False alarms by control set on the left, lead on the right, a row per signal, in the order of the table."""
    table = tables["board"]
    names = list(dict.fromkeys(table["row"]))
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.2 + 0.26 * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        sets = list(dict.fromkeys(table["control"]))
        for place, control in enumerate(sets):
            part = table[table["control"] == control].dropna(subset=["fpr"])
            y = np.array([names.index(name) for name in part["row"]]) + 0.12 * (place - (len(sets) - 1) / 2)
            _points(left, part, "fpr", y, place, said(control))
        rules = table.drop_duplicates("row")
        lead = rules.dropna(subset=["lead"])
        _points(right, lead, "lead", np.array([names.index(name) for name in lead["row"]], dtype=float), None, "")
        left.set_yticks(range(len(names)), [f"{r['row']} [{r['information']}]" for r in rules.to_dict("records")])
        left.invert_yaxis()
        for most in MOST:
            left.axvline(most, color=INK, linewidth=0.8, linestyle="--")
        right.axvline(0, color=INK, linewidth=0.8)
        left.set(xlabel="false alarms", xlim=(-0.03, 1.03))
        right.set(xlabel="lead before $t_{50}$, epochs")
        for at, verdict in enumerate(rules["verdict"]):
            right.annotate(verdict, (1.02, at), xycoords=("axes fraction", "data"), fontsize=7, va="center")
        figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    return figure


def _points(ax: Axes, part: pd.DataFrame, name: str, y: np.ndarray, place: int | None, label: str) -> None:
    """Points with their intervals, in the look of a control set or, of none, in ink."""
    x = part[name].to_numpy(dtype=np.float64)
    ends = np.abs(np.stack([x - part[f"{name}_low"], part[f"{name}_high"] - x]))
    colour, mark = (INK, "|") if place is None else (COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)])
    look: dict[str, Any] = {"color": colour, "markersize": 7 if place is None else 3.5, "linewidth": 0.8}
    ax.errorbar(x, y, xerr=np.nan_to_num(ends), fmt=mark, label=label or None, **look)


def signals_page(tables: Tables) -> Figure:
    """A row per study, a column per activation or network and task; a line per condition, quartiles of runs that grok."""
    table = tables["series"]
    rows = list(dict.fromkeys(table["study"]))
    conditions = list(dict.fromkeys(table["condition"]))
    conditions.sort(key=lambda name: name != "grok")
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.7 + 1.6 * len(rows)), layout="constrained")
        parts: Any = figure.subfigures(len(rows), 1, squeeze=False)
        for part, study in zip(parts[:, 0], rows, strict=True):
            mine = table[table["study"] == study]
            columns = list(dict.fromkeys(mine["column"]))
            axes = part.subplots(1, len(columns), squeeze=False, sharey=True)[0]
            _spread(axes[0], mine["median"].to_numpy(dtype=np.float64))
            for ax, column in zip(axes, columns, strict=True):
                _series(ax, mine[mine["column"] == column], conditions)
                ax.set_title(ACTIVATIONS.get(column, plain(column)).replace(", ", ",\n"), loc="left", fontsize=7)
                ax.set_xlabel("epochs since $t_{50}$", fontsize=7)
        looks = [Line2D([], [], label=plain(said(str(name))), **_look(place)) for place, name in enumerate(conditions)]
        figure.legend(handles=looks, loc="outside lower center", ncols=4, fontsize=7)
    return figure


def _spread(ax: Axes, values: np.ndarray) -> None:
    """A logarithmic axis, about 0 linear, where values differ much; the axes beside it share it."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if len(sizes) and sizes.max() > WIDE * np.median(sizes):
        ax.set_yscale("symlog", linthresh=float(np.median(sizes)))


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)], "linewidth": 1}


def _series(ax: Axes, part: pd.DataFrame, conditions: list[str]) -> None:
    """Lines by condition against epochs since t50, the threshold where the axis reaches it, and t10, t50, t99."""
    for condition, line in part.groupby("condition", sort=False):
        look = _look(conditions.index(str(condition)))
        ax.plot(line["since"], line["median"], **look)
        if condition == "grok":
            ax.fill_between(line["since"], line["q1"], line["q3"], color=look["color"], alpha=0.15, linewidth=0)
    threshold = float(part["threshold"].iloc[0])
    low, high = ax.get_ylim()
    if low <= threshold <= high:
        ax.axhline(threshold, color=INK, linewidth=0.6, linestyle="--")
    ax.axvline(0, color=INK, linewidth=0.7)
    for name in ("t10", "t99"):
        for since in part[name].dropna().unique():
            ax.axvline(since, color=INK, linewidth=0.7, linestyle=":")
    ax.tick_params(labelsize=6)
