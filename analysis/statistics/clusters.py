"""Lines through runs of few seeds, and where a quantity's spread comes from: seeds, roundings, rest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.statistics.estimates import LEVEL, UNKNOWN, Estimate


class Fit(NamedTuple):
    """A number of a fitted line with its error over clusters.

    Attributes:
        estimate: with its t interval, n the points. error: standard error over clusters. degrees: of freedom, clusters − 1.
    """

    estimate: Estimate
    error: float
    degrees: int


class Line(NamedTuple):
    """y = intercept + slope · x by least squares, each number with its error over clusters."""

    slope: Fit
    intercept: Fit
    r_squared: Fit


NO_FIT = Fit(UNKNOWN, np.nan, 0)


def clustered_line(x: np.ndarray, y: np.ndarray, cluster: np.ndarray, level: float = LEVEL) -> Line:
    """Least squares, with errors by leaving out one cluster at a time (CV3) and t intervals of clusters − 1 degrees.

    Points of one seed share its split and its initial weights, so they are not independent; the jackknife over clusters is
    the variance estimator that errs least with few of them.

        error² = (G − 1)/G · Σ_g (θ_(−g) − mean θ_(−·))²

    Args:
        x, y: (n,); pairs with a NaN are left out. cluster: (n,) the seed of each point.

    Returns:
        All unknown of fewer than three points that differ in x, or of fewer than three clusters.

    Source: MacKinnon, Nielsen and Webb, J. Appl. Econometrics 38 (2023), CV3.
    """
    both = ~(np.isnan(x) | np.isnan(y))
    x, y, cluster = np.asarray(x)[both], np.asarray(y)[both], np.asarray(cluster)[both]
    groups = np.unique(cluster)
    if len(x) < 3 or np.ptp(x) == 0 or len(groups) < 3:
        return Line(NO_FIT, NO_FIT, NO_FIT)
    whole = _line(x, y)
    without = np.array([_line(x[cluster != one], y[cluster != one]) for one in groups])
    degrees = len(groups) - 1
    errors = np.sqrt(degrees / len(groups) * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    reach = float(stats.t.ppf((1 + level) / 2, degrees))
    kind = f"{100 * level:g} %"
    fits = [
        Fit(
            Estimate(float(value), float(value - reach * error), float(value + reach * error), len(x), kind),
            float(error),
            degrees,
        )
        for value, error in zip(whole, errors, strict=True)
    ]
    return Line(*fits)


def clustered_band(
    x: np.ndarray, y: np.ndarray, cluster: np.ndarray, at: np.ndarray, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fitted line at some places and its pointwise interval, by the same jackknife.

    Args:
        x, y, cluster: as `clustered_line` has them, without NaN. at: (m,) places.

    Returns:
        Line, lower and upper ends, (m,) each.
    """
    groups = np.unique(cluster)
    lines = [_line(x[cluster != one], y[cluster != one]) for one in groups]
    without = np.array([intercept + slope * at for slope, intercept, _ in lines])
    degrees = len(groups) - 1
    error = np.sqrt(degrees / len(groups) * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    slope, intercept, _ = _line(x, y)
    reach = float(stats.t.ppf((1 + level) / 2, degrees)) * error
    line = intercept + slope * at
    return line, line - reach, line + reach


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope, intercept and R²."""
    if np.ptp(x) == 0:
        return (np.nan, np.nan, np.nan)
    fit = stats.linregress(x, y)
    return float(fit.slope), float(fit.intercept), float(fit.rvalue**2)


class Spread(NamedTuple):
    """Where the spread of a table of seeds by roundings comes from.

    Attributes:
        seed, rounding, rest: variance components, negative ones set to 0. of_seeds, of_roundings: standard deviation over seeds
            in one rounding, and over roundings of one seed, each averaged as variances. n, roundings: rows and columns.
    """

    seed: float
    rounding: float
    rest: float
    of_seeds: float
    of_roundings: float
    n: int
    roundings: int


def seeds_and_roundings(values: np.ndarray) -> Spread:
    """Two-way analysis of variance of one value per seed and rounding, both random.

        y_sr = μ + a_s + b_r + e_sr,  Var a = (MS_seed − MS_rest)/R,  Var b = (MS_rounding − MS_rest)/S,  Var e = MS_rest

    The rest is what rounding does to one seed and not to another: chaos, not a shift of all.

    Args:
        values: (S seeds, R roundings) float64; rows with a NaN are left out.

    Raises:
        ValueError: with fewer than two whole rows or two columns.

    Source: Searle, Casella and McCulloch, Variance Components (1992), §4.3.
    """
    y = np.asarray(values, dtype=np.float64)
    y = y[~np.isnan(y).any(axis=1)]
    s, r = y.shape
    if s < 2 or r < 2:
        raise ValueError(
            f"values must have at least two whole rows and two columns, got {s} and {r}. Run more seeds or roundings."
        )
    by_seed, by_rounding, mean = y.mean(axis=1), y.mean(axis=0), y.mean()
    ms_seed = r * ((by_seed - mean) ** 2).sum() / (s - 1)
    ms_rounding = s * ((by_rounding - mean) ** 2).sum() / (r - 1)
    rest = float(((y - by_seed[:, None] - by_rounding[None, :] + mean) ** 2).sum() / ((s - 1) * (r - 1)))
    seed, rounding = max(0.0, float(ms_seed - rest) / r), max(0.0, float(ms_rounding - rest) / s)
    of_seeds, of_roundings = (float(np.sqrt(y.var(axis=axis, ddof=1).mean())) for axis in (0, 1))
    return Spread(seed, rounding, rest, of_seeds, of_roundings, s, r)
