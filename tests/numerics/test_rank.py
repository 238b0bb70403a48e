"""Ranks: planted ones are told; drifts, random walks and near ties are not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from grok.numerics.rank import (
    DRIFTS,
    LEAD,
    above_walk,
    detrended,
    detrended_rank,
    drift_ratios,
    eigenvalues,
    leading,
    log_ratios,
    tell,
    unit_norm,
    walk_median,
    window_medians,
)
from grok.numerics.spectra import rolling_eigenvalues

W, P, T = 20, 4000, 60
EPOCHS = np.arange(W, T + 1, 5)
TIME = np.arange(T)


def band_of(updates: np.ndarray, lags: int = W) -> np.ndarray:
    """(T, L): band[t, l] = ⟨Δ_t, Δ_{t−l}⟩, NaN before the first."""
    out = np.full((len(updates), lags), np.nan)
    for lag in range(lags):
        out[lag:, lag] = (updates[lag:] * updates[: len(updates) - lag]).sum(axis=1)
    return out


def noise(seed: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((T, P)) / np.sqrt(P)


def directions(count: int, seed: int = 99) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((P, count)))[0].T


def told(updates: np.ndarray) -> int:
    return tell(window_medians(band_of(updates), W, EPOCHS, P)).rank


def drift(name: str, length: float) -> np.ndarray:
    """Updates of length 1 whose Gram is a kernel's, exactly."""
    apart = np.abs(np.subtract.outer(TIME, TIME)) / length
    values, vectors = np.linalg.eigh(DRIFTS[name](apart))
    return (vectors * np.sqrt(values.clip(0))) @ directions(T)


# ---- planted ranks ---------------------------------------------------------------------------------------------------

TIMES = np.stack([np.ones(T), np.cos(0.9 * TIME), np.sin(1.7 * TIME), np.cos(2.6 * TIME)], axis=1)
"""Time courses that a window of 20 tells apart."""


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_rank_is_told(rank: int, seed: int) -> None:
    planted = TIMES[:, :rank] @ directions(rank)
    assert told(planted + noise(seed, 0.05)) == rank


@pytest.mark.parametrize("rank", [2, 3])
def test_a_planted_rank_survives_unequal_norms(rank: int) -> None:
    """Updates that shrink fivefold over a window keep their rank; so do they without their norms."""
    planted = (TIMES[:, :rank] @ directions(rank) + noise(0, 0.02)) * np.exp(-0.08 * TIME)[:, None]
    assert told(planted) == rank


def test_a_rank_below_the_noise_is_not_told() -> None:
    assert told(TIMES[:, :2] @ directions(2) + noise(0, 5.0)) == 0


# ---- nulls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "length"), list(itertools.product(DRIFTS, [3.0, 8.0, 20.0, 60.0, 200.0])))
def test_a_drift_has_no_rank(name: str, length: float) -> None:
    assert told(drift(name, length)) == 0
    assert told(drift(name, length) * np.exp(-0.02 * TIME)[:, None]) == 0  # and none if it slows down


def test_geometric_eigenvalues_have_no_rank() -> None:
    time = np.linalg.qr(np.random.default_rng(0).standard_normal((W, W)))[0]
    gram = time @ np.diag(0.1 ** np.arange(W)) @ time.T
    _, lead = leading(log_ratios(eigenvalues(gram)))
    assert lead == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_a_random_walk_has_no_rank(seed: int) -> None:
    assert told(noise(seed)) == 0
    few = np.zeros((T, P))  # in few dimensions its eigenvalues spread, by (1 + √0.5)² / (1 − √0.5)²
    few[:, :40] = np.random.default_rng(seed).standard_normal((T, 40))
    assert told(few) == 0


def test_drifts_lead_themselves_by_less_than_the_margin() -> None:
    """At k ≥ 2 by at most 1.48 whatever the length; at k = 1 by up to 13: that is what the excess is for."""
    worst: dict[int, float] = {}
    for name, length in itertools.product(DRIFTS, np.geomspace(2, 200, 40)):
        apart = np.abs(np.subtract.outer(np.arange(W), np.arange(W))) / length
        k, lead = leading(log_ratios(eigenvalues(DRIFTS[name](apart))))
        worst[k] = max(worst.get(k, 0.0), lead)
    assert max(lead for k, lead in worst.items() if k > 1) < 1.485 < LEAD < worst[1] < 13


def test_the_excess_of_a_drift_over_the_drifts_is_at_most_one() -> None:
    for name, length in itertools.product(DRIFTS, [4.0, 15.0, 70.0]):
        apart = np.abs(np.subtract.outer(np.arange(W), np.arange(W))) / length
        values = eigenvalues(DRIFTS[name](apart))
        excess = log_ratios(values) - drift_ratios(values[0] / values.sum(), W)
        assert (excess < 0.05).all()  # 240 lengths, linear between them


# ---- random walk edge ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("aspect", "expected"), [(0.1, 0.966), (0.5, 0.8304), (1.0, 0.6528)])
def test_median_of_the_law(aspect: float, expected: float) -> None:
    """β = 1: the square of the quarter circle's median 0.808. The others against draws of 4000 by 4000 β, to 0.5 %."""
    assert walk_median(aspect) == pytest.approx(expected, rel=5e-3)
    size = 1500
    drawn = np.random.default_rng(0).standard_normal((int(size * aspect), size)) / np.sqrt(size)
    assert walk_median(aspect) == pytest.approx(np.median(np.linalg.eigvalsh(drawn @ drawn.T)), rel=1e-2)


def test_the_edge_holds_a_walk_and_counts_what_is_planted() -> None:
    """Walks of 20 updates pass their edge now and then, by one; three planted directions are counted."""
    counts = [int(above_walk(eigenvalues(d @ d.T), P)) for d in (noise(s)[:W] for s in range(40))]
    assert max(counts) <= 1
    assert np.mean(counts) < 0.5
    planted = TIMES[:W, 1:4] @ directions(3) + noise(0, 0.3)[:W]
    assert int(above_walk(eigenvalues(planted @ planted.T), P)) == 3


# ---- transforms of a Gram --------------------------------------------------------------------------------------------


def test_unit_norm_and_detrending_equal_those_of_the_updates() -> None:
    updates = noise(0)[:W] * np.geomspace(1, 9, W)[:, None] + directions(1) * 0.3
    gram = updates @ updates.T
    unit = updates / np.linalg.norm(updates, axis=1, keepdims=True)
    np.testing.assert_allclose(unit_norm(gram), unit @ unit.T, rtol=0, atol=1e-13)
    for degree in (0, 1, 2):
        time = np.vander(np.arange(W), degree + 1)
        rest = updates - time @ np.linalg.lstsq(time, updates, rcond=None)[0]
        np.testing.assert_allclose(detrended(gram, degree), rest @ rest.T, rtol=0, atol=1e-11)
        np.testing.assert_allclose(detrended(gram[::-1, ::-1], degree), (rest @ rest.T)[::-1, ::-1], rtol=0, atol=1e-11)
    with pytest.raises(ValueError, match="degree must be in"):
        detrended(gram, W - 1)


def test_a_constant_direction_goes_with_the_mean_and_a_turning_pair_stays() -> None:
    one = np.ones((T, 1)) @ directions(1) + noise(0, 0.05)
    assert (told(one), detrended_rank(window_medians(band_of(one), W, EPOCHS, P), "mean")) == (1, 0)
    pair = TIMES[:, 1:3] @ directions(2) + noise(0, 0.05)
    found = window_medians(band_of(pair), W, EPOCHS, P)
    assert (tell(found).rank, detrended_rank(found, "mean"), detrended_rank(found, "line")) == (2, 2, 2)


def test_raw_ratios_are_those_of_the_recorded_spectrum() -> None:
    updates = TIMES[:, :2] @ directions(2) + noise(0, 0.1)
    band = band_of(updates)
    lambdas = rolling_eigenvalues(band, W)[EPOCHS]
    np.testing.assert_allclose(window_medians(band, W, EPOCHS, P)["raw"], np.median(log_ratios(lambdas), axis=0), rtol=1e-12)
    with pytest.raises(ValueError, match="Ask for whole windows"):
        window_medians(band, W, np.array([W - 1]), P)
