"""One style for every figure: colour-blind safe, readable at column width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import words

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
INK = "#1b1f23"
"""Of text and axes; a page puts its own text colour in its place."""
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.dpi": 160,
    "figure.constrained_layout.use": True,
    "lines.linewidth": 1.4,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "grok-registry",
    "path.simplify_threshold": 0.3,
    "pdf.fonttype": 42,
}


COLUMN = 5.2
"""Inches: the width of a column of a page."""


def titled(text: str, height: float) -> Figure:
    """A figure of column width with a wrapped title."""
    figure = Figure(figsize=(COLUMN, height))
    title(figure, text)
    return figure


def title(figure: Figure, text: str) -> None:
    """A wrapped title above a figure."""
    figure.suptitle(textwrap.fill(text, 60), x=0.01, ha="left", fontsize=9)


def fix(figure: Figure, text: str, between: float, right: float = 0.1) -> None:
    """A wrapped title, and axes below each other at places of their own: nothing is laid out, so that figures of two runs can
    be laid over each other, and each is drawn once.

    Args:
        figure: made without a layout. text: of the title. between: inches between two axes. right: inches beside them.
    """
    lines = textwrap.wrap(text, 60)
    width, height = figure.get_size_inches()
    top, bottom = height - 0.36 - 0.15 * len(lines), 0.45  # room for a legend above, ticks and a label below
    rows = len(figure.axes)
    mean = (top - bottom - between * (rows - 1)) / rows
    figure.subplots_adjust(0.85 / width, bottom / height, 1 - right / width, top / height, hspace=between / mean)
    figure.suptitle("\n".join(lines), x=0.01, y=1 - 0.05 / height, ha="left", va="top", fontsize=9)


Axis = Axes | Sequence[Axes] | np.ndarray | None
"""Where a figure's function draws: axes of the caller's, or a figure of its own if None."""


def placed(
    axes: Axis, size: tuple[float, float], rows: int = 1, columns: int = 1, layout: Any = None, **grid: Any
) -> tuple[Figure, list[Axes]]:
    """The axes to draw into, row by row, and their figure.

    Args:
        axes: of the caller's, as many as the figure has; None for those of a new figure.
        size: of that, inches. rows, columns, grid: of its axes, as `Figure.subplots` has them. layout: `none` where `fix` is to
            place them; the style's by default.

    Raises:
        ValueError: if the caller's are more or fewer.
    """
    if axes is None:
        figure = Figure(figsize=size, layout=layout)
        return figure, list(figure.subplots(rows, columns, squeeze=False, **grid).flat)
    given = list(np.ravel(np.asarray(axes, dtype=object)))
    if len(given) != rows * columns:
        raise ValueError(f"axes must be {rows * columns}, got {len(given)}. Make them by plt.subplots({rows}, {columns}).")
    whole = given[0].figure
    assert isinstance(whole, Figure)
    return whole, given


def key(figure: Figure, axes: Axis, first: Axes, handles: Iterable[Any], columns: int) -> None:
    """The legend of a whole figure: above it where it is its own, else above the first of the caller's axes."""
    if axes is None:
        figure.legend(handles=list(handles), loc="outside upper left", ncols=columns)
    else:
        first.legend(handles=list(handles), loc="lower left", bbox_to_anchor=(0, 1.0), fontsize="small")


def legend(ax: Axes, columns: int) -> None:
    """A legend above the axes, where it covers no line."""
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2, columnspacing=1.0, handlelength=1.4)


CONDITIONS = {
    "grok": (words.CONDITIONS["grok"], COLOURS[0], "-", "o"),
    "eta0": (words.CONDITIONS["eta0"], COLOURS[1], "--", "s"),
    "random_labels": (words.CONDITIONS["random_labels"], COLOURS[2], "-.", "^"),
    "data_starved": (words.CONDITIONS["data_starved"], COLOURS[3], ":", "D"),
}
"""Label, colour, dash and marker of the conditions that figures know; in no figure does colour alone tell."""
ACTIVATIONS = {"square": "$x^2$", "relu": "ReLU", "relu2": "ReLU$^2$"}


def plain(text: str) -> str:
    """Text from a store, so that no part of it is taken for mathematics."""
    return text.replace("\\", "/").replace("$", r"\$")


def power(value: float) -> str:
    """A small number as mathematics of one digit: 5·10⁻⁵."""
    digits, _, exponent = f"{value:.0e}".partition("e")
    return f"${digits}\\cdot 10^{{{int(exponent)}}}$"
