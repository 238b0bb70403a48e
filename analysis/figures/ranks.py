"""Ratios of neighbouring eigenvalues by layer, activation and condition, beside those of drifts."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import ACTIVATIONS, CONDITIONS, STYLE

OFFSET = 0.09
"""Between the markers of two conditions, in units of k."""


def ratios(table: pd.DataFrame) -> Figure:
    """A panel per layer and activation that is there.

    Args:
        table: layer, activation, condition, k, ratio, q1, q3, drift.
    """
    layers = [name for name in ("W", "V") if (table["layer"] == name).any()]
    kinds = [name for name in ACTIVATIONS if (table["activation"] == name).any()]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * len(kinds), 2.2 * len(layers) + 0.5))
        axes = figure.subplots(len(layers), len(kinds), squeeze=False, sharex=True, sharey="row")
        for row, layer in zip(axes, layers, strict=True):
            for ax, kind in zip(row, kinds, strict=True):
                mine = table[(table["layer"] == layer) & (table["activation"] == kind)]
                drift = mine[mine["condition"] == "grok"]
                ax.plot(drift["k"], drift["drift"], color="0.6", linewidth=3, label="drift without a rank", zorder=0)
                conditions = [name for name in CONDITIONS if (mine["condition"] == name).any()]
                for place, name in enumerate(conditions):
                    label, colour, _, marker = CONDITIONS[name]
                    of = mine[mine["condition"] == name]
                    x = of["k"] + OFFSET * (place - (len(conditions) - 1) / 2)
                    bars = np.array([of["ratio"] - of["q1"], of["q3"] - of["ratio"]])
                    ax.errorbar(x, of["ratio"], bars, fmt=marker, color=colour, markersize=4, capsize=2, label=label)
                ax.set_yscale("log")
                ax.set_title(f"{layer}, {ACTIVATIONS[kind]}")
                ax.set_xticks([1, 2, 3, 4])
            row[0].set_ylabel(r"$\lambda_k / \lambda_{k+1}$")
        for ax in axes[-1]:
            ax.set_xlabel("k")
        handles, labels = max((ax.get_legend_handles_labels() for ax in axes.flat), key=lambda found: len(found[1]))
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure
