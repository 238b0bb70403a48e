"""The contract of a detector: a gap series and a setting in, the epochs at which it holds out.

A detector of your own is one file with a `Detector` in it, named on the command line as `my_module:my_detector`;
docs/howto/detector.md shows one. Shapes: R runs, T updates.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from grok.numerics.series import smoothed
from grok.spec.fields import ConfigError
from grok.spec.plugins import DETECTORS, About, failed, to_the_end, tried

NEEDS = ("log_gap",)
"""What a detector may be given: the logarithm of a gap at every epoch, (R, T + 1) float64."""
DIRECTIONS = ("rising", "falling")
"""The texts of a parameter `direction`, which lets the same detector wait for a rise or for a fall."""


@dataclass(frozen=True)
class Range:
    """The values of a numeric parameter that a search goes through unless told otherwise.

    Attributes:
        low, high: ends, both included.
        whole: whether it is a whole number. log: whether to search its logarithm.
    """

    low: float
    high: float
    whole: bool = False
    log: bool = False


def middle(kind: Range | tuple[str, ...]) -> Any:
    """The value of a parameter that is not given."""
    if isinstance(kind, tuple):
        return kind[0]
    value = math.sqrt(kind.low * kind.high) if kind.log else (kind.low + kind.high) / 2
    return round(value) if kind.whole else value


@dataclass(frozen=True)
class Detector(About):
    """One way to read an epoch from a gap series.

    Attributes:
        name: by which it is chosen; of the project's own, the name of its file.
        parameters: each its default range, or the texts to choose from.
        hits: (log_gap (R, T + 1) float64, first_epoch, **parameters) → (R, T + 1) bool, where the detector holds. Causal: entry
            t uses epochs ≤ t only, which `is_causal` checks. NaN never holds, and nothing holds before first_epoch.
        direction: what it waits for, `rising` or `falling`; one with a parameter `direction` is told by that.
        rank: place in lists, the smallest first.
        spelt: the `module:NAME` by which one of your own was asked for, set by `find`: its answers are looked at each time.
        title, source, needs, cost, version, skip: as every plug-in has them.
    """

    name: str
    parameters: Mapping[str, Range | tuple[str, ...]]
    hits: Callable[..., np.ndarray]
    _: KW_ONLY
    direction: str = "rising"
    rank: int = 0
    needs: tuple[str, ...] = NEEDS
    spelt: str = ""

    def held(self, log_gap: np.ndarray, first_epoch: int, **parameters: Any) -> np.ndarray:
        """What `hits` gives: (R, T + 1) bool.

        Raises:
            OwnCodeError: if one of your own, that has worked on a first try, gives something else or raises.
        """
        if not self.spelt:
            return self.hits(log_gap, first_epoch, **parameters)
        with to_the_end("detector", self.spelt):
            found = self.hits(log_gap, first_epoch, **parameters)
        if flaw := _flaw(found, log_gap):
            raise failed("detector", self.spelt, f"it gives {flaw} for bool {log_gap.shape}")
        return found


Rule = Detector
"""The name under which a detector of one's own was first documented: `from grok import Range, Rule`."""


def ordered() -> dict[str, Detector]:
    """The detectors that come with the project, by rank."""
    every: list[Detector] = [DETECTORS.find(name) for name in DETECTORS.names]
    return {detector.name: detector for detector in sorted(every, key=lambda detector: (detector.rank, detector.name))}


def find(name: str) -> Detector:
    """A detector by its name, or your own by `module:NAME`.

    Raises:
        ConfigError: if there is none, or yours is not a causal `Detector`, raises, or gives no booleans on made-up series.
    """
    detector: Detector = DETECTORS.find(name)
    if name in DETECTORS.names:
        return detector
    with tried("detector", name):
        _check_hits(detector, name)
        causal = is_causal(detector)
    if not causal:
        raise ConfigError(f"detector must use epochs ≤ t only, got {name}, which looks ahead. Cut its series at t.")
    own = copy.copy(detector)
    object.__setattr__(own, "spelt", name)  # frozen, and perhaps of a class with another `__init__`
    return own


def _check_hits(detector: Detector, name: str) -> None:
    """Refuse a detector with a parameter that is no range, or whose answers are of another kind, differ or hold at NaN."""
    for key, kind in detector.parameters.items():
        texts = isinstance(kind, tuple) and kind and all(isinstance(text, str) for text in kind)
        if not texts and not (isinstance(kind, Range) and np.isfinite([kind.low, kind.high]).all() and kind.low <= kind.high):
            raise ConfigError(f"detector must give each parameter a Range or texts, got {name}, {key} = {kind}. Correct it.")
    walk = np.cumsum(np.random.default_rng(1).normal(scale=0.3, size=(3, 50)), axis=1)
    walk[1, 20:] = np.nan
    values = {key: at_share(kind, 0.5) for key, kind in detector.parameters.items()}
    kept = walk.copy()
    held, again = detector.hits(walk, 5, **values), detector.hits(kept.copy(), 5, **values)
    if flaw := _flaw(held, walk):
        raise ConfigError(
            f"detector must give (R, T + 1) booleans, here {walk.shape}, got {name} with {flaw}. Compare, then return."
        )
    if held[1, 20:].any():
        raise ConfigError(f"detector must not hold where the series is NaN, got {name}, which does. Ask for finite values.")
    if not np.array_equal(held, again) or not np.array_equal(walk, kept, equal_nan=True):
        raise ConfigError(f"detector must give the same each time and leave its series, got {name}. Draw nothing, copy first.")


def _flaw(held: Any, series: np.ndarray) -> str:
    """What was given in place of a boolean for each entry of a series; empty if that is what was given."""
    if not isinstance(held, np.ndarray):
        return type(held).__name__
    return "" if held.dtype == np.bool_ and held.shape == series.shape else f"{held.dtype} {held.shape}"


def is_causal(detector: Detector, length: int = 160) -> bool:
    """Whether the detector's answers on a random walk stay as they are when later epochs are cut off.

    Asked at the middle and at the ends of its parameters' ranges, with series cut at four places.
    """
    walk = np.abs(np.cumsum(np.random.default_rng(0).normal(scale=0.3, size=(8, length)), axis=1))
    for share in (0.0, 0.5, 1.0):
        values = {name: at_share(kind, share) for name, kind in detector.parameters.items()}
        for first in (0, 20):
            whole = detector.hits(walk, first, **values)
            for cut in (31, 64, 100, 143):
                if not np.array_equal(detector.hits(walk[:, :cut], first, **values)[:, first:], whole[:, first:cut]):
                    return False
    return True


def at_share(kind: Range | tuple[str, ...], share: float) -> Any:
    """The value at `share` in [0, 1] of a parameter's default values, linearly; both ends are values."""
    if isinstance(kind, tuple):
        return kind[round(share * (len(kind) - 1))]
    value = kind.low + share * (kind.high - kind.low)
    return round(value) if kind.whole else value


def rising(log_gap: np.ndarray, direction: str) -> np.ndarray:
    """The series whose rise a detector waits for: the log gap, or for `falling` its negative."""
    return -log_gap if direction == "falling" else log_gap


def fire_epochs(detector: Detector, log_gap: np.ndarray, first_epoch: int, smoothing: int = 1, **parameters: Any) -> np.ndarray:
    """First epoch ≥ first_epoch at which the detector holds, for many runs at once.

    Args:
        detector: how. log_gap: (R, T + 1) float64, NaN where unknown.
        first_epoch: ≥ 0. smoothing: epochs of the trailing mean. parameters: of the detector.

    Returns:
        (R,) float64, whole numbers; NaN where it never holds.
    """
    held = detector.held(smoothed(log_gap, smoothing), first_epoch, **parameters)[:, first_epoch:]
    if not held.shape[1]:
        return np.full(len(log_gap), np.nan)
    first = held.argmax(axis=1)
    return np.where(held[np.arange(len(held)), first], first + float(first_epoch), np.nan)
