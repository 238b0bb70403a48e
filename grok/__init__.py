"""Grokking dynamics: train, record the spectrum of weight updates, detect, measure repulsion.

Everything exported here is free of I/O; `grok.tracking` and `grok.runner` put runs into MLflow. Names are imported when
they are first used, so that what needs the config alone, such as `--help`, does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grok.config import ConfigError as ConfigError
    from grok.config import RunConfig as RunConfig
    from grok.data import Problem as Problem
    from grok.data import modular_addition as modular_addition
    from grok.detectors import fire_epoch as fire_epoch
    from grok.detectors import first_crossing as first_crossing
    from grok.detectors import slope as slope
    from grok.repulsion import Repulsion as Repulsion
    from grok.repulsion import measure_repulsion as measure_repulsion
    from grok.spectra import RollingSpectrum as RollingSpectrum
    from grok.spectra import gap as gap
    from grok.spectra import rolling_eigenvalues as rolling_eigenvalues
    from grok.training import Record as Record
    from grok.training import Training as Training
    from grok.training import train as train
    from grok.updates import BandedGram as BandedGram

_HOMES = {
    "ConfigError": "config", "RunConfig": "config", "Problem": "data", "modular_addition": "data",
    "fire_epoch": "detectors", "first_crossing": "detectors", "slope": "detectors", "Repulsion": "repulsion",
    "measure_repulsion": "repulsion", "RollingSpectrum": "spectra", "gap": "spectra", "rolling_eigenvalues": "spectra",
    "Record": "training", "Training": "training", "train": "training", "BandedGram": "updates",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'grok' has no attribute {name!r}")
    return getattr(import_module(f"grok.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
