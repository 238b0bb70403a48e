"""The slope detector on gaps whose fire epoch is known by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.numerics.series import (
    GAP_FLOOR,
    LATE_EPOCHS,
    backward_slope,
    fire_epoch,
    first_crossing,
    late_median,
    slope,
    smoothed,
)
from grok.numerics.spectra import gap, rolling_eigenvalues


def ramp(start: int, rate: float, length: int = 300) -> np.ndarray:
    """A gap of e that grows by `rate` per epoch from epoch `start` on."""
    return np.exp(1 + rate * np.maximum(np.arange(length) - start, 0))


@settings(max_examples=60, deadline=None)
@given(start=st.integers(100, 200), rate=st.floats(0.05, 0.5), lag=st.integers(1, 40), threshold=st.floats(0.01, 0.045))
def test_fires_where_the_planted_ramp_says(start: int, rate: float, lag: int, threshold: float) -> None:
    """d epochs into the ramp (d ≤ lag) the slope is d·rate/lag: it passes the threshold at d = ⌊lag·threshold/rate⌋ + 1."""
    steps = lag * threshold / rate
    if abs(steps - round(steps)) < 1e-6:
        return  # rounding decides there
    assert fire_epoch(ramp(start, rate), lag, threshold, first_epoch=100) == start + math.floor(steps) + 1


@pytest.mark.parametrize(("start", "fires"), [(20, 100), (60, 100), (150, 161), (280, 291), (295, None)])
def test_first_epoch_and_end(start: int, fires: int | None) -> None:
    """rate 0.1, lag 25, threshold 0.0401 (off the tie): 11 epochs into the ramp, not before epoch 100, not after the end."""
    assert fire_epoch(ramp(start, 0.1), 25, 0.0401, 100) == fires


def test_slope_by_hand() -> None:
    got = slope(np.exp([0.0, 1.0, 3.0, 6.0]), 2)
    np.testing.assert_allclose(got, [np.nan, np.nan, 1.5, 2.5], rtol=1e-15)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-8, 1e8), min_size=1, max_size=40), st.integers(1, 10), st.data())
def test_slope_is_causal(values: list[float], lag: int, data: st.DataObject) -> None:
    series = np.array(values)
    cut = data.draw(st.integers(1, len(series)))
    np.testing.assert_array_equal(slope(series[:cut], lag), slope(series, lag)[:cut])


def test_slope_does_not_see_the_unit_of_the_gap() -> None:
    series = np.random.default_rng(0).uniform(1, 100, 60)
    np.testing.assert_allclose(slope(7 * series, 5), slope(series, 5), rtol=0, atol=1e-14)


def test_gap_is_clipped_and_nan_stays() -> None:
    got = slope(np.array([0.0, 1.0, np.nan, 1.0]), 1)
    assert got[1] == pytest.approx(-math.log(GAP_FLOOR))
    assert np.isnan(got[[0, 2, 3]]).all()
    assert GAP_FLOOR == 1e-6


@pytest.mark.parametrize(("series", "lag"), [(np.ones(5), 0), (np.ones((5, 2)), 1)])
def test_bad_input_is_refused(series: np.ndarray, lag: int) -> None:
    with pytest.raises(ValueError, match=r"^lag must be ≥ 1 and gap one-dimensional, got .*\. Pass one series\.$"):
        slope(series, lag)


@pytest.mark.parametrize(
    ("series", "threshold", "first", "strict", "epoch"),
    [
        ([0, 1, 2], 1, 0, True, 2),
        ([0, 1, 2], 1, 0, False, 1),
        ([0, 1, 2], 2, 0, True, None),
        ([3, 0, 3], 1, 1, True, 2),
        ([np.nan, np.nan], 0, 0, True, None),
        ([np.nan, 5], 0, 0, True, 1),
        ([], 0, 0, True, None),
        ([5], 0, 7, True, None),
        ([np.inf], 1, 0, True, 0),
    ],
)
def test_first_crossing(series: list[float], threshold: float, first: int, strict: bool, epoch: int | None) -> None:
    assert first_crossing(np.array(series, dtype=float), threshold, first, strict=strict) == epoch


@pytest.mark.parametrize("window", [3, 6])
def test_a_gap_planted_in_the_updates_fires(window: int) -> None:
    """Two strong orthogonal directions alternate with a third that starts to fade by e^{−0.2 t} at epoch 120 (its λ by
    e^{−0.4 t}), so log gap₂₃ grows by 0.4 an epoch and its slope over 25 epochs, 0.016 an epoch later, passes 0.04 on the
    third: at epoch 123, or within two windows of it, once the old updates have left. Windows of whole periods
    are level before."""
    steps = 200
    strength = np.exp(-0.2 * np.maximum(np.arange(1, steps + 1) - 120, 0))
    updates = np.zeros((steps, 3))
    updates[np.arange(steps), np.arange(steps) % 3] = np.where(np.arange(steps) % 3 == 2, 0.1 * strength, 1.0)
    gram = updates @ updates.T
    band = np.array([[gram[t, t - l] if l <= t else np.nan for l in range(window)] for t in range(steps)])
    series = gap(rolling_eigenvalues(band, window), 2, window)
    fired = fire_epoch(series, 25, 0.04, 100)
    assert fired is not None
    assert 123 <= fired <= 123 + 2 * window
    assert fire_epoch(series[:120], 25, 0.04, 100) is None  # nothing before it is planted


@pytest.mark.parametrize("epochs", [1, 2, 7, 200])
def test_smoothing_is_a_trailing_mean_of_known_values(epochs: int) -> None:
    series = np.random.default_rng(2).normal(size=(6, 120)).cumsum(axis=1)
    series[0, 30] = np.nan
    expected = np.full(series.shape, np.nan)
    for t in range(epochs - 1, series.shape[1]):
        expected[:, t] = series[:, t - epochs + 1 : t + 1].mean(axis=1)
    np.testing.assert_allclose(smoothed(series, epochs), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(smoothed(series[:, :60], epochs), smoothed(series, epochs)[:, :60])


@pytest.mark.parametrize("lag", [1, 3, 39])
def test_the_slope_of_many_runs_is_that_of_each(lag: int) -> None:
    """To the last bit: published epochs hang on it."""
    gaps = np.random.default_rng(0).lognormal(size=(4, 40))
    many = backward_slope(np.log(gaps), lag)
    for one, row in zip(gaps, many, strict=True):
        np.testing.assert_array_equal(slope(one, lag)[lag:], row)
    before = np.log(gaps)
    after = before.copy()
    backward_slope(after, lag)
    np.testing.assert_array_equal(after, before)


def test_the_late_median_is_of_series_that_reach_epoch_400() -> None:
    series = np.arange(500.0)
    assert late_median(series) == late_median(series[:401]) == np.median(series[LATE_EPOCHS[0] : LATE_EPOCHS[1] + 1]) == 300
    assert math.isnan(late_median(series[:400]))  # a median over a shorter stretch is another quantity
    series[250:] = np.nan
    assert late_median(series) == np.median(np.arange(200, 250))
    series[200:] = np.nan
    assert math.isnan(late_median(series))
