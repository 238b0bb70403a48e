"""Identities that stores hold: hashes of studies, of run configs and of sensitivity configs, and texts of configs."""

from __future__ import annotations

import contextlib
import importlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from analysis.sensitivity import tracked
from analysis.sensitivity.settings import SensitivityConfig
from grok.spec.config import ACTIVATIONS, OPTIMIZERS, RunConfig
from grok.spec.studies import registry

ODD: dict[str, dict[str, Any]] = {
    "default": {},
    "alias x2": {"activation": "x2"},
    "weight decay 0": {"weight_decay": 0},
    "weight decay -0.0": {"weight_decay": -0.0},
    "random labels": {"labels": "random"},
    "n_train that auto gives": {"n_train": 2016},
    "n_train": {"n_train": 504, "modulus": 59},
    "a whole learning rate": {"learning_rate": 1},
    "svd": {"spectrum_methods": ("svd",)},
    "svd after gram": {"spectrum_methods": ("gram", "svd")},
    "methods in another order": {"spectrum_methods": ("svd", "randomized", "gram32", "gram")},
    "randomized_10": {"spectrum_methods": ("gram32", "randomized_10", "svd")},
    "randomized_010": {"spectrum_methods": ("gram", "gram32", "randomized_010", "svd")},
    "checkpoints": {"checkpoint_epochs": (300, 5, 5, 0)},
    "no checkpoints": {"checkpoint_epochs": ()},
    "epoch_150": {"pair_ranking": "epoch_150"},
    "full": {"delta_w": "full", "precision": "float64", "repulsion_every": 5, "observe_every": 0},
    "detector": {"window": 10, "max_window": 30, "slope_lag": 5, "slope_threshold": -0.01, "first_epoch": 0},
    "executed differently": {"device": "cpu", "threads": 3, "save_every": 0},
    "seed": {"seed": 14, "top_pairs": 100, "width": 512, "modulus": 127},
    "custom activation": {"activation": "frozen_activation:double"},
}
EQUAL = (
    ("default", "alias x2", "n_train that auto gives", "executed differently"),
    ("weight decay 0", "weight decay -0.0"),
    ("svd", "svd after gram"),
    ("methods in another order", "randomized_10", "randomized_010"),
)
"""Spellings of one run."""
SENSITIVITY: dict[str, dict[str, Any]] = {
    "default": {},
    "more trials elsewhere": {"n_trials": 7, "workers": 2, "storage": "x.db", "name": "mine", "nested_runs": 3},
    "another mode": {"mode": "grid", "samples": 64, "importance": "fanova"},
    "small": {"study": "own/four", "companions": "none", "controls": "eta0", "window": "5,10,20", "held_out": "8..14"},
    "two rules": {"rule": "slope,cusum", "cusum_drift": "0..0.02", "first_epoch": "100", "slope_threshold": "0.02..0.06"},
    "lead": {"objective": "lead", "alpha": 0.1, "sampler": "nsga2", "seed": 3, "horizon": "common", "activation": "relu"},
    "svd": {"method": "gram,svd", "gap": "23", "matrix": "w", "direction": "rising", "smoothing": "1"},
}


@contextlib.contextmanager
def own_activation() -> Iterator[None]:
    """A module `frozen_activation` that can be imported; its bytes are part of the hash."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "frozen_activation.py").write_bytes(b"def double(x):\n    return 2 * x\n")
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(folder)


def configs() -> dict[str, RunConfig]:
    """Configs that touch every rule of the hash, by a name."""
    named = ODD | {f"optimizer {name}": {"optimizer": name} for name in OPTIMIZERS}
    named |= {f"activation {name}": {"activation": name} for name in ACTIVATIONS}
    return {name: RunConfig(**changes) for name, changes in named.items()}


def study_hashes() -> dict[str, Any]:
    """Everything by which a store knows a study, a run or a sensitivity study again."""
    studies = {
        name: {
            "hash": study.hash,
            "cost": study.cost(),
            "windows": list(study.windows),
            "cells": [f"{cell.config.hash} {cell.condition}" for cell in study.cells],
        }
        for name, study in registry().items()
    }
    with own_activation():
        found = {name: [config.hash, config.display_name()] for name, config in configs().items()}
    asked = {name: SensitivityConfig(**changes) for name, changes in SENSITIVITY.items()}
    runs: Any = SimpleNamespace(fingerprint="0123456789abcdef")
    return {
        "studies": studies,
        "configs": found,
        "config_strings": RunConfig().to_strings(),
        "resolved_strings": RunConfig().resolved().to_strings(),
        "sensitivity": {name: [config.hash, tracked.identity(config, runs)] for name, config in asked.items()},
        "sensitivity_strings": SensitivityConfig().to_strings(),
    }
