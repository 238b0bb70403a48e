"""The figures of a study: its main series, and the repulsion of similar features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, STYLE

METRIC_LABELS = {
    "accuracy/test": "test accuracy",
    "delta_w/gap_23": r"$\lambda_2/\lambda_3$ of $\Delta W$",
    "rate": "repulsion rate",
}
Series = dict[tuple[str, ...], pd.DataFrame]
"""By label, the parts of a line's name: columns epoch, median, low, high."""
LINES = len(COLOURS)
"""Lines that one panel holds; more are spread over small multiples."""
ACROSS = 3


def study_series(series: dict[str, Series], title: str) -> Figure:
    """A study's main series: a panel per metric, a line per condition with its quartiles.

    With more than six conditions, a column of panels for each value of that part of their names which needs the fewest.

    Args:
        series: by metric, then by label.
        title: above the figure.
    """
    return _draw(series, {}, f"{title}: median over seeds, quartiles shaded")


def study_repulsion(rates: Series, null: Series, title: str) -> Figure:
    """Repulsion rate of the most similar features by epoch, with the rate of random pairs dotted.

    Args:
        rates: by label. null: by label, the rates of random pairs.
        title: above the figure.
    """
    return _draw({"rate": rates}, null, f"{title}: repulsion of the most similar pairs; dotted: of random pairs")


def panels(labels: Iterable[tuple[str, ...]]) -> dict[str, dict[tuple[str, ...], str]]:
    """Small multiples: by panel title, the labels shown there and what each line is called in it.

    One panel, without a title, holds up to six lines. More are split by the part of the label that makes the fewest panels
    of at most six lines; if no part does, each has a panel of its own.
    """
    labels = list(dict.fromkeys(labels))
    if len(labels) <= LINES:
        return {"": {label: ", ".join(label) for label in labels}}
    splits = [_split(labels, part) for part in range(max(map(len, labels)))]
    fitting = [split for split in splits if max(map(len, split.values())) <= LINES]
    return min(fitting, key=len) if fitting else {", ".join(label): {label: "median"} for label in labels}


def _split(labels: Sequence[tuple[str, ...]], part: int) -> dict[str, dict[tuple[str, ...], str]]:
    out: dict[str, dict[tuple[str, ...], str]] = {}
    for label in labels:
        rest = ", ".join(label[:part] + label[part + 1 :])
        out.setdefault(label[part], {})[label] = rest or "median"
    return out


def _draw(series: dict[str, Series], null: Series, title: str) -> Figure:
    """A column of panels, one per metric, for each of the small multiples."""
    split = panels(label for lines in series.values() for label in lines)
    across = min(ACROSS, len(split))
    down = -(-len(split) // across) * len(series)
    legends = {tuple(names.values()) for names in split.values()}
    with rc_context(STYLE | ({} if len(split) == 1 else {"font.size": 7, "axes.titlesize": 8, "lines.linewidth": 1.0})):
        height = (2.3 if len(split) == 1 else 1.45) * down + 0.16 * max(map(len, split.values())) + 0.3
        figure = Figure(figsize=(6.4 if across < ACROSS else 7.6, height))
        grid = figure.subplots(down, across, sharex=True, squeeze=False)
        for number, (name, lines) in enumerate(split.items()):
            top = number // across * len(series)
            for offset, (metric, values) in enumerate(series.items()):
                ax = grid[top + offset, number % across]
                if number:
                    ax.sharey(grid[offset, 0])
                _lines(ax, values, null, lines)
                _dress(ax, metric, named=number % across == 0)
            grid[top, number % across].set_title(name)
            if len(legends) > 1:
                grid[top, number % across].legend(fontsize=6, loc="best")
        for column in range(across):
            shown = len(range(column, len(split), across)) * len(series)
            for ax in grid[shown:, column]:
                ax.set_visible(False)
            grid[shown - 1, column].set_xlabel("epoch")
            grid[shown - 1, column].tick_params(labelbottom=True)
        figure.suptitle(title, x=0.01, ha="left", fontsize=9)
        if len(legends) == 1:
            figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=7)
    return figure


def _lines(ax: Axes, values: Series, null: Series, lines: dict[tuple[str, ...], str]) -> None:
    for colour, (label, name) in zip(COLOURS, lines.items(), strict=False):
        if label in values:
            table = values[label]
            ax.plot(table["epoch"], table["median"], color=colour, label=name)
            ax.fill_between(table["epoch"], table["low"], table["high"], color=colour, alpha=0.15, linewidth=0)
        if label in null:
            ax.plot(null[label]["epoch"], null[label]["median"], color=colour, linestyle=":", linewidth=1.0)


def _dress(ax: Axes, metric: str, *, named: bool) -> None:
    if named:
        ax.set_ylabel(METRIC_LABELS.get(metric, metric))
    if metric.endswith("gap_23"):
        if any((np.asarray(line.get_ydata(), dtype=np.float64) > 0).any() for line in ax.lines):
            ax.set_yscale("log")  # which an axis without a positive value cannot have
    else:
        ax.set_ylim(-0.03, 1.03)
