"""Factors of many windows at once against one window at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grok.numerics.methods import factor_kind
from grok.numerics.spectra import factor_eigenvalues, raw_eigenvalues, window_factors

C, P, W = 11, 300, 4
EPS = np.finfo(np.float64).eps


def updates() -> torch.Tensor:
    """Rows that share a strong direction, so that the eigenvalues spread over decades."""
    generator = torch.Generator().manual_seed(3)
    shared = torch.randn(1, P, generator=generator, dtype=torch.float64)
    return shared + 1e-3 * torch.randn(C, P, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("method", "rounding"), [("svd", 64 * EPS), ("randomized_2", 64 * EPS), ("gram32", 64 * 2**-23)])
def test_each_window_has_its_own_spectrum(method: str, rounding: float) -> None:
    """Backward-stable factors move λ by a few ε λ₁ (C·W terms, relative ε each: 44 ε)."""
    rows = updates()
    found = window_factors(rows, W, C - 1, factor_kind(method))
    for i, end in enumerate(range(2, C + 1)):
        size = min(W, end)
        alone = raw_eigenvalues(rows[end - size : end].flip(0), method, 3)
        mine = factor_eigenvalues(found[i], method, size, 3)
        assert (np.isfinite(mine) == np.isfinite(alone)).all()
        np.testing.assert_allclose(mine[: min(size, 3)], alone[: min(size, 3)], rtol=0, atol=rounding * alone[0])
        smaller = factor_eigenvalues(found[i], method, 2, 3)  # the newest two of a larger window
        np.testing.assert_allclose(
            smaller[:2], raw_eigenvalues(rows[end - 2 : end].flip(0), method, 3)[:2], rtol=0, atol=rounding * smaller[0]
        )


@pytest.mark.parametrize("kind", ["qr", "gram32"])
def test_an_update_that_is_not_finite_spoils_its_own_windows_only(kind: str) -> None:
    rows = updates()
    whole = window_factors(rows, W, C - 1, kind)
    rows[7, 5] = torch.inf
    spoilt = window_factors(rows, W, C - 1, kind)
    np.testing.assert_allclose(np.abs(spoilt[:6]), np.abs(whole[:6]), rtol=1e-6, atol=1e-9)  # windows that end at 2 … 7
    assert not np.isfinite(spoilt[6][0, 0])
