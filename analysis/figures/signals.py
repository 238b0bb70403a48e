"""The figures of the leaderboard of signals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import ACTIVATIONS, COLOURS, STYLE, plain

Tables = Mapping[str, pd.DataFrame]
MARKS = "os^Dv*"
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


def signals_board(tables: Tables) -> Figure:
    """False alarms by control set on the left, lead on the right, a row per signal, the longest lead on top."""
    table = tables["board"]
    names = list(dict.fromkeys(table["signal"]))
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.2 + 0.26 * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        sets = list(dict.fromkeys(table["control"]))
        for place, control in enumerate(sets):
            part = table[table["control"] == control].dropna(subset=["fpr"])
            y = np.array([names.index(name) for name in part["signal"]]) + 0.12 * (place - (len(sets) - 1) / 2)
            _points(left, part, "fpr", y, place, control)
        lead = table.drop_duplicates("signal").dropna(subset=["lead"])
        _points(right, lead, "lead", np.array([names.index(name) for name in lead["signal"]], dtype=float), len(sets), "")
        rules = table.drop_duplicates("signal")
        left.set_yticks(
            range(len(names)), [f"{r['signal']}, {r['rule']} [{r['information']}]" for r in rules.to_dict("records")]
        )
        left.invert_yaxis()
        left.axvline(0.05, color="black", linewidth=0.8, linestyle="--")
        right.axvline(0, color="black", linewidth=0.8)
        left.set(xlabel="false alarms", xlim=(-0.03, 1.03))
        right.set(xlabel="lead before test accuracy 0.5, epochs")
        for at, verdict in enumerate(rules["verdict"]):
            right.annotate(verdict, (1.02, at), xycoords=("axes fraction", "data"), fontsize=6, va="center")
        figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    return figure


def _points(ax: Axes, part: pd.DataFrame, name: str, y: np.ndarray, place: int, label: str) -> None:
    """Points with their intervals."""
    x = part[name].to_numpy(dtype=np.float64)
    ends = np.abs(np.stack([x - part[f"{name}_low"], part[f"{name}_high"] - x]))
    look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "markersize": 3.5, "linewidth": 0.8}
    ax.errorbar(x, y, xerr=np.nan_to_num(ends), fmt=MARKS[place % len(MARKS)], label=label or None, **look)


def signals_page(tables: Tables) -> Figure:
    """A row per signal and a column per activation; a line per condition with its quartiles."""
    table = tables["series"]
    names, columns = (list(dict.fromkeys(table[key])) for key in ("signal", "activation"))
    conditions = list(dict.fromkeys(table["condition"]))
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.8 + 1.4 * len(names)), layout="constrained")
        axes = figure.subplots(len(names), len(columns), squeeze=False, sharex=True)
        for (row, column), ax in np.ndenumerate(axes):
            part = table[(table["signal"] == names[row]) & (table["activation"] == columns[column])]
            for condition, line in part.groupby("condition", sort=False):
                place = conditions.index(condition)
                label = plain(str(condition)) if row == column == 0 else None
                look = {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)], "linewidth": 1}
                ax.plot(line["epoch"], line["median"], label=label, **look)
                ax.fill_between(line["epoch"], line["q1"], line["q3"], color=look["color"], alpha=0.15, linewidth=0)
            times = part["t50"].dropna()
            if len(times):
                ax.axvline(times.iloc[0], color="black", linewidth=0.8)
            ax.tick_params(labelsize=6)
            name = ACTIVATIONS.get(columns[column], plain(columns[column]))
            ax.set_title(f"{plain(names[row])}, {name}", loc="left", fontsize=7)
        for ax in axes[-1]:
            ax.set_xlabel("epoch", fontsize=7)
        figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    return figure
