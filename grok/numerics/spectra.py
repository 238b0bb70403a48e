"""Rolling spectra of weight updates: from the band for any window, or from one raw window.

Δ = [Δ_{t−w+1} … Δ_t] ∈ R^{P×w}. `lambda_k` is the k-th *eigenvalue* of ΔᵀΔ, the square of a singular value of Δ; the
paper prints these eigenvalues as σ_k. Shapes: T updates, L lags, w window, P parameters, k eigenvalues asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from grok.numerics.band import BandedGram
from grok.numerics.methods import factor_kind

EIGENVALUES = 5
QR_BLOCK = 8192
"""Rows of Δ per block of its QR factorisation."""
RESOLUTION = 4 * np.finfo(np.float64).eps
"""λ below w · RESOLUTION · λ₁ is rounding of a float64 Gram, not signal."""


def window_grams(band: np.ndarray, window: int, first: int, last: int) -> np.ndarray:
    """The Gram matrix of the window that ends at each update `first` … `last`.

    Args:
        band: (T, L) float64, band[t − 1, l] = ⟨Δ_t, Δ_{t−l}⟩.
        window: w in [1, L].
        first, last: updates, 1 ≤ first ≤ last ≤ T.

    Returns:
        (last − first + 1, w, w) float64, symmetric, newest update first; zero where the window reaches back before
        the first update. A read-only view: the windows share their entries.

    Raises:
        ValueError: if window or the updates are out of range.
    """
    updates = len(band)
    _check_window(window, band.shape[1])
    if not 1 <= first <= last <= updates:
        raise ValueError(f"updates must lie in [1, {updates}], got {first} to {last}. Ask for updates that exist.")
    newest_first = np.arange(last, first - window, -1)  # the updates that any of the windows holds, some before the first
    count = len(newest_first)
    rows = np.where((newest_first >= 1)[:, None], band[np.maximum(newest_first, 1) - 1, :window], 0.0)
    whole = np.zeros((count, count))  # their Gram, as far as lags go: every window's is a block on its diagonal
    for lag in range(window):
        inner = np.where(newest_first[lag:] >= 1, rows[: count - lag, lag], 0.0)
        newer = np.arange(count - lag)
        whole[newer, newer + lag] = whole[newer + lag, newer] = inner
    step = whole.strides[0] + whole.strides[1]
    blocks = np.lib.stride_tricks.as_strided(whole, (last - first + 1, window, window), (step, *whole.strides), writeable=False)
    return blocks[::-1]


def _check_window(window: int, lags: int) -> None:
    if not 1 <= window <= lags:
        raise ValueError(
            f"window must be in [1, {lags}] (this run's band holds {lags} lags), got {window}. "
            "Lower it, or train with a larger max_window."
        )


def rolling_eigenvalues(band: np.ndarray, window: int, count: int = EIGENVALUES, start: int = 0) -> np.ndarray:
    """Largest eigenvalues of the Gram of the last `window` updates, at every epoch.

    Row t uses the updates up to W_t. While fewer than `window` exist the window is what there is, at least 2.
    One batched symmetric eigensolve does all epochs.

    Args:
        band: (T, L) float64, as `BandedGram.band` gives it.
        window: w in [1, L].
        count: k, eigenvalues to return.
        start: first epoch to return, in [0, T].

    Returns:
        (T + 1 − start, k) float64, descending; NaN where fewer than k updates are in the window (or fewer than 2).

    Raises:
        ValueError: if window is not in [1, L].

    Source: Xu (arXiv 2605.08119) §2, w = 20 there.
    """
    _check_window(window, band.shape[1])
    updates = len(band)
    out = np.full((updates + 1 - start, count), np.nan)
    first = max(start, 2)
    if first > updates:
        return out
    grams = window_grams(band, window, first, updates)
    finite = np.isfinite(grams).all(axis=(1, 2))
    values = np.full((len(grams), window), np.nan)
    values[finite] = np.linalg.eigvalsh(grams[finite])[:, ::-1]
    kept = min(count, window)
    out[first - start :, :kept] = values[:, :kept]
    filled = np.minimum(np.arange(start, updates + 1), window)[:, None]
    out[np.arange(count)[None, :] >= filled] = np.nan
    return out


def gap(eigenvalues: np.ndarray, k: int, window: int) -> np.ndarray:
    """λ_k / λ_{k+1}, with λ_{k+1} not below what a float64 Gram resolves.

    Args:
        eigenvalues: (…, ≥ k + 1) float64, descending along the last axis.
        k: 1-based.
        window: w, which sets the resolution w · 4ε · λ₁.

    Returns:
        (…,) float64, dimensionless; NaN where either eigenvalue is NaN or λ₁ is zero.
    """
    floor = window * RESOLUTION * eigenvalues[..., 0]
    upper, lower = np.maximum(eigenvalues[..., k - 1], floor), np.maximum(eigenvalues[..., k], floor)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(eigenvalues[..., 0] > 0, upper / lower, np.nan)


def raw_eigenvalues(window: Tensor, method: str, count: int = EIGENVALUES, seed: int = 0) -> np.ndarray:
    """Eigenvalues of ΔᵀΔ from one raw window, by one of the methods that the papers and reviews name.

    Args:
        window: (w, P), any float type, one update a row.
        method: `gram32`, `svd` or `randomized_N`, as `window_factor` and `factor_eigenvalues` have them.
        count: k.
        seed: of the sketch, used by `randomized_N` only.

    Returns:
        (k,) float64, descending; NaN beyond the w-th, and everywhere if an update is not finite.

    Raises:
        ValueError: if the method is none of these.
    """
    if not torch.isfinite(window).all():
        return np.full(count, np.nan)
    return factor_eigenvalues(window_factor(window, method), method, len(window), count, seed)


def window_factor(window: Tensor, method: str) -> np.ndarray:
    """All that a method needs of one raw window Δᵀ (w, P), as a w×w matrix.

    `gram32`: the Gram ΔᵀΔ multiplied in float32. Otherwise the triangular factor R of Δ = QR in float64, by
    Householder reflections of row blocks and then of their factors: Δ and R have the same singular values, and a
    sketch ΔΩ = Q(RΩ) the same as RΩ. With the newest update first, the leading v columns of R belong to the window of
    the last v updates, so one factor serves every window up to w.

    Args:
        window: (w, P), one update a row, newest first if smaller windows are to be read from it.
        method: any of `raw_eigenvalues`.

    Returns:
        (w, w): float32 for `gram32`, else float64.
    """
    if factor_kind(method) == "gram32":
        rows = window.float()
        return (rows @ rows.T).cpu().numpy()
    columns = window.double().T
    whole = len(columns) // QR_BLOCK * QR_BLOCK
    blocks = torch.linalg.qr(columns[:whole].reshape(-1, QR_BLOCK, len(window)), mode="r").R
    stacked = torch.cat((blocks.flatten(0, 1), columns[whole:]))
    padding = stacked.new_zeros(max(0, len(window) - len(stacked)), len(window))
    factor: Tensor = torch.linalg.qr(torch.cat((stacked, padding)), mode="r").R
    return factor.cpu().numpy()


def factor_eigenvalues(factor: np.ndarray, method: str, window: int, count: int = EIGENVALUES, seed: int = 0) -> np.ndarray:
    """Eigenvalues of ΔᵀΔ over the last `window` updates from a `window_factor` of at least that many.

    `gram32`: eigensolve in float32. `svd`: squared singular values. `randomized_N`: a Gaussian sketch of count + N
    columns with one power iteration, then the SVD of the small matrix (Halko, Martinsson and Tropp, arXiv 0909.4061,
    algorithms 4.4 and 5.1).

    Args:
        factor: (…, w, w), newest update first; all of a stack take the same sketch.
        method: that the factor was made for.
        window: v in [1, w].
        count: k.
        seed: of the sketch.

    Returns:
        (…, k) float64, descending; NaN beyond the v-th, and everywhere if a factor is not finite.
    """
    out = np.full((*factor.shape[:-2], count), np.nan)
    matrix = factor[..., :window, :window]  # R is triangular: rows below the v-th are zero in these columns
    if not np.isfinite(matrix).all():
        return out  # the float32 Gram of a diverging run overflows before its updates do
    if factor_kind(method) == "gram32":
        values = np.linalg.eigvalsh(matrix.astype(np.float32))[..., ::-1].astype(np.float64)
    else:
        if method != "svd":
            columns = min(count + int(method.removeprefix("randomized_")), window)
            sketch = matrix @ np.random.default_rng(seed).standard_normal((window, columns))
            basis = np.linalg.qr(matrix @ (matrix.mT @ np.linalg.qr(sketch)[0]))[0]
            matrix = basis.mT @ matrix
        values = np.linalg.svd(matrix, compute_uv=False) ** 2
    kept = values[..., :count]
    out[..., : kept.shape[-1]] = kept
    return out


def top_directions(window: Tensor, count: int = 3) -> tuple[Tensor, Tensor]:
    """Leading left singular vectors of Δ and their eigenvalues of ΔᵀΔ.

    Args:
        window: (w, P), one update a row, w ≥ 1.
        count: directions, at most w.

    Returns:
        directions: (count, P) float32, orthonormal rows. eigenvalues: (count,) float64, descending.
    """
    rows = window.double()
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    directions = (vectors.T @ rows) / values.clamp_min(1e-300).sqrt()[:, None]
    return directions.float(), values


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
        _check_window(size, self.max_window)
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
