"""One block of a monitor: its pieces, series and rules; what a monitor is made of, and a row of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from grok.monitor.matrices import Matrices
from grok.monitor.pieces import pieces
from grok.monitor.rules import Live, Watch
from grok.monitor.series import Series

if TYPE_CHECKING:
    from grok.signals.base import Signal
else:
    Signal = Any  # for who reads hints as the program runs: the module comes with the first monitor


@dataclass(frozen=True)
class Settings:
    """What a clock is made of.

    Attributes:
        window, lags: w and L. every: steps in an update. batch: B. history: rows kept.
        signals, watches: as the monitor has them.
        sketched: blocks of which a sketch is kept. sketch: its name. width: m. seed: of the sketch.
    """

    window: int
    lags: int
    every: int
    batch: int
    history: int
    signals: Mapping[str, tuple[Signal, str]]
    watches: tuple[Watch, ...]
    sketched: frozenset[str]
    sketch: str
    width: int
    seed: int


@dataclass(frozen=True)
class Row:
    """One update of one block.

    Attributes:
        block: by name. update, step: the monitor's count and the user's. values: columns by name. fired: rules that now hold.
    """

    block: str
    update: int
    step: int
    values: dict[str, float]


class Track:
    """One block of a clock.

    Attributes:
        block: its name, without that of the optimiser.
        diverged: whether its last update was not finite, which has been told.
        unresolved: updates so far whose λ₃ was below what the weights' digits resolve.
    """

    diverged = False
    unresolved = 0

    def __init__(self, block: str, parameters: dict[str, Tensor], settings: Settings) -> None:
        s = settings
        self.block = block
        sketch = s.sketch if block in s.sketched else None
        self.pieces = pieces(parameters, s.lags, s.batch, sketch, s.width, s.seed)
        coordinates = sum(piece.coordinates for piece in self.pieces)
        self.series = Series(s.window, s.lags, s.history, s.signals, coordinates, s.every)
        self.matrices = Matrices(block, parameters, s.signals, s.history)
        self.rules = [Live(watch, s.history) for watch in s.watches if watch.block in (None, block)]
