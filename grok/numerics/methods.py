"""Names and sizes of the spectra that must be known without torch: what a method reads, and how often is looked."""

from __future__ import annotations

VALUES = 5
"""Eigenvalues that every method gives."""
BLOCK = 16
"""Updates of one pass over the kept ones: a matrix product then serves them all."""


def factor_kind(method: str) -> str:
    """Which factor of a window a method reads: `gram32` or `qr`."""
    if method == "gram32":
        return "gram32"
    if method == "svd" or method.startswith("randomized_"):
        return "qr"
    raise ValueError(f"method must be gram32, svd or randomized_N, got {method}. Pick one of these.")


def is_exact(method: str, window: int) -> bool:
    """Whether a randomised SVD is the full one by construction: its sketch has as many columns as the window.

        5 values + oversampling N ≥ window

    Of any other method, False: what `svd` gives is exact, but no randomised SVD.

    Args:
        method: as recorded. window: updates in it.

    Example:
        >>> [is_exact(name, 20) for name in ("randomized_5", "randomized_10", "randomized_20", "svd")]
        [False, False, True, False]
    """
    return method.startswith("randomized_") and VALUES + int(method.removeprefix("randomized_")) >= window
