"""Detection rules behind one small protocol: a gap series and a setting in, the epochs at which the rule holds out.

A rule of your own is one file with a `Rule` in it, named on the command line as `my_module:my_rule`:

    from grok.detectors.base import Range, Rule

    def hits(log_gap, first_epoch, *, jump):
        out = np.zeros(log_gap.shape, dtype=bool)
        out[:, 1:] = log_gap[:, 1:] - log_gap[:, :-1] > jump
        return out

    my_rule = Rule("jump", {"jump": Range(0.05, 2.0)}, hits)

Shapes: R runs, T updates.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from grok.spec.fields import ConfigError
from grok.spec.plugins import OWN


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


@dataclass(frozen=True)
class Rule:
    """One way to read an epoch from a gap series.

    Attributes:
        name: by which it is chosen.
        parameters: each its default range, or the texts to choose from.
        hits: (log_gap (R, T + 1) float64, first_epoch, **parameters) → (R, T + 1) bool, where the rule holds. Causal: entry t
            uses epochs ≤ t only, which `is_causal` checks. NaN never holds.
    """

    name: str
    parameters: Mapping[str, Range | tuple[str, ...]]
    hits: Callable[..., np.ndarray]


def rising(log_gap: np.ndarray, direction: str) -> np.ndarray:
    """The series whose rise a rule waits for: the log gap, or for `falling` its negative."""
    return -log_gap if direction == "falling" else log_gap


def slope_hits(
    log_gap: np.ndarray, first_epoch: int, *, slope_threshold: float, slope_lag: int, direction: str = "rising"
) -> np.ndarray:
    """[log gap(t) − log gap(t − lag)] / lag > threshold (Xu eq. 3; `falling`: of the inverse gap)."""
    out = np.zeros(log_gap.shape, dtype=bool)
    start = max(first_epoch, slope_lag)
    if start < log_gap.shape[1]:
        series = log_gap[:, start - slope_lag :]
        rise = series[:, slope_lag:] - series[:, :-slope_lag]
        if direction == "falling":
            np.negative(rise, out=rise)
        rise /= slope_lag
        np.greater(rise, slope_threshold, out=out[:, start:])
    return out


def level_hits(log_gap: np.ndarray, first_epoch: int, *, level: float) -> np.ndarray:
    """Gap(t) ≥ level."""
    out = np.zeros(log_gap.shape, dtype=bool)
    np.greater_equal(log_gap[:, first_epoch:], np.log(level), out=out[:, first_epoch:])
    return out


def sustained_hits(log_gap: np.ndarray, first_epoch: int, *, level: float, hold: int) -> np.ndarray:
    """Gap ≥ level at each of the last `hold` epochs, the first of which may lie before `first_epoch`."""
    start = max(first_epoch - hold + 1, 0)
    over = level_hits(log_gap, start, level=level)
    epochs = np.arange(log_gap.shape[1])
    last_below = np.maximum.accumulate(np.where(over, -1, epochs), axis=1)
    held: np.ndarray = epochs - last_below >= hold
    held[:, :first_epoch] = False
    return held


def cusum_hits(
    log_gap: np.ndarray, first_epoch: int, *, cusum_drift: float, cusum_threshold: float, direction: str = "rising"
) -> np.ndarray:
    """Page's one-sided CUSUM of the log gap's increments, begun at `first_epoch`.

        S(t) = max(0, S(t − 1) + log gap(t) − log gap(t − 1) − drift) ≥ threshold,

    in closed form Y(t) − min_{s ≤ t} Y(s) with Y(t) = log gap(t) − drift · t.

    Source: E. S. Page, Biometrika 41 (1954).
    """
    out = np.zeros(log_gap.shape, dtype=bool)
    if first_epoch < log_gap.shape[1]:
        drifting = rising(log_gap[:, first_epoch:], direction) - cusum_drift * np.arange(log_gap.shape[1] - first_epoch)
        known = np.isfinite(drifting)
        lowest = np.minimum.accumulate(np.where(known, drifting, np.inf), axis=1)
        out[:, first_epoch:] = known & (np.where(known, drifting, -np.inf) - lowest >= cusum_threshold)
    return out


DIRECTIONS = ("rising", "falling")
SLOPE = Rule(
    "slope",
    {"slope_threshold": Range(-0.05, 0.15), "slope_lag": Range(1, 60, whole=True), "direction": DIRECTIONS},
    slope_hits,
)
RULES = {
    rule.name: rule
    for rule in (
        SLOPE,
        Rule("level", {"level": Range(1.5, 1000.0, log=True)}, level_hits),
        Rule("sustained", {"level": Range(1.5, 1000.0, log=True), "hold": Range(2, 50, whole=True)}, sustained_hits),
        Rule(
            "cusum",
            {"cusum_drift": Range(0.0, 0.05), "cusum_threshold": Range(0.2, 8.0, log=True), "direction": DIRECTIONS},
            cusum_hits,
        ),
    )
}
"""The rules that come with the project; their ranges span the published setting and what was seen on grokking runs."""


def find_rule(name: str) -> Rule:
    """A rule by its name, or your own by `module:name`.

    Raises:
        ConfigError: if there is none, or yours is not a causal `Rule`.
    """
    if name in RULES:
        return RULES[name]
    if not OWN.fullmatch(name):
        raise ConfigError(f"rule must be one of {', '.join(RULES)}, or module:name, got {name}. Pick one of these.")
    module = name.partition(":")[0]
    try:
        rule = pkgutil.resolve_name(name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"rule must be importable, got {name} ({error}). Run from the folder that has {module}.py."
        ) from error
    if not isinstance(rule, Rule):
        raise ConfigError(f"rule must be a grok.Rule, got {name} ({type(rule).__name__}). See docs/sensitivity.md.")
    if not is_causal(rule):
        raise ConfigError(f"rule must use epochs ≤ t only, got {name}, which looks ahead. Cut its series at t.")
    return rule


def is_causal(rule: Rule, length: int = 160) -> bool:
    """Whether the rule's answers on a random walk stay as they are when later epochs are cut off.

    Asked at the middle and at the ends of its parameters' ranges, with series cut at four places.
    """
    walk = np.abs(np.cumsum(np.random.default_rng(0).normal(scale=0.3, size=(8, length)), axis=1))
    for share in (0.0, 0.5, 1.0):
        values = {name: _pick(kind, share) for name, kind in rule.parameters.items()}
        for first in (0, 20):
            whole = rule.hits(walk, first, **values)
            for cut in (31, 64, 100, 143):
                if not np.array_equal(rule.hits(walk[:, :cut], first, **values)[:, first:], whole[:, first:cut]):
                    return False
    return True


def _pick(kind: Range | tuple[str, ...], share: float) -> Any:
    if isinstance(kind, tuple):
        return kind[round(share * (len(kind) - 1))]
    value = kind.low + share * (kind.high - kind.low)
    return round(value) if kind.whole else value


def smoothed(log_gap: np.ndarray, epochs: int) -> np.ndarray:
    """Trailing mean of the log gap over `epochs` epochs, the geometric mean of the gap; NaN until that many are known.

    Args:
        log_gap: (R, T + 1) float64.
        epochs: ≥ 1; 1 gives the series itself.

    Returns:
        (R, T + 1) float64; entry t uses epochs t − epochs + 1 … t only.
    """
    if epochs == 1:
        return log_gap
    out = np.full(log_gap.shape, np.nan)
    if epochs <= log_gap.shape[1]:
        known = np.isfinite(log_gap)
        total = np.cumsum(np.where(known, log_gap, 0.0), axis=1)
        count = np.cumsum(known, axis=1)
        out[:, epochs - 1 :] = total[:, epochs - 1 :]
        out[:, epochs:] -= total[:, :-epochs]
        count[:, epochs:] -= count[:, :-epochs].copy()
        out /= epochs
        out[count < epochs] = np.nan
    return out


def fire_epochs(rule: Rule, log_gap: np.ndarray, first_epoch: int, smoothing: int = 1, **parameters: Any) -> np.ndarray:
    """First epoch ≥ first_epoch at which the rule holds, for many runs at once.

    Args:
        rule: how. log_gap: (R, T + 1) float64, NaN where unknown.
        first_epoch: ≥ 0. smoothing: epochs of the trailing mean. parameters: of the rule.

    Returns:
        (R,) float64, whole numbers; NaN where it never holds.
    """
    held = rule.hits(smoothed(log_gap, smoothing), first_epoch, **parameters)[:, first_epoch:]
    if not held.shape[1]:
        return np.full(len(log_gap), np.nan)
    first = held.argmax(axis=1)
    return np.where(held[np.arange(len(held)), first], first + float(first_epoch), np.nan)
