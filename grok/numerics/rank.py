"""The rank of a window of updates, against nulls that have none: smooth drift, a random walk, unit norms, no trend.

Shapes: w updates of a window, T in all, P parameters. G (w, w) float64 is their Gram, λ₁ ≥ … ≥ λ_w its eigenvalues.

The k with the largest λ_k/λ_{k+1} is a rank only where something stops there. Updates along a smoothly turning direction have
eigenvalues that fall geometrically: every ratio is large, and none is a rank. Updates that point much the same way have one
large λ₁ whatever the rest is. So a rank is told here only where one ratio leads the others clearly, leads that of every smooth
drift with as large a λ₁, and stands above a random walk; otherwise none can be told.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from grok.numerics.spectra import EIGENVALUES, RESOLUTION, window_grams

LEAD = 2.0
"""By which a ratio must lead the next largest, and that of a drift. Smooth drifts lead themselves by at most 1.48 at k ≥ 2."""
RATIOS = EIGENVALUES - 1
"""k = 1 … 4."""
PHASES = ((200, 400), (600, 800))
"""First and last epoch of the windows that ranks are read from: the published ones, and those after ReLU has grokked."""
STEP = 5
"""Epochs between two of these windows."""
LEAST = 2 * EIGENVALUES
"""Updates of a window at least: its median eigenvalue, from which the noise is read, must not be one of those judged."""
LENGTHS = np.geomspace(0.2, 2e4, 240)
"""Correlation lengths of the drifts, in updates."""


def _matern_half(d: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-d))


def _matern_three(d: np.ndarray) -> np.ndarray:
    return np.asarray((1 + np.sqrt(3) * d) * np.exp(-np.sqrt(3) * d))


def _matern_five(d: np.ndarray) -> np.ndarray:
    return np.asarray((1 + np.sqrt(5) * d + 5 / 3 * d**2) * np.exp(-np.sqrt(5) * d))


def _squared_exponential(d: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-(d**2) / 2))


def _cauchy(d: np.ndarray) -> np.ndarray:
    return 1 / (1 + d**2)


DRIFTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "squared exponential": _squared_exponential,
    "Cauchy": _cauchy,
    "Matérn 5/2": _matern_five,
    "Matérn 3/2": _matern_three,
    "Matérn 1/2": _matern_half,
}
"""⟨Δ_s, Δ_t⟩ of unit updates along a drifting direction, as a function of |s − t| / length; from smooth to rough."""


class Told(NamedTuple):
    """What a window, or the medians over windows, say of a rank.

    Attributes:
        rank: k, or 0 where none can be told.
        largest: the k with the largest ratio, whether it counts or not. lead: by which it leads the next largest.
        excess: by which it leads the largest of the drifts' at that k. above: eigenvalues above a random walk.
    """

    rank: int
    largest: int
    lead: float
    excess: float
    above: float


def eigenvalues(gram: np.ndarray) -> np.ndarray:
    """Descending eigenvalues of Grams, none below what float64 resolves.

    Args:
        gram: (…, w, w) float64.

    Returns:
        (…, w) float64.
    """
    values = np.linalg.eigvalsh(gram)[..., ::-1]
    return np.asarray(np.maximum(values, gram.shape[-1] * RESOLUTION * values[..., :1]))


def unit_norm(gram: np.ndarray) -> np.ndarray:
    """The Gram of updates scaled to length 1, D^{-1/2} G D^{-1/2}; an update of length 0 stays.

    Args:
        gram: (…, w, w) float64.

    Example:
        >>> unit_norm(np.array([[4.0, 2.0], [2.0, 1.0]])).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    size = np.sqrt(np.diagonal(gram, axis1=-2, axis2=-1))
    scale = 1 / np.where(size > 0, size, 1.0)
    return np.asarray(gram * scale[..., :, None] * scale[..., None, :])


def detrended(gram: np.ndarray, degree: int) -> np.ndarray:
    """The Gram of updates less their least-squares polynomial in time, H G H with H the projection off polynomials.

    At degree 0 the window's mean update is gone, at 1 a straight line as well. `degree` + 1 eigenvalues are then 0.

    Args:
        gram: (…, w, w) float64, updates in the order of time or against it. degree: in [0, w − 2].

    Raises:
        ValueError: if degree is out of range.

    Example: two updates the same way: without their mean nothing is left.
        >>> detrended(np.array([[1.0, 1.0], [1.0, 1.0]]), degree=0).round(12).tolist()
        [[0.0, 0.0], [0.0, 0.0]]
    """
    size = gram.shape[-1]
    if not 0 <= degree <= size - 2:
        raise ValueError(f"degree must be in [0, {size - 2}] for {size} updates, got {degree}. Lower it.")
    basis = np.linalg.qr(np.vander(np.linspace(-1, 1, size), degree + 1, increasing=True))[0]
    projection = np.eye(size) - basis @ basis.T
    return np.asarray(projection @ gram @ projection)


def log_ratios(values: np.ndarray) -> np.ndarray:
    """Log λ_k/λ_{k+1} for k = 1 … 4.

    Args:
        values: (…, ≥ 5) float64, descending, > 0.

    Returns:
        (…, 4) float64.
    """
    return np.asarray(-np.diff(np.log(values[..., :EIGENVALUES]), axis=-1))


@functools.cache
def _drift_profiles(window: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By drift: λ₁'s share of the trace, ascending with the length, and the log ratios there."""
    apart = np.abs(np.subtract.outer(np.arange(window), np.arange(window)))
    out = {}
    for name, kernel in DRIFTS.items():
        values = eigenvalues(np.stack([kernel(apart / length) for length in LENGTHS]))
        out[name] = values[:, 0] / values.sum(axis=1), log_ratios(values)
    return out


def drift_ratios(share: np.ndarray, window: int) -> np.ndarray:
    """The largest log ratio at each k that any smooth drift with this share of λ₁ has.

    Args:
        share: (…,) float64, λ₁ / Σλ of a window of unit-norm updates. window: w ≥ 5.

    Returns:
        (…, 4) float64.

    Source: kernels as in Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), §4.2.
    """
    share = np.asarray(share, dtype=np.float64)
    out = np.full((*share.shape, RATIOS), -np.inf)
    for shares, ratios in _drift_profiles(window).values():
        for k in range(RATIOS):
            out[..., k] = np.maximum(out[..., k], np.interp(share, shares, ratios[:, k]))
    return out


def walk_median(aspect: float) -> float:
    """The median of the Marchenko–Pastur law with unit variance.

    Args:
        aspect: β = w/P in (0, 1].

    Source: Gavish and Donoho, IEEE Trans. Inf. Theory 60 (2014), eq. 13 (there μ_β); by the trapezoidal rule here.
    """
    low, high = (1 - np.sqrt(aspect)) ** 2, (1 + np.sqrt(aspect)) ** 2
    angle = np.linspace(0, np.pi, 20001)  # x = mean − half·cos(angle): the density's square roots become smooth
    x = (low + high) / 2 - (high - low) / 2 * np.cos(angle)
    density = ((high - low) / 2 * np.sin(angle)) ** 2 / (2 * np.pi * aspect * np.maximum(x, 1e-300))
    mass = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(angle))))
    return float(np.interp(0.5, mass / mass[-1], x))


def above_walk(values: np.ndarray, parameters: int) -> np.ndarray:
    """How many eigenvalues stand above those of a random walk: independent updates, their noise read from the median.

    It binds for independent updates alone: those that momentum correlates have half of their eigenvalues above it, and the
    drift `Matérn 1/2`, their autocorrelation, is the null of these.

        λ > λ_median / μ_β · (1 + √β)²,  β = w/P

    Args:
        values: (…, w) float64, descending. parameters: P ≥ w.

    Returns:
        (…,) int64.

    Source: Marchenko and Pastur (1967); the noise level as Gavish and Donoho (2014) have it.
    """
    aspect = values.shape[-1] / parameters
    edge = np.median(values, axis=-1, keepdims=True) / walk_median(aspect) * (1 + np.sqrt(aspect)) ** 2
    return np.asarray((values > edge).sum(axis=-1))


def window_medians(band: np.ndarray, window: int, epochs: np.ndarray, parameters: int) -> dict[str, np.ndarray]:
    """Medians over windows of what a rank is told from.

    Args:
        band: (T, L) float64, as `BandedGram.band` gives it.
        window: w in [10, L]. epochs: at which windows end, in [w, T]. parameters: P.

    Returns:
        (4,) float64 each: log ratios `raw`, `unit`, `mean` and `line` (unit norms with the mean and with a straight line
        taken out), and `excess` of `unit` over the drifts; `above`, (1,), eigenvalues of `unit` above a random walk.

    Raises:
        ValueError: if there is no epoch or one is out of range.
    """
    if len(epochs) == 0 or epochs.min() < window or epochs.max() > len(band):
        raise ValueError(f"epochs must lie in [{window}, {len(band)}], got {list(epochs)[:3]}. Ask for whole windows.")
    first = int(epochs.min())
    grams = window_grams(band, window, first, int(epochs.max()))[epochs - first]
    unit = unit_norm(grams)
    values = eigenvalues(unit)
    ratios = log_ratios(values)
    excess = ratios - drift_ratios(values[:, 0] / values.sum(axis=1), window)
    found = {
        "raw": log_ratios(eigenvalues(grams)),
        "unit": ratios,
        "mean": log_ratios(eigenvalues(detrended(unit, 0))),
        "line": log_ratios(eigenvalues(detrended(unit, 1))),
        "excess": excess,
        "above": above_walk(values, parameters)[:, None].astype(np.float64),
    }
    return {name: np.median(of, axis=0) for name, of in found.items()}


def leading(ratios: np.ndarray) -> tuple[int, float]:
    """The k of the largest ratio, 1-based, and by which it leads the next largest.

    Args:
        ratios: (4,) float64, logarithms.

    Example:
        >>> leading(np.log([3.0, 12.0, 4.0, 1.0]))[0], round(leading(np.log([3.0, 12.0, 4.0, 1.0]))[1], 6)
        (2, 3.0)
    """
    order = np.argsort(-ratios, kind="stable")
    return int(order[0]) + 1, float(np.exp(ratios[order[0]] - ratios[order[1]]))


def tell(medians: dict[str, np.ndarray]) -> Told:
    """The rank of a run, by the rule that raw and unit-norm windows must agree on a clear one that no null has.

    Args:
        medians: as `window_medians` gives them.
    """
    (raw, lead), (unit, unit_lead) = leading(medians["raw"]), leading(medians["unit"])
    excess, above = float(np.exp(medians["excess"][unit - 1])), float(medians["above"][0])
    clear = raw == unit and min(lead, unit_lead) >= LEAD and excess >= LEAD and above >= unit
    return Told(unit if clear else 0, raw, min(lead, unit_lead) if raw == unit else 1.0, excess, above)


def detrended_rank(medians: dict[str, np.ndarray], name: str) -> int:
    """The k that leads by `LEAD` after the mean (`mean`) or a line (`line`) is taken out; 0 where none does."""
    k, lead = leading(medians[name])
    return k if lead >= LEAD else 0
