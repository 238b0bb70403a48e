"""One setting on the runs of one activation: where it fires, and what that is worth on calibration and held-out seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.sensitivity.cells import Cells, Group
from analysis.sensitivity.objectives import Outcome, outcome
from analysis.sensitivity.settings import SensitivityConfig
from grok.detectors.base import Detector, find

CALIBRATION, HELD_OUT, EVERY = "calibration", "held_out", "all"


class Judge:
    """Tries settings on the grokking runs of an activation and on the runs of some control conditions.

    Args:
        cells: all that there are.
        activation: whose.
        controls: conditions whose firing is false.
        config: which seeds are held out.
    """

    def __init__(self, cells: Cells, activation: str, controls: Sequence[str], config: SensitivityConfig) -> None:
        self.cells, self.activation, self.controls, self.config = cells, activation, tuple(controls), config
        self._rules: dict[str, Detector] = {}
        self._masks: dict[tuple[int, str], np.ndarray] = {}

    def fires(self, setting: dict[str, Any]) -> dict[str, np.ndarray]:
        """Fire epochs of each condition, (R,) float64, NaN if never.

        Raises:
            ValueError: if the runs of a condition did not record the setting's spectrum method.
        """
        rule = self.rule(setting["rule"])
        return {name: self._cell(name, setting["method"]).fires(setting, rule) for name in ("grok", *self.controls)}

    def earliest(self, setting: dict[str, Any], condition: str = "grok") -> np.ndarray:
        """(R,) float64 of the runs of a condition: the first epoch at which a setting may fire, as `Group.earliest` has it."""
        return self._cell(condition, setting["method"]).earliest(setting)

    def seeds(self, condition: str, method: str) -> np.ndarray:
        """(R,) int64: seeds of the runs of a condition."""
        return self._cell(condition, method).seeds

    def rule(self, name: str) -> Detector:
        """A rule by name, found once."""
        if name not in self._rules:
            self._rules[name] = find(name)
        return self._rules[name]

    def outcome(self, setting: dict[str, Any], fires: dict[str, np.ndarray], seeds: str = EVERY) -> Outcome:
        """What a setting is worth on calibration, held-out or all seeds.

        Args:
            setting: that was tried. fires: of `fires`. seeds: `calibration`, `held_out` or `all`.
        """
        grok = self._cell("grok", setting["method"])
        mask = self._mask(grok, seeds)
        controls = [fires[name][self._mask(self._cell(name, setting["method"]), seeds)] for name in self.controls]
        return outcome(
            fires["grok"][mask],
            np.concatenate(controls) if controls else np.empty(0),
            grok.test_50[mask],
            grok.epochs[mask],
        )

    def both(self, setting: dict[str, Any]) -> tuple[Outcome, Outcome]:
        """A setting's outcome on calibration and on held-out seeds."""
        fires = self.fires(setting)
        return self.outcome(setting, fires, CALIBRATION), self.outcome(setting, fires, HELD_OUT)

    def _cell(self, condition: str, method: str) -> Group:
        cell = self.cells.cell(self.activation, condition, method)
        if cell is None:
            raise ValueError(
                f"method must be one that the runs of {self.activation} {condition} recorded, got {method}. Run the study svd."
            )
        return cell

    def _mask(self, cell: Group, seeds: str) -> np.ndarray:
        key = (id(cell), seeds)
        if key not in self._masks:
            held = np.array([self.config.is_held_out(int(seed)) for seed in cell.seeds])
            self._masks[key] = {CALIBRATION: ~held, HELD_OUT: held, EVERY: np.ones(len(held), dtype=bool)}[seeds]
        return self._masks[key]
