"""Tables to matplotlib figures; computes nothing. The only package that imports matplotlib."""

from analysis.figures.runs import run_figures
from analysis.figures.studies import study_repulsion, study_series
from analysis.figures.style import COLOURS

__all__ = ["COLOURS", "run_figures", "study_repulsion", "study_series"]
