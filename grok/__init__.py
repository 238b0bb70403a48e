"""Grokking dynamics: train, record the spectrum of weight updates, detect, measure repulsion.

Everything exported here is free of I/O; `grok.tracking` and `grok.runner` put runs into MLflow.
"""

from grok.config import ConfigError, RunConfig
from grok.data import Problem, modular_addition
from grok.detectors import fire_epoch, first_crossing, slope
from grok.repulsion import Repulsion, measure_repulsion
from grok.spectra import RollingSpectrum, gap, rolling_eigenvalues
from grok.training import Record, Training, train
from grok.updates import BandedGram

__all__ = [
    "BandedGram", "ConfigError", "Problem", "Record", "Repulsion", "RollingSpectrum", "RunConfig", "Training",
    "fire_epoch", "first_crossing", "gap", "measure_repulsion", "modular_addition", "rolling_eigenvalues", "slope",
    "train",
]  # fmt: skip
