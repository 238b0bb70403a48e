"""Feature repulsion: the signs of B = (F̃ᵀF̃ + ηI)⁻¹ against the similarity of features, and Theorem 6.

Shapes: n samples, K features. F̃ is F with its column means removed, f̃_j its column j, G = F̃ᵀF̃, of which only the upper
triangle is read. All in float64.

Theorem 6 says sgn B_jl = −sgn(f̃_jᵀ P f̃_l) with P = I − F̃₋(F̃₋ᵀF̃₋ + ηI)⁻¹F̃₋ᵀ, columns j and l left out. By the 2×2 Schur
complement f̃_jᵀ P f̃_l = −B_jl / (B_jj B_ll − B_jl²) with a positive denominator, so the rule holds for every matrix. It is
checked here against a direct solve without j and l. What is empirical is the repulsion `rate`: how often
sgn B_jl = −sgn cos(f̃_j, f̃_l) on the most similar pairs, beside a null of random pairs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from grok.numerics.linalg import PANEL_ROWS, cholesky_solve, symmetric_rows, upper_gram

DEFAULT_RIDGE = 2e-4
"""η of B when the run's weight decay is 0 (G is singular then): that of the papers' grokking condition, so that the two
conditions are measured with one ruler."""
NULL_DRAWS = 10
"""Draws of random pairs; their range is the null's interval."""
PARTNERS = 10
"""Random partners of each random anchor: 200 pairs then need 20 columns of B, not 200."""
THEOREM_SAMPLE = 3
"""Top pairs that Theorem 6 is checked on."""
TIE = 1e-12
"""Cosines closer than this are ties, settled by lexicographic index (review's rebuttal)."""


class Repulsion(NamedTuple):
    """One measurement on the top pairs.

    Attributes:
        rate: share of top pairs with sgn B_jl = −sgn cos(f̃_j, f̃_l).
        null_rate: the same on as many random pairs, mean of `NULL_DRAWS` draws; null_low, null_high: their range.
        theorem6: share of a sample of top pairs that obey Theorem 6, the residual from a direct leave-two-out solve.
        theorem6_error: largest relative difference in that sample between the direct residual and its Schur form.
        published_estimator: the paper's sign match, with its mis-scaled inverse.
        median_cos: median |cos| of the top pairs. positive_share: share of them with cos > 0.
        dead: features with a zero centred column; they are in no pair.
        ridge: η used: the weight decay, or `DEFAULT_RIDGE` at 0, and not less than rounding lets a Cholesky factor bear.
        pairs: (p, 2) int64, j < l, most similar first. cos: (p,) float64, their signed cosines.
    """

    rate: float
    null_rate: float
    null_low: float
    null_high: float
    theorem6: float
    theorem6_error: float
    published_estimator: float
    median_cos: float
    positive_share: float
    dead: int
    ridge: float
    pairs: Tensor
    cos: Tensor

    def metrics(self) -> dict[str, float]:
        """The scalars as `repulsion/<name>`."""
        return {f"repulsion/{k}": float(v) for k, v in self._asdict().items() if k not in ("pairs", "cos")}


class PairError(ValueError):
    """No pair can be measured: too few living features, or features whose products overflow."""


def centred(features: Tensor) -> Tensor:
    """F̃ = F − column means, (n, K) float64; columns constant up to rounding become exactly zero.

    >>> centred(torch.tensor([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    f = features.double()
    out = f - f.mean(dim=0)
    constant = torch.nonzero(f.amax(dim=0) == f.amin(dim=0))[:, 0]
    return out.index_fill_(1, constant, 0.0)


def rank_pairs(gram_matrix: Tensor, count: int, *, signed: bool = False) -> tuple[Tensor, Tensor]:
    """The pairs of living columns with the largest |cos|, ties within 1e-12 by lexicographic index.

    Args:
        gram_matrix: G = F̃ᵀF̃, (K, K) float64.
        count: pairs wanted; fewer are returned if fewer exist.
        signed: take the largest cos > 0 instead; a pair of cos ≤ 0 is then not similar and not returned.

    Returns:
        pairs: (p, 2) int64, j < l, most similar first. cos: (p,) float64, signed.

    Raises:
        PairError: if there is no such pair.

    Source: Xu (arXiv 2605.08119), code (upper triangle by |cos|); ties as the review's rebuttal has them.
    """
    width = len(gram_matrix)
    norms = gram_matrix.diagonal().clamp_min(0).sqrt()
    living = int((norms > 0).sum())
    count = min(count, living * (living - 1) // 2)
    if count == 0:
        raise PairError(f"pairs need at least two living features, got {living}. The network is dead at this epoch.")
    scale = torch.where(norms > 0, 1 / norms, 0.0)
    order = torch.arange(width, device=norms.device)

    def sizes(rows: Tensor) -> Tensor:
        """|cos| of some rows' features with those that come after, 0 elsewhere; of cos > 0 alone where signs count."""
        entries = gram_matrix[rows]
        found = ((entries.clamp_min_(0) if signed else entries.abs_()) * scale).mul_(scale[rows, None])
        return torch.where(order > rows[:, None], found, 0.0)

    largest = torch.cat([sizes(rows).amax(dim=1) for rows in torch.split(order, PANEL_ROWS)])
    # The `count` largest row maxima are entries, so the count-th largest entry is not below the least of them.
    bound = torch.topk(largest, count).values[-1] if count <= width else norms.new_zeros(())
    rows = torch.nonzero(largest >= bound - TIE)[:, 0]
    size = sizes(rows)
    place = torch.nonzero((size >= bound - TIE) & (size > 0))
    values = size[place[:, 0], place[:, 1]].cpu().numpy()
    index = torch.stack((rows[place[:, 0]], place[:, 1]), dim=1).cpu().numpy()
    if signed:
        count = min(count, len(index))
        if count == 0:
            raise PairError("pairs need a cosine above 0, got none. No two features are similar at this epoch.")
    elif len(index) < count:  # some pairs of living features are exactly orthogonal
        alive = norms > 0
        wanted = torch.nonzero(torch.triu(alive[:, None] & alive[None, :], diagonal=1))
        values, index = sizes(order)[wanted[:, 0], wanted[:, 1]].cpu().numpy(), wanted.cpu().numpy()
    index = index[np.argsort(-values, kind="stable")]
    tie_group = np.concatenate(([0], np.cumsum(-np.diff(np.sort(values)[::-1]) > TIE)))
    pairs = torch.from_numpy(index[np.lexsort((index[:, 1], index[:, 0], tie_group))][:count])
    j, l = pairs.to(gram_matrix.device).T
    return pairs, (gram_matrix[j, l] * scale[j] * scale[l]).cpu()


def inverse_columns(gram_matrix: Tensor, ridge: float, columns: Tensor) -> Tensor:
    """Some columns of B = (G + ηI)⁻¹, by one Cholesky factor: 2 K² flops a column, the inverse is never formed.

    Args:
        gram_matrix: G, (K, K) float64; it is lost. ridge: η > 0. columns: (c,) int64, different.

    Returns:
        (K, c) float64.
    """
    gram_matrix.diagonal().add_(ridge)
    unit = gram_matrix.new_zeros(len(gram_matrix), len(columns))
    unit[columns, torch.arange(len(columns), device=columns.device)] = 1.0
    return cholesky_solve(gram_matrix, unit)


def null_pairs(living: Tensor, count: int, generator: np.random.Generator) -> Tensor:
    """`NULL_DRAWS` draws of `count` random pairs of living features: (draws, count, 2) int64.

    Each draw takes its own random anchors and gives each `PARTNERS` random partners, so that a draw costs
    count / PARTNERS columns of B.
    """
    draws = []
    for _ in range(NULL_DRAWS):
        anchors = generator.integers(0, len(living), -(-count // PARTNERS)).repeat(PARTNERS)[:count]
        others = (anchors + generator.integers(1, len(living), count)) % len(living)
        draws.append(np.stack((anchors, others), axis=1))
    return living[torch.from_numpy(np.stack(draws))]


def schur_residual(b_jl: Tensor, b_jj: Tensor, b_ll: Tensor) -> Tensor:
    """f̃_jᵀ P_{η,−jl} f̃_l = −B_jl / (B_jj B_ll − B_jl²), elementwise."""
    return -b_jl / (b_jj * b_ll - b_jl.square())


def direct_residuals(centred_features: Tensor, ridge: float, pairs: Tensor) -> Tensor:
    """f̃_jᵀ P_{η,−jl} f̃_l by a solve with the two columns left out; B takes no part.

        P = η (F̃₋F̃₋ᵀ + ηI)⁻¹,  F̃₋F̃₋ᵀ = F̃F̃ᵀ − f̃_j f̃_jᵀ − f̃_l f̃_lᵀ

    The n×n form itself has no cancellation; I − F̃₋(…)⁻¹F̃₋ᵀ would lose the small residual to rounding.

    One Cholesky factor serves all pairs: that of A = F̃₋F̃₋ᵀ + ηI with the columns C of every pair left out. For a pair
    the columns o of the others come back by Woodbury, with S = CᵀA⁻¹C:

        f̃_jᵀ(A + C_oC_oᵀ)⁻¹f̃_l = S_jl − S_jo (I + S_oo)⁻¹ S_ol

    This difference cancels where a column of one pair nearly repeats one of another: then some ε‖f̃‖²/η of the residual is
    rounding, where a factor for each pair would keep all digits.

    Args:
        centred_features: F̃, (n, K) float64. ridge: η > 0. pairs: (p, 2) int64.

    Returns:
        (p,) float64.
    """
    columns, place = torch.unique(pairs, return_inverse=True)
    left_out = centred_features[:, columns]
    kernel = upper_gram(centred_features.T).addmm_(left_out, left_out.T, alpha=-1)
    kernel.diagonal().add_(ridge)
    s = (left_out.T @ cholesky_solve(kernel, left_out)).cpu()  # of as many rows as the pairs have columns
    out = []
    for pair in place.cpu():
        others = torch.ones(len(columns), dtype=torch.bool)
        others[pair] = False
        inner = s[others][:, others]
        inner.diagonal().add_(1.0)
        j, l = s[pair]
        out.append(ridge * (j[pair[1]] - j[others] @ torch.linalg.solve(inner, l[others])))
    return torch.stack(out).to(centred_features.device)


def published_residual(squared_jl: Tensor, g_jl: Tensor, b_jl: Tensor, ridge: float) -> Tensor:
    """f̃_jᵀ(I − F̃ B_pub F̃ᵀ)f̃_l with the paper's B_pub = I/η − F̃ᵀ(F̃F̃ᵀ + ηI)⁻¹F̃/η², in closed form, elementwise.

        = (G²)_jl (1/η² − 1/η) + G_jl (1 − 1/η) − η B_jl   for j ≠ l

    The correct Woodbury form is B = (I − F̃ᵀ(F̃F̃ᵀ + ηI)⁻¹F̃)/η, and B_jl is of it.
    """
    return squared_jl * (1 / ridge**2 - 1 / ridge) + g_jl * (1 - 1 / ridge) - ridge * b_jl


def squared_gram(gram_matrix: Tensor, pairs: Tensor) -> Tensor:
    """(G²)_jl of some pairs: (K, K) and (p, 2) to (p,)."""
    rows_j, rows_l = (symmetric_rows(gram_matrix, column) for column in pairs.T)
    return (rows_j * rows_l).sum(dim=1)


def gram_entries(gram_matrix: Tensor, pairs: Tensor) -> Tensor:
    """G_jl of some pairs: (K, K) and (p, 2) to (p,)."""
    return gram_matrix[pairs.amin(dim=1), pairs.amax(dim=1)]


def measure_repulsion(
    features: Tensor, weight_decay: float, top_pairs: int, seed: int, pairs: Tensor | None = None
) -> Repulsion:
    """Measure repulsion, its null and Theorem 6 on one set of features.

    Args:
        features: F, (n, K), raw.
        weight_decay: η ≥ 0; at 0 `DEFAULT_RIDGE` regularises.
        top_pairs: pairs to rank, ≥ 1.
        seed: of the random pairs and of the Theorem 6 sample.
        pairs: (p, 2) int64 chosen earlier, in place of a ranking now; those of a feature that has died are left out.

    Returns:
        The measurement; its pairs and cosines on the CPU.

    Raises:
        PairError: if fewer than two features live, or their products overflow.

    Source: Xu (arXiv 2605.08119) §4, Theorem 6; rate, null and direct check are ours.
    """
    f = centred(features)
    g = upper_gram(f)
    if not bool(torch.isfinite(g.sum())):  # one pass; a sum of finite products overflows only where they nearly do
        raise PairError("features must have finite products, got an overflow. The network is about to diverge.")
    # Below about max(n, K) ε tr G a singular G + ηI has no Cholesky factor in float64.
    resolved = max(f.shape) * torch.finfo(g.dtype).eps * float(g.diagonal().sum())
    ridge = max(weight_decay if weight_decay > 0 else DEFAULT_RIDGE, resolved)
    living = (g.diagonal() > 0).cpu()
    alive = torch.nonzero(living).flatten()
    if pairs is None:
        pairs, cos = rank_pairs(g, top_pairs)
    else:
        pairs = pairs[living[pairs].all(dim=1)]
        if len(pairs) == 0:
            raise PairError("pairs need two living features, got none of those chosen. The network is dead at this epoch.")
        scale = g.diagonal().clamp_min(1e-300).sqrt()
        on_device = pairs.to(g.device)
        cos = (gram_entries(g, on_device) / scale[on_device[:, 0]] / scale[on_device[:, 1]]).cpu()
    count = len(pairs)
    generator = np.random.default_rng([seed, 6])
    null = null_pairs(alive, count, generator)
    sample = pairs[np.sort(generator.choice(count, min(THEOREM_SAMPLE, count), replace=False))]

    everything = torch.cat((pairs, null.flatten(0, 1), sample)).to(g.device)
    j, l = everything[:, 0], everything[:, 1]
    columns, place = torch.unique(torch.cat((j, sample[:, 1].to(g.device))), return_inverse=True)
    g_jl, squared_jl = gram_entries(g, everything), squared_gram(g, everything[:count])
    b = inverse_columns(g, ridge, columns)
    b_jl = b[l, place[: len(j)]]
    repels = (torch.sign(b_jl) * torch.sign(g_jl) < 0).double().cpu()  # a sign of 0 is a tie, never an agreement
    null_rates = repels[count : len(j) - len(sample)].view(NULL_DRAWS, count).mean(dim=1)

    tested = everything[-len(sample) :]
    b_jj, b_ll = (b.gather(0, columns[None, :])[0][p] for p in (place[len(j) - len(sample) : len(j)], place[len(j) :]))
    direct = direct_residuals(f, ridge, tested)
    schur = schur_residual(b_jl[-len(sample) :], b_jj, b_ll)
    zero = TIE / (b_jj * b_ll).sqrt()  # residuals below this are rounding: orthogonal features
    both_zero = (direct.abs() <= zero) & (schur.abs() <= zero)
    obeys = (torch.sign(b_jl[-len(sample) :]) == -torch.sign(direct)) | both_zero
    error = torch.where(both_zero, (direct - schur).abs() / zero * TIE, (direct - schur).abs() / schur.abs())
    published = published_residual(squared_jl, g_jl[:count], b_jl[:count], ridge)
    return Repulsion(
        rate=float(repels[:count].mean()),
        null_rate=float(null_rates.mean()),
        null_low=float(null_rates.min()),
        null_high=float(null_rates.max()),
        theorem6=float(obeys.double().mean()),
        theorem6_error=float(error.max()),
        published_estimator=float((torch.sign(b_jl[:count]) * torch.sign(published) < 0).double().mean()),
        median_cos=float(cos.abs().quantile(0.5)),
        positive_share=float((cos > 0).double().mean()),
        dead=int(features.shape[1] - len(alive)),
        ridge=ridge,
        pairs=pairs,
        cos=cos,
    )
