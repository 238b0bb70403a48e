"""The contract of a signal: one published series, a pure function of arrays, the same live and after the run.

A signal names what it `needs`. From needs of one epoch (features, logits, weights) its `compute` gives that epoch's value, from
needs of a history (eigenvalues, norms, losses at every epoch) the whole series. `Live` feeds a signal epoch by epoch, `series`
feeds it a finished run, and both call the same function. A signal of your own is one file with a `Signal` in it, named as
`my_module:my_signal`; docs/howto/signal.md shows one.

Shapes: n samples, K features, M classes, T updates, L lags. Entry t of T + 1 is epoch t.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from grok.signals._needs import CLASSES, NEEDS, from_history
from grok.signals._own import checked
from grok.signals._rules import PrintedRule
from grok.signals._said import CADENCES, DIRECTIONS, check
from grok.spec.fields import ConfigError, did_you_mean
from grok.spec.plugins import SIGNALS, About, to_the_end, tried

__all__ = [
    "CADENCES",
    "CLASSES",
    "DIRECTIONS",
    "NEEDS",
    "Live",
    "PrintedRule",
    "Signal",
    "cut",
    "example",
    "find",
    "from_history",
    "is_causal",
    "series",
]
ROUNDING = 1e-9
"""Relative difference that another order of summation may make on the same stored state."""


@dataclass(frozen=True)
class Signal(About):
    """One series that announces, or follows, the onset of grokking.

    Attributes:
        name: by which it is chosen; of the project's own, the name of its file.
        compute: (*needs in their order, **options of a variant) → one epoch's value, a float or a small (m,) array if `over`
            reads it; or for needs of a history → (T + 1,) float64. Pure: same arrays, same answer. NaN where it is not known.
        over: (values (T + 1,) or (T + 1, m)) → (T + 1,), for a signal that reads the history of what `compute` gives at each
            epoch. Causal: entry t uses rows ≤ t only, which `is_causal` checks, as it does for histories.
        needs: names of `NEEDS`, not both of one epoch and of a history.
        layers: sets of names of layers, of which a network must have one; none if any network will do.
        information: what it is told, letters of `CLASSES`.
        direction: `rising` or `falling`, which of the two announces; fixed before looking.
        turned: names of variants in which the other of the two does.
        cadence: how often it is due, of `CADENCES`.
        variants: options of `compute` by the variant's name, the first being the signal as it was published.
        over_options: options of `over` by the variant's name, where it takes any.
        printed: the rule that its paper prints, None where it prints none.
        spelt: the `module:NAME` by which one of your own was asked for, set by `find`: what it gives is then looked at each
            time, since it may work on a first try and change its shape or dtype later.
        title, source, cost, version, skip: as every plug-in has them.

    Raises:
        ConfigError: if needs, information, direction, turned or cadence are not as above.
    """

    name: str
    compute: Callable[..., Any]
    over: Callable[..., np.ndarray] | None = None
    _: KW_ONLY
    layers: tuple[tuple[str, ...], ...] = ()
    information: str = "T"
    direction: str = "rising"
    turned: tuple[str, ...] = ()
    cadence: str = "epoch"
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})
    over_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    printed: PrintedRule | None = None
    spelt: str = ""

    def __post_init__(self) -> None:
        """Check what it says of itself."""
        check(self)

    def has_layers(self, names: Sequence[str]) -> bool:
        """Whether a network with these layers has those that it reads."""
        return not self.layers or any(set(one) <= set(names) for one in self.layers)

    def direction_of(self, variant: str | None = None) -> str:
        """`rising` or `falling`, which of the two announces in a variant; None for the first."""
        return self.direction if variant not in self.turned else next(one for one in DIRECTIONS if one != self.direction)

    def over_history(self, values: np.ndarray, variant: str | None = None) -> np.ndarray:
        """What `over` makes of the values so far: (T + 1,); the values themselves where there is none."""
        if self.over is None:
            return values
        chosen = next(iter(self.variants)) if variant is None else variant
        options = self.over_options.get(chosen, {})
        if not self.spelt:
            return np.asarray(self.over(values, **options), dtype=np.float64)
        with to_the_end("signal", self.spelt):
            found = np.asarray(self.over(values, **options))
        return checked(self.spelt, found, (len(values),), whole_too=False)

    def stacked(self, values: Sequence[Any]) -> np.ndarray:
        """What `compute` gave of one epoch after another, as one array: (T + 1, …) float64."""
        if not self.spelt:
            return np.array(values, dtype=np.float64)
        with to_the_end("signal", self.spelt):
            return np.array(values, dtype=np.float64)

    @property
    def per_epoch(self) -> bool:
        """Whether it is computed from one epoch's state; else from a history."""
        return any(NEEDS[need].kind == "epoch" for need in self.needs)

    def at(self, given: Mapping[str, Any], variant: str | None = None) -> Any:
        """What `compute` gives for needs by name.

        Raises:
            ConfigError: if there is no such variant or a need is not given.
        """
        chosen = next(iter(self.variants)) if variant is None else variant
        if chosen not in self.variants:
            raise ConfigError(
                f"variant must be one of {', '.join(self.variants)}, got {chosen}. {did_you_mean(chosen, self.variants)}"
            )
        missing = [need for need in self.needs if need not in given]
        if missing:
            raise ConfigError(f"{self.name} must be given {', '.join(self.needs)}, got no {', '.join(missing)}. Record it.")
        words = (given[need] for need in self.needs)
        if not self.spelt:
            return self.compute(*words, **self.variants[chosen])
        with to_the_end("signal", self.spelt):
            found = self.compute(*words, **self.variants[chosen])
            array = np.asarray(found)
        rows = None if self.per_epoch else (next(len(given[need]) for need in self.needs if NEEDS[need].kind == "history"),)
        checked(self.spelt, array, rows or (None if self.over else ()), whole_too=self.per_epoch)
        return found if self.per_epoch else array


def series(signal: Signal, given: Mapping[str, Any], variant: str | None = None) -> np.ndarray:
    """A signal after the run, from all its epochs.

    Args:
        signal: which. variant: by name; None for the first.
        given: by name: for a need of one epoch a sequence of them; of a history its array; of a run its value.

    Returns:
        (T + 1,) float64, or one entry for each epoch that was given; NaN where it is not known.

    Raises:
        ConfigError: if a need is not given, or what comes is not one value an epoch.
    """
    if signal.per_epoch:
        values = signal.stacked([signal.at(one, variant) for one in _epochs(signal, given)])
        epochs = len(values)
        values = signal.over_history(values, variant)
    else:
        values = np.asarray(signal.at(given, variant), dtype=np.float64)
        epochs = next(len(given[need]) for need in signal.needs if NEEDS[need].kind == "history")
    if values.shape != (epochs,):
        raise ConfigError(
            f"{signal.name} must give one value an epoch, ({epochs},), got shape {values.shape}. Reduce it in compute or over."
        )
    return values


def _epochs(signal: Signal, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The needs of each epoch in turn."""
    moving = [need for need in signal.needs if need in given and NEEDS[need].kind == "epoch"]
    fixed = {need: given[need] for need in signal.needs if need in given and NEEDS[need].kind == "run"}
    for values in zip(*(given[need] for need in moving), strict=True):
        yield fixed | dict(zip(moving, values, strict=True))


class Live:
    """A signal as training goes on: `append` an epoch, read its value.

    What is kept is the rows of its history, or for `over` the values so far, so that `series` on the same epochs agrees. A
    signal of a history is computed anew at each call, in time that grows with the epochs.

    Args:
        signal: which. variant: by name; None for the first. run: needs that belong to the run, such as window=20.

    Attributes:
        values: for `over`, what `compute` gave so far: with them put back, a new `Live` goes on bit for bit.
    """

    def __init__(self, signal: Signal, variant: str | None = None, **run: Any) -> None:
        self.signal, self.variant, self.run = signal, variant, run
        self._rows: dict[str, list[Any]] = {need: [] for need in signal.needs if NEEDS[need].kind == "history"}
        self.values: list[Any] = []

    def append(self, **given: Any) -> float:
        """Take the needs of the next epoch, of a history its row, and give the signal's value there."""
        signal = self.signal
        if signal.per_epoch:
            self.values.append(signal.at(self.run | given, self.variant))
            if signal.over is None:
                return float(self.values.pop())
            return float(signal.over_history(signal.stacked(self.values), self.variant)[-1])
        for need, rows in self._rows.items():
            if need not in given:
                signal.at(self.run | given, self.variant)  # which says what is missing
            rows.append(given[need])
        history = {need: np.array(rows) for need, rows in self._rows.items()}
        return float(signal.at(self.run | history, self.variant)[-1])


def find(name: str) -> Signal:
    """A signal by its name, or your own by `module:NAME`.

    Raises:
        ConfigError: if there is none, or yours is not a causal `Signal`, raises, or gives no finite float64 on made-up input.
    """
    signal: Signal = SIGNALS.find(name)
    if name in SIGNALS.names:
        return signal
    with tried("signal", name):
        _check_values(signal, name)
        causal = is_causal(signal)
    if not causal:
        raise ConfigError(f"signal must use epochs ≤ t only, got {name}, which looks ahead or remembers. Cut it at t.")
    own = copy.copy(signal)
    object.__setattr__(own, "spelt", name)  # frozen, and perhaps of a class with another `__init__`
    return own


def _check_values(signal: Signal, name: str) -> None:
    """Refuse a signal whose values on made-up epochs are no float64, not finite, or others the second time."""
    given = example(signal)
    for variant in signal.variants:
        first = signal.at(next(_epochs(signal, given)) if signal.per_epoch else given, variant)
        kind = np.asarray(first).dtype
        exact = kind == np.float64 or (signal.per_epoch and kind.kind in "iu")
        if not exact:
            raise ConfigError(f"signal must give float64, got {name} with {kind}. Convert what compute gives with float().")
        values, again = series(signal, given, variant), series(signal, given, variant)
        if np.isinf(values).any() or np.isnan(values).all():
            raise ConfigError(
                f"signal must give finite values, NaN where it is not known, got {name} with others. "
                "Correct compute; docs/howto/signal.md shows how it is tried."
            )
        if not np.array_equal(values, again, equal_nan=True):
            raise ConfigError(f"signal must give the same values each time, got {name}, which draws at random. Seed it.")


def example(signal: Signal, epochs: int = 48, seed: int = 0) -> dict[str, Any]:
    """Made-up needs of a signal for so many epochs, as `series` takes them; seeded."""
    rng = np.random.default_rng(seed)
    made = {}
    for need in signal.needs:
        about = NEEDS[need]
        made[need] = [about.make(rng) for _ in range(epochs)] if about.kind == "epoch" else about.make(rng, epochs)
    return made


def cut(signal: Signal, given: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """The first epochs of needs as `series` takes them."""
    return {need: given[need] if NEEDS[need].kind == "run" else given[need][:epochs] for need in signal.needs}


def is_causal(signal: Signal, lengths: Sequence[int] = (3, 17, 31, 40)) -> bool:
    """Whether the values on made-up epochs stay as they are when later epochs are cut off, for every variant."""
    given = example(signal)
    for variant in signal.variants:
        whole = series(signal, given, variant)
        for length in lengths:
            part = series(signal, cut(signal, given, length), variant)
            if not np.allclose(part, whole[:length], rtol=ROUNDING, atol=1e-12, equal_nan=True):
                return False
    return True
