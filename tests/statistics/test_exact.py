"""Exact tests against slow oracles and known coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.clusters import clustered_band, clustered_line, seeds_and_roundings
from analysis.statistics.exact import (
    mcnemar,
    one_sided_share,
    power,
    quantile_sides,
    sign_flip,
    student_sides,
)


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X ≤ k), by summation."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


@pytest.mark.parametrize("p", [0.25, 0.5, 0.75])
def test_quantile_sides_are_binomial_sums(p: float) -> None:
    x = np.arange(15.0)
    found = quantile_sides(x, 2.5, 20.0, p)  # three at or below, fifteen below the upper end
    assert found.inside == pytest.approx(max(binomial_tail(3, 15, p), 1 - binomial_tail(14, 15, p)))
    above = quantile_sides(x, -9.0, -1.0, p)  # all above the margin
    assert above.outside == pytest.approx(binomial_tail(0, 15, p))
    assert above.inside == 1.0


def test_few_runs_cannot_be_inside() -> None:
    for n, p in ((3, 1 / 8), (5, 1 / 32), (15, 2**-15)):
        assert quantile_sides(np.full(n, 1.0), 0.0, 2.0).inside == pytest.approx(p)
    assert quantile_sides(np.full(5, 1.0), 0.0, 2.0, 0.25).inside == pytest.approx(0.75**5)
    assert quantile_sides(np.array([]), 0.0, 2.0) == (1.0, 1.0)


def test_wrong_decisions_are_as_rare_as_said() -> None:
    """At the boundary of the margin, where each test errs most: 4,000 samples of 15 of a normal, error 0.0035 of a share."""
    rng = np.random.default_rng(0)
    draws = rng.normal(1.0, 1.0, (4000, 15))
    inside = np.mean([quantile_sides(x, -9.0, 1.0).inside <= 0.05 for x in draws])  # the median is the upper end itself
    outside = np.mean([quantile_sides(x, -9.0, 1.0).outside <= 0.05 for x in draws])
    assert 0.005 < inside < 0.05 + 3 * 0.0035
    assert 0.005 < outside < 0.05 + 3 * 0.0035
    truly = np.mean([quantile_sides(x, -0.5, 2.5).inside <= 0.05 for x in draws])
    assert truly > 0.9


def test_student_sides_agree_with_the_interval() -> None:
    reach = stats.t.ppf(0.95, 4)
    assert student_sides(1.0, 0.1, 4, 1 - reach * 0.1, 9.0).inside == pytest.approx(0.05)
    assert student_sides(1.0, 0.1, 4, -9.0, 1 - reach * 0.1).outside == pytest.approx(0.05)
    assert student_sides(1.0, 0.0, 4, 0.9, 1.1) == (0.0, 1.0)
    assert student_sides(1.0, 0.0, 4, 1.1, 1.2) == (1.0, 0.0)


def test_mcnemar_counts_only_seeds_that_differ() -> None:
    a = np.array([True] * 6 + [True] * 5 + [False] * 4)
    b = np.array([False] * 6 + [True] * 5 + [False] * 4)
    assert mcnemar(a, b) == pytest.approx((2 * 0.5**6, 2 * 0.5**6, 6))
    assert mcnemar(a, a) == (1.0, 1.0, 0)
    c = np.array([True, False, False, False] + [True] * 3)
    d = np.array([False, True, True, True] + [True] * 3)
    by_hand = sum(math.comb(4, k) for k in (0, 1, 3, 4)) / 2**4
    assert mcnemar(c, d).p == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="as many on both sides"):
        mcnemar(a, a[1:])


@pytest.mark.parametrize("n", [1, 2, 5, 9, 12])
def test_sign_flips_agree_with_trying_each_sign_by_hand(n: int) -> None:
    d = np.random.default_rng(n).normal(0.5, 1.0, n)
    total = abs(d.sum())
    flipped = [abs(float((d * np.array(signs)).sum())) for signs in itertools.product((1, -1), repeat=n)]
    assert sign_flip(d).p == pytest.approx(sum(one >= total - 1e-12 for one in flipped) / 2**n)


def test_sign_flips_have_no_floor_but_their_own() -> None:
    found = sign_flip(np.arange(1.0, 16.0))
    assert (found.p, found.smallest, found.n) == (2 / 2**15, 2 / 2**15, 15)
    assert sign_flip(np.array([1.0, math.nan])).p == 1.0
    assert sign_flip(np.array([])).n == 0
    with pytest.raises(ValueError, match="at most 20"):
        sign_flip(np.ones(21))


def test_power_is_what_the_tests_themselves_can_do() -> None:
    three, five, fifteen, hundred = (power(n) for n in (3, 5, 15, 100))
    assert (three.needed, five.needed, fifteen.needed) == (0, 5, 12)
    assert [one.never for one in (five, fifteen, hundred)] == pytest.approx([0.4507, 0.1810, 0.0295], abs=1e-4)
    assert fifteen.flips == pytest.approx(6.1e-5, rel=0.01)
    assert math.isnan(five.difference)  # six discordant seeds are needed
    n, share = 15, fifteen.difference
    rng = np.random.default_rng(1)
    seen = [mcnemar(rng.random(n) < share, np.zeros(n, dtype=bool)).p <= 0.05 for _ in range(4000)]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.03)


def test_one_sided_bounds() -> None:
    assert one_sided_share(96, 100)[0] >= 0.9 > one_sided_share(95, 100)[0]
    assert one_sided_share(30, 30)[0] == pytest.approx(0.05 ** (1 / 30))
    assert one_sided_share(0, 15)[1] == pytest.approx(1 - 0.05 ** (1 / 15))


def test_a_clustered_line_leaves_one_seed_out_at_a_time() -> None:
    rng = np.random.default_rng(3)
    x, seed = np.tile(np.arange(4.0), 5), np.repeat(np.arange(5), 4)
    y = 2 * x - 1 + rng.normal(0, 0.1, 20)
    found = clustered_line(x, y, seed)
    slopes = [np.polyfit(x[seed != s], y[seed != s], 1)[0] for s in range(5)]
    error = math.sqrt(4 / 5 * sum((slope - np.mean(slopes)) ** 2 for slope in slopes))
    assert found.slope.error == pytest.approx(error)
    assert found.slope.estimate.value == pytest.approx(np.polyfit(x, y, 1)[0])
    reach = stats.t.ppf(0.975, 4) * error
    assert found.slope.estimate.high - found.slope.estimate.value == pytest.approx(reach)
    assert found.r_squared.estimate.value == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert math.isnan(clustered_line(x[:8], y[:8], seed[:8]).slope.estimate.value)  # two seeds


def test_a_clustered_interval_covers_where_points_of_a_seed_hang_together_and_a_plain_one_does_not() -> None:
    """Seeds differ in slope: the truth is their mean. 400 data sets; the error of a share of 0.95 is 0.011."""
    rng = np.random.default_rng(4)
    x, seed = np.tile(np.arange(4.0), 8), np.repeat(np.arange(8), 4)
    held = plain = 0
    for _ in range(400):
        y = np.repeat(rng.normal(1.0, 0.5, 8), 4) * x + rng.normal(0, 0.1, 32)
        slope = clustered_line(x, y, seed).slope.estimate
        held += slope.low <= 1.0 <= slope.high
        fit = stats.linregress(x, y)
        plain += abs(fit.slope - 1.0) <= stats.t.ppf(0.975, 30) * fit.stderr
    assert held / 400 > 0.95 - 3 * 0.011
    assert plain < held


def test_a_band_at_zero_is_the_interval_of_the_intercept() -> None:
    rng = np.random.default_rng(7)
    x, seed = np.tile(np.arange(4.0), 5), np.repeat(np.arange(5), 4)
    y = 2 * x - 1 + rng.normal(0, 0.5, 20)
    intercept = clustered_line(x, y, seed).intercept.estimate
    assert [end[0] for end in clustered_band(x, y, seed, np.zeros(1))] == pytest.approx(intercept[:3])


def test_variance_components_come_back() -> None:
    rng = np.random.default_rng(5)
    seeds, roundings = rng.normal(0, 3.0, (400, 1)), rng.normal(0, 1.0, (1, 60))
    found = seeds_and_roundings(seeds + roundings + rng.normal(0, 2.0, (400, 60)))
    assert (found.seed, found.rest) == pytest.approx((9.0, 4.0), rel=0.15)
    assert found.rounding == pytest.approx(float(roundings.var(ddof=1)), rel=0.1)
    assert found.of_seeds**2 == pytest.approx(13.0, rel=0.15)
    assert (found.n, found.roundings) == (400, 60)


def test_variance_components_by_hand() -> None:
    found = seeds_and_roundings(np.array([[1.0, 2.0], [3.0, 4.0], [math.nan, 0.0]]))
    assert (found.seed, found.rounding, found.rest) == pytest.approx((2.0, 0.5, 0.0))
    with pytest.raises(ValueError, match="two whole rows"):
        seeds_and_roundings(np.array([[1.0, 2.0]]))
