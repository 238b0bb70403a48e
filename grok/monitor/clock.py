"""One optimiser's own count of updates: its blocks, their pieces and series, read together after each step.

Shapes: L lags, B updates in a batch, G blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grok.monitor.pieces import Piece
from grok.monitor.selection import Selection
from grok.monitor.sums import added, meshes, reduced
from grok.monitor.track import Row, Settings, Track

SAME = 1e-6
"""Share by which Σ θ² of the same weights may differ: taken in another order, or trained as far on another device."""


class Clock:
    """The updates of one optimiser, or of a loop that says itself when it has stepped.

    Args:
        name: put before its blocks' names; empty for the only one.
        selection: what it reads. settings: of the monitor.

    Attributes:
        steps: real steps so far. skipped: steps that changed nothing and did not count.
        paused: the weights when nobody watched any more, as `Piece.marks`; None while somebody does.
        expected: the weights of the state that was loaded, until the first step after it.
    """

    def __init__(self, name: str, selection: Selection, settings: Settings) -> None:
        self.name, self.selection, self.settings = name, selection, settings
        self.tracks = {
            f"{name}/{block}" if name else block: Track(block, {n: selection.parameters[n] for n in names}, settings)
            for block, names in selection.blocks.items()
        }
        self.steps = self.skipped = 0
        self.started = False
        self.failed: BaseException | None = None
        self.expected: list[float] | None = None
        self.paused: list[float] | None = None
        self._since = 0  # steps since the weights were read
        self._pending: list[int] = []  # the user's step of each update of the batch that is not complete
        self._norms: list[list[Tensor]] = []  # its weights' squared norms, by piece
        self._now: list[list[dict[str, float]]] = []  # its signals of the weights themselves, by block
        self._told = 0  # of its updates, those whose rows were given already

    @property
    def pieces(self) -> list[Piece]:
        """Those of all blocks, in order."""
        return [piece for track in self.tracks.values() for piece in track.pieces]

    @property
    def sharded(self) -> bool:
        """Whether other processes hold shards, and must be met at each batch."""
        return any(piece.sharding is not None and piece.sharding[1] for piece in self.pieces)

    def start(self) -> None:
        """Read the weights before the first step."""
        squares: list[list[float] | None] = [None for _ in self.pieces]
        now: list[dict[str, float]] = [{} for _ in self.tracks]
        try:
            for piece in self.pieces:
                piece.start()
            found = [piece.weight_square() for piece in self.pieces]
            squares = [_norms(float(one), piece) for one, piece in zip(found, self.pieces, strict=True)]  # from any device
            now = [track.matrices.read() for track in self.tracks.values()]
        except Exception as error:
            if not self.sharded:
                raise
            self.failed = self.failed or error
        norms = self._add(squares, width=2)
        for track, norm, values in zip(self.tracks.values(), norms, now, strict=True):
            if not track.series.eigenvalues.count:
                track.series.start(float(np.sqrt(norm[0])), float(norm[1]), values)
                for rule in track.rules:
                    rule.append(float("nan"))
        self.started = True

    def pause(self) -> None:
        """Nobody watches from now on."""
        if self.started:
            self.paused = self._marks()

    def go_on(self) -> None:
        """Somebody watches again: steps between are no update. Where there were any, the weights are read as at the start."""
        paused, self.paused = self.paused, None
        if paused == self._marks() and not self.sharded:  # processes that hold shards must not come to different answers
            return
        self.anew()

    def as_loaded(self) -> bool:
        """Whether the weights are those of the state that was loaded; if not, the next update begins at them."""
        expected, self.expected = self.expected, None
        found = self._marks()
        if not expected or len(found) != len(expected):
            return True
        if np.allclose(found[1::2], expected[1::2], rtol=SAME, atol=0, equal_nan=True):  # Σ θ² of each stretch
            return True
        self.paused = None
        self.anew()
        return False

    def anew(self) -> None:
        """Read the weights as at the start: what they were before is no part of the next update."""
        self._since = 0
        try:
            for piece in self.pieces:
                piece.start()
            for track in self.tracks.values():
                track.matrices.remember()
        except Exception as error:
            if not self.sharded:
                raise
            self.failed = self.failed or error

    def _marks(self) -> list[float]:
        return [] if self.sharded else [mark for piece in self.pieces for mark in piece.marks()]

    def step(self, step: int | None = None, *, look: bool = False) -> Iterator[list[Row]]:
        """Read the weights after a real step.

        Args:
            step: the user's count; None: the clock's. look: whether to look if the weights have changed at all.

        Yields:
            For each update of a batch that is complete, a row of each block.
        """
        self.steps += 1
        self._since += 1
        if self._since < self.settings.every:
            return
        self._since = 0
        try:
            for piece in self.pieces:
                piece.push()
        except Exception as error:
            if not self.sharded:
                raise
            self.failed = self.failed or error
        if look and self._unchanged():
            for piece in self.pieces:
                piece.take_back()
            self.skipped += 1
            self.steps -= 1
            self._since = self.settings.every - 1
            return
        self._pending.append(self.steps if step is None else step)
        rows = self._advance()
        if len(self._pending) < self.settings.batch:
            return
        told, self._told = self._told, 0
        whole = *self._sum(rows), self._pending, self._now
        self._pending, self._norms, self._now = [], [], []
        yield from self._rows(*whole, told)

    def flush(self) -> Iterator[list[Row]]:
        """Rows of the updates of a batch that is not complete, before their time; of shards none, as nobody else may ask.

        Yields:
            As `step`.
        """
        if not self.waiting or self.sharded:
            return
        told, self._told = self._told, len(self._pending)
        rows: list[np.ndarray | None] = [piece.waiting(len(self._pending)) for piece in self.pieces]
        yield from self._rows(*self._sum(rows), list(self._pending), list(self._now), told)

    @property
    def waiting(self) -> int:
        """Updates whose rows have not been given."""
        return len(self._pending) - self._told

    def _rows(self, grams: np.ndarray, norms: np.ndarray, steps: list[int], now: list[Any], told: int) -> Iterator[list[Row]]:
        for i in range(told, len(steps)):
            yield [self._row(block, grams[b, i], steps[i], norms[b, i], now[i][b]) for b, block in enumerate(self.tracks)]

    def _advance(self) -> list[np.ndarray | None]:
        """Count the update in every piece; the rows of each that completes its batch."""
        if self.failed is not None:
            return [None for _ in self.pieces]
        try:
            rows = [piece.advance() for piece in self.pieces]
            self._norms.append([piece.weight_square() for piece in self.pieces])
            self._now.append([track.matrices.read() for track in self.tracks.values()])
        except Exception as error:
            if not self.sharded:
                raise
            self.failed = error
            return [None for _ in self.pieces]
        return rows

    def _row(self, block: str, gram: np.ndarray, step: int, norms: np.ndarray, now: Mapping[str, float]) -> Row:
        series = self.tracks[block].series
        values = series.append(gram, step, float(np.sqrt(norms[0])), float(norms[1]), now)
        return Row(block, series.updates, step, values)

    def _unchanged(self) -> bool:
        """Whether no parameter has changed, in any process."""
        largest = [math.inf] if self.failed else [float(piece.largest()) for piece in self.pieces]
        largest = [math.inf if math.isnan(value) else value for value in largest]  # no process agrees on the maximum with NaN
        for mesh, dims in meshes(self.pieces):
            largest = [float(reduced(np.array([max(largest)]), mesh, dims, largest=True)[0])]
        return all(value == 0 for value in largest)

    def _sum(self, rows: list[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
        """Rows, ‖θ‖² and Σ u² θ² of the batch by block, over its pieces and the processes that hold their shards.

        Returns:
            (G, B, L) and (G, B, 2) float64.
        """
        batch, lags = len(self._pending), self.settings.lags
        parts: list[Any] = []
        for i, piece in enumerate(self.pieces):
            row = rows[i]
            if row is None or self.failed is not None:
                parts.append(np.zeros((batch, lags + 2)))
                continue
            norms = [_norms(float(one[i]), piece) for one in self._norms]
            parts.append(np.concatenate((row, np.array(norms)), axis=1))
        whole = self._add(parts, width=batch * (lags + 2)).reshape(len(self.tracks), batch, lags + 2)
        return whole[..., :lags], whole[..., lags:]

    def _add(self, parts: list[Any], width: int) -> np.ndarray:
        """`added`, over the pieces of this clock."""
        return added([track.pieces for track in self.tracks.values()], parts, width, self.failed)

    def state(self) -> dict[str, Any]:
        """What `load` goes on from, bit for bit."""
        return {
            "steps": self.steps,
            "skipped": self.skipped,
            "started": self.started,
            "since": self._since,
            "paused": self.paused,
            "weights": self._marks() if self.started else None,
            "told": self._told,
            "pending": list(self._pending),
            "parameters": list(self.selection.parameters),
            "now": [list(one) for one in self._now],
            "norms": [[float(square) for square in one] for one in self._norms],
            "tracks": {
                block: {
                    "names": [list(piece.shapes) for piece in track.pieces],
                    "pieces": [piece.state() for piece in track.pieces],
                    "series": track.series.state(),
                    "matrices": track.matrices.state(),
                    "diverged": track.diverged,
                    "rules": {rule.watch.words + f" [{rule.watch.kind}]": rule.state() for rule in track.rules},
                }
                for block, track in self.tracks.items()
            },
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state` of the same blocks and settings."""
        self.steps, self.skipped, self.started = int(state["steps"]), int(state["skipped"]), bool(state["started"])
        self._since = int(state.get("since", self.steps % self.settings.every))  # states of before have neither
        paused = state.get("paused")
        self.paused = None if paused is None else [float(mark) for mark in paused]
        weights = state.get("weights")
        self.expected = None if weights is None else [float(mark) for mark in weights]
        self._told = int(state.get("told", 0))
        self._pending = [int(step) for step in state["pending"]]
        self._norms = [
            [torch.tensor(math.nan if square is None else square, dtype=torch.float64, device="cpu") for square in one]
            for one in state["norms"]
        ]
        self._now = [list(one) for one in state.get("now", [[{} for _ in self.tracks] for _ in self._pending])]
        for block, track in self.tracks.items():
            saved = state["tracks"][block]
            for piece, kept in zip(track.pieces, saved["pieces"], strict=True):
                piece.load(kept)
            track.series.load(saved["series"])
            finite = track.series.columns["finite"].values
            track.diverged = bool(saved.get("diverged", track.series.updates and not finite[-1]))
            if "matrices" in saved:  # states of before it had signals of the weights themselves have none
                track.matrices.load(saved["matrices"])
            for rule in track.rules:
                name = rule.watch.words + f" [{rule.watch.kind}]"
                if name in saved["rules"]:
                    rule.load(saved["rules"][name])


def _norms(square: float, piece: Piece) -> list[float]:
    """‖θ‖² and Σ u² θ² of a piece."""
    return [square, piece.unit * square]
