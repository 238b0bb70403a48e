"""Feature and gradient observables against the formulas with every matrix formed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.numerics import linalg
from grok.numerics.features import feature_observables, gradient_observables, kernel_observables, random_pairs
from grok.numerics.linalg import cholesky_solve, symmetric, upper_gram
from tests.helpers import references
from tests.helpers.references import one_thread  # noqa: F401

ROUNDING = 1e-10
"""ρ² is a difference of sums of n² = 1600 terms at most, each within 1600 ε of its own: ρ² ≥ 1e-3 ‖·‖² in these cases,
so ρ is within 1600 ε / 2e-3 = 2e-10 in the worst case and far nearer in any real one."""


def features_of(n: int, width: int, seed: int, offset: float = 0.5) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + offset


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(3, 40),
    width=st.integers(2, 40),
    seed=st.integers(0, 999),
    offset=st.floats(-1, 1),
    panel=st.sampled_from([1, 3, 16, 256]),
)
def test_equal_to_the_formed_matrices(n: int, width: int, seed: int, offset: float, panel: int) -> None:
    f = features_of(n, width, seed, offset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linalg, "PANEL_ROWS", panel)
        got = feature_observables(f) | kernel_observables(f)
    centred = references.centred(f.numpy())
    assert got["features/rho"] ** 2 == pytest.approx(references.rho(f.numpy()) ** 2, abs=ROUNDING)
    assert got["features/offdiag_ratio"] == pytest.approx(references.off_diagonal_ratio(centred.T @ centred), rel=ROUNDING)
    expected = references.off_diagonal_ratio(centred @ f.numpy().T)
    assert got["features/kernel_offdiag_ratio"] == pytest.approx(expected, rel=ROUNDING)
    assert got["features/dead"] == 0


@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_features_are_left_as_they_were(layout: str) -> None:
    f = features_of(9, 7, 0)
    f = f.T.contiguous().T if layout == "columns" else f
    before = f.clone()
    feature_observables(f)
    kernel_observables(f)
    assert torch.equal(f, before)


def test_float32_panels_of_more_than_one_block() -> None:
    """Rows of slices by the default product; a sum of 300 float32 products is off by 300 ε₃₂ = 4e-5 at most."""
    f = features_of(300, 300, 0)
    exact, got = (feature_observables(x) | kernel_observables(x) for x in (f, f.float()))
    assert got == pytest.approx(exact, rel=1e-4)


def test_float32_features_keep_four_digits() -> None:
    """The products are float32 then: relative error of ‖·‖² up to K ε₃₂ = 6e-6, of ρ = 0.2 half of 6e-6/0.04 = 8e-5."""
    f = features_of(60, 50, 0, offset=2.0)
    exact = feature_observables(f)
    assert exact["features/rho"] == pytest.approx(references.rho(f.numpy()), rel=ROUNDING)
    for name, value in feature_observables(f.float()).items():
        assert value == pytest.approx(exact[name], rel=1e-4)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.01, 100), seed=st.integers(0, 99))
def test_ratios_have_no_unit(scale: float, seed: int) -> None:
    f = features_of(12, 9, seed)
    one, other = (feature_observables(x) | kernel_observables(x) for x in (f, scale * f))
    assert other == pytest.approx(one, rel=1e-9)


def test_known_rho() -> None:
    """FFᵀ = aI + b11ᵀ exactly gives 0; F of rank one with alternating signs, FFᵀ = ssᵀ, gives √(1 − 1/n − 1/(n(n−1)))."""
    n = 8
    assert feature_observables(torch.eye(n, dtype=torch.float64) + 0.3)["features/rho"] == pytest.approx(0, abs=1e-7)
    signs = torch.tensor([[1.0, 0.0], [-1.0, 0.0]] * (n // 2), dtype=torch.float64)
    expected = math.sqrt(1 - 1 / n - 1 / (n * (n - 1)))
    assert feature_observables(signs)["features/rho"] == pytest.approx(expected, rel=1e-12)


def test_dead_features_are_counted() -> None:
    f = features_of(10, 6, 0)
    f[:, [1, 4]] = 0
    f[:, 2] = 3.0  # constant but alive
    got = feature_observables(f)
    assert got["features/dead"] == 2
    assert got["features/rho"] == pytest.approx(references.rho(f.numpy()), rel=ROUNDING)


def test_silent_features_have_no_ratios() -> None:
    silent = torch.zeros(10, 6)
    found = feature_observables(silent)
    assert math.isnan(found.pop("features/rho"))
    assert math.isnan(found.pop("features/offdiag_ratio"))
    assert set((found | kernel_observables(silent)).values()) == {0.0, 6.0}


@settings(max_examples=20, deadline=None)
@given(n=st.integers(3, 40), width=st.integers(2, 30), seed=st.integers(0, 99))
def test_gradient_equals_the_formed_matrix(n: int, width: int, seed: int) -> None:
    modulus = 5
    f = features_of(n, width, seed)
    v = torch.randn(width, modulus, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    labels = torch.arange(n) % modulus
    got = gradient_observables(f, v, labels, seed)
    gradient = references.backpropagated_gradient(f.numpy(), v.numpy(), labels.numpy())
    assert got["gradient/norm"] == pytest.approx(float(np.linalg.norm(gradient)), rel=ROUNDING)
    cos = np.abs(
        [
            gradient[:, j] @ gradient[:, l] / np.linalg.norm(gradient[:, j]) / np.linalg.norm(gradient[:, l])
            for j, l in random_pairs(width, 500, np.random.default_rng(seed))
        ]
    )
    assert got["gradient/cos_median"] == pytest.approx(np.median(cos), abs=1e-9)
    assert got["gradient/cos_p95"] == pytest.approx(np.quantile(cos, 0.95), abs=1e-9)


def test_gradient_pairs_follow_the_seed_alone() -> None:
    f, v, labels = features_of(20, 30, 0), features_of(30, 5, 1), torch.arange(20) % 5
    first = gradient_observables(f, v, labels, seed=1)
    torch.rand(2)
    np.random.default_rng().random(2)
    assert gradient_observables(f, v, labels, seed=1) == first
    other = gradient_observables(f, v, labels, seed=2)
    assert other["gradient/norm"] == first["gradient/norm"]
    assert other["gradient/cos_median"] != first["gradient/cos_median"]


def test_a_zero_gradient_column_has_cosine_zero() -> None:
    f, labels = features_of(20, 4, 0), torch.arange(20) % 5
    got = gradient_observables(f, torch.zeros(4, 5, dtype=torch.float64), labels, 0)
    assert got == {"gradient/norm": 0.0, "gradient/cos_median": 0.0, "gradient/cos_p95": 0.0}


def test_random_pairs_are_uniform_over_different_items() -> None:
    """Known truth: each of the 20 ordered pairs of 5 items has share 1/20; 5 standard deviations about it."""
    pairs = random_pairs(5, 20000, np.random.default_rng(0))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    counts = np.unique(pairs[:, 0] * 5 + pairs[:, 1], return_counts=True)[1]
    assert len(counts) == 20
    assert np.abs(counts - 1000).max() < 5 * math.sqrt(1000 * 0.95)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["rows", "columns", "slice"])
def test_upper_gram_and_solve(dtype: torch.dtype, layout: str) -> None:
    x = features_of(15, 8, 0).to(dtype)
    x = {"rows": x, "columns": x.T.contiguous().T, "slice": torch.cat((x, x), dim=1)[:, 3:11]}[layout]
    gram = x.numpy().T @ x.numpy()
    upper = upper_gram(x)
    tolerance = 15 * torch.finfo(dtype).eps * float(np.abs(gram).max())
    np.testing.assert_allclose(upper, np.triu(gram), rtol=0, atol=tolerance)
    np.testing.assert_allclose(symmetric(upper), gram, rtol=0, atol=tolerance)
    if dtype == torch.float64:
        right = features_of(8, 3, 1)
        expected = np.linalg.solve(gram, right.numpy())
        np.testing.assert_allclose(cholesky_solve(upper, right), expected, rtol=1e-10)


def test_solve_refuses_an_indefinite_matrix() -> None:
    with pytest.raises(np.linalg.LinAlgError, match=r"^matrix must be positive definite, got a pivot ≤ 0 at 2\. Raise"):
        cholesky_solve(torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64)), torch.ones(2, 1, dtype=torch.float64))
