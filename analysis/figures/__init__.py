"""Tables to matplotlib figures; computes nothing. The only package that imports matplotlib.

A function that takes `axes` draws into those, such as a notebook's, or into a figure of its own.
"""

from analysis.figures.curves import headline, repulsion, sign_match
from analysis.figures.points import detector_controls, eta_scatter, windows
from analysis.figures.runs import accuracy, run_figures, spectrum, top_pairs
from analysis.figures.studies import study_repulsion, study_series
from analysis.figures.style import COLOURS

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
