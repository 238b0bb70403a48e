"""The figures of the report by name; they draw tables and compute nothing."""

from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.figures.cause import cause
from analysis.figures.curves import eigenvalues, headline, repulsion, sign_match
from analysis.figures.grids import Column, activations, scaling
from analysis.figures.lifecycle import (
    lifecycle_ablation,
    lifecycle_classes,
    lifecycle_flip,
    lifecycle_flow,
    lifecycle_grid,
    lifecycle_intervention,
    lifecycle_phases,
    lifecycle_probes,
    lifecycle_sweep,
)
from analysis.figures.points import detector_controls, eta_scatter, precision, windows
from analysis.figures.rounding import rounding
from analysis.figures.signals import signals_board, signals_page
from analysis.figures.style import STYLE
from analysis.figures.surface import surfaces

__all__ = [
    "Column",
    "activations",
    "cause",
    "detector_controls",
    "drawn",
    "eigenvalues",
    "eta_scatter",
    "headline",
    "lifecycle_ablation",
    "lifecycle_classes",
    "lifecycle_flip",
    "lifecycle_flow",
    "lifecycle_grid",
    "lifecycle_intervention",
    "lifecycle_phases",
    "lifecycle_probes",
    "lifecycle_sweep",
    "precision",
    "repulsion",
    "rounding",
    "scaling",
    "sign_match",
    "signals_board",
    "signals_page",
    "surfaces",
    "windows",
]


def drawn(name: str, *arguments: Any) -> Figure:
    """A figure of these by name, in the style of all."""
    with rc_context(STYLE):
        figure: Figure = globals()[name](*arguments)
        return figure
