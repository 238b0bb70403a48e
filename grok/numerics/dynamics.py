"""Dynamics and structure: residual of a Hankel DMD, commutator of minibatch gradients, connectivity of the weight graph."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import eigh
from torch import Tensor

LEAST_ROWS = 12
"""Rows before which a window says nothing: two delay stacks and two."""
TINY = 1e-12
"""Added to the commutator's denominator, as its author does."""
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
    found = []
    for a, b, b_after, a_after, hb, ha in gradients.double():
        apart = hb - ha if hessian else ((b_after - b) - (a_after - a)) / step
        found.append(float(apart.norm() / (a.norm() * b.norm() + TINY)))
    return float(np.median(found))


def connectivity(w: Tensor, v: Tensor, *, degree: bool = False) -> float:
    """The Fiedler value of the graph of neurons: λ₂ of L = D − A with |w_ij| as edge weights.

    Args:
        w: (I, K), from inputs to hidden. v: (K, M), from hidden to outputs.
        degree: the smallest degree of a hidden neuron instead, Σ_i |w_ij| + Σ_c |v_jc|, which λ₂ is close to in wide networks.

    Returns:
        λ₂ ≥ 0; NaN where a weight is not finite.

    Source: Benfield, public code on structural topology monitoring; subject to a patent application (GB2611542.8).
    """
    a, b = w.abs().double().cpu().numpy(), v.abs().double().cpu().numpy()
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return math.nan
    hidden = a.sum(axis=0) + b.sum(axis=1)
    if degree:
        return float(hidden.min())
    inputs, width = a.shape
    laplacian = np.diag(np.concatenate((a.sum(axis=1), hidden, b.sum(axis=0))))
    middle = slice(inputs, inputs + width)
    laplacian[:inputs, middle], laplacian[middle, :inputs] = -a, -a.T
    laplacian[middle, inputs + width :], laplacian[inputs + width :, middle] = -b, -b.T
    return float(max(eigh(laplacian, eigvals_only=True, subset_by_index=[1, 1])[0], 0.0))


def quantiles(values: Tensor, count: int = 19) -> np.ndarray:
    """(count,) equally spaced inner quantiles of a tensor: 0.05 … 0.95 for 19."""
    levels = np.arange(1, count + 1) / (count + 1)
    out: np.ndarray = np.quantile(values.double().cpu().numpy(), levels)
    return out


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """The right class's output less the largest other, of each sample: (n,) float64."""
    z = logits.double()
    own = z.gather(1, labels[:, None])
    return own[:, 0] - z.scatter(1, labels[:, None], -math.inf).amax(dim=1)
