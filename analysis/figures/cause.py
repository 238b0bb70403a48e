"""When the slope detector fires under interventions on weight decay and on the amount of data."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures.style import COLOURS, INK, STYLE, plain

FIRE, DECAY, TEST = COLOURS[1], COLOURS[5], COLOURS[0]


def cause(conditions: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """A row per intervention: when decay is on, the fires and the median epoch of test accuracy 0.5; beside it the share of
    runs that fire, with its interval, the median test accuracy at the end and the lowest training loss.

    Args:
        conditions: intervention, decay (`0–100, 200–400`), epochs, share, low, high, test_50_epoch, test, loss_lowest; top
        row first. runs: intervention, seed, fire_epoch (NaN if never).
    """
    names = [plain(str(name)) for name in conditions["intervention"]]
    rows = np.arange(len(names))
    with rc_context(STYLE):
        figure = Figure(figsize=(7.0, 0.9 + 0.26 * len(names)))
        time, share, test, loss = figure.subplots(1, 4, sharey=True, width_ratios=(5, 1.5, 1.3, 1.5))
        for row, one in zip(rows, conditions.to_dict("records"), strict=True):
            for span in filter(None, str(one["decay"]).split(", ")):
                start, end = (int(part) for part in span.split("–"))
                time.barh(row, end - start, left=start, height=0.62, color=DECAY, alpha=0.45, linewidth=0)
            own = runs[runs["intervention"] == one["intervention"]].sort_values("seed")
            spread = row + np.linspace(-0.2, 0.2, len(own)) if len(own) > 1 else np.array([float(row)])
            time.plot(own["fire_epoch"], spread, "o", color=FIRE, markersize=3.2, zorder=3)
            if np.isfinite(one["test_50_epoch"]):
                time.plot([one["test_50_epoch"]] * 2, [row - 0.36, row + 0.36], color=TEST, linewidth=2, zorder=2)
        ends = np.abs(conditions[["low", "high"]].to_numpy().T - conditions["share"].to_numpy())
        share.errorbar(conditions["share"], rows, xerr=ends, fmt="o", color=FIRE, markersize=3.5, elinewidth=1)
        test.plot(conditions["test"], rows, "|", color=TEST, markersize=8, markeredgewidth=2)
        loss.plot(conditions["loss_lowest"].replace(np.inf, np.nan), rows, "D", color=INK, markersize=3)
        time.axvline(100, color="gray", linewidth=0.8, linestyle=":")
        time.set(xlabel="epoch", xlim=(0, float(conditions["epochs"].max())))
        time.set_yticks(rows, names)
        time.invert_yaxis()
        share.set(xlabel="share\nthat fires", xlim=(-0.06, 1.06))
        test.set(xlabel="test acc.\nat end", xlim=(-0.06, 1.06))
        loss.set(xlabel="lowest\ntraining loss", xscale="log")
        for ax in (share, test):
            ax.set_xticks((0, 0.5, 1), ("0", "½", "1"))
        for ax in (time, share, test, loss):
            ax.grid(axis="y", visible=False)
        keys = [
            Patch(color=DECAY, alpha=0.45, label="weight decay on"),
            Line2D([], [], marker="o", linestyle="none", color=FIRE, markersize=4, label="detector fires (a seed)"),
            Line2D(
                [], [], marker="|", linestyle="none", color=TEST, markersize=9, markeredgewidth=2, label="test accuracy ≥ 0.5"
            ),
            Line2D([], [], color="gray", linestyle=":", linewidth=1, label="may fire from here"),
        ]
        figure.legend(handles=keys, loc="outside upper left", ncols=4, columnspacing=1.2, handlelength=1.4)
    return figure
