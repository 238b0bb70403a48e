"""Youden's J over window and threshold: of the report and of a sensitivity study, drawn one way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.figures.curves import WIDTH
from analysis.figures.style import ACTIVATIONS, STYLE, plain
from analysis.words import CONDITIONS

PUBLISHED_SETTING = (20, 0.04)
"""Window and threshold of the published detector (Xu §2)."""
PUBLISHED_LABEL = "published setting: window 20, threshold 0.04"
MARK: dict[str, Any] = {
    "marker": "*",
    "markersize": 11,
    "markerfacecolor": "#ffffff",
    "markeredgecolor": "#000000",
    "markeredgewidth": 0.9,
    "linestyle": "none",
}
"""White with a black edge: seen on every colour of the map."""
CONTROLS = CONDITIONS | {"eta0": "no weight decay"}
"""Controls as they stand after "against"."""
WINDOW_TICKS = (10, 30, 50)
"""So few that they do not touch in a panel of a row of four."""


def surfaces(table: pd.DataFrame) -> Figure:
    """Youden's J of the slope detector over window and threshold: a row per activation, a column per set of controls.

    Args:
        table: activation, control, window, threshold, j in [−1, 1]; not empty. Any activation and control may be in it.
    """
    rows, columns = _named(table["activation"], ACTIVATIONS), _named(table["control"], CONTROLS)
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
            ax.plot(*PUBLISHED_SETTING, label=PUBLISHED_LABEL, **MARK)
            ax.set_xticks([tick for tick in WINDOW_TICKS if part["window"].min() <= tick <= part["window"].max()])
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
        figure.legend(*drawn[0].get_legend_handles_labels(), loc="outside lower left")
    return figure


def _named(values: pd.Series, names: Mapping[str, str]) -> dict[str, str]:
    """Each value with what it is called: those of `names` first and in their order, then any other as it is."""
    there = dict.fromkeys(str(value) for value in values)
    return {name: label for name, label in names.items() if name in there} | {
        name: plain(name) for name in there if name not in names
    }
