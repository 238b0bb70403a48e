"""Spectra of any window from the band and of a raw window."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.numerics.band import BandedGram
from grok.numerics.spectra import (
    RESOLUTION,
    gap,
    raw_eigenvalues,
    rolling_eigenvalues,
    spectra_of_windows,
    top_directions,
    window_grams,
)
from grok.spec.config import RunConfig
from grok.training.loop import Training
from tests.helpers.references import EPS, direct_eigenvalues, one_thread  # noqa: F401

WINDOWS = (5, 10, 20, 30)
NOISE = 32 * EPS
"""Absolute error of any λ in units of λ₁: 4 to 8 ε measured (band against direct Gram, all windows, also against the
singular values of the raw window), for entries summed in float64 and a backward stable eigensolve. So λ has a relative
error ≤ 1e-9 wherever λ ≥ NOISE / 1e-9 · λ₁ = 7e-6 λ₁: that is the noise floor of the claim."""


def stored_updates(config: RunConfig) -> tuple[np.ndarray, Training]:
    """A run's raw updates of the first layer, kept as a user would: (T, P) float32."""
    training = Training(config)
    weights = [record.weights["w"][0].flatten().clone() for record in training]
    return torch.stack([new - old for old, new in itertools.pairwise(weights)]).numpy(), training


def band_of(updates: np.ndarray | torch.Tensor, lags: int) -> np.ndarray:
    updates = torch.as_tensor(updates)
    grams = BandedGram(lags, updates.shape[1], dtype=updates.dtype)
    for update in updates:
        grams.append(update[None], torch.zeros_like(update[None]))
    return grams.band()[0]


def compare(updates: np.ndarray, band: np.ndarray, epochs: range, noise: float) -> int:
    """Check every eigenvalue of every window at these epochs; the number that lay above the floor."""
    above = 0
    for window in WINDOWS:
        eigenvalues = rolling_eigenvalues(band, window, count=window)
        for epoch in epochs:
            expected = direct_eigenvalues(updates, window, epoch)
            got = eigenvalues[epoch, : len(expected)]
            np.testing.assert_allclose(got, expected, rtol=0, atol=noise * expected[0])
            clear = expected > noise / 1e-9 * expected[0]
            np.testing.assert_allclose(got[clear], expected[clear], rtol=1e-9, atol=0)
            above += int(clear.sum())
    return above


def test_band_reproduces_the_direct_spectra_of_every_window() -> None:
    config = RunConfig(
        modulus=11, width=32, epochs=120, window=20, max_window=32, observe_every=0, top_pairs=9, checkpoint_epochs=()
    )
    updates, training = stored_updates(config)
    above = compare(updates, training.updates["w"].band()[0], range(2, 121, 7), NOISE)
    assert above > 4 * 18 * 2  # two and more per spectrum on average: the floor does not empty the test
    single = rolling_eigenvalues(band_of(updates, 32).astype(np.float32).astype(np.float64), 20)
    expected = direct_eigenvalues(updates, 20, 100)
    assert np.abs(single[100] - expected[:5]).max() > NOISE * expected[0]  # a float32 band would be caught


@pytest.mark.slow
def test_band_reproduces_the_direct_spectra_at_full_size() -> None:
    config = RunConfig(epochs=60, checkpoint_epochs=(), observe_every=0, device="cpu")
    updates, training = stored_updates(config)
    band = training.updates["w"].band()[0]
    # 290,816 terms an entry, in chunks of 2048: at most 40 ε of an entry, 2.2e-14 = 100 ε of λ₁ leaves room for both.
    assert compare(updates, band, range(30, 61, 15), 100 * EPS) > 4 * 3 * 2


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(0, 14), window=st.integers(1, 8), extra=st.integers(0, 4), seed=st.integers(0, 99))
def test_rolling_rows(steps: int, window: int, extra: int, seed: int) -> None:
    """Row t is the direct spectrum of what the window holds; NaN beyond, and before two updates exist."""
    updates = np.random.default_rng(seed).standard_normal((steps, 6))
    got = rolling_eigenvalues(band_of(updates, window + extra), window, count=5)
    assert got.shape == (steps + 1, 5)
    for t in range(steps + 1):
        held = min(t, window)
        if t < 2:
            assert np.isnan(got[t]).all()
            continue
        expected = direct_eigenvalues(updates, window, t)[:5]
        np.testing.assert_allclose(got[t, : min(5, held)], expected, rtol=0, atol=NOISE * expected[0])
        assert np.isnan(got[t, held:]).all()


@settings(max_examples=20, deadline=None)
@given(start=st.integers(0, 12), seed=st.integers(0, 99))
def test_a_later_start_gives_the_same_rows(start: int, seed: int) -> None:
    band = band_of(np.random.default_rng(seed).standard_normal((12, 7)), 5)
    np.testing.assert_array_equal(rolling_eigenvalues(band, 4, start=start), rolling_eigenvalues(band, 4)[start:])


def test_known_spectra() -> None:
    """Rank-one updates have one eigenvalue, orthonormal ones all alike, and scaling by c scales λ by c²."""
    direction = np.arange(1.0, 9.0)
    rank_one = np.outer([1.0, 2.0, 3.0, 4.0], direction)
    got = rolling_eigenvalues(band_of(rank_one, 4), 4, count=4)
    assert got[4, 0] == pytest.approx(30 * float(direction @ direction), rel=NOISE)
    assert np.abs(got[4, 1:]).max() < NOISE * got[4, 0]
    assert gap(got, 1, 4)[4] == pytest.approx(1 / (4 * RESOLUTION))  # a gap is never above what float64 resolves
    assert gap(got, 2, 4)[4] == 1.0
    np.testing.assert_allclose(rolling_eigenvalues(band_of(np.eye(8), 4), 4, count=4)[4:], 1.0, rtol=NOISE)
    updates = np.random.default_rng(0).standard_normal((6, 9))
    np.testing.assert_allclose(
        rolling_eigenvalues(band_of(4 * updates, 5), 5), 16 * rolling_eigenvalues(band_of(updates, 5), 5), rtol=NOISE
    )


def test_a_random_walk_has_no_gap() -> None:
    """Null: independent Gaussian updates, w = 20, P = 4000. Marchenko–Pastur puts every λ/P in (1 ± √(w/P))² = 0.86 … 1.15,
    so no gap exceeds 1.15/0.86 = 1.33."""
    eigenvalues = rolling_eigenvalues(band_of(np.random.default_rng(0).standard_normal((60, 4000)), 20), 20)[20:]
    assert 1 <= gap(eigenvalues, 2, 20).min() <= gap(eigenvalues, 2, 20).max() < 1.33


def test_non_finite_updates_blank_their_windows_only() -> None:
    updates = np.random.default_rng(0).standard_normal((12, 5))
    updates[6] = np.inf  # update 7
    with np.errstate(invalid="ignore"):
        got = rolling_eigenvalues(band_of(updates, 3), 3)
    assert [t for t in range(3, 13) if np.isnan(got[t, 0])] == [7, 8, 9]


def test_window_grams_are_blocks_of_the_gram() -> None:
    updates = np.random.default_rng(1).standard_normal((7, 5))
    got = window_grams(band_of(updates, 4), 3, 2, 7)
    newest_first = updates[[5, 4, 3]]  # the window that ends at update 6
    np.testing.assert_allclose(got[4], newest_first @ newest_first.T, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(got[0, 2], 0)  # update 0 does not exist


def test_several_windows_at_once_are_each_by_itself_to_the_bit() -> None:
    band = band_of(np.random.default_rng(2).standard_normal((30, 6)), 12)
    band[[3, 17], [1, 0]] = np.nan, np.inf  # both branches: windows that hold one of these, and those that do not
    for start in (0, 5, 31):
        windows = [12, 2, 7, 1]
        found = list(spectra_of_windows(band, windows, 4, start))
        for window, one in zip(windows, found, strict=True):
            np.testing.assert_array_equal(one, rolling_eigenvalues(band, window, 4, start))
    assert list(spectra_of_windows(band, [])) == []
    with pytest.raises(ValueError, match=r"^window must be in \[1, 12\]"):
        next(spectra_of_windows(band, [3, 13]))


@pytest.mark.parametrize("window", [0, 5])
def test_window_beyond_the_band_is_refused(window: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^window must be in \[1, 4\] \(this run's band holds 4 lags\), got {window}\. Lower"
    ):
        rolling_eigenvalues(np.ones((6, 4)), window)


def test_updates_that_do_not_exist_are_refused() -> None:
    for first, last in ((0, 3), (2, 7), (4, 3)):
        with pytest.raises(ValueError, match=r"^updates must lie in \[1, 6\], got"):
            window_grams(np.ones((6, 4)), 3, first, last)


def test_gap_of_nothing_is_nan() -> None:
    assert np.isnan(gap(np.array([[np.nan, 1, 1], [0, 0, 0], [1, 1, np.nan]]), 2, 20)).all()
    assert gap(np.array([8.0, 4.0, 2.0]), 2, 20) == 2.0
    assert gap(np.array([8.0, 4.0, 2.0]), 1, 20) == 2.0
    assert gap(np.array([1.0, 1e-3, -1e-18]), 2, 20) == pytest.approx(1e-3 / (20 * RESOLUTION))  # rounding below zero


# ---- raw windows -----------------------------------------------------------------------------------------------------


def planted(values: list[float], parameters: int = 60) -> torch.Tensor:
    """(w, P): a window whose ΔᵀΔ has exactly these eigenvalues, mixed by a rotation."""
    generator = torch.Generator().manual_seed(0)
    window = len(values)
    left = torch.linalg.qr(torch.randn(window, window, generator=generator, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(parameters, window, generator=generator, dtype=torch.float64)).Q
    return left @ torch.diag(torch.tensor(values, dtype=torch.float64).sqrt()) @ right.T


@pytest.mark.parametrize(
    ("method", "absolute"),
    [("svd", 32 * EPS), ("gram32", 32 * 2**-23), ("randomized_0", 1e-6), ("randomized_10", 32 * EPS)],
)
def test_raw_methods_find_planted_eigenvalues(method: str, absolute: float) -> None:
    """In units of λ₁: rounding of the method's precision; a sketch of k columns alone misses by the tail beyond it, which
    one power iteration shrinks by (λ₆/λ₅)² = 1e-8 and the sketch inflates by its condition; with 10 more it is exact."""
    values = [100.0, 10.0, 1.0, 0.1, 0.01, 1e-6, 1e-6, 1e-6]
    got = raw_eigenvalues(planted(values), method)
    np.testing.assert_allclose(got, values[:5], rtol=0, atol=absolute * 100)


def test_raw_methods_keep_their_promises() -> None:
    window = planted([3.0, 2.0, 1.0])
    assert np.isnan(raw_eigenvalues(window, "svd")[3:]).all()
    np.testing.assert_allclose(raw_eigenvalues(window, "randomized_10", count=2), [3.0, 2.0], rtol=1e-12)
    window[0, 0] = torch.nan
    assert np.isnan(raw_eigenvalues(window, "svd")).all()
    with pytest.raises(ValueError, match=r"^method must be gram32, svd or randomized_N, got lanczos\. Pick"):
        raw_eigenvalues(planted([1.0]), "lanczos")


def test_sketch_has_its_own_seed() -> None:
    window = torch.randn(20, 100, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    first = raw_eigenvalues(window, "randomized_0", seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    np.testing.assert_array_equal(raw_eigenvalues(window, "randomized_0", seed=1), first)
    assert (raw_eigenvalues(window, "randomized_0", seed=2) != first).any()


def test_top_directions_are_the_planted_ones() -> None:
    window = planted([9.0, 4.0, 1.0, 0.25])
    directions, values = top_directions(window, 3)
    np.testing.assert_allclose(values, [9.0, 4.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), rtol=0, atol=1e-6)  # float32 rows
    left = torch.linalg.svd(window.T, full_matrices=False).U[:, :3]
    np.testing.assert_allclose((directions.double() @ left).abs(), np.eye(3), rtol=0, atol=1e-6)


def test_a_factor_that_overflows_gives_no_eigenvalues() -> None:
    """The float32 Gram of huge updates is infinite where the updates are not."""
    window = torch.full((4, 50), 1e30, dtype=torch.float64)
    assert np.isnan(raw_eigenvalues(window, "gram32")).all()
    assert np.isfinite(raw_eigenvalues(window, "svd")[:4]).all()
