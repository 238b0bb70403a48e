"""A monitor's columns as a figure: spectrum, gap, events. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grok.monitor.events import DIVERGENCE, Event
from grok.numerics.spectra import EIGENVALUES

COLOURS = {"onset": "#1b7837", "late collapse": "#b35806", "divergence": "#c51b7d"}
"""Of the project's kinds of events; others are grey."""

SHOWN = 5
"""Steps of a kind of event that are named."""


def figure(columns: Mapping[str, np.ndarray], events: Sequence[Event], title: str = "") -> Any:
    """Eigenvalues λ₁ … λ₅ above, gaps below, a line at each event with its kind and, of an alarm, whether it is calibrated.

    Args:
        columns: as `SpectralMonitor.columns` gives them. events: of the same block. title: over the figure.

    Returns:
        A matplotlib figure, of no backend: `savefig` works anywhere.
    """
    from matplotlib.figure import Figure

    out = Figure(figsize=(7, 5), layout="constrained")
    above, below = out.subplots(2, 1, sharex=True)
    x = columns.get("step", np.empty(0))
    for k in range(1, EIGENVALUES + 1):
        values = columns.get(f"lambda_{k}", np.empty(0))
        above.plot(x, np.where(values > 0, values, np.nan), lw=1, color="#08306b", alpha=1.15 - 0.18 * k, label=f"λ{k}")
    for name, colour in (("gap_12", "#969696"), ("gap_23", "#08519c")):
        if name in columns:
            below.plot(x, columns[name], lw=1, color=colour, label=f"λ{name[4]}/λ{name[5]}")
    for ax, label in ((above, "eigenvalues of the window"), (below, "gap")):
        ax.set(yscale="log", ylabel=label)
        for event in events:
            ax.axvline(event.step, color=COLOURS.get(event.kind, "#525252"), lw=1, ls="--")
    told: dict[str, list[Event]] = {}
    for event in events:
        worth = "uncalibrated" if event.calibration is None else "calibrated"  # a fact needs no calibration
        told.setdefault(event.kind if event.kind == DIVERGENCE else f"{event.kind} ({worth})", []).append(event)
    if told:  # below the axes, so that words meet neither curves nor one another
        lines = [below.axvline(of[0].step, color=COLOURS.get(of[0].kind, "#525252"), lw=1, ls="--") for of in told.values()]
        words = [f"{kind} at step {_steps(of)}" for kind, of in told.items()]
        out.legend(lines, words, loc="outside lower center", fontsize=7, frameon=False)
    for ax in (above, below):
        if ax.lines and ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=7, ncols=5, frameon=False)
    below.set_xlabel("step")
    above.set_title(title)
    return out


def _steps(events: Sequence[Event]) -> str:
    """Of the first few."""
    steps = ", ".join(str(event.step) for event in events[:SHOWN])
    return steps + (f" and {len(events) - SHOWN} more" if len(events) > SHOWN else "")
