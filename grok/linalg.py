"""Products and solves by the fastest routine at hand: oneDNN's products where torch has them, LAPACK's half-work routines
through scipy on a CPU, torch on a GPU.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import blas, lapack
from torch import Tensor


def _has_onednn() -> bool:
    """Whether this torch has oneDNN's product under the name that its compiler uses, and it multiplies."""
    x, y = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
    try:
        return bool(torch.equal(torch.ops.mkldnn._linear_pointwise(x, y, None, "none", [], ""), x @ y.T))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


ONEDNN = _has_onednn()
"""oneDNN's float32 product: on AMD's CPUs it runs 1.1 to 1.7 times as fast as MKL's, which `torch.mm` takes; on others
this was not measured."""


def product(x: Tensor, y: Tensor) -> Tensor:
    """Products x yᵀ of each seed: (S, n, c) and (S, m, c) to (S, n, m)."""
    if x.is_cuda or x.dtype != torch.float32 or not ONEDNN:
        return torch.bmm(x, y.transpose(1, 2))
    out = [torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "") for a, b in zip(x, y, strict=True)]
    return out[0][None] if len(out) == 1 else torch.stack(out)


def upper_gram(x: Tensor) -> Tensor:
    """XᵀX of X (n, K), n and K ≥ 1: (K, K) of which only the upper triangle and the diagonal count.

    On a CPU a symmetric rank-n update does half the work of a product and leaves the lower triangle zero.
    """
    if x.is_cuda:
        return (x.T @ x).triu_()
    syrk = blas.ssyrk if x.dtype == torch.float32 else blas.dsyrk
    if x.stride(1) == 1:
        return torch.from_numpy(syrk(1.0, x.numpy().T, lower=1)).T  # lower in column order is upper in ours
    return torch.from_numpy(syrk(1.0, x.T.numpy().T, trans=1, lower=1)).T


def symmetric(upper: Tensor) -> Tensor:
    """The symmetric matrix with this upper triangle; `upper` is zero below the diagonal."""
    out = upper + upper.T
    out.diagonal().mul_(0.5)
    return out


def cholesky_solve(upper: Tensor, right: Tensor) -> Tensor:
    """A⁻¹ R of a positive definite A, of which the upper triangle is given.

    Args:
        upper: (K, K) float64; what is below the diagonal is not read.
        right: (K, c) float64.

    Returns:
        (K, c) float64.

    Raises:
        LinAlgError: if A is not positive definite to rounding.
    """
    factor, failed = torch.linalg.cholesky_ex(upper, upper=True)
    if int(failed):
        raise np.linalg.LinAlgError(f"matrix must be positive definite, got a pivot ≤ 0 at {int(failed)}. Raise the ridge.")
    if upper.is_cuda:
        return torch.cholesky_solve(right, factor, upper=True)
    solution, _ = lapack.dpotrs(factor.numpy(), right.numpy(), lower=0)  # torch's takes 6 times as long for one column
    return torch.from_numpy(solution)
