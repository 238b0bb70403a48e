"""The rolling spectrum of anyone's training loop: no config, no store, only the weights as they change."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from grok.monitor.windows import Growing, checked
from grok.numerics.band import BandedGram
from grok.numerics.spectra import EIGENVALUES, check_window, gap, rolling_eigenvalues
from grok.spec.fields import LARGEST, refuse


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
        self.window, self.max_window = checked(window, max_window)
        self._previous: Tensor | None = None
        self._grams: BandedGram | None = None
        self._solved: dict[tuple[int, int], Growing] = {}
        self._gaps: dict[tuple[int, int], Growing] = {}

    def update(self, weights: Tensor | Iterable[Tensor]) -> None:
        """Read the weights after a step (or before the first): one tensor, or several taken as one vector.

        Tensors of several precisions are taken in the widest of them.

        Raises:
            ConfigError: if they are not dense floating-point tensors on one device, or not those of the first call.
            MemoryError: if the updates of max_window do not fit.
        """
        flat = _flat(weights)
        known = self._previous
        if known is None:
            self._grams = _grams(self.max_window, flat)
        elif (flat.numel(), flat.dtype, flat.device) != (known.numel(), known.dtype, known.device):
            was = f"{known.numel()} numbers of {known.dtype} on {known.device}"
            got = f"{flat.numel()} of {flat.dtype} on {flat.device}"
            refuse("weights", f"stay as they were at the first call, {was}", got, "Start another RollingSpectrum for others")
        elif self._grams is not None:
            self._grams.append(flat, known)
        self._previous = flat

    @property
    def band(self) -> np.ndarray:
        """(T, L) float64 inner products of the updates so far, NaN where l ≥ t."""
        return np.empty((0, self.max_window)) if self._grams is None else self._grams.band()[0]

    def eigenvalues(self, window: int | None = None, count: int = EIGENVALUES) -> np.ndarray:
        """(T + 1, count) float64: `rolling_eigenvalues` so far, for any window up to max_window.

        Epochs that an earlier call has solved are not solved again, and what is given is a view that cannot be written to:
        to ask at every step costs the same at the last as at the first.

        Raises:
            ConfigError: if count is no whole number ≥ 1. ValueError: if the window is not in [1, max_window].
        """
        size = self.window if window is None else window
        check_window(size, self.max_window)
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= LARGEST:
            refuse(
                "count",
                "be a whole number ≥ 1, of eigenvalues",
                count if isinstance(count, int) else repr(count),
                "Ask for one or more",
            )
        known = self._solved.setdefault((size, int(count)), Growing((int(count),)))
        updates = 0 if self._grams is None else self._grams.count
        if known.count <= updates:
            first = max(0, known.count - size)  # the band rows that the new windows reach back to
            rows = self.band if self._grams is None else self._grams.band_rows(first)[0]
            known.extend(rolling_eigenvalues(rows, size, int(count), start=known.count - first))
        return known.rows

    def gap(self, k: int = 2, window: int | None = None) -> np.ndarray:
        """(T + 1,) float64: λ_k / λ_{k+1} at every epoch, NaN where the window is too short; a view, as `eigenvalues` is.

        Raises:
            ConfigError: if k is no whole number ≥ 1. ValueError: if the window is not in [1, max_window].
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k < LARGEST:
            refuse("k", "be a whole number ≥ 1, of an eigenvalue", k if isinstance(k, int) else repr(k), "Count them from 1")
        size = self.window if window is None else window
        values = self.eigenvalues(size, k + 1)
        known = self._gaps.setdefault((size, int(k)), Growing())
        known.extend(gap(values[known.count :], k, size))
        return known.rows


def _flat(weights: Tensor | Iterable[Tensor]) -> Tensor:
    """Tensors as one vector of their own, after a check."""
    step = "Pass model.parameters(), or torch.from_numpy(array) for an array"
    if isinstance(weights, Tensor):
        tensors = [weights]
    elif isinstance(weights, str | bytes | np.ndarray) or not isinstance(weights, Iterable):
        refuse("weights", "be a tensor or several", type(weights).__name__, step)
    else:
        tensors = list(weights)
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            refuse("weights", "be tensors", type(tensor).__name__, step)
        if tensor.layout != torch.strided or tensor.is_quantized or not tensor.is_floating_point():
            told = f"{tensor.dtype}, {tensor.layout}".replace("torch.", "")
            refuse("weights", "be dense and floating point", told, "Leave the others out")
    devices = sorted({str(tensor.device) for tensor in tensors})
    if len(devices) > 1 or "meta" in devices:
        refuse("weights", "be on one device", ", ".join(devices), "grok.monitor's SpectralMonitor reads each where it is")
    if not sum(tensor.numel() for tensor in tensors):
        refuse("weights", "have at least one number", "none", "An iterator is empty the second time: call parameters() anew")
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _grams(lags: int, flat: Tensor) -> BandedGram:
    """The ring of updates, where there is room for it."""
    try:
        return BandedGram(lags, flat.numel(), block=1, dtype=flat.dtype, device=flat.device)
    except (RuntimeError, MemoryError, OverflowError) as error:
        needed = (lags + 1) * flat.numel() * flat.element_size()
        raise MemoryError(
            f"max_window must leave room for its updates on {flat.device}, got {lags} for {flat.numel()} numbers, "
            f"{needed / 2**30:.1f} GiB. Lower it."
        ) from error
