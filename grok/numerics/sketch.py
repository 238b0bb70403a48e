"""Seeded sketches of vectors of many parameters: linear maps S to m numbers that nearly keep inner products.

S is linear, so the sketch of an update is the difference of two sketches of the weights, S(θ_t − θ_{t−1}) = Sθ_t − Sθ_{t−1}:
no second copy of the weights is needed. Shapes: P parameters, m numbers of a sketch, w updates in a window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

RUN = 1 << 16
"""Parameters that share one shift of `CountSketch`: one fused multiply-add, and they nearly stay in the cache."""
RUNS_AT_ONCE = 64
"""Runs that a device other than the CPU adds at a time: there it is each call that costs, and not the cache that is left."""
RADIX = 64
"""Order of the Hadamard matrices that `SRHT` multiplies by."""


def sketch_error(window: int, width: int) -> float:
    """Relative error ε of the eigenvalues of a window's Gram that comes of a sketch of so many numbers.

        λ_k(Δᵀ Sᵀ S Δ) / λ_k(ΔᵀΔ) ∈ [(1 − √(w/m))², (1 + √(w/m))²],  ε = 2 √(w/m) + w/m

    the edges of the spectrum of a Gaussian sketch's Gram of w orthonormal vectors; relative for every k, the small ones
    too, as S is applied to the whole span of Δ. It is an edge for w, m → ∞, not a bound that holds for sure. A ratio of two
    eigenvalues is off by up to 2ε / (1 − ε). Sums must be in float64: the rounding of sums of weights in float32 is as large
    as the small eigenvalues of their updates.

    Args:
        window: w. width: m > w.

    Source: Marčenko and Pastur (Math. USSR Sb. 1, 1967); Woodruff (arXiv 1411.4357) §2 for embeddings of subspaces.

    Example:
        >>> round(sketch_error(window=20, width=131072), 4)
        0.0249
    """
    share = window / width
    return 2 * math.sqrt(share) + share


class CountSketch:
    """Each parameter goes to one of m sums with a random sign.

        (Sx)_b = Σ_{i: h(i) = b} σ(i) x_i,  E⟨Sx, Sy⟩ = ⟨x, y⟩

    h and σ are drawn for runs of consecutive parameters at a time: a run has its shift k and its place o in a table of signs,
    h(i) = (i + k) mod m, σ(i) = table[i + o]. Parameters of one run never meet, those of two runs meet with probability
    1/m, and nothing of the size of P is kept.

    Args:
        sizes: of the tensors that make up a vector, in order; of any dtype, the sums are in float64.
        width: m. seed: of the shifts and signs. device: of the tensors.

    Source: Charikar, Chen and Farach-Colton (ICALP 2002); Clarkson and Woodruff (arXiv 1207.6365) for subspaces. The runs are
    ours: a scatter of each parameter takes several times as long, and an index as large as the weights.

    Example: a sketch is linear.
        >>> sketch = CountSketch([3], width=8, seed=0)
        >>> x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 1.0, -1.0])
        >>> bool(torch.equal(sketch([x + y]), sketch([x]) + sketch([y])))
        True
    """

    def __init__(
        self,
        sizes: Sequence[int],
        width: int,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.width, self.run = width, min(RUN, width)
        rng = np.random.default_rng([seed, width])
        signs = rng.integers(0, 2, size=width + self.run) * 2 - 1
        self.signs = torch.from_numpy(signs).to(device, torch.float64)
        runs = [-(-size // self.run) for size in sizes]
        self.shifts = [rng.integers(0, width, size=count).tolist() for count in runs]
        self.places = [rng.integers(0, width, size=count).tolist() for count in runs]
        self._part = torch.empty(self.run, dtype=torch.float64, device=device)
        self.at_once = 1 if torch.device(device).type == "cpu" else RUNS_AT_ONCE
        self._drawn = {name: [torch.tensor(of, device=device) for of in getattr(self, name)] for name in ("shifts", "places")}
        self._within = torch.arange(self.run, device=device)

    def __call__(self, tensors: Iterable[Tensor]) -> Tensor:
        """(m,) float64: the sketch of a vector, its parts being flat tensors of the sizes that were named."""
        whole, size = torch.zeros_like(self.signs), self.run
        for number, (tensor, shifts, places) in enumerate(zip(tensors, self.shifts, self.places, strict=True)):
            full = len(tensor) // size if self.at_once > 1 else 0
            for first in range(0, full, self.at_once):
                last = min(first + self.at_once, full)
                self._add(whole, tensor[first * size : last * size].view(-1, size), number, slice(first, last))
            for run, (shift, place) in enumerate(zip(shifts[full:], places[full:], strict=True), start=full):
                part = tensor[run * size : (run + 1) * size]
                exact = self._part[: len(part)].copy_(part)
                whole[shift : shift + len(part)].addcmul_(exact, self.signs[place : place + len(part)])
        whole[: self.run] += whole[self.width :]
        return whole[: self.width].clone()

    def _add(self, whole: Tensor, rows: Tensor, tensor: int, runs: slice) -> None:
        """Add whole runs, (R, run): each is laid into a row of its own, no two to one place, and rows are summed in order."""
        length = len(whole)
        signs = self.signs[self._drawn["places"][tensor][runs, None] + self._within]
        first = torch.arange(0, len(rows) * length, length, device=whole.device) + self._drawn["shifts"][tensor][runs]
        laid = torch.zeros(len(rows) * length, dtype=torch.float64, device=whole.device)
        laid.scatter_(0, (first[:, None] + self._within).flatten(), (rows * signs).flatten())
        whole += laid.view(-1, length).sum(dim=0)


class SRHT:
    """A subsampled randomised Hadamard transform: S = √(N/m) R H D, N the power of two that P is filled up to.

    D flips signs, H is the orthonormal Hadamard matrix, R takes m of the N entries. H is a Kronecker product of 64 × 64
    matrices, so each factor is one matrix product. Kept to be compared with `CountSketch`, which is faster by far and needs no
    copy of the vector: here each sketch makes two of N < 2 P entries in float64, and P signs are kept.

    Args:
        sizes, width, seed, device: as `CountSketch` has them.

    Source: Ailon and Chazelle (SIAM J. Comput. 39, 2009); Tropp (arXiv 1011.1595).

    Example: where nothing is left out, inner products are kept.
        >>> x = torch.arange(64.0)
        >>> transformed = SRHT([64], width=64, seed=0)([x])
        >>> abs(float(transformed @ transformed) / float(x @ x) - 1) < 1e-6
        True
    """

    def __init__(
        self,
        sizes: Sequence[int],
        width: int,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.width, self.sizes = width, list(sizes)
        total = sum(sizes)
        self.lengths = []  # each tensor's share of N: the factors 64, and one smaller power of two
        self.length = length = padded(max(total, width))
        while length > 1:
            self.lengths.append(min(RADIX, length))
            length //= self.lengths[-1]
        rng = np.random.default_rng([seed, width])
        self.signs = torch.from_numpy(rng.integers(0, 2, size=total, dtype=np.int8) * 2 - 1).to(device)
        self.rows = torch.from_numpy(rng.choice(self.length, size=width, replace=False)).to(device)
        self.device = torch.device(device)
        self.matrices = {size: _hadamard(size).to(device) for size in set(self.lengths)}

    def __call__(self, tensors: Iterable[Tensor]) -> Tensor:
        """(m,) float64: the sketch of a vector, its parts being flat tensors of the sizes that were named."""
        vector = torch.zeros(self.length, dtype=torch.float64, device=self.device)
        start = 0
        for tensor, size in zip(tensors, self.sizes, strict=True):
            vector[start : start + size].copy_(tensor).mul_(self.signs[start : start + size])
            start += size
        for size in self.lengths:  # the last axis is transformed and moved to the front, so that each has its turn
            vector = vector.view(-1, size) @ self.matrices[size]  # a line of its own: two vectors are held, not three
            vector = vector.T.contiguous()
        return vector.view(-1)[self.rows] * math.sqrt(self.length / self.width)


def _hadamard(size: int) -> Tensor:
    """The orthonormal Hadamard matrix of a power of two."""
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < size:
        matrix = torch.cat((torch.cat((matrix, matrix), 1), torch.cat((matrix, -matrix), 1)))
    return matrix / math.sqrt(size)


def padded(size: int) -> int:
    """The lowest power of two ≥ size: N of `SRHT`."""
    return 1 << max(0, size - 1).bit_length()


def momentary(kind: str, size: int, width: int, device: torch.device | str = "cpu") -> int:
    """Bytes that a sketch of P numbers takes for as long as it is made, at most, beside those that are kept.

    `SRHT` has two vectors of N float64 numbers. `CountSketch` has next to nothing on the CPU; on another device the runs that
    are added at a time, each in a row of m + run, with their signs, places, and products in up to four more of the run.

    Args:
        kind: of `SKETCHES`. size: P. width: m. device: of the vector.
    """
    if kind == "srht":
        return 2 * 8 * padded(max(size, width))
    run = min(RUN, width)
    rows = 0 if torch.device(device).type == "cpu" else min(RUNS_AT_ONCE, size // run)
    return rows * 8 * (width + run + 4 * run)


SKETCHES: dict[str, type[CountSketch] | type[SRHT]] = {"count": CountSketch, "srht": SRHT}
"""By name."""
