"""Tables to matplotlib figures; computes nothing. One style: colour-blind safe, readable at column width."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grok.config import RunConfig
from grok.detectors import fire_epoch

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
METRIC_LABELS = {"accuracy/test": "test accuracy", "delta_w/gap_23": r"$\lambda_2/\lambda_3$ of $\Delta W$"}
CURVES = 9
"""Epochs whose top pairs are drawn, spread over all that were measured: the legend holds no more."""
STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
    "axes.titlesize": 9, "axes.titlelocation": "left", "legend.frameon": False, "legend.fontsize": 8, "savefig.dpi": 160,
    "figure.constrained_layout.use": True, "lines.linewidth": 1.4,
}  # fmt: skip


def run_figures(history: pd.DataFrame, pairs: pd.DataFrame, config: RunConfig) -> dict[str, Figure]:
    """The figures of one run: `accuracy`, `spectrum`, and `top_pairs` where repulsion was measured.

    Args:
        history: a row per epoch, columns as `history.parquet`.
        pairs: columns epoch, j, l, cos.
        config: of the run.
    """
    config = config.resolved()
    fired = fire_epoch(history["delta_w/gap_23"].to_numpy(), config.slope_lag, config.slope_threshold, config.first_epoch) \
        if "delta_w/gap_23" in history else None  # fmt: skip
    with rc_context(STYLE):
        out = {"accuracy": _accuracy(history, config, fired)}
        if "delta_w/gap_23" in history:
            out["spectrum"] = _spectrum(history, config, fired)
        if len(pairs):
            out["top_pairs"] = _top_pairs(history, pairs, config)
    return out


def _titled(title: str, height: float) -> Figure:
    figure = Figure(figsize=(5.2, height))
    figure.suptitle(textwrap.fill(title, 60), x=0.01, ha="left", fontsize=9)
    return figure


def _legend(ax: Axes, columns: int) -> None:
    """A legend above the axes, where it covers no line."""
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2, columnspacing=1.0, handlelength=1.4)


def _mark(axes: np.ndarray, fired: int | None) -> None:
    for number, ax in enumerate(axes):
        if fired is not None:
            label = f"detector fires, epoch {fired}" if number == 0 else None
            ax.axvline(fired, color="black", linestyle="--", linewidth=1, label=label)
    axes[-1].set_xlabel("epoch")


def _accuracy(history: pd.DataFrame, config: RunConfig, fired: int | None) -> Figure:
    figure = _titled(config.display_name(), 4.2)
    axes = figure.subplots(2, 1, sharex=True)
    for part, colour in (("train", COLOURS[0]), ("test", COLOURS[1])):
        axes[0].plot(history["epoch"], history[f"accuracy/{part}"], color=colour, label=part)
        axes[1].plot(history["epoch"], history[f"loss/{part}"], color=colour, label=part)
    axes[0].set(ylabel="accuracy", ylim=(-0.03, 1.05))
    axes[1].set(ylabel="loss (MSE)", yscale="log")
    _mark(axes, fired)
    _legend(axes[0], 3)
    return figure


def _spectrum(history: pd.DataFrame, config: RunConfig, fired: int | None) -> Figure:
    figure = _titled(config.display_name(), 5.8)
    axes = figure.subplots(3, 1, sharex=True, height_ratios=(1.5, 1, 1))
    for k in range(1, 6):
        name = f"delta_w/lambda_{k}"
        if name in history:
            axes[0].plot(history["epoch"], history[name], color=COLOURS[k - 1], label=f"$\\lambda_{k}$")
    axes[0].set(yscale="log", ylabel=r"eigenvalues of $\Delta^T\!\Delta$")
    axes[1].plot(history["epoch"], history["delta_w/gap_23"], color=COLOURS[1])
    axes[1].set(yscale="log", ylabel=r"$\lambda_2/\lambda_3$")
    if "delta_w/slope_23" in history:  # a run shorter than the slope's lag has none
        axes[2].plot(history["epoch"], history["delta_w/slope_23"], color=COLOURS[2])
    axes[2].axhline(config.slope_threshold, color="gray", linewidth=1, label=f"threshold {config.slope_threshold:g}")
    axes[2].axvspan(0, config.first_epoch, color="gray", alpha=0.12, linewidth=0, label="detector off")
    axes[2].set(ylabel=r"slope of $\log \lambda_2/\lambda_3$")
    _mark(axes, fired)
    _legend(axes[0], 6)
    _legend(axes[2], 2)
    return figure


def _top_pairs(history: pd.DataFrame, pairs: pd.DataFrame, config: RunConfig) -> Figure:
    figure = _titled(f"{config.display_name()}: top {config.top_pairs} pairs", 4.8)
    left, right = figure.subplots(2, 1)
    measured = np.sort(pairs["epoch"].unique())
    epochs = measured[np.unique(np.linspace(0, len(measured) - 1, CURVES).round().astype(int))]
    shades = np.linspace(0.25, 1, len(epochs))
    for epoch, shade in zip(epochs, shades, strict=True):
        size = pairs.loc[pairs["epoch"] == epoch, "cos"].abs().sort_values(ascending=False).to_numpy()
        left.plot(np.arange(1, len(size) + 1), size, color=COLOURS[0], alpha=shade, label=f"{epoch}")
    left.set(xlabel="pair, most similar first", ylabel=r"|cos($\tilde f_j, \tilde f_l$)|", ylim=(0, 1.02))
    left.legend(title="epoch", loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, title_fontsize=7)
    rows = history.dropna(subset=["repulsion/rate"])
    right.fill_between(rows["epoch"], rows["repulsion/null_low"], rows["repulsion/null_high"], color="gray", alpha=0.25,
                       linewidth=0, label="random pairs, range of draws")  # fmt: skip
    right.plot(rows["epoch"], rows["repulsion/null_rate"], color="gray", marker="o", markersize=3)
    right.plot(rows["epoch"], rows["repulsion/rate"], color=COLOURS[1], marker="o", markersize=4, label="top pairs")
    right.set(xlabel="epoch", ylabel="repulsion rate", ylim=(0, 1.03))
    _legend(right, 2)
    return figure


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
