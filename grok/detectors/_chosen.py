"""The detector that a config names, with its parameters from `options`. Shapes: T updates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from grok.detectors.base import Detector, Range, find, fire_epochs, middle
from grok.numerics.series import fire_epoch
from grok.spec.config import RunConfig
from grok.spec.fields import refuse, to_text

PUBLISHED = "slope"
"""Its lag and threshold are fields of the config, and the epochs that are published were read by it alone."""


@dataclass(frozen=True)
class Chosen:
    """How a run's epoch is read off its gap.

    Attributes:
        config: of the run. detector: that it names; None for the published one. parameters: of the detector, by name.
    """

    config: RunConfig
    detector: Detector | None
    parameters: Mapping[str, Any]

    def fire_epoch(self, gap: np.ndarray) -> int | None:
        """The first epoch at which the detector holds.

        Args:
            gap: (T + 1,) float64, NaN where unknown.

        Returns:
            An epoch ≥ `first_epoch`; None if it never holds.
        """
        c = self.config
        if self.detector is None:
            return fire_epoch(gap, c.slope_lag, c.slope_threshold, c.first_epoch)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_gap = np.log(gap)[None, :]
        found = float(fire_epochs(self.detector, log_gap, c.first_epoch, **self.parameters)[0])
        return None if np.isnan(found) else int(found)

    @property
    def words(self) -> str:
        """The detector and its setting, as a description has it."""
        c = self.config
        if self.detector is None:
            return f"slope detector (window {c.window}, slope > {c.slope_threshold:g} over {c.slope_lag} epochs)"
        told = ", ".join([f"window {c.window}", *(f"{name} {_shown(value)}" for name, value in self.parameters.items())])
        return f"{c.detector} detector ({told})"


def chosen(config: RunConfig) -> Chosen:
    """The detector of a config.

    A parameter that `options` does not give takes the middle of its range, of its logarithm where that is searched, and of
    texts the first.

    Raises:
        ConfigError: if there is no such detector, or a parameter's text is not of its kind.
    """
    if config.detector == PUBLISHED:
        return Chosen(config, None, {})
    detector, given = find(config.detector), config.option_values
    parameters = {
        name: _read(name, kind, given[name]) if name in given else middle(kind) for name, kind in detector.parameters.items()
    }
    return Chosen(config, detector, parameters)


def option_names(config: RunConfig) -> tuple[str, ...]:
    """What the detector of a config takes from `options`."""
    detector = chosen(config).detector
    return () if detector is None else (*detector.parameters, *detector.options)


def _read(name: str, kind: Range | tuple[str, ...], text: str) -> Any:
    """A parameter from its text; a range is where a search looks, not a limit."""
    if isinstance(kind, tuple):
        return text if text in kind else refuse("options", f"give {name} one of {', '.join(kind)}", text, "Pick one of these")
    try:
        value = int(text) if kind.whole else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        example = to_text(middle(kind))
        refuse(
            "options",
            f"give {name} a {'whole' if kind.whole else 'finite'} number",
            text,
            f"Write for example {name}={example}",
        )
    return value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
