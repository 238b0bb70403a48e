"""Paired differences: intervals that cover, p-values that go with them, directions by the rule's words."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from analysis.statistics import paired
from analysis.statistics.estimates import Estimate
from analysis.statistics.paired import ALIKE, FALLS, RISES, UNCLEAR, beyond, differences, direction, median_difference


def test_examples() -> None:
    assert doctest.testmod(paired).failed == 0


def test_a_p_value_goes_with_the_interval() -> None:
    """On 200 draws of 15, p < 0.05 and an interval clear of the bound are one decision, on either side."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = rng.normal(rng.uniform(-1, 1), 1, 15)
        found = median_difference(x, np.zeros(15))
        assert (beyond(x, 0.0) < 0.05) == (found.low > 0)
        assert (beyond(x, 0.0, above=False) < 0.05) == (found.high < 0)
    assert beyond(np.arange(1.0, 16.0), 0.0) == pytest.approx(2.0**-14)
    assert beyond(np.array([np.nan]), 0.0) == 1.0


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
