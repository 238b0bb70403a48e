"""The spectral edge of a window of W changes, and what moves along it: measures of a `Ledger`, each with its null.

X is the window's (W, p) matrix of changes δ, uncentred; X Xᵀ = U λ Uᵀ, σ² = λ, v_k = Xᵀ u_k / σ_k. Everything here follows from
inner products; no vector is needed. Shapes: T intervals, W rows of a window, K = 5 eigenvalues.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from grok.numerics.ledger import Ledger

EIGENVALUES = 5
LEAST_ROWS = 2
"""Rows of the smallest window: the published one shrinks to two near the start."""


class Split(NamedTuple):
    """What is gradient's and what is decay's along a direction, over the rows of a window.

    Attributes:
        gradient, decay, cross: E_g = mean ⟨A_i, v⟩², E_w = mean ⟨D_i, v⟩², mean ⟨A_i, v⟩⟨D_i, v⟩; units of θ².
        last: E_g / (E_g + E_w) of the last row alone, which one published script takes.
    """

    gradient: float
    decay: float
    cross: float
    last: float

    @property
    def share(self) -> float:
        """Grad%: E_g / (E_g + E_w), in [0, 1]; 1 without decay by definition, ½ where Adam balances decay."""
        return share(self.gradient, self.decay)


class Edge(NamedTuple):
    """A window and its first direction.

    Attributes:
        end: the interval that it ends with, from 1 on. rows: W, fewer near the start.
        lambdas: (5,) eigenvalues, descending; NaN beyond the rows.
        exact: split by the running sums. trapezoid: by −Σηω (θ_{i−1} + θ_i) / 2 as published.
        cos2_theta, cos2_theta_0: squared cosine of v₁ with θ at the end of the window, and with θ_0.
        projection: ⟨θ, v₁⟩ at the end, its sign that of v₁, which is arbitrary.
    """

    end: int
    rows: int
    lambdas: np.ndarray
    exact: Split
    trapezoid: Split
    cos2_theta: float
    cos2_theta_0: float
    projection: float


def share(gradient: float, decay: float) -> float:
    """E_g / (E_g + E_w); NaN where both are 0."""
    total = gradient + decay
    return gradient / total if total > 0 else float("nan")


def rows_of(ledger: Ledger, end: int, size: int) -> int:
    """Rows of the window of at most `size` that ends with an interval; it does not reach back across a restart."""
    return min(size, end - int(ledger.first[end - 1])) if end else 0


def gram(ledger: Ledger, end: int, rows: int) -> np.ndarray:
    """X Xᵀ of the window that ends with interval `end`, from 1 on: (W, W), oldest first."""
    return between(ledger.dd, ledger.dd, range(end - rows, end))


def between(newer: np.ndarray, older: np.ndarray, rows: range) -> np.ndarray:
    """⟨a_i, b_j⟩ for i, j in rows: from ⟨a_i, b_{i−l}⟩ in `newer` for j ≤ i, and from ⟨b_j, a_{j−l}⟩ in `older` for j > i."""
    out = np.empty((len(rows), len(rows)))
    for place, i in enumerate(rows):
        for other, j in enumerate(rows):
            out[place, other] = newer[i, i - j] if j <= i else older[j, j - i]
    return out


def decompose(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, descending and not below 0, and eigenvectors as columns in the same order."""
    values, vectors = np.linalg.eigh(matrix)
    return np.maximum(values[::-1], 0.0), vectors[:, ::-1]


def with_theta(ledger: Ledger, rows: range) -> np.ndarray:
    """⟨θ_a, δ_j⟩ for a = rows.start … rows.stop (θ_a at the end of interval a) and j in rows: (W + 1, W).

    From ⟨θ_j, δ_j⟩ and the inner products of the changes between.
    """
    inner = between(ledger.dd, ledger.dd, rows)
    out = np.empty((len(rows) + 1, len(rows)))
    for place, j in enumerate(rows):
        out[place + 1, place] = ledger.td[j]
        for a in range(place, -1, -1):
            out[a, place] = out[a + 1, place] - inner[a, place]
        for a in range(place + 1, len(rows)):
            out[a + 1, place] = out[a, place] + inner[a, place]
    return out


def split(along: np.ndarray, decay: np.ndarray) -> Split:
    """`Split` from ⟨δ_i, v⟩ and ⟨D_i, v⟩, (W,) each."""
    gradient = along - decay
    last = share(float(gradient[-1] ** 2), float(decay[-1] ** 2))
    return Split(float((gradient**2).mean()), float((decay**2).mean()), float((gradient * decay).mean()), last)


def edge(ledger: Ledger, end: int, size: int, k: int = 1) -> Edge | None:
    """The window of at most `size` rows that ends with an interval, and its k-th direction.

    Args:
        ledger: without segments, as `Ledger.of` gives it. end: interval, from 1 on. size: W ≥ 2. k: from 1 on.

    Returns:
        The measures, or None where the window has fewer than two rows or k.

    Source: Xu (arXiv 2604.07380), its code, for the window, v and the trapezoid; the exact split is ours.
    """
    count = rows_of(ledger, end, size)
    if count < max(LEAST_ROWS, k):
        return None
    rows = range(end - count, end)
    values, vectors = decompose(gram(ledger, end, count))
    if values[k - 1] <= 0:
        return None
    sigma, u = float(np.sqrt(values[k - 1])), vectors[:, k - 1]
    theta = with_theta(ledger, rows) @ u / sigma
    decay = between(ledger.wd, ledger.dw, rows) @ u / sigma
    rates = ledger.rate[rows.start : rows.stop]
    half = -rates * (theta[:-1] + theta[1:]) / 2
    start = float(ledger.t0d[rows.start : rows.stop] @ u) / sigma
    lambdas = np.full(EIGENVALUES, np.nan)
    lambdas[: min(count, EIGENVALUES)] = values[:EIGENVALUES]
    return Edge(
        end,
        count,
        lambdas,
        split(sigma * u, decay),
        split(sigma * u, half),
        float(theta[-1] ** 2 / ledger.tt[end]) if ledger.tt[end] > 0 else float("nan"),
        start**2 / float(ledger.tt[0]) if ledger.tt[0] > 0 else float("nan"),
        float(theta[-1]),
    )


def rotation(ledger: Ledger, end: int, size: int, k: int = 1) -> float:
    """Degrees between v_k of the window that ends with an interval and of the next one, arccos |⟨v, v′⟩| in [0, 90].

    They share all rows but one, so that a change that never turns gives 0, and so does pure decay. NaN where one of them has
    fewer than `size` rows.

    Source: Xu (arXiv 2604.07380), its code.
    """
    if end + 1 > ledger.intervals or rows_of(ledger, end, size) < size or rows_of(ledger, end + 1, size) < size:
        return float("nan")
    rows = range(end - size, end + 1)
    return _angle(between(ledger.dd, ledger.dd, rows), slice(0, size), slice(1, size + 1), k)


def stability(ledger: Ledger, end: int, k: int = 1, size: int = 5, first: int = 2) -> float:
    """|⟨v_k of the first rows, v_k of the others⟩| within a window, in [0, 1]; NaN where it has fewer rows.

    Two random directions of p entries give about √(2 / (π p)).

    Source: Xu (arXiv 2604.07380), its code: the first two of five rows against the last three.
    """
    if rows_of(ledger, end, size) < size or min(first, size - first) < k:
        return float("nan")
    whole = between(ledger.dd, ledger.dd, range(end - size, end))
    return float(np.cos(np.radians(_angle(whole, slice(0, first), slice(first, size), k))))


def _angle(whole: np.ndarray, mine: slice, other: slice, k: int) -> float:
    """Degrees between the k-th directions of two parts of the rows, from the inner products of all."""
    values, vectors = decompose(whole[mine, mine])
    others, turned = decompose(whole[other, other])
    norm = np.sqrt(values[k - 1] * others[k - 1])
    if norm <= 0:
        return float("nan")
    cosine = vectors[:, k - 1] @ whole[mine, other] @ turned[:, k - 1] / norm
    return float(np.degrees(np.arccos(min(abs(cosine), 1.0))))


def gap_23(edges: list[Edge]) -> np.ndarray:
    """g₂₃ = σ₂² − σ₃² of each window; λ₂ of a window of two rows, as published."""
    return np.array([one.lambdas[1] - (0.0 if np.isnan(one.lambdas[2]) else one.lambdas[2]) for one in edges])


class Compression(NamedTuple):
    """How g₂₃ falls until a step.

    Attributes:
        published: largest value up to the step over the value at the step: at least 1 whatever happens.
        plain: first full window over the value at the step, which can be below 1.
        shuffled: median of `published` over orders of the same values: what selection by maximum gives by itself.
    """

    published: float
    plain: float
    shuffled: float


def compression(gaps: np.ndarray, at: int, first: int = 0, draws: int = 200, seed: int = 0) -> Compression:
    """The published ratio of g₂₃, the same without its selection by maximum, and the null of that selection.

    Args:
        gaps: (windows,) g₂₃. at: index of the window at the step. first: index of the first full window.

    Source: Xu (arXiv 2604.07380), its code; plain and shuffled are ours.
    """
    until = gaps[: at + 1]
    rng = np.random.default_rng(seed)
    shuffled = [until.max() / rng.permutation(until)[-1] for _ in range(draws)]
    return Compression(float(until.max() / until[-1]), float(gaps[first] / gaps[at]), float(np.median(shuffled)))


def leading(lambdas: np.ndarray, weighted: bool = False) -> int:
    """k* = argmax_k σ_k / σ_{k+1}, from 1 on; weighted by σ_k / Σσ as one published table has it, which favours 1."""
    sigma = np.sqrt(lambdas[np.isfinite(lambdas)])
    sigma = np.maximum(sigma, np.sqrt(np.finfo(np.float64).eps) * sigma.max())  # of a Gram what is below is rounding
    ratio = sigma[:-1] / sigma[1:]
    return int(np.argmax(ratio * (sigma[:-1] / sigma.sum() if weighted else 1.0))) + 1
