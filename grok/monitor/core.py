"""The rolling spectrum of anyone's training loop: no config, no store, only the weights as they change."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from grok.numerics.band import BandedGram
from grok.numerics.spectra import EIGENVALUES, check_window, gap, rolling_eigenvalues


class RollingSpectrum:
    """The rolling spectrum of any tensors' updates, for anyone's training loop.

        spectrum = RollingSpectrum(window=20)
        for batch in loader:
            ...  # your step
            spectrum.update(model.parameters())
            print(spectrum.eigenvalues()[-1], spectrum.gap(2)[-1])

    Args:
        window: w ≥ 2, updates in the rolling window.
        max_window: lags kept, ≥ window; later calls may ask for any window up to it. Default: window.
    """

    def __init__(self, window: int = 20, max_window: int | None = None) -> None:
        self.window, self.max_window = window, window if max_window is None else max_window
        if not 2 <= window <= self.max_window:
            raise ValueError(f"window must be in [2, {self.max_window}] (max_window), got {window}. Raise max_window.")
        self._previous: Tensor | None = None
        self._grams: BandedGram | None = None
        self._solved: dict[tuple[int, int], np.ndarray] = {}

    def update(self, weights: Tensor | Iterable[Tensor]) -> None:
        """Read the weights after a step (or before the first): one tensor, or several taken as one vector."""
        tensors = [weights] if isinstance(weights, Tensor) else list(weights)
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        if self._grams is None or self._previous is None:
            self._grams = BandedGram(self.max_window, flat.numel(), block=1, dtype=flat.dtype, device=flat.device)
        else:
            self._grams.append(flat, self._previous)
        self._previous = flat

    @property
    def band(self) -> np.ndarray:
        """(T, L) float64 inner products of the updates so far, NaN where l ≥ t."""
        return np.empty((0, self.max_window)) if self._grams is None else self._grams.band()[0]

    def eigenvalues(self, window: int | None = None, count: int = EIGENVALUES) -> np.ndarray:
        """(T + 1, count) float64: `rolling_eigenvalues` so far, for any window up to max_window.

        Epochs that an earlier call has solved are not solved again.
        """
        size = self.window if window is None else window
        check_window(size, self.max_window)
        known = self._solved.get((size, count), np.empty((0, count)))
        updates = 0 if self._grams is None else self._grams.count
        if len(known) <= updates:
            first = max(0, len(known) - size)  # the band rows that the new windows reach back to
            rows = self.band if self._grams is None else self._grams.band_rows(first)[0]
            known = np.concatenate((known, rolling_eigenvalues(rows, size, count, start=len(known) - first)))
            self._solved[size, count] = known
        return known.copy()

    def gap(self, k: int = 2, window: int | None = None) -> np.ndarray:
        """(T + 1,) float64: λ_k / λ_{k+1} at every epoch, NaN where the window is too short."""
        size = self.window if window is None else window
        return gap(self.eigenvalues(size, k + 1), k, size)
