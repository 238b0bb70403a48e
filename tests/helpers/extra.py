"""The studies `fresh` and `rounding` in small, laid over the registry's, so that tests say what is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analysis.reading.runs import grid as registered
from grok.spec.config import RunConfig
from grok.spec.studies import Cell

VARIANTS = ("onednn-256-1", "mkl-256-1", "float64")
"""Roundings of the made-up study."""


class Rounded:
    """A config with a rounding, whether or not configs have that field."""

    def __init__(self, config: Any, rounding: str) -> None:
        self._config = config
        self.rounding = rounding
        self.hash = f"{config.hash}-{rounding}-{config.precision}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


def fresh_cells(square: int = 100, relu: int = 30) -> tuple[Cell, ...]:
    """The cells of the study of fresh seeds, as the rules have it."""
    kinds = {"grok": {}, "eta0": {"weight_decay": 0.0}, "random_labels": {"labels": "random"}, "data_starved": {"n_train": 504}}
    cells = [
        Cell(condition, RunConfig(seed=seed, epochs=400, **own).resolved())
        for condition, own in kinds.items()
        for seed in range(100, 100 + square)
    ]
    cells += [
        Cell(condition, RunConfig(activation="relu", seed=seed, **kinds[condition]).resolved())
        for condition in ("grok", "eta0")
        for seed in range(100, 100 + relu)
    ]
    return tuple(cells)


def rounding_cells() -> tuple[Cell, ...]:
    """The headline's and ReLU's configs by each rounding."""
    cells = []
    for variant in VARIANTS:
        precision = "float64" if variant == "float64" else "float32"
        for study in ("headline", "relu"):
            for cell in registered(study):
                own: Any = Rounded(cell.config, "auto" if variant == "float64" else variant)
                own.precision = precision
                own.hash = f"{cell.config.hash}-{variant}"
                cells.append(Cell(cell.condition, own))
    return tuple(cells)


def lay(patch: pytest.MonkeyPatch, **cells: tuple[Cell, ...]) -> None:
    """Give studies these cells wherever grids are asked for."""

    def grid(study: str) -> tuple[Cell, ...]:
        return cells.get(study, ()) or registered(study)

    for place in ("analysis.exhibits.sources.grid", "analysis.papers.xu.rounding.grid", "tests.helpers.synthetic.grid"):
        patch.setattr(place, grid)


Lay = Callable[..., None]
