"""Tables to matplotlib figures; computes nothing. The only package that imports matplotlib.

A function that takes `axes` draws into those, such as a notebook's, or into a figure of its own. Names are imported when they
are first used: a run is trained before it is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analysis.figures.curves import headline, repulsion, sign_match
    from analysis.figures.points import detector_controls, eta_scatter, windows
    from analysis.figures.runs import accuracy, spectrum, top_pairs
    from analysis.figures.studies import study_repulsion, study_series
    from analysis.figures.style import COLOURS
    from grok.spec.config import ResolvedConfig

__all__ = [
    "COLOURS",
    "accuracy",
    "detector_controls",
    "eta_scatter",
    "headline",
    "repulsion",
    "run_figures",
    "sign_match",
    "spectrum",
    "study_repulsion",
    "study_series",
    "top_pairs",
    "windows",
]

_HOMES = {
    "curves": ("headline", "repulsion", "sign_match"),
    "points": ("detector_controls", "eta_scatter", "windows"),
    "runs": ("accuracy", "spectrum", "top_pairs"),
    "studies": ("study_repulsion", "study_series"),
    "style": ("COLOURS",),
}


def run_figures(history: pd.DataFrame, pairs: pd.DataFrame, config: ResolvedConfig) -> dict[str, Figure]:
    """The figures of one run, as `analysis.figures.runs.run_figures` draws them; matplotlib is imported then."""
    from analysis.figures import runs

    return runs.run_figures(history, pairs, config)


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
