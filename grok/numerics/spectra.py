"""Rolling spectra of weight updates: from the band for any window, or from raw windows and their factors.

Δ = [Δ_{t−w+1} … Δ_t] ∈ R^{P×w}. `lambda_k` is the k-th *eigenvalue* of ΔᵀΔ, the square of a singular value of Δ; the
paper prints these eigenvalues as σ_k. Shapes: T updates, L lags, w window, P parameters, k eigenvalues asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from grok.numerics.methods import VALUES, factor_kind

EIGENVALUES = VALUES
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

    Example: update 2, of length 2, at a right angle to update 1; newest first.
        >>> window_grams(np.array([[1.0, np.nan], [4.0, 0.0]]), window=2, first=2, last=2).tolist()
        [[[4.0, 0.0], [0.0, 1.0]]]
    """
    check_window(window, band.shape[1])
    if not 1 <= first <= last <= len(band):
        raise ValueError(f"updates must lie in [1, {len(band)}], got {first} to {last}. Ask for updates that exist.")
    return _blocks(_gram(band, window, first, last), window, last - first + 1)


def _gram(band: np.ndarray, window: int, first: int, last: int) -> np.ndarray:
    """The Gram of all updates that the windows hold, newest first, as far as `window` lags go; zero beyond."""
    newest_first = np.arange(last, first - window, -1)  # the updates that any of the windows holds, some before the first
    count = len(newest_first)
    rows = np.where((newest_first >= 1)[:, None], band[np.maximum(newest_first, 1) - 1, :window], 0.0)
    whole = np.zeros((count, count))
    for lag in range(window):
        inner = np.where(newest_first[lag:] >= 1, rows[: count - lag, lag], 0.0)
        newer = np.arange(count - lag)
        whole[newer, newer + lag] = whole[newer + lag, newer] = inner
    return whole


def _blocks(whole: np.ndarray, window: int, count: int) -> np.ndarray:
    """The last `count` windows of a `_gram` of windows at least that large, oldest first: blocks on its diagonal."""
    step = whole.strides[0] + whole.strides[1]
    blocks = np.lib.stride_tricks.as_strided(whole, (count, window, window), (step, *whole.strides), writeable=False)
    return blocks[::-1]


def check_window(window: int, lags: int) -> None:
    """Refuse a window that a band of so many lags does not serve.

    Raises:
        ValueError: if window is not in [1, lags].
    """
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

    Example: three orthogonal updates of length 1, 2 and 3; from epoch 3 on a window of two has lost the first.
        >>> band = np.array([[1.0, np.nan], [4.0, 0.0], [9.0, 0.0]])
        >>> rolling_eigenvalues(band, window=2, count=2).tolist()
        [[nan, nan], [nan, nan], [4.0, 1.0], [9.0, 4.0]]
    """
    return next(spectra_of_windows(band, [window], count, start))


def spectra_of_windows(
    band: np.ndarray, windows: Sequence[int], count: int = EIGENVALUES, start: int = 0
) -> Iterator[np.ndarray]:
    """`rolling_eigenvalues` of each of several windows, to the bit: one Gram of all lags holds the blocks of every window.

    Args:
        band: (T, L) float64. windows: each in [1, L]. count, start: as there.

    Yields:
        (T + 1 − start, k) float64, in the order of `windows`.
    """
    for window in windows:
        check_window(window, band.shape[1])
    updates, first = len(band), max(start, 2)
    whole = _gram(band, max(windows), first, updates) if windows and first <= updates else None
    for window in windows:
        out = np.full((updates + 1 - start, count), np.nan)
        if whole is not None:
            values = _eigenvalues(band, window, _blocks(whole, window, updates - first + 1))
            kept = min(count, window)
            out[first - start :, :kept] = values[:, :kept]
            filled = np.minimum(np.arange(start, updates + 1), window)[:, None]
            out[np.arange(count)[None, :] >= filled] = np.nan
        yield out


def _eigenvalues(band: np.ndarray, window: int, grams: np.ndarray) -> np.ndarray:
    """(windows, w) float64, descending; NaN where a Gram is not finite."""
    known = np.arange(window) < np.arange(1, len(band) + 1)[:, None]  # lags that reach back no further than the first update
    if np.isfinite(band[:, :window][known]).all():
        return np.linalg.eigvalsh(grams)[:, ::-1]
    finite = np.isfinite(grams).all(axis=(1, 2))
    values = np.full((len(grams), window), np.nan)
    values[finite] = np.linalg.eigvalsh(grams[finite])[:, ::-1]
    return values


def gap(eigenvalues: np.ndarray, k: int, window: int) -> np.ndarray:
    """λ_k / λ_{k+1}, with λ_{k+1} not below what a float64 Gram resolves.

    Args:
        eigenvalues: (…, ≥ k + 1) float64, descending along the last axis.
        k: 1-based.
        window: w, which sets the resolution w · 4ε · λ₁.

    Returns:
        (…,) float64, dimensionless; NaN where either eigenvalue is NaN or λ₁ is zero.

    Example: the second is not infinite, since λ₃ counts as no less than what a Gram resolves.
        >>> gap(np.array([[16.0, 8.0, 2.0], [16.0, 8.0, 0.0]]), k=2, window=20).tolist()
        [4.0, 28147497671065.6]
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

    Example: two updates of length 3 and 2 along two axes.
        >>> window = torch.tensor([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        >>> raw_eigenvalues(window, "svd", count=3).round(12).tolist()
        [9.0, 4.0, nan]
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


def window_factors(updates: Tensor, window: int, count: int, kind: str) -> np.ndarray:
    """The `window_factor` of each of the windows that end at the last `count` updates, by one pass over them all.

    The triangular factor R of all updates Δ = QR serves each window: its columns of R have the singular values of its
    columns of Δ. Of the float32 Gram a window's is a diagonal block. Where updates are fewer than a window takes, the
    window is what there is.

    Args:
        updates: (c, P), one a row, oldest first; the window before the first of them must not be asked for.
        window: w ≥ 1. count: b in [1, c].
        kind: `gram32` or `qr`.

    Returns:
        (b, w, w): row i for the window that ends at update c − b + i, newest first, NaN beyond what exists; float32 for
        `gram32`, else float64.
    """
    whole = window_factor(updates, "gram32" if kind == "gram32" else "svd")
    total = len(updates)
    out = np.full((count, window, window), np.nan, dtype=whole.dtype)
    for i, end in enumerate(range(total - count + 1, total + 1)):
        size = min(window, end)
        newest_first = np.arange(end - 1, end - size - 1, -1)
        if kind == "gram32":
            out[i, :size, :size] = whole[np.ix_(newest_first, newest_first)]
        else:  # rows of R below the newest update's are zero in these columns
            columns = torch.from_numpy(whole[:end, newest_first])
            out[i, :size, :size] = torch.linalg.qr(columns, mode="r").R.numpy()
    return out


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
