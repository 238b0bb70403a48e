"""Paired differences: an exact test that holds its level, intervals that cover, directions by the rule's words."""

from __future__ import annotations

import doctest
import itertools

import numpy as np
import pytest
from scipy import stats

from analysis.statistics import paired
from analysis.statistics.estimates import Estimate
from analysis.statistics.paired import ALIKE, FALLS, RISES, UNCLEAR, differences, direction, median_difference, sign_flip


def test_examples() -> None:
    assert doctest.testmod(paired).failed == 0


@pytest.mark.parametrize("n", [1, 4, 9])
def test_sign_flip_enumerates_every_choice(n: int) -> None:
    x = np.random.default_rng(n).normal(0.4, 1, n)
    sums = [abs(np.dot(signs, x)) for signs in itertools.product((1, -1), repeat=n)]
    assert sign_flip(x) == np.mean([s >= abs(x.sum()) - 1e-9 for s in sums])


def test_sign_flip_equals_scipys_exact_one() -> None:
    x = np.random.default_rng(1).normal(0.5, 1, 12)
    expected = stats.permutation_test((x,), np.mean, permutation_type="samples", n_resamples=2**12).pvalue
    assert sign_flip(x) == pytest.approx(expected, abs=1e-12)


def test_sign_flip_has_its_smallest_value_and_its_level() -> None:
    assert sign_flip(np.arange(1.0, 16.0)) == 2.0**-14
    assert sign_flip(np.zeros(5)) == 1.0
    rng = np.random.default_rng(0)
    p = np.array([sign_flip(rng.standard_normal(10)) for _ in range(2000)])
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.015)  # three standard errors of 2000 draws
    assert np.isnan(sign_flip(np.array([])))
    with pytest.raises(ValueError, match="at most 20"):
        sign_flip(np.ones(21))


def test_median_difference_is_within_seeds_and_covers() -> None:
    """Seeds differ by 10, the effect is 0.3: unpaired nothing would show. Exact intervals of 15 cover at 0.96."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        seeds = rng.normal(0, 10, 15)
        found = median_difference(seeds + rng.normal(0.3, 0.1, 15), seeds)
        held += found.low <= 0.3 <= found.high
        assert found.high - found.low < 1
    assert held / 400 == pytest.approx(0.965, abs=0.03)
    assert differences(np.array([1.0, np.nan, 3.0]), np.array([0.5, 1.0, np.nan])).tolist() == [0.5]
    with pytest.raises(ValueError, match="Match them by seed"):
        differences(np.ones(2), np.ones(3))


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.03, 0.01, 0.05, RISES),
        (-0.03, -0.05, -0.01, FALLS),
        (0.0, -0.02, 0.02, ALIKE),
        (0.01, 0.005, 0.02, ALIKE),
        (0.01, 0.005, 0.03, UNCLEAR),
        (0.03, 0.0, 0.05, UNCLEAR),
        (np.nan, np.nan, np.nan, UNCLEAR),
    ],
)
def test_directions(value: float, low: float, high: float, expected: str) -> None:
    assert direction(Estimate(value, low, high, 15), 0.02) == expected
