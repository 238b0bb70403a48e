"""The gap series of a finished run for any matrix, window and recorded spectrum method, without retraining."""

from __future__ import annotations

import numpy as np

from grok.numerics.methods import factor_kind
from grok.numerics.spectra import EIGENVALUES, factor_eigenvalues, gap, rolling_eigenvalues


def method_eigenvalues(factors: np.ndarray, method: str, window: int, seed: int) -> np.ndarray:
    """Rolling eigenvalues from stored window factors.

    Args:
        factors: (T + 1, w, w), row t the factor of the updates up to epoch t, newest first, NaN beyond what exists.
        method: `gram32`, `svd` or `randomized_N`.
        window: v in [2, w].
        seed: of the sketch.

    Returns:
        (T + 1, 5) float64, descending; NaN while fewer than two updates exist.

    Raises:
        ValueError: if window is not in [2, w].
    """
    kept = factors.shape[1]
    if not 2 <= window <= kept:
        raise ValueError(f"window must be in [2, {kept}] (the run's window), got {window}. Lower it.")
    out = np.full((len(factors), EIGENVALUES), np.nan)
    full = np.isfinite(factors[:, :window, :window]).all(axis=(1, 2))
    out[full] = factor_eigenvalues(factors[full], method, window, seed=seed)
    for epoch in np.flatnonzero(~full):
        size = min(window, int(np.isfinite(factors[epoch, 0]).sum()))
        if size >= 2:
            out[epoch] = factor_eigenvalues(factors[epoch], method, size, seed=seed)
    return out


def gap_series(
    band: np.ndarray,
    factors: dict[str, np.ndarray],
    *,
    method: str = "gram",
    layer: str = "w",
    window: int = 20,
    k: int = 2,
    seed: int = 0,
) -> np.ndarray:
    """λ_k / λ_{k+1} at every epoch.

    Args:
        band: (T, L) float64 of the layer.
        factors: arrays of `delta_w/factors.npz` by name; may be empty for `gram`.
        method: `gram` (from the band) or a recorded one.
        layer: `w` or `v`, names the factor.
        window: w. k: 1-based. seed: of a randomised method.

    Returns:
        (T + 1,) float64.

    Raises:
        ValueError: if the method was not recorded or the window is too large for what was.

    Example: λ₁/λ₂ of two orthogonal updates of length 1 and 2.
        >>> gap_series(np.array([[1.0, np.nan], [4.0, 0.0]]), {}, window=2, k=1).tolist()
        [nan, nan, 4.0]
    """
    if method == "gram":
        values = rolling_eigenvalues(band, window, k + 1)
    else:
        name = f"{factor_kind(method)}_{layer}"
        if name not in factors:
            raise ValueError(f"method must be one that the run recorded, got {method}. Train with --spectrum-methods {method}.")
        values = method_eigenvalues(factors[name], method, window, seed)
    return gap(values, k, window)
