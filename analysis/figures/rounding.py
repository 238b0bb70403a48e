"""What an order of summation moves, beside what a seed moves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.figures.style import ACTIVATIONS, COLOURS, INK, STYLE, plain

LIBRARIES = {"mkl": "MKL", "onednn": "oneDNN"}


def order(variant: str) -> str:
    """An order of summation as a reader calls it: `mkl-256-1-reversed` is MKL in blocks of 256, last to first.

    Args:
        variant: library, samples a block, threads, and whether reversed, after the precision; any other name as it is.
    """
    precision, _, name = variant.rpartition(" ")
    library, *rest = name.split("-")
    if library not in LIBRARIES or len(rest) < 2:
        return plain(variant)
    told = [f"{LIBRARIES[library]}, blocks of {rest[0]}"]
    told += [f"{rest[1]} threads"] if rest[1] != "1" else []
    told += ["last to first"] if "reversed" in rest[2:] else []
    return plain(", ".join([*told, precision] if precision else told))


def rounding(runs: pd.DataFrame) -> Figure:
    """A block per activation and condition, a line per order of summation: fire epochs, the share that fires, and the
    late gap, with medians.

    Args:
        runs: activation, condition, variant, seed, fired, fire_epoch (NaN if never), late_gap_23; a row per run.
    """
    keys = ["activation", "condition"]
    groups = [((str(a), str(c)), group) for (a, c), group in runs.groupby(keys, sort=False)]
    heights = [group["variant"].nunique() for _, group in groups]
    with rc_context(STYLE):
        figure = Figure(figsize=(7.0, 0.6 + sum(0.17 * lines + 0.55 for lines in heights)))
        axes = figure.subplots(len(groups), 2, squeeze=False, width_ratios=(5, 4), height_ratios=heights)
        for (fire, gap), ((activation, condition), group) in zip(axes, groups, strict=True):
            names = list(dict.fromkeys(group["variant"]))
            for line, name in enumerate(names):
                own = group[group["variant"] == name].sort_values("seed")
                spread = line + (np.linspace(-0.25, 0.25, len(own)) if len(own) > 1 else np.zeros(1))
                for ax, column, colour in ((fire, "fire_epoch", COLOURS[1]), (gap, "late_gap_23", COLOURS[0])):
                    values = own[column].to_numpy(dtype=np.float64)
                    ax.plot(values, spread, "o", color=colour, markersize=2.4, alpha=0.7, markeredgewidth=0)
                    if np.isfinite(values).any():
                        ax.plot([np.nanmedian(values)] * 2, [line - 0.4, line + 0.4], color=INK, linewidth=1.2)
                fire.annotate(
                    f"{int(own['fired'].sum())}/{len(own)}",
                    (1.02, line),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontsize=7,
                )
            fire.set_yticks(range(len(names)), [order(name) for name in names], fontsize=7)
            gap.set_yticks(range(len(names)), [""] * len(names))
            for ax in (fire, gap):
                ax.set_ylim(len(names) - 0.4, -0.6)
                ax.grid(axis="y", visible=False)
            fire.set_title(f"{ACTIVATIONS.get(activation, plain(activation))}, {plain(condition)}: fire epoch, fires")
            gap.set_title("late λ₂/λ₃")
            if np.isfinite(epochs := group["fire_epoch"].to_numpy(dtype=np.float64)).any():
                fire.set_xlim(np.nanmin(epochs) - 5, np.nanmax(epochs) + 5)
                fire.xaxis.set_major_locator(MaxNLocator(integer=True))
            else:
                fire.set_xticks([])
            if (late := group["late_gap_23"]).max() > 4 * late.min():
                gap.set_xscale("log")
    return figure
