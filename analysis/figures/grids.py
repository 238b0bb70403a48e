"""Figures of the report that are grids of cells with their numbers in them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.curves import WIDTH
from analysis.figures.style import STYLE, plain

MAP = "cividis"
"""Read alike with and without red-green vision, and in grey."""


class Column(NamedTuple):
    """A column of a table figure.

    Attributes:
        name: of the table's column with the shade in [0, 1], NaN for none. text: of that with what the cell says. label: above.
    """

    name: str
    text: str
    label: str


def scaling(cells: pd.DataFrame) -> Figure:
    """Four heat maps over modulus and share of training pairs: grok rate, epochs, lead.

    Args:
        cells: modulus, share (p), grokked, runs, diverged, grok_rate, test_99_epoch, rho_epoch, lead (medians).
    """
    panels = (
        ("grok_rate", "runs that generalise", False),
        ("test_99_epoch", "test accuracy ≥ 0.99, epoch", True),
        ("rho_epoch", r"$\rho \geq 0.075$, epoch", True),
        ("lead", "lead of $\\rho$ over test ≥ 0.5, epochs", True),
    )
    moduli, shares = sorted(cells["modulus"].unique()), sorted(cells["share"].unique())
    by_cell = {(row["modulus"], row["share"]): row for row in cells.to_dict("records")}
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.2 + 0.9 * len(moduli)))
        for ax, (name, title, epochs) in zip(figure.subplots(2, 2, sharex=True, sharey=True).flat, panels, strict=True):
            values = np.array([[by_cell.get((m, p), {}).get(name, np.nan) for p in shares] for m in moduli], dtype=float)
            low, high = (0.0, 1.0) if not epochs else (0.0, float(np.nanmax(values)) if np.isfinite(values).any() else 1.0)
            texts = [[_cell_text(by_cell.get((m, p)), name) for p in shares] for m in moduli]
            _grid(ax, (values - low) / (high - low or 1.0), texts)
            ax.set_xticks(range(len(shares)), [f"{share:g}" for share in shares])
            ax.set_yticks(range(len(moduli)), [f"M = {modulus}" for modulus in moduli])
            ax.set_title(title)
        for ax in figure.axes[2:]:
            ax.set_xlabel("share p of pairs in training")
    return figure


def _cell_text(row: dict[Any, Any] | None, name: str) -> str:
    if row is None:
        return ""
    if name == "grok_rate":
        diverged = f"\n{row['diverged']} diverged" if row["diverged"] else ""
        return f"{row['grokked']}/{row['runs']}{diverged}"
    return f"{row[name]:.0f}" if np.isfinite(row[name]) else "–"


def activations(table: pd.DataFrame, columns: tuple[Column, ...]) -> Figure:
    """A table with shaded cells, a row per activation.

    Args:
        table: activation and the columns that `columns` name.
        columns: left to right.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH + 0.6, 1.0 + 0.3 * len(table)))
        ax = figure.subplots()
        _grid(
            ax,
            table[[c.name for c in columns]].to_numpy(dtype=float),
            [[text.replace(" [", "\n[") for text in row] for row in table[[c.text for c in columns]].to_numpy().tolist()],
            7.5,
        )
        ax.set_xticks(range(len(columns)), [column.label for column in columns], fontsize=7.5)
        ax.set_yticks(range(len(table)), [plain(str(name)) for name in table["activation"]])
        ax.xaxis.tick_top()
    return figure


def _grid(ax: Axes, values: np.ndarray, texts: list[list[str]], size: float = 8) -> None:
    """Cells shaded by `values` in [0, 1], blank where NaN, with their texts."""
    rows, columns = values.shape
    colours = colormaps[MAP](0.12 + 0.88 * np.nan_to_num(values))
    colours[~np.isfinite(values)] = (0.5, 0.5, 0.5, 0.12)
    for i, j in np.ndindex(rows, columns):
        ax.fill(
            [j - 0.48, j + 0.48, j + 0.48, j - 0.48], [i - 0.46, i - 0.46, i + 0.46, i + 0.46], color=colours[i, j], linewidth=0
        )
        known = bool(np.isfinite(values[i, j]))
        ink: dict[str, Any] = {} if not known else {"color": "#000000" if values[i, j] > 0.45 else "#ffffff"}
        ax.text(j, i, texts[i][j], ha="center", va="center", fontsize=size, **ink)
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    ax.grid(False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
