"""What a monitor keeps of the parameters of one block on one device: the last updates, or sketches of them, and their products.

Shapes: P parameters, L lags, B updates in a batch, m numbers of a sketch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grok.monitor.selection import local, sharding
from grok.numerics.band import CHUNK, BandedGram
from grok.numerics.sketch import SKETCHES

GPU_CHUNK = 1 << 18
"""Parameters in a row of the ring on a GPU, so that few of them are converted to float64 at a time."""

MARKED = 1 << 22
"""Numbers that are brought to float64 at a time, to compare weights."""


def kept_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 for weights in float64, else float32: a difference of two bf16 numbers needs more digits than they have."""
    return torch.float64 if dtype in (torch.float64, torch.complex128) else torch.float32


class Piece:
    """The updates of some parameters that are on one device, of one dtype, and sharded alike.

    Args:
        parameters: by name; the tensors are held and read.
        lags: L. batch: B, updates whose products are taken at a time.
        sketch: None to keep updates as they are; `count` or `srht`. width: m. seed: of the sketch.

    Attributes:
        grams: the ring of updates and their products. Between two readings its next slot, which no window needs, holds the
            weights last read, so that there is no copy beside it; of a sketch the same in float64 is `previous`.
    """

    def __init__(
        self, parameters: dict[str, Tensor], lags: int, batch: int, sketch: str | None = None, width: int = 0, seed: int = 0
    ) -> None:
        self.parameters = parameters
        self.shapes = {name: tuple(p.shape) for name, p in parameters.items()}
        first = next(iter(parameters.values()))
        parts = self._parts()
        self.sizes = [len(part) for part in parts]
        self.device, dtype = parts[0].device, kept_dtype(first.dtype)
        self.dtype = first.dtype
        self.sharding = sharding(first)
        self.sketch = None
        size = sum(self.sizes)
        if sketch is not None and size > width:
            self.sketch = SKETCHES[sketch](self.sizes, width, seed=seed, device=self.device)
            size = width
        chunk = GPU_CHUNK if self.device.type != "cpu" else CHUNK
        self.grams = BandedGram(lags, max(size, 1), block=batch, dtype=dtype, device=self.device, chunk=chunk, keep_rows=False)
        self.previous: Tensor | None = None
        self._now: Tensor | list[Tensor] = []
        self.started = False

    def start(self) -> None:
        """Read the weights before the first update."""
        self._remember(self._read())
        self.started = True

    def marks(self) -> list[float]:
        """Sums of the weights and of their squares, in float64: by these it is seen whether the weights are others."""
        found = []
        for part in self._parts():
            for start in range(0, max(1, len(part)), MARKED):
                exact = part[start : start + MARKED].double()
                found += [exact.sum(), exact @ exact]
        return torch.stack(found).tolist()

    def push(self) -> None:
        """Write the update since the weights that were last read into the ring; it counts when `advance` is called."""
        now = self._read()
        if isinstance(now, Tensor) and self.previous is not None:
            difference = (now - self.previous).to(self.grams.ring.dtype)
            for kept, part in self._slot([difference]):
                kept.copy_(part)
        else:
            for kept, part in self._slot(list(now)):
                torch.sub(part, kept, out=kept)
        self._now = now

    def largest(self) -> Tensor:
        """() float64: the largest entry of the update that was pushed, by size."""
        slot = self.grams.ring[0, :, self.grams.count % self.grams.slots]
        largest: Tensor = torch.linalg.vector_norm(slot, ord=float("inf")).double()
        return largest

    def advance(self) -> np.ndarray | None:
        """Count the update that was pushed: (B, L) float64 where it ends a batch."""
        rows = self.grams.advance()
        self._remember(self._now)
        return None if rows is None else rows[0]

    def waiting(self, count: int) -> np.ndarray:
        """(count, L) float64: the rows of the last updates, of a batch that is not complete."""
        rows: np.ndarray = self.grams.newest(count)[0]
        return rows

    def take_back(self) -> None:
        """Forget the update that was pushed: it is not to count."""
        self._remember(self._now)

    def weight_square(self) -> Tensor:
        """() float64: ‖θ‖² of the weights last read, of a sketch as far as it keeps it."""
        if self.previous is not None:
            total: Tensor = self.previous.square().sum()
            return total
        squares = [torch.linalg.vector_norm(part, dtype=self.grams.ring.dtype).double().square() for part in self._parts()]
        return torch.stack(squares).sum()

    @property
    def unit(self) -> float:
        """u²: the square of half the ε of the weights' dtype; of a sketch with what its sums in float64 lose to theirs."""
        exact = np.finfo(np.float64).eps / 2
        summed = 0.0 if self.sketch is None else exact**2 * (1 + sum(self.sizes) / (2 * self.grams.parameters))
        return float((torch.finfo(self.dtype).eps / 2) ** 2 + summed)

    @property
    def coordinates(self) -> int:
        """Numbers of an update that are independent: those of all processes, of a sketch no more than it has."""
        whole = max(1, sum(p.numel() * (2 if p.is_complex() else 1) for p in self.parameters.values()))
        return whole if self.sketch is None else min(whole, self.grams.parameters)

    def _parts(self) -> list[Tensor]:
        return [local(p) for p in self.parameters.values()]

    def _read(self) -> Tensor | list[Tensor]:
        """The weights as they are, or their sketch.

        Raises:
            RuntimeError: if a parameter has changed its shape, its dtype or its device.
        """
        for name, shape in self.shapes.items():
            now = self.parameters[name]
            if tuple(now.shape) != shape or now.dtype != self.dtype:
                raise RuntimeError(
                    f"parameters must keep shape and dtype ({shape} {self.dtype}), got {name} {tuple(now.shape)} {now.dtype}. "
                    "Make a new monitor."
                )
        parts = self._parts()
        for name, part in zip(self.parameters, parts, strict=True):
            if part.device != self.device:
                raise RuntimeError(f"parameters must stay on {self.device}, got {name} on {part.device}. Make a new monitor.")
        return parts if self.sketch is None else self.sketch(parts)

    def _remember(self, now: Tensor | list[Tensor]) -> None:
        if isinstance(now, Tensor):
            self.previous = now
        else:
            for kept, part in self._slot(now):
                kept.copy_(part)

    def _slot(self, parts: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Stretches of the ring's next slot, each with the stretch of flat parts that belongs there, of the same shape."""
        slot = self.grams.ring[0, :, self.grams.count % self.grams.slots]
        chunk, at = slot.shape[1], 0
        for part in parts:
            done = 0
            while done < len(part):
                row, column = divmod(at, chunk)
                left = len(part) - done
                if column or left < chunk:
                    size = min(chunk - column, left)
                    yield slot[row, column : column + size], part[done : done + size]
                else:
                    size = left // chunk * chunk
                    yield slot[row : row + size // chunk], part[done : done + size].view(-1, chunk)
                done, at = done + size, at + size

    def state(self) -> dict[str, Any]:
        """What `load` goes on from, bit for bit, on whichever device: a copy in the CPU's memory."""
        kept = self.grams.state(0)
        ring = kept["ring"].to("cpu", copy=True)
        out: dict[str, Any] = {"ring": ring, "count": self.grams.count, "started": self.started}
        if self.previous is not None:
            out["previous"] = self.previous.to("cpu", copy=True)
        return out

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state` of the same parameters, lags, batch and sketch."""
        empty = torch.empty(0, self.grams.lags, dtype=torch.float64, device="cpu")
        self.grams.load([{"ring": state["ring"], "count": torch.tensor(state["count"], device="cpu"), "band": empty}])
        self.previous = state["previous"].to(self.device, copy=True) if "previous" in state else None
        self.started = state["started"]


def pieces(parameters: dict[str, Tensor], lags: int, batch: int, sketch: str | None, width: int, seed: int) -> list[Piece]:
    """A block's parameters, put together by device, dtype and sharding; each a sketch of m numbers where one is asked for."""
    groups: dict[Any, dict[str, Tensor]] = {}
    for name, parameter in parameters.items():
        here = local(parameter)
        shards = sharding(parameter)
        key = (here.device, parameter.dtype, shards)  # equal meshes are one, though `fully_shard` makes one for each call
        groups.setdefault(key, {})[name] = parameter
    return [Piece(group, lags, batch, sketch, width, seed + i) for i, group in enumerate(groups.values())]
