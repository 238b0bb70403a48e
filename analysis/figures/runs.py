"""The figures of one run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import COLOURS, COLUMN, STYLE, Axis, fix, legend, placed
from analysis.words import watched
from grok.detectors._chosen import PUBLISHED, chosen
from grok.spec.config import ResolvedConfig

CURVES = 9
"""Epochs whose top pairs are drawn, spread over all that were measured: the legend holds no more."""


def run_figures(history: pd.DataFrame, pairs: pd.DataFrame, config: ResolvedConfig) -> dict[str, Figure]:
    """The figures of one run: `accuracy`, `spectrum`, and `top_pairs` where repulsion was measured.

    Args:
        history: a row per epoch, columns as `history.parquet`.
        pairs: columns epoch, j, l, cos.
        config: of the run.
    """
    out = {"accuracy": accuracy(history, config)}
    if watched(history.columns):
        out["spectrum"] = spectrum(history, config)
    if len(pairs):
        out["top_pairs"] = top_pairs(history, pairs, config)
    return out


def _fired(history: pd.DataFrame, config: ResolvedConfig) -> int | None:
    updates = watched(history.columns)
    return chosen(config).fire_epoch(history[f"{updates}/gap_23"].to_numpy()) if updates else None


def _mark(axes: Sequence[Axes], fired: int | None) -> None:
    for number, ax in enumerate(axes):
        if fired is not None:
            label = f"detector fires, epoch {fired}" if number == 0 else None
            ax.axvline(fired, color="black", linestyle="--", linewidth=1, label=label)
    axes[-1].set_xlabel("epoch")


def accuracy(history: pd.DataFrame, config: ResolvedConfig, axes: Axis = None) -> Figure:
    """Accuracy and loss of a run on training and test samples.

    Args:
        history: a row per epoch, columns as `history.parquet`. config: of the run.
        axes: two, to draw into; None for a figure of its own.
    """
    with rc_context(STYLE):
        figure, panels = placed(axes, (COLUMN, 4.2), 2, layout="none", sharex=True)
        if axes is None:
            fix(figure, config.display_name(), 0.15)
        for part, colour in (("train", COLOURS[0]), ("test", COLOURS[1])):
            for place, quantity in enumerate(("accuracy", "loss")):
                seen = history[["epoch", f"{quantity}/{part}"]].dropna()  # not every epoch of a run need be evaluated
                panels[place].plot(seen["epoch"], seen[f"{quantity}/{part}"], color=colour, label=part)
        panels[0].set(ylabel="accuracy", ylim=(-0.03, 1.05))
        panels[1].set(ylabel="loss (MSE)" if config.network == "two_layer" else "loss", yscale="log")
        _mark(panels, _fired(history, config))
        legend(panels[0], 3)
    return figure


def spectrum(history: pd.DataFrame, config: ResolvedConfig, axes: Axis = None) -> Figure:
    """λ₁ … λ₅ of a run's updates, the gap that the detector reads, and its slope with the threshold.

    Args:
        history: a row per epoch, columns as `history.parquet`, of a run whose updates were watched. config: of the run.
        axes: three, to draw into; None for a figure of its own.
    """
    with rc_context(STYLE):
        figure, panels = placed(axes, (COLUMN, 5.8), 3, layout="none", sharex=True, height_ratios=(1.5, 1, 1))
        if axes is None:
            fix(figure, config.display_name(), 0.3)
        updates = watched(history.columns)
        for k in range(1, 6):
            name = f"{updates}/lambda_{k}"
            if name in history:
                panels[0].plot(history["epoch"], history[name], color=COLOURS[k - 1], label=f"$\\lambda_{k}$")
        panels[0].set(yscale="log", ylabel=r"eigenvalues of $\Delta^T\!\Delta$")
        panels[1].plot(history["epoch"], history[f"{updates}/gap_23"], color=COLOURS[1])
        panels[1].set(yscale="log", ylabel=r"$\lambda_2/\lambda_3$")
        if f"{updates}/slope_23" in history:  # a run shorter than the slope's lag has none
            panels[2].plot(history["epoch"], history[f"{updates}/slope_23"], color=COLOURS[2])
        if config.detector == PUBLISHED:
            panels[2].axhline(config.slope_threshold, color="gray", linewidth=1, label=f"threshold {config.slope_threshold:g}")
        panels[2].axvspan(0, config.first_epoch, color="gray", alpha=0.12, linewidth=0, label="detector off")
        panels[2].set(ylabel=r"slope of $\log \lambda_2/\lambda_3$")
        _mark(panels, _fired(history, config))
        legend(panels[0], 6)
        legend(panels[2], 2)
    return figure


def top_pairs(history: pd.DataFrame, pairs: pd.DataFrame, config: ResolvedConfig, axes: Axis = None) -> Figure:
    """How similar a run's most similar features are, and how often they repel each other, beside random pairs.

    Args:
        history: a row per epoch, columns as `history.parquet`. pairs: columns epoch, j, l, cos. config: of the run.
        axes: two, to draw into; None for a figure of its own.
    """
    with rc_context(STYLE):
        figure, (left, right) = placed(axes, (COLUMN, 4.8), 2, layout="none")
        if axes is None:
            fix(figure, f"{config.display_name()}: top {config.top_pairs} pairs", 0.75, 0.6)
        measured = np.sort(pairs["epoch"].unique())
        epochs = measured[np.unique(np.linspace(0, len(measured) - 1, CURVES).round().astype(int))]
        shades = np.linspace(0.25, 1, len(epochs))
        for epoch, shade in zip(epochs, shades, strict=True):
            size = pairs.loc[pairs["epoch"] == epoch, "cos"].abs().sort_values(ascending=False).to_numpy()
            left.plot(np.arange(1, len(size) + 1), size, color=COLOURS[0], alpha=shade, label=f"{epoch}")
        left.set(xlabel="pair, most similar first", ylabel=r"|cos($\tilde f_j, \tilde f_l$)|", ylim=(0, 1.02))
        left.legend(title="epoch", loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, title_fontsize=7)
        rows = history.dropna(subset=["repulsion/rate"])
        right.fill_between(
            rows["epoch"],
            rows["repulsion/null_low"],
            rows["repulsion/null_high"],
            color="gray",
            alpha=0.25,
            linewidth=0,
            label="random pairs, range of draws",
        )
        right.plot(rows["epoch"], rows["repulsion/null_rate"], color="gray", marker="o", markersize=3)
        right.plot(rows["epoch"], rows["repulsion/rate"], color=COLOURS[1], marker="o", markersize=4, label="top pairs")
        right.set(xlabel="epoch", ylabel="repulsion rate", ylim=(0, 1.03))
        legend(right, 2)
    return figure
