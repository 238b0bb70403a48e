"""The figure of a study's main series."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLE

METRIC_LABELS = {"accuracy/test": "test accuracy", "delta_w/gap_23": r"$\lambda_2/\lambda_3$ of $\Delta W$"}


def study_series(series: dict[str, dict[str, pd.DataFrame]], title: str) -> Figure:
    """A study's main series: a panel per metric, a line per condition with its quartiles.

    Args:
        series: by metric, then by label: columns epoch, median, low, high.
        title: above the figure.
    """
    labels = list(dict.fromkeys(label for panel in series.values() for label in panel))
    dashes = ("-", "--", ":", "-.")
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.3 * len(series) + 0.16 * len(labels)))
        axes = np.atleast_1d(figure.subplots(len(series), 1, sharex=True))
        for ax, (metric, panel) in zip(axes, series.items(), strict=True):
            for label, table in panel.items():
                number = labels.index(label)
                colour, dash = COLOURS[number % len(COLOURS)], dashes[number // len(COLOURS) % len(dashes)]
                ax.plot(table["epoch"], table["median"], color=colour, linestyle=dash, label=label)
                ax.fill_between(table["epoch"], table["low"], table["high"], color=colour, alpha=0.15, linewidth=0)
            ax.set_ylabel(METRIC_LABELS.get(metric, metric))
            if metric.endswith("gap_23"):
                ax.set_yscale("log")
        axes[0].set_title(f"{title}: median over seeds, quartiles shaded")
        axes[-1].set_xlabel("epoch")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure
