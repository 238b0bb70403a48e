"""Dynamics and structure: residual of a Hankel DMD, commutator of minibatch gradients, connectivity of the weight graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.linalg import eigh, eigvalsh, lapack
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from grok.numerics.kept import Kept

LEAST_ROWS = 12
"""Rows before which a window says nothing: two delay stacks and two."""
TINY = 1e-12
"""Added to the commutator's denominator, as its author does."""
SHIFT, SMALL_GRAPH = 1e-2, 400
"""Share of the smallest degree by which the shift is below it; neurons up to which all eigenvalues are computed."""
CLEAR = 1e-8
"""Share of a matrix's norm by which its eigenvalues must be away from 0 for their signs to be read off a factor: ours."""
DISPLACEMENT = 1e-3
"""η_c, the step of the commutator, as published."""


def hankel_residual(z: np.ndarray, delays: int = 5, energy: float = 0.99, window: int = 250) -> np.ndarray:
    """How badly a linear map of low rank predicts the next delay-stacked row, at every row.

        H = stacked rows of the window, X = H without its last column, Y = H without its first
        X = U S Qᵀ to the rank that holds `energy` of ΣS²,  A = UᵀY Q S⁻¹,  residual = ‖Y − U A Uᵀ X‖ / ‖Y‖

    Causal: row t uses rows t − window + 1 … t. From `LEAST_ROWS` rows on the window is what there is.

    Args:
        z: (T + 1, m), one row per measurement. delays: rows in a stack. energy: share of ΣS² kept. window: rows at most.

    Returns:
        (T + 1,); NaN for the first rows, where a row is not finite, and where there is nothing to predict.

    Source: Wang et al. (arXiv 2605.08237): 19 quantiles every 2 steps, windows of 500 steps. Delays and rank are not published.
    """
    out = np.full(len(z), np.nan)
    for t in range(LEAST_ROWS - 1, len(z)):
        rows = z[max(0, t - window + 1) : t + 1]
        if not np.isfinite(rows).all():
            continue
        count = len(rows) - delays + 1
        h = np.concatenate([rows[i : i + count] for i in range(delays)], axis=1).T
        x, y = h[:, :-1], h[:, 1:]
        u, s, q = np.linalg.svd(x, full_matrices=False)
        total, size = float(np.square(s).sum()), float(np.linalg.norm(y))
        if not (total > 0 and size > 0):
            continue
        rank = min(int(np.searchsorted(np.cumsum(np.square(s)), energy * total)) + 1, len(s))
        u, s, q = u[:, :rank], s[:rank], q[:rank]
        a = (u.T @ y @ q.T) / s
        out[t] = np.linalg.norm(y - u @ (a @ (u.T @ x))) / size
    return out


def commutator(gradients: Tensor, *, hessian: bool = False, step: float = DISPLACEMENT) -> float:
    """How much the order of two minibatch steps matters, the median over draws.

        D = ‖[g_B(θ − η_c g_A) − g_B(θ)] − [g_A(θ − η_c g_B) − g_A(θ)]‖ / (η_c ‖g_A‖ ‖g_B‖)

    This is ‖θ_AB − θ_BA‖ / (‖η_c g_A‖ ‖η_c g_B‖) without the difference of two θ, which cancels. As η_c → 0 it is
    ‖H_B g_A − H_A g_B‖ / (‖g_A‖ ‖g_B‖), the `hessian` form; across kinks of ReLU the first has no such limit.

    Args:
        gradients: (draws, 6, P) float64: g_A, g_B, g_B(θ − η_c g_A), g_A(θ − η_c g_B), H_B g_A, H_A g_B.
        hessian: the exact form. step: η_c.

    Source: Xu (arXiv 2602.16967): η_c = 1e-3, two minibatches of 512, median of 5.
    """
    draws = gradients.double()
    sizes = DRAWN.of(gradients, "sizes", lambda: [float(a.norm() * b.norm() + TINY) for a, b, *_ in draws])
    apart = ((hb - ha) if hessian else (b_after - b).sub_(a_after - a).div_(step) for a, b, b_after, a_after, hb, ha in draws)
    return float(np.median([float(one.norm()) / size for one, size in zip(apart, sizes, strict=True)]))


def connectivity(*layers: Tensor, degree: bool = False) -> float:
    """The Fiedler value of the graph of neurons: λ₂ of L = D − A with |w_ij| as edge weights.

    Every second set of neurons of a chain has no edges within, so that L = [[D₁, −B], [−Bᵀ, D₂]] with diagonal D. The larger
    side is eliminated: (L − σ)⁻¹ needs a matrix as large as the smaller side only, and Lanczos at a shift below the smallest
    degree finds λ₂. That no eigenvalue but 0 is below it is counted by Sylvester's law of inertia; where one is, or the graph
    is small, all are computed.

    Args:
        layers: (I, K), (K, M) and so on, from inputs to outputs.
        degree: the smallest degree of a hidden neuron instead, Σ_i |w_ij| + Σ_c |v_jc|, which λ₂ is close to in wide networks.

    Returns:
        λ₂ ≥ 0; NaN where a weight is not finite.

    Source: Benfield, public code on structural topology monitoring; subject to a patent application (GB2611542.8).
    """
    return _connectivity(_sizes(layers), degree)


def _sizes(layers: Sequence[Tensor]) -> list[np.ndarray] | None:
    """|w_ij| of each layer in float64; None where one is not finite."""
    sizes = [layer.abs() for layer in layers]
    finite = all(math.isfinite(float(one.max())) for one in sizes)  # a maximum is NaN where one of them is
    return [one.double().cpu().numpy() for one in sizes] if finite else None


def _connectivity(chain: Sequence[np.ndarray] | None, degree: bool) -> float:
    if chain is None:
        return math.nan
    if degree:
        return float(min((one.sum(axis=1) + before.sum(axis=0)).min() for before, one in itertools.pairwise(chain)))
    b = _two_sides(chain)
    b = b if b.shape[0] <= b.shape[1] else b.T
    if sum(b.shape) > SMALL_GRAPH:
        found = _lanczos(b)
        if found is not None:
            return found
    laplacian = np.block([[np.diag(b.sum(axis=1)), -b], [-b.T, np.diag(b.sum(axis=0))]])
    return float(max(eigh(laplacian, eigvals_only=True, subset_by_index=[1, 1])[0], 0.0))


def fiedler(weights: Mapping[str, Tensor], *, degree: bool = False) -> float:
    """`connectivity` of a network's `chain`, kept as long as its layers live unchanged: two signals ask for it."""
    first, *others = weights.values()
    sizes = KEPT.of(first, "sizes", lambda: _sizes(chain(weights)), *others)
    return KEPT.of(first, ("fiedler", degree), lambda: _connectivity(sizes, degree), *others)


KEPT, DRAWN = Kept(), Kept()
"""Of the graph of a network's neurons, and of gradients on minibatches."""


def chain(weights: Mapping[str, Tensor]) -> list[Tensor]:
    """The layers from inputs to outputs, each (inputs, outputs): w and v, or an embedding for each of two places, w1 and v."""
    if "w" in weights:
        return [weights["w"], weights["v"]]
    table = weights["embedding"]
    places = weights["w1"].shape[0] // table.shape[1]
    return [torch.kron(torch.eye(places).to(table), table), weights["w1"], weights["v"]]


def _two_sides(chain: Sequence[np.ndarray]) -> np.ndarray:
    """B, from the neurons of even sets to those of odd ones."""
    sizes = [chain[0].shape[0], *(one.shape[1] for one in chain)]
    start = [sum(sizes[place % 2 : place : 2]) for place in range(len(sizes))]
    out = np.zeros((sum(sizes[::2]), sum(sizes[1::2])))
    for place, one in enumerate(chain):
        even, odd = (place, place + 1) if place % 2 == 0 else (place + 1, place)
        block = one if place % 2 == 0 else one.T
        out[start[even] : start[even] + sizes[even], start[odd] : start[odd] + sizes[odd]] = block
    return out


def _lanczos(b: np.ndarray) -> float | None:
    """λ₂ by Lanczos at a shift; None where it does not come, or another eigenvalue than 0 is below it.

    Nor does it come where a neuron is all but cut off: at a shift below the rounding of L, L − σ is as singular as L.
    """
    small, large = b.sum(axis=1), b.sum(axis=0)
    least = min(small.min(), large.min())
    shift = least * (1 - SHIFT)
    if not shift > 0:
        return None

    apart, n = large - shift, len(small)
    scaled = b / np.sqrt(apart)
    schur = np.diag(small - shift) - scaled @ scaled.T
    factor, pivots, _ = lapack.dgetrf(schur)
    if not factor.diagonal().all():
        return None

    def solve(x: np.ndarray) -> np.ndarray:
        out = np.empty(len(x))
        top = out[:n] = lapack.dgetrs(factor, pivots, x[:n] + b @ (x[n:] / apart))[0]
        np.divide(x[n:] + b.T @ top, apart, out=out[n:])
        return out

    size = sum(b.shape)
    inverse = LinearOperator((size, size), matvec=solve, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    try:
        nearest = shift + 1 / eigsh(inverse, k=2, which="LA", v0=start, return_eigenvectors=False)
    except ArpackError:
        return None
    found = float(nearest.min())
    return found if found > shift and _below_zero(schur) == 1 else None  # of L − σ: the large side's part is positive


def _below_zero(matrix: np.ndarray) -> int:
    """How many eigenvalues of a symmetric matrix are below 0.

    By Sylvester's law as many as D of L D Lᵀ has, whose blocks are pivots and pairs of pivots of one sign each. The eigenvalues
    decide where one may be as near to 0 as `CLEAR`, thousands of roundings: 1/κ₁ = 1/(‖A‖₁ ‖A⁻¹‖₁) is at most |λ|/‖A‖₂.
    """
    factor, pivots, failed = lapack.dsytrf(matrix, lower=1, lwork=64 * len(matrix))
    if failed or not lapack.dsycon(factor, pivots, float(np.abs(matrix).sum(axis=0).max()), lower=1)[0] > CLEAR:
        return int((eigvalsh(matrix) < 0).sum())
    diagonal, paired = factor.diagonal(), pivots < 0  # a block of two has a negative determinant: one eigenvalue of each sign
    return int((diagonal[~paired] < 0).sum()) + int(paired.sum()) // 2


def quantiles(values: Tensor, count: int = 19) -> np.ndarray:
    """(count,) equally spaced inner quantiles of a tensor: 0.05 … 0.95 for 19."""
    levels = np.arange(1, count + 1) / (count + 1)
    out: np.ndarray = np.quantile(values.double().cpu().numpy(), levels)
    return out


def collapsed(logits: Tensor) -> float:
    """Share of samples of which Σ exp(z − max) in float32 is exactly 1: no other class is left in a softmax.

    Source: softmax collapse as Khanh (arXiv 2606.18465) counts it.
    """
    z = logits.float()
    return float(((z - z.amax(dim=1, keepdim=True)).exp().sum(dim=1) == 1).double().mean())


def log_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Log p(y|x) of a softmax, of each sample: (n,) float64."""
    return logits.double().log_softmax(dim=1).gather(1, labels[:, None])[:, 0]


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """The right class's output less the largest other, of each sample: (n,) float64."""
    z = logits.double()
    own = z.gather(1, labels[:, None])
    return own[:, 0] - z.scatter(1, labels[:, None], -math.inf).amax(dim=1)
