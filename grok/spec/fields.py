"""A field of a config: its default, words, rules, and its text. Every config of the project is written in this language.

A config is a frozen dataclass that inherits from `Config`; each of its fields is a `field`, an MLproject parameter, a
command-line flag and a param of a run of the same name. `None` is `auto` in text.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn, Self

LONGEST_SHOWN, MOST_BITS = 120, 10_000
"""Characters of a value in a message, and bits of a whole number: Python writes none of more than some 14,000."""


class ConfigError(ValueError):
    """A value breaks a rule of the config: `<name> must <rule>, got <value>. <next step>.` is the message."""


Words = str | Callable[[Any], str]
"""A text, or a function of the config that gives it."""
Limit = float | Callable[[Any], float] | None
"""A bound of a value, or a function of the config that gives it; None for none."""


class Rule(NamedTuple):
    """What the values of a field must fulfil.

    Attributes:
        holds: (value, config) → whether the value is good.
        words: the rule, as it stands after "must". hint: what to do about it.
        names: of which one was perhaps meant; where one is near, the hint is that name.
    """

    holds: Callable[[Any, Any], bool]
    words: Words
    hint: Words
    names: tuple[str, ...] = ()


MOST_LETTERS = 100
"""Of a name that may be meant for another: none of ours is half as long, and to compare one of megabytes takes seconds."""


def did_you_mean(name: str, names: Iterable[str], otherwise: str = "Pick one of these.") -> str:
    """What to do about a name that is none of some: the one that was perhaps meant, or `otherwise` where none is near."""
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(name, list(names), n=1) if len(name) <= MOST_LETTERS else []
    return f"Did you mean {near[0]}?" if near else otherwise


def _said(words: Words, config: Any) -> str:
    return words if isinstance(words, str) else words(config)


def _limit(limit: Limit, config: Any) -> float | None:
    return limit(config) if callable(limit) else limit


def one_of(choices: tuple[str, ...]) -> Rule:
    """One of some names."""
    return Rule(lambda value, _: value in choices, f"be one of {', '.join(choices)}", "Pick one of these", choices)


def whole(low: int, hint: Words, high: Limit = None) -> Rule:
    """A whole number, both ends included."""

    def words(config: Any) -> str:
        most = _limit(high, config)
        return f"be a whole number ≥ {low}" if most is None else f"be a whole number in [{low}, {most}]"

    def holds(value: int, config: Any) -> bool:
        most = _limit(high, config)
        return low <= value and (most is None or value <= most)

    return Rule(holds, words, hint)


def finite(hint: Words, low: float = -math.inf, above: float = -math.inf) -> Rule:
    """A finite number, at least `low` and above `above`."""
    end = f" ≥ {low:g}" if low > -math.inf else f" > {above:g}" if above > -math.inf else ""
    return Rule(lambda v, _: math.isfinite(v) and v >= low and v > above, f"be a finite number{end}", hint)


def matching(pattern: re.Pattern[str], words: Words, hint: Words) -> Rule:
    """A text of a form, or texts that all are of it."""
    return Rule(lambda v, _: all(pattern.fullmatch(t) for t in ((v,) if isinstance(v, str) else v)), words, hint)


def field(
    default: Any, text: str, source: str, *rules: Rule, choices: tuple[str, ...] = (), example: str = "", later: bool = False
) -> Any:
    """A field of a config with what the command line and the checks need.

    Args:
        default: its value unless given; `None` is `auto`.
        text: what it is, for the help. source: where the default is from.
        rules: checked in this order; with `choices` and no rule it must be one of them.
        choices: listed in the help.
        example: text of a good value; default: that of `default`.
        later: it came when runs were stored already, and is left out of a run's identity at its default.
    """
    rules = rules or ((one_of(choices),) if choices else ())
    known = {"help": text, "source": source, "choices": choices, "rules": rules, "later": later}
    return dataclasses.field(default=default, metadata=known | {"example": example or to_text(default)})


class _Kind(NamedTuple):
    """Text to value, whether a value is of the kind, and both rules in words."""

    read: Callable[[str], Any]
    holds: Callable[[Any], bool]
    words: str
    text: str


def _is(value: object, *types: type) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


LARGEST = 2**63 - 1
"""Whole number that a field takes: 64 bits."""


def _whole(text: str) -> int:
    """A whole number from text; one of hundreds of digits is none, and is not worked out."""
    if len(text) > 40:
        raise ValueError("too many digits")
    return int(text)


def _small(value: Any) -> bool:
    """Whether the whole numbers of a value are of 64 bits."""
    numbers = value if isinstance(value, tuple) else (value,)
    return all(not _is(number, int) or abs(number) <= LARGEST for number in numbers)


def shown(value: object, most: int = 0) -> str:
    """A value as a message shows it: not longer than a line, or than so many characters; of a huge number its digits' count."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > MOST_BITS:
        return f"a number of some {int(value.bit_length() * math.log10(2)) + 1} digits"
    text, most = str(value), most or LONGEST_SHOWN
    return text if len(text) <= most else f"{text[: most - 20]}… ({len(text)} characters)"


def _items(text: str) -> list[str]:
    return [] if text in ("", "none") else [part.strip() for part in text.split(",")]


_KINDS = {
    "str": _Kind(str, lambda v: _is(v, str), "be text", "be text"),
    "int": _Kind(_whole, lambda v: _is(v, int), "be a whole number", "be a whole number"),
    "float": _Kind(float, lambda v: _is(v, int, float), "be a number", "be a number"),
    "tuple[int, ...]": _Kind(
        lambda text: tuple(_whole(item) for item in _items(text)),
        lambda v: isinstance(v, tuple) and all(_is(item, int) for item in v),
        "be a tuple of whole numbers",
        "be whole numbers separated by commas",
    ),
    "tuple[str, ...]": _Kind(
        lambda text: tuple(_items(text)),
        lambda v: isinstance(v, tuple) and all(_is(item, str) for item in v),
        "be a tuple of texts",
        "be texts separated by commas",
    ),
}
"""By a field's type as it is written, less ` | None`."""


def _kind(field: dataclasses.Field[Any]) -> tuple[_Kind, bool]:
    """A field's kind, and whether it may be `auto`."""
    name = str(field.type)
    return _KINDS[name.removesuffix(" | None")], name.endswith(" | None")


def flag(name: str) -> str:
    """The command-line flag of a field."""
    return "--" + name.replace("_", "-")


def _example(field: dataclasses.Field[Any]) -> str:
    return f"Write for example {flag(field.name)} {field.metadata['example']}"


def refuse(name: str, rule: str, value: object, step: str) -> NoReturn:
    """Refuse a value in the house's sentence.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"{name} must {rule}, got {shown(value)}. {step}" + ("" if step.endswith(("?", ".")) else ".")) from None


def to_text(value: Any) -> str:
    """The one text of a value."""
    if value is None:
        return "auto"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value) or "none"
    text = repr(float(value)) if isinstance(value, float) else str(value)
    return text if text.isprintable() else repr(text)


def from_text(field: dataclasses.Field[Any], text: str) -> Any:
    """One field's value from text, with or without the quotes that `mlflow run` puts around some.

    Raises:
        ConfigError: if the text is not of the field's type.
    """
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == "'":
        text = text[1:-1]
    kind, optional = _kind(field)
    if optional and text == "auto":
        return None
    try:
        return kind.read(text)
    except ValueError:
        refuse(field.name, kind.text + (" or auto" if optional else ""), repr(text), _example(field))


def pairs(name: str, text: str, form: str = "name=value;name=value") -> dict[str, str]:
    """The values of a text `name=value;name=value` by their names, in its order; none for `none`.

    Raises:
        ConfigError: if a part of the field `name` has no `=`, no name, or a name that was there before.
    """
    found: dict[str, str] = {}
    for part in [] if text in ("", "none") else text.split(";"):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not key:
            refuse(name, f"be {form}", text, "Write =")
        if key in found:
            refuse(name, "give each name once", text, f"Drop one {key}")
        found[key] = value
    return found


@dataclass(frozen=True, kw_only=True)
class Config:
    """What every config has: checks when it is made, text and back.

    Raises:
        ConfigError: if a value breaks its rule.
    """

    def __post_init__(self) -> None:
        """Check the types, put one spelling for each value, check the rules."""
        fields = dataclasses.fields(self)
        for field in fields:
            (kind, optional), value = _kind(field), getattr(self, field.name)
            if not _small(value):
                told = value if _is(value, int) and value.bit_length() < 128 else "a number of more than 64 bits"
                refuse(field.name, f"be a whole number in [-{LARGEST}, {LARGEST}]", told, _example(field))
            if not kind.holds(value) and not (optional and value is None):
                refuse(field.name, kind.words, to_text(value), _example(field))
            if kind is _KINDS["float"] and value is not None:
                object.__setattr__(self, field.name, float(value) + 0.0)  # one text for 0, 0.0 and −0.0
        for name, value in self._canonical().items():
            object.__setattr__(self, name, value)
        for field in fields:
            value = getattr(self, field.name)
            for rule in field.metadata["rules"] if value is not None else ():
                if not rule.holds(value, self):
                    said = to_text(value)
                    step = did_you_mean(said, rule.names, _said(rule.hint, self))
                    refuse(field.name, _said(rule.words, self), said, step)

    def _canonical(self) -> dict[str, Any]:
        """Values to put in place of others that mean the same, by field; types are right, rules are not yet checked."""
        return {}

    def values(self) -> dict[str, Any]:
        """Field name to value."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to_strings(self) -> dict[str, str]:
        """Field name to canonical text, as MLflow params hold it; `from_strings` is its inverse."""
        return {name: to_text(value) for name, value in self.values().items()}

    @classmethod
    def from_strings(cls, strings: Mapping[str, str]) -> Self:
        """Read a config from text: command line, MLflow params or JSON.

        Aliases, `2e-4` for `0.0002` and the quotes that `mlflow run` puts around some values are understood; a
        missing field takes its default.

        Raises:
            ConfigError: if a name is not a field, a text is not of the field's type, or a value breaks its rule.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(strings) - set(known)):
            refuse("parameters", f"be among {', '.join(known)}", ", ".join(unknown), "Check the spelling")
        return cls(**{name: from_text(known[name], text) for name, text in strings.items()})
