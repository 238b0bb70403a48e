"""The last updates of a block as columns: the band of their products, eigenvalues, signals; of bounded length.

Shapes: T updates so far, H rows kept, L lags, k eigenvalues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grok.monitor.floor import floors, resolved
from grok.monitor.tail import Tail
from grok.numerics.spectra import EIGENVALUES, rolling_eigenvalues
from grok.spec.fields import refuse

if TYPE_CHECKING:
    from grok.signals.base import Signal
else:
    Signal = Any  # for who reads hints as the program runs: the module comes with the first monitor

SIGNALS = ("gap", "cosine", "weight_norm", "clock")
"""Signals of the project that need no more than the weights."""
GIVEN = ("band", "eigenvalues", "norms", "epoch", "window")
"""What a signal may need here of the updates so far."""
FLOOR = "lambda_floor"
"""The column of the eigenvalue below which a row's spectrum is not resolved."""
NOW = ("weights", "moved")
"""What it may need of the weights at an update: a block's matrices, as `grok.monitor.matrices` gives them."""
REACH = 3
"""Rows that the project's own signals of `SIGNALS` reach back over, at most."""


def weight_signals(names: Sequence[str]) -> dict[str, tuple[Signal, str]]:
    """Signals with their variants by column: `gap_12` for the variant 12 of `gap`, the name alone where there is one variant.

    Raises:
        ConfigError: if there is no such signal, or it needs more than the weights.
    """
    from grok.signals.base import find  # with the first monitor, not with its import

    found = {}
    for name in names:
        signal = find(name)
        lacking = [need for need in signal.needs if need not in (*GIVEN, *NOW)]
        if lacking:
            told = ", ".join((*GIVEN, *NOW))
            refuse("signals", f"need no more than the weights ({told})", f"{name} ({', '.join(lacking)})", "Drop it")
        for variant in signal.variants:
            found[f"{name.replace(':', '.')}_{variant}" if variant else name.replace(":", ".")] = (signal, variant)
    return found


class Series:
    """One block's history. Row 0 is the weights before the first update, where spectra are not known.

    Args:
        window: w. lags: L ≥ w. history: H, rows kept.
        signals: as `weight_signals` gives them.
        coordinates: P, of a sketch its numbers where they are fewer. every: steps in an update.
    """

    def __init__(
        self,
        window: int,
        lags: int,
        history: int,
        signals: Mapping[str, tuple[Signal, str]],
        coordinates: int = 1,
        every: int = 1,
    ) -> None:
        self.window, self.lags, self.history, self.signals = window, lags, history, signals
        self.coordinates, self.every = coordinates, every
        self.band = Tail(history + lags, (lags,))
        self.eigenvalues = Tail(history, (EIGENVALUES,))
        self.columns = {name: Tail(history) for name in ("step", "norm", "finite", FLOOR, *signals)}
        self.rounding = Tail(history + lags)  # Σ u² θ², as `floors` takes it
        self._gram = np.zeros((window, window))  # of the last updates, newest first
        self._whole = any(signal.name not in SIGNALS and not signal.per_epoch for signal, _ in signals.values())

    @property
    def updates(self) -> int:
        """T."""
        return max(0, self.eigenvalues.count - 1)

    @property
    def numbers(self) -> np.ndarray:
        """(≤ H,) int64: of the update that each row is at, 0 for the weights before the first."""
        return np.arange(self.eigenvalues.first, self.eigenvalues.count)

    def start(self, norm: float, rounding: float, now: Mapping[str, float]) -> None:
        """Take the weights before the first update."""
        self.rounding.append(rounding)
        self._add(np.full(self.lags, np.nan), np.full(EIGENVALUES, np.nan), 0, norm, now)

    def append(self, row: np.ndarray, step: int, norm: float, rounding: float, now: Mapping[str, float]) -> dict[str, float]:
        """Take an update.

        Args:
            row: (L,) float64, its products with itself and with those before, NaN beyond the first.
            step: the user's. norm: ‖θ‖ after it. rounding: Σ u² θ² after it.
            now: the signals of the weights themselves after it, by column.

        Returns:
            The row's columns by name.
        """
        values = self._solved(row)
        self.rounding.append(rounding)
        self._add(row, values, step, norm, now)
        lambdas = {f"lambda_{k}": float(value) for k, value in enumerate(values, 1)}
        return lambdas | {name: float(self.columns[name].values[-1]) for name in (FLOOR, *self.signals)}

    def floors(self, window: int) -> np.ndarray:
        """(rows,) float64: the eigenvalue below which a window's spectrum is not resolved, at every row that is kept."""
        found = floors(self.rounding.values, window, self.coordinates, self.every)
        return found[len(found) - len(self.eigenvalues.values) :]

    def _solved(self, row: np.ndarray) -> np.ndarray:
        """(5,) float64: `rolling_eigenvalues` at the new update, to the bit, from the Gram of the update before."""
        size, filled = self.window, min(self.updates + 1, self.window)
        gram, newest = self._gram, np.where(np.arange(self.window) <= self.updates, row[: self.window], 0.0)
        gram[1:, 1:] = gram[:-1, :-1].copy()
        gram[0] = gram[:, 0] = newest
        out = np.full(EIGENVALUES, np.nan)
        if filled >= 2 and np.isfinite(gram).all():
            kept = min(EIGENVALUES, size, filled)
            out[:kept] = np.linalg.eigvalsh(gram)[::-1][:kept]
        return out

    def _add(self, row: np.ndarray, eigenvalues: np.ndarray, step: int, norm: float, now: Mapping[str, float]) -> None:
        self.band.append(row)
        self.eigenvalues.append(eigenvalues)
        floor = floors(self.rounding.values[-self.window - 1 :], self.window, self.coordinates, self.every)[-1]
        for name, value in (("step", step), ("norm", norm), ("finite", float(np.isfinite(row[0]))), (FLOOR, floor)):
            self.columns[name].append(value)
        given = self._given(REACH)
        whole = self._given(self.history) if self._whole else given
        for name, (signal, variant) in self.signals.items():
            if signal.per_epoch:
                self.columns[name].append(now[name])
                continue
            history = given if signal.name in SIGNALS else whole
            self.columns[name].append(np.asarray(signal.at(history, variant), dtype=np.float64)[-1])

    def _given(self, rows: int) -> dict[str, Any]:
        """The needs of a signal, over the last rows; an eigenvalue that is not resolved is not known."""
        floor = self.columns[FLOOR].values[-rows:]
        return {
            "band": self.band.values[-rows:][-len(self.eigenvalues.values) :],
            "eigenvalues": resolved(self.eigenvalues.values[-rows:], floor, self.window),
            "norms": self.columns["norm"].values[-rows:, None],
            "epoch": self.numbers[-rows:],
            "window": self.window,
        }

    def rolling(self, window: int, count: int) -> np.ndarray:
        """(rows, count) float64: `rolling_eigenvalues` over the rows that are kept, for any window up to L."""
        if not self.eigenvalues.count:
            return np.full((1, count), np.nan)
        rows = self.band.values[1:] if self.band.first == 0 else self.band.values
        first = len(rows) + 1 - len(self.eigenvalues.values)
        return rolling_eigenvalues(rows, window, count, start=first)

    def table(self) -> dict[str, np.ndarray]:
        """Columns by name, a row per update that is kept."""
        columns = {name: tail.values.copy() for name, tail in self.columns.items() if name not in ("finite", "norm")}
        lambdas = {f"lambda_{k + 1}": self.eigenvalues.values[:, k].copy() for k in range(EIGENVALUES)}
        steps = {"update": self.numbers, "step": columns.pop("step").astype(np.int64)}
        return steps | lambdas | {FLOOR: columns.pop(FLOOR)} | columns

    def state(self) -> dict[str, Any]:
        """What `load` goes on from, bit for bit."""
        return {
            "band": self.band.state(),
            "eigenvalues": self.eigenvalues.state(),
            "columns": {name: tail.state() for name, tail in self.columns.items()},
            "rounding": self.rounding.state(),
            "gram": torch.from_numpy(self._gram.copy()),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state` of the same settings."""
        self.band.load(state["band"])
        self.eigenvalues.load(state["eigenvalues"])
        self._gram = state["gram"].numpy().copy()
        for name, tail in self.columns.items():
            if name != FLOOR or name in state["columns"]:
                tail.load(state["columns"][name])
                continue
            for saved in (tail, self.rounding):  # states of before it was known
                saved.load({"rows": torch.zeros(len(self.eigenvalues.values)), "count": self.eigenvalues.count})
        if "rounding" in state:
            self.rounding.load(state["rounding"])
