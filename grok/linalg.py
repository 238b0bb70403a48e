"""Symmetric products and solves: LAPACK's half-work routines through scipy on a CPU, torch on a GPU."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import blas, lapack
from torch import Tensor


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
        upper: (K, K) float64, rows contiguous; overwritten with the factor on a CPU.
        right: (K, c) float64.

    Returns:
        (K, c) float64.

    Raises:
        LinAlgError: if A is not positive definite to rounding.
    """
    if upper.is_cuda:
        return torch.cholesky_solve(right, torch.linalg.cholesky(upper, upper=True), upper=True)
    factor, failed = lapack.dpotrf(upper.numpy().T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError(f"matrix must be positive definite, got a pivot ≤ 0 at {failed}. Raise the ridge.")
    solution, _ = lapack.dpotrs(factor, right.numpy(), lower=1)
    return torch.from_numpy(solution)
