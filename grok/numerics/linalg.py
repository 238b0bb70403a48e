"""Products and solves by the fastest routine at hand: oneDNN's products where torch has them, LAPACK's half-work routines
through scipy on a CPU, torch on a GPU. `products_of` asks for one library's products, so that their bits can be named.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np
import torch
from scipy.linalg import blas, lapack
from torch import Tensor

from grok.numerics import placement


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


_library: ContextVar[str | None] = ContextVar("library", default=None)


@contextlib.contextmanager
def products_of(library: str | None) -> Iterator[None]:
    """Within it `product` takes on a CPU the products of `onednn` or of `mkl`, seed by seed; of the fastest where None.

    One matrix product at a time makes the bits of a seed those that it has alone.
    """
    before = _library.set(library)
    try:
        yield
    finally:
        _library.reset(before)


def has_library(library: str) -> bool:
    """Whether this torch multiplies with it.

    Example:
        >>> has_library("no such library")
        False
    """
    return {"onednn": ONEDNN, "mkl": bool(torch.backends.mkl.is_available())}.get(library, False)  # type: ignore[no-untyped-call]


def fastest_library(dtype: torch.dtype, device: torch.device) -> str:
    """What `product` takes unless it is asked for another: `onednn`, `mkl`, `blas` (another one), or the type of a GPU."""
    if device.type != "cpu":
        return device.type
    if dtype == torch.float32 and ONEDNN:
        return "onednn"
    return "mkl" if has_library("mkl") else "blas"


def product(x: Tensor, y: Tensor) -> Tensor:
    """Products x yᵀ of each seed: (S, n, c) and (S, m, c) to (S, n, m).

    Example:
        >>> product(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])).tolist()
        [[[11.0, 2.0]]]
    """
    library = _library.get()
    if library == "mkl":
        out = [torch.mm(a, b.T) for a, b in zip(x, y, strict=True)]
    elif placement.on_gpu(x) or x.dtype != torch.float32 or not ONEDNN:
        return torch.bmm(x, y.transpose(1, 2))
    else:
        pairs = ((_dense(a), _dense(b)) for a, b in zip(x, y, strict=True))
        out = [torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "") for a, b in pairs]
    return out[0][None] if len(out) == 1 else torch.stack(out)


def _dense(matrix: Tensor) -> Tensor:
    """The matrix if its rows or its columns follow each other without a gap, else a copy.

    On a slice of a transpose oneDNN falls back to a loop that takes a thousand times as long.
    """
    rows, columns = matrix.shape
    return matrix if matrix.stride() in ((columns, 1), (1, rows)) else matrix.contiguous()


def upper_gram(x: Tensor) -> Tensor:
    """XᵀX of X (n, K), n and K ≥ 1: (K, K) of which only the upper triangle and the diagonal count.

    On a CPU a symmetric rank-n update does half the work of a product and leaves the lower triangle zero.
    """
    if placement.on_gpu(x):
        return (x.T @ x).triu_()
    syrk = blas.ssyrk if x.dtype == torch.float32 else blas.dsyrk
    if x.stride(1) == 1:
        return torch.from_numpy(syrk(1.0, x.numpy().T, lower=1)).T  # lower in column order is upper in ours
    return torch.from_numpy(syrk(1.0, x.T.numpy().T, trans=1, lower=1)).T


PANEL_ROWS = 256
"""Rows of a Gram at a time on a CPU: 2 MiB at 2048 columns, read again while they are in the cache."""


def gram_panels(x: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of X Xᵀ from the diagonal on, some at a time, for sums over a Gram that need not be stored.

    Half the work of the whole product; threads of torch alone take part, where `upper_gram` has BLAS's as well.

    Args:
        x: (n, c), contiguous.

    Yields:
        The rows, and (rows, n − first row): the products of these rows of X with all from the first of them on.
    """
    step = len(x) if placement.on_gpu(x) else PANEL_ROWS
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        yield rows, product(x[None, rows], x[None, start:])[0]


def symmetric(upper: Tensor) -> Tensor:
    """The symmetric matrix with this upper triangle, written over it.

    Strip by strip: in a sum with its transpose each cache line of that would be fetched eight times.

    Args:
        upper: (K, K), zero below the diagonal.

    Example:
        >>> symmetric(torch.tensor([[1.0, 2.0], [0.0, 3.0]])).tolist()
        [[1.0, 2.0], [2.0, 3.0]]
    """
    for start in range(0, len(upper), STRIP):
        rows, after = slice(start, start + STRIP), slice(start + STRIP, None)
        upper[rows, rows] += torch.triu(upper[rows, rows], 1).T
        upper[after, rows] = upper[rows, after].T
    return upper


STRIP = 64
"""Rows that are mirrored at a time; from 32 to 256 they cost the same."""


def symmetric_rows(upper: Tensor, rows: Tensor) -> Tensor:
    """Rows of the symmetric matrix with this upper triangle; what is below the diagonal is not read.

    Args:
        upper: (K, K). rows: (r,) int64.

    Returns:
        (r, K).
    """
    right = torch.arange(len(upper), device=upper.device) >= rows[:, None]
    return torch.where(right, upper[rows], upper[:, rows].T)


def cholesky_solve(upper: Tensor, right: Tensor) -> Tensor:
    """A⁻¹ R of a positive definite A, of which the upper triangle is given; `upper` is lost.

    Args:
        upper: (K, K) float64, contiguous; what is below the diagonal is not read. On a CPU its factor is written over it.
        right: (K, c) float64.

    Returns:
        (K, c) float64.

    Raises:
        LinAlgError: if A is not positive definite to rounding.

    Example:
        >>> a, right = torch.tensor([[4.0, 0.0], [0.0, 2.0]]).double(), torch.tensor([[8.0], [1.0]]).double()
        >>> cholesky_solve(a, right).round(decimals=12).tolist()
        [[2.0], [0.5]]
    """
    gpu = placement.on_gpu(upper)
    if gpu:
        factor, pivot = torch.linalg.cholesky_ex(upper, upper=True)
        failed = int(pivot)
    else:  # upper in our order is lower in LAPACK's
        factor, failed = lapack.dpotrf(upper.numpy().T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError(f"matrix must be positive definite, got a pivot ≤ 0 at {failed}. Raise the ridge.")
    if gpu:
        return torch.cholesky_solve(right, factor, upper=True)
    solution, _ = lapack.dpotrs(factor, right.numpy(), lower=1)
    return torch.from_numpy(solution)
