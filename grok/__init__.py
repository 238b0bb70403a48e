"""Grokking dynamics: train, record the spectrum of weight updates, detect, measure repulsion.

What is exported here is free of I/O, but for `load_run`, which reads a tracked run. Names are imported when they are first
used, so that what needs the config alone, such as `--help`, does not wait for torch, and a library user needs no MLflow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grok.detectors.base import Detector as Detector
    from grok.detectors.base import Range as Range
    from grok.detectors.base import Rule as Rule
    from grok.monitor.core import RollingSpectrum as RollingSpectrum
    from grok.monitor.events import Event as Event
    from grok.monitor.rules import Watch as Watch
    from grok.monitor.spectral import SpectralMonitor as SpectralMonitor
    from grok.networks.base import Network as Network
    from grok.numerics.band import BandedGram as BandedGram
    from grok.numerics.repulsion import Repulsion as Repulsion
    from grok.numerics.repulsion import measure_repulsion as measure_repulsion
    from grok.numerics.series import fire_epoch as fire_epoch
    from grok.numerics.series import first_crossing as first_crossing
    from grok.numerics.series import slope as slope
    from grok.numerics.spectra import gap as gap
    from grok.numerics.spectra import rolling_eigenvalues as rolling_eigenvalues
    from grok.recorders.base import Recorder as Recorder
    from grok.recorders.base import Step as Step
    from grok.runs.load import LoadedRun as LoadedRun
    from grok.runs.load import load_run as load_run
    from grok.signals.base import Signal as Signal
    from grok.spec.config import RunConfig as RunConfig
    from grok.spec.fields import ConfigError as ConfigError
    from grok.tasks.base import Problem as Problem
    from grok.tasks.base import Task as Task
    from grok.tasks.modular import modular_addition as modular_addition
    from grok.training.loop import Record as Record
    from grok.training.loop import Training as Training
    from grok.training.loop import train as train

__version__ = "0.1.0"

_HOMES = {
    "Network": "networks.base",
    "Recorder": "recorders.base",
    "Task": "tasks.base",
    "ConfigError": "spec.fields",
    "RunConfig": "spec.config",
    "Problem": "tasks.base",
    "modular_addition": "tasks.modular",
    "fire_epoch": "numerics.series",
    "first_crossing": "numerics.series",
    "slope": "numerics.series",
    "Repulsion": "numerics.repulsion",
    "measure_repulsion": "numerics.repulsion",
    "RollingSpectrum": "monitor.core",
    "SpectralMonitor": "monitor.spectral",
    "Watch": "monitor.rules",
    "Event": "monitor.events",
    "gap": "numerics.spectra",
    "rolling_eigenvalues": "numerics.spectra",
    "Step": "recorders.base",
    "Record": "training.loop",
    "Training": "training.loop",
    "train": "training.loop",
    "BandedGram": "numerics.band",
    "Detector": "detectors.base",
    "Range": "detectors.base",
    "Rule": "detectors.base",
    "Signal": "signals.base",
    "LoadedRun": "runs.load",
    "load_run": "runs.load",
}


def __getattr__(name: str) -> Any:
    if name == "analysis":
        from grok._beside import mount

        mount()
        return import_module("analysis")
    if name not in _HOMES:
        raise AttributeError(f"module 'grok' has no attribute {name!r}")
    return getattr(import_module(f"grok.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted((*_HOMES, "analysis", "__version__"))
