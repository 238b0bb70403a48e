"""The search space: every part of a detector's setting, fixed, listed or ranged from text. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grok.detectors.base import Detector, Range, find, ordered
from grok.spec.fields import ConfigError, shown
from grok.spec.plugins import DETECTORS

Values = Range | tuple[Any, ...]
MOST_LISTED = 10_000
"""Values of a parameter that are listed one by one."""
MATRICES, GAPS = ("w", "v"), ("12", "23", "34")
COMMON = ("matrix", "gap", "method", "window", "smoothing", "rule", "first_epoch")
"""The parts of every setting; the rest belongs to its rule."""
RULE_PARAMETERS = tuple(dict.fromkeys(key for rule in ordered().values() for key in rule.parameters))
"""The parameters of the project's rules, in their order."""
PUBLISHED: dict[str, Any] = {
    "matrix": "w",
    "gap": "23",
    "method": "gram",
    "window": 20,
    "smoothing": 1,
    "rule": "slope",
    "first_epoch": 100,
    "slope_threshold": 0.04,
    "slope_lag": 25,
    "direction": "rising",
}
"""Xu (arXiv 2605.08119) §2 and eq. 3."""


def parse_values(name: str, text: str, default: Values) -> Values:
    """The values that a text asks for: `20` (fixed), `5,10,20` (listed), `5..40` (ranged).

    Args:
        name: of the parameter, for the error.
        text: as given.
        default: a Range, whose kind of number the values must have, or the texts to choose from.

    Raises:
        ConfigError: if the text is none of these.
    """
    parts = [part.strip() for part in text.strip().strip("'").split(",")]
    if isinstance(default, tuple):
        unknown = [part for part in parts if part not in default]
        if unknown:
            raise ConfigError(f"{name} must be a comma list of {', '.join(default)}, got {text}. Pick from these.")
        return tuple(dict.fromkeys(parts))
    number = int if default.whole else float
    if max(map(len, parts)) > 40 or len(parts) > MOST_LISTED:
        raise ConfigError(f"{name} must be at most {MOST_LISTED} numbers of usual length, got {shown(text)}. Shorten it.")
    kind = "whole numbers" if default.whole else "numbers"
    try:
        if len(parts) == 1 and ".." in parts[0]:
            low, high = (number(end) for end in parts[0].split("..", 1))
            if not low <= high:
                raise ValueError
            values: Values = Range(low, high, default.whole, default.log) if low < high else (low,)
        else:
            values = tuple(dict.fromkeys(number(part) for part in parts))
        ends = (values.low, values.high) if isinstance(values, Range) else values
        if not all(math.isfinite(end) for end in ends):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{name} must be {kind} as a, a,b,c or a..b with a ≤ b, got {text}. Write for example {_text(default)}."
        ) from None
    return values


def _text(values: Values) -> str:
    return f"{values.low:g}..{values.high:g}" if isinstance(values, Range) else ",".join(str(value) for value in values)


@dataclass(frozen=True)
class Space:
    """All settings that a search may try: the common parameters and those of each rule.

    Attributes:
        common: values of each of `COMMON`.
        own: by rule name, values of each of its parameters.
    """

    common: Mapping[str, Values]
    own: Mapping[str, Mapping[str, Values]]

    @property
    def rules(self) -> dict[str, Detector]:
        """The rules that may be tried, by name."""
        return {name: find(name) for name in self.own}

    def windows(self) -> list[int]:
        """Every window that may be tried."""
        return whole_numbers(self.common["window"])

    def narrowed(self, **values: Values) -> Space:
        """The same space with some common or rule parameters' values replaced."""
        common = {name: values.get(name, known) for name, known in self.common.items()}
        wanted = {str(name) for name in common["rule"]} if isinstance(common["rule"], tuple) else set()
        own = {
            rule: {name: values.get(name, known) for name, known in parameters.items()}
            for rule, parameters in self.own.items()
            if rule in wanted
        }
        return Space(common, own)

    def dimensions(self, rule: str) -> list[tuple[str, Values]]:
        """The parameters that vary under one rule, with their values."""
        every = [*self.common.items(), *self.own[rule].items()]
        return [(name, values) for name, values in every if name != "rule" and varies(values)]

    def setting(self, rule: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """A whole setting: what was chosen, and the one value of what does not vary."""
        every = {**self.common, "rule": (rule,), **self.own[rule]}
        return {name: chosen[name] if name in chosen else only(values) for name, values in every.items()}

    def texts(self) -> dict[str, str]:
        """The space as text, for the record and its identity."""
        named = {f"{rule}.{name}": values for rule, own in self.own.items() for name, values in own.items()}
        return {name: _text(values) for name, values in {**self.common, **named}.items()}


def has(space: Space, setting: Mapping[str, Any]) -> bool:
    """Whether a space holds a setting."""
    rule = setting["rule"]
    if rule not in space.own:
        return False
    every = {**{name: values for name, values in space.common.items() if name != "rule"}, **space.own[rule]}
    return all(
        setting[name] in values if isinstance(values, tuple) else values.low <= setting[name] <= values.high
        for name, values in every.items()
    )


def varies(values: Values) -> bool:
    """Whether there is more than one value."""
    return isinstance(values, Range) or len(values) > 1


def only(values: Values) -> Any:
    """The one value of a parameter that does not vary."""
    return values.low if isinstance(values, Range) else values[0]


def whole_numbers(values: Values) -> list[int]:
    """Every value of a whole-number parameter."""
    return list(range(int(values.low), int(values.high) + 1)) if isinstance(values, Range) else [int(v) for v in values]


def from_unit(values: Values, share: float) -> Any:
    """The value at `share` in [0, 1) of a parameter's values: equal parts for lists and whole numbers, linear or
    logarithmic for the rest.
    """
    if not isinstance(values, Range):
        return values[min(int(share * len(values)), len(values) - 1)]
    if values.whole:
        return int(values.low) + min(int(share * (values.high - values.low + 1)), int(values.high - values.low))
    if values.log:
        return math.exp(math.log(values.low) + share * (math.log(values.high) - math.log(values.low)))
    return values.low + share * (values.high - values.low)


def build(texts: Mapping[str, str], own_texts: Mapping[str, str], max_window: int, auto: int | None = None) -> Space:
    """A space from its texts.

    Args:
        texts: of each of `COMMON` and of the parameters of the project's rules; `auto` in `window` is `auto`.
        own_texts: of the parameters of a rule of your own, or of one of the project's that have no flag.
        max_window: the largest window that every run's band serves.
        auto: the largest that every method serves too, or None for `max_window`.

    Raises:
        ConfigError: if a text or a value breaks a rule.
    """
    names = tuple(part.strip() for part in texts["rule"].strip("'").split(","))
    rules = {name: _rule(name) for name in names}
    kinds: dict[str, Values] = {
        "matrix": MATRICES,
        "gap": GAPS,
        "method": tuple(texts["method"].strip("'").split(",")),
        "rule": names,
        "window": Range(3, max_window, whole=True),
        "smoothing": Range(1, 15, whole=True),
        "first_epoch": Range(0, 300, whole=True),
    }
    given = {**texts, "window": texts["window"].replace("auto", str(auto or max_window))}
    common = {name: parse_values(name, given[name], kinds[name]) for name in COMMON}
    own: dict[str, dict[str, Values]] = {}
    unused = set(own_texts)
    for name, rule in rules.items():
        taken = sorted(set(rule.parameters) & set(COMMON))
        if taken:
            raise ConfigError(
                f"rule must not have a parameter named as a part of every setting, got {name} with "
                f"{', '.join(taken)}. Rename it."
            )
        ours = name in DETECTORS.names
        flags = {**own_texts, **texts} if ours else own_texts  # a flag is of the project's rules, whatever yours calls its own
        own[name] = {
            key: parse_values(key, flags[key], kind) if key in flags else kind for key, kind in rule.parameters.items()
        }
        unused -= set(rule.parameters) - (texts.keys() if ours else set())
    if unused:
        raise ConfigError(
            f"own_parameters must name parameters of a rule of your own, got {', '.join(sorted(unused))} with rule "
            f"{', '.join(names)}. Drop it, or name your rule as module:name."
        )
    out = Space(common, own)
    _check(out, max_window)
    return out


def _rule(name: str) -> Detector:
    """A detector by its name; an error names the flag, `rule`."""
    try:
        return find(name)
    except ConfigError as error:
        raise ConfigError(f"rule{str(error).removeprefix(DETECTORS.kind)}") from error


def _check(space: Space, max_window: int) -> None:
    def least(values: Values) -> float:
        return values.low if isinstance(values, Range) else min(values)

    windows = space.common["window"]
    ends = (windows.low, windows.high) if isinstance(windows, Range) else windows
    if max(ends) > max_window or min(ends) < 3:
        raise ConfigError(
            f"window must be in [3, {max_window}] (the runs' bands hold {max_window} lags), got "
            f"{_text(space.common['window'])}. Lower it, or train with a larger max_window."
        )
    if space.common["gap"] == ("34",) and max(space.windows()) < 4:
        raise ConfigError("window must be at least 4 where gap is 34, got 3: there is no λ₄. Raise it.")
    lows = {"smoothing": 1, "first_epoch": 0, "slope_lag": 1, "hold": 1, "level": 1e-9}
    for name, values in [*space.common.items(), *((k, v) for own in space.own.values() for k, v in own.items())]:
        if name in lows and least(values) < lows[name]:
            raise ConfigError(f"{name} must be at least {lows[name]:g}, got {_text(values)}. Raise it.")
        if isinstance(values, Range) and values.log and values.low <= 0:
            raise ConfigError(f"{name} must be above 0 where it is searched by its logarithm, got {_text(values)}. Raise it.")
