"""Names and sizes of the spectra that must be known without torch: what a method reads, and how often is looked."""

from __future__ import annotations

BLOCK = 16
"""Updates of one pass over the kept ones: a matrix product then serves them all."""


def factor_kind(method: str) -> str:
    """Which factor of a window a method reads: `gram32` or `qr`."""
    if method == "gram32":
        return "gram32"
    if method == "svd" or method.startswith("randomized_"):
        return "qr"
    raise ValueError(f"method must be gram32, svd or randomized_N, got {method}. Pick one of these.")
