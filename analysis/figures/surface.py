"""Youden's J over window and threshold: of the report and of a sensitivity study, drawn one way."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.figures.curves import WIDTH
from analysis.figures.style import ACTIVATIONS, STYLE, plain
from analysis.words import CONDITIONS

PUBLISHED_SETTING = (20, 0.04)
"""Window and threshold of the published detector (Xu §2)."""


def surfaces(table: pd.DataFrame) -> Figure:
    """Youden's J of the slope detector over window and threshold: a row per activation, a column per set of controls.

    Args:
        table: activation, control, window, threshold, j in [−1, 1]; not empty. Any activation and control may be in it.
    """
    rows, columns = _named(table["activation"], ACTIVATIONS), _named(table["control"], CONDITIONS)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH + 0.6, 0.9 + 1.75 * len(rows)))
        axes = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
        for (i, activation), (j, control) in ((r, c) for r in enumerate(rows) for c in enumerate(columns)):
            ax = axes[i, j]
            part = table[(table["activation"] == activation) & (table["control"] == control)]
            if part.empty:
                ax.remove()
                continue
            grid = part.pivot_table(index="threshold", columns="window", values="j", dropna=False)
            mesh = ax.pcolormesh(
                grid.columns, grid.index, grid.to_numpy(), vmin=-1, vmax=1, cmap="PuOr", shading="nearest", rasterized=True
            )
            for colour, width in (("#ffffff", 3.0), ("#000000", 1.2)):
                ax.plot(
                    *PUBLISHED_SETTING, marker="o", markersize=6, markerfacecolor="none", markeredgewidth=width, color=colour
                )
            ax.grid(False)
            ax.set_title(f"{rows[activation]} against\n{columns[control]}", fontsize=8)
        drawn = figure.axes
        for column in axes.T:
            lowest = [ax for ax in column if ax in drawn][-1]
            lowest.set_xlabel("window w")
            lowest.tick_params(labelbottom=True)
        for row in axes:
            first = next(ax for ax in row if ax in drawn)
            first.set_ylabel("slope threshold")
            first.tick_params(labelleft=True)
        figure.colorbar(mesh, ax=drawn, label="J", shrink=0.8)
    return figure


def _named(values: pd.Series, names: Mapping[str, str]) -> dict[str, str]:
    """Each value with what it is called: those of `names` first and in their order, then any other as it is."""
    there = dict.fromkeys(str(value) for value in values)
    return {name: label for name, label in names.items() if name in there} | {
        name: plain(name) for name in there if name not in names
    }
