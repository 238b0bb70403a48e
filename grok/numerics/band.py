"""Weight updates of any tensor, and the banded Gram matrix of their inner products.

Shapes: S seeds, T updates so far, L lags kept, P parameters in C chunks. Every w×w Gram of a window of updates is a diagonal
block of the T×T matrix ⟨Δ_s, Δ_t⟩, so its band of L lags holds the spectra of every window w ≤ L.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from grok.numerics import placement
from grok.numerics.methods import BLOCK

CHUNK = 2048
"""Parameters in a row on a CPU: (L + block) × CHUNK doubles, some 1.3 MB, nearly stay in the cache."""
BATCH = 4
"""Chunks, of all seeds together, that are converted to float64 and multiplied at a time, each by one thread."""


class BandedGram:
    """Keeps the last updates raw and the band of their inner products, in float64.

        band[t − 1, l] = ⟨Δ_t, Δ_{t−l}⟩,  NaN where l ≥ t

    Inner products are taken `block` updates at a time: one pass over the kept updates then serves the whole block, and
    a matrix product does it. Reading the band between two blocks is exact too; only the work comes earlier.

    Args:
        lags: L ≥ 1.
        parameters: P, entries of one update.
        seeds: S, updates that arrive together and are kept apart.
        block: updates per pass, ≥ 1; 1 gives each column at once.
        dtype: of the raw updates; products are taken and summed in float64 whatever it is.
        device: where the raw updates live.
        chunk: parameters in a row of the ring. Default: `CHUNK` on a CPU, all of them on a GPU.
        keep_rows: whether the band is kept; without, a block's rows are those that `advance` gives, once.

    Attributes:
        ring: (S, C, slots, chunk), the raw updates kept; the last chunk is filled up with zeros. Chunks come before slots
            because a product of few rows is shared out to threads only where there are several of them.

    Source: Xu (arXiv 2605.08119) §2; the band and the blocks are ours.

    Example: the weights 0, 1, 3, 2 of one parameter are the updates 1, 2, −1.
        >>> grams = BandedGram(lags=2, parameters=1)
        >>> for old, new in ((0.0, 1.0), (1.0, 3.0), (3.0, 2.0)):
        ...     grams.append(torch.tensor([[new]]), torch.tensor([[old]]))
        >>> grams.band()[0].tolist()
        [[1.0, nan], [4.0, 2.0], [1.0, -2.0]]
    """

    def __init__(
        self,
        lags: int,
        parameters: int,
        *,
        seeds: int = 1,
        block: int = BLOCK,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        chunk: int | None = None,
        keep_rows: bool = True,
    ) -> None:
        if lags < 1 or parameters < 1 or block < 1:
            raise ValueError(f"lags, parameters and block must be ≥ 1, got {lags}, {parameters}, {block}. Raise them.")
        self.lags, self.block = lags, block
        self.slots = -(-(lags + block) // block) * block  # a whole number of blocks, so that no block wraps around
        self.parameters = parameters
        whole = placement.on_gpu(torch.empty(0, device=device))
        chunk = min(parameters, chunk or (parameters if whole else CHUNK))
        self.ring = torch.zeros(seeds, -(-parameters // chunk), self.slots, chunk, dtype=dtype, device=device)
        self.count, self.keep_rows = 0, keep_rows  # T
        self._rows: list[np.ndarray] = []  # (S, block, L) each: the band as far as whole blocks go

    @property
    def complete(self) -> int:
        """Updates whose band rows are computed: T rounded down to whole blocks."""
        return self.count - self.count % self.block

    def append(self, new: Tensor, old: Tensor) -> None:
        """Add the update Δ = new − old; S·P entries each, first axis the seed."""
        slot = self.ring[:, :, self.count % self.slots]
        seeds, chunks, chunk = slot.shape
        new, old = new.reshape(seeds, self.parameters), old.reshape(seeds, self.parameters)
        whole = self.parameters // chunk
        shape, end = (seeds, whole, chunk), whole * chunk
        torch.sub(new[:, :end].view(shape), old[:, :end].view(shape), out=slot[:, :whole])
        if whole < chunks:
            torch.sub(new[:, end:], old[:, end:], out=slot[:, whole, : self.parameters - end])
        self.advance()

    def advance(self) -> np.ndarray | None:
        """Count the update that stands in the next slot of `ring`, where `append` or its owner has written it.

        Returns:
            (S, block, L) float64, the band rows of the block that it completes; None if it completes none.
        """
        self.count += 1
        if self.count % self.block:
            return None
        rows = self._columns(self.block)
        if self.keep_rows:
            self._rows.append(rows)
        return rows

    def band(self) -> np.ndarray:
        """The band so far: (S, T, L) float64, NaN where l ≥ t."""
        pending = self.count - self.complete
        rows = [*self._rows, self._columns(pending)] if pending else self._rows
        return np.concatenate(rows, axis=1) if rows else np.empty((len(self.ring), 0, self.lags))

    def band_rows(self, start: int) -> np.ndarray:
        """Rows `start` … `complete` of the band: (S, complete − start, L) float64; `start` is a multiple of block."""
        rows = self._rows[start // self.block :]
        return np.concatenate(rows, axis=1) if rows else np.empty((len(self.ring), 0, self.lags))

    def window(self, size: int, end: int | None = None) -> Tensor:
        """The raw updates `end − size + 1` … `end` (default: the last): (S, size, P), a copy, oldest first.

        Raises:
            ValueError: if one of them never was or is no longer kept.
        """
        end = self.count if end is None else end
        if not max(0, self.count - self.slots) <= end - size < end <= self.count:
            raise ValueError(
                f"window must lie in the last {self.slots} of {self.count} updates, got {size} updates up to {end}. "
                "Ask earlier or keep more lags."
            )
        kept = self.ring[:, :, [t % self.slots for t in range(end - size, end)]]
        return kept.transpose(1, 2).flatten(2)[:, :, : self.parameters].contiguous()

    def newest(self, count: int) -> np.ndarray:
        """Band rows of the last `count` updates, whether their block is complete or not: (S, count, L) float64."""
        return self._columns(count)

    def _columns(self, count: int) -> np.ndarray:
        """Band rows of the last `count` updates: (S, count, L) float64."""
        seeds, chunks, slots, _ = self.ring.shape
        first = (self.count - count) % slots
        gram = torch.zeros(seeds, count, slots, dtype=torch.float64, device=self.ring.device)
        step = max(1, BATCH // seeds)
        for start in range(0, chunks, step):
            batch = self.ring[:, start : start + step].double().flatten(0, 1)
            products = torch.bmm(batch[:, first : first + count], batch.transpose(1, 2))
            gram += products.view(seeds, -1, count, slots).sum(dim=1)  # pairwise, not one running sum
        t = np.arange(self.count - count + 1, self.count + 1)[:, None]
        lag = np.arange(self.lags)[None, :]
        rows = gram.cpu().numpy()[:, np.arange(count)[:, None], (t - 1 - lag) % slots]
        return np.where(lag < t, rows, np.nan)

    def state(self, seed: int) -> dict[str, Tensor]:
        """Everything that `load` needs to go on bit for bit: the raw updates, the band, the count, of one seed."""
        band = self.band_rows(0)[seed]
        return {"ring": self.ring[seed], "band": torch.from_numpy(band), "count": torch.tensor(self.count)}

    def load(self, states: list[dict[str, Tensor]]) -> None:
        """Go on from `state`s of the same lags, block and parameters, one per seed and all at the same count."""
        self.count = int(states[0]["count"])
        chunks, slots, chunk = self.ring.shape[1:]
        for kept, state in zip(self.ring, states, strict=True):
            saved = state["ring"]  # in the chunks of the device that saved it, or (slots, P)
            flat = saved if saved.dim() == 2 else saved.transpose(0, 1).flatten(1)[:, : self.parameters]
            filled = torch.nn.functional.pad(flat, (0, chunks * chunk - self.parameters))
            kept.copy_(filled.view(slots, chunks, chunk).transpose(0, 1))
        band = np.stack([state["band"].numpy() for state in states])
        self._rows = [band[:, i : i + self.block] for i in range(0, band.shape[1], self.block)]
