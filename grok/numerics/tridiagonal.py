"""All eigenvalues of a symmetric matrix and eigenvectors of the largest few, for the price of the first.

Nine tenths of the work is to bring the matrix to tridiagonal form; both are read off it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal, eigvalsh_tridiagonal, lapack


class Tridiagonal(NamedTuple):
    """A = Q T Qᵀ with a tridiagonal T.

    Attributes:
        diagonal: (N,). beside: (N − 1,). reflectors, scales: of Q as LAPACK's dsytrd leaves them.
    """

    diagonal: np.ndarray
    beside: np.ndarray
    reflectors: np.ndarray
    scales: np.ndarray


def tridiagonal(matrix: np.ndarray) -> Tridiagonal:
    """Of a symmetric matrix, (N, N) float64, by Householder reflections; in column order it takes one copy less."""
    work = int(lapack.dsytrd_lwork(len(matrix), lower=1)[0])
    reflectors, diagonal, beside, scales, info = lapack.dsytrd(matrix, lower=1, lwork=work)
    if info:
        raise ValueError(f"dsytrd must take its arguments, got info {info}. Check the shape of the matrix.")
    return Tridiagonal(diagonal, beside, reflectors, scales)


def all_eigenvalues(form: Tridiagonal) -> np.ndarray:
    """(N,), ascending."""
    out: np.ndarray = eigvalsh_tridiagonal(form.diagonal, form.beside, lapack_driver="sterf")
    return out


def top_eigenvectors(form: Tridiagonal, count: int) -> np.ndarray:
    """(N, count): of the largest eigenvalues, ascending as these."""
    n = len(form.diagonal)
    vectors = eigh_tridiagonal(form.diagonal, form.beside, select="i", select_range=(n - count, n - 1))[1]
    if n > 1:  # Q is 1 and the reflections of a QR factorisation side by side
        below = np.asfortranarray(vectors[1:])
        # each column from its second entry on, N apart as they stand: the slice [1:, :-1] would be copied, 33 MB at N = 2048
        columns = form.reflectors.ravel(order="K")[1 : 1 + n * (n - 1)].reshape(n, n - 1, order="F")
        work = int(lapack.dormqr("L", "N", columns, form.scales, below, -1)[1][0])
        vectors[1:] = lapack.dormqr("L", "N", columns, form.scales, below, work, overwrite_c=1)[0]
    return np.asarray(vectors)
