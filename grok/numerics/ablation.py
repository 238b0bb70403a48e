"""Taking a direction out of weights, and what else takes as much out: controls that tell a direction from a norm.

Shapes: p weights, k orthonormal directions as rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

DRAWS = 20
"""Of each random control (Xu, arXiv 2604.07380, its code: 20)."""


class Removal(NamedTuple):
    """Weights after something was taken out.

    Attributes:
        name: of what. theta: (p,) what is left. share: ‖θ − left‖ / ‖θ‖, the displacement. residual: ‖left‖ / ‖θ‖.
    """

    name: str
    theta: Tensor
    share: float
    residual: float


def top_directions(changes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The leading right singular vectors of a window, by its Gram: v_k = Xᵀ u_k / σ_k.

    Args:
        changes: X, (W, p). count: k ≤ W.

    Returns:
        Directions (k, p) float64, orthonormal, and σ (k,) float64, descending.
    """
    x = changes.double()
    values, vectors = torch.linalg.eigh(x @ x.T)
    values, vectors = values.flip(0)[:count].clamp(min=0), vectors.flip(1)[:, :count]
    sigma = values.sqrt()
    return vectors.T @ x / sigma.clamp(min=torch.finfo(torch.float64).tiny)[:, None], sigma


def project_out(theta: Tensor, directions: Tensor) -> Tensor:
    """θ − Σ ⟨θ, v_k⟩ v_k."""
    return theta - directions.T @ (directions @ theta)


def random_directions(count: int, size: int, generator: torch.Generator) -> Tensor:
    """(count, size) float64, Gaussian and then orthonormal."""
    drawn = torch.randn(size, count, generator=generator, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(drawn).Q
    return basis.T


def removals(theta: Tensor, plane: Tensor, seed: int = 0, draws: int = DRAWS) -> Iterator[Removal]:
    """The weights without a plane, and without what matches it.

    With f = ‖Pθ‖ / ‖θ‖ and r random of unit length:

    - `edge`: θ − Pθ, as published
    - `random_plane`: θ − P_r θ, the published control; takes out √(2/p) ‖θ‖
    - `isotropic`: θ − f ‖θ‖ r, as far away in a random direction
    - `radial_displacement`: (1 − f) θ, and `radial_residual`: √(1 − f²) θ: as far, or as short, and no direction is lost
    - `angle_matched`: θ − ⟨θ, u⟩ u with u = f θ̂ + √(1 − f²) r, r ⊥ θ: as far, as short and as much turned
    - `zero`: nothing is left

    Args:
        theta: (p,) float64. plane: (k, p) float64, orthonormal rows. seed: of r. draws: of each random one.

    Source: edge and random_plane, Xu (arXiv 2604.07380), its code; the others are ours.
    """
    generator, norm = torch.Generator().manual_seed(seed), theta.norm()
    unit = theta / norm
    left = project_out(theta, plane)
    share = float((theta - left).norm() / norm)

    def of(name: str, weights: Tensor) -> Removal:
        return Removal(name, weights, float((theta - weights).norm() / norm), float(weights.norm() / norm))

    yield of("edge", left)
    yield of("radial_displacement", (1 - share) * theta)
    yield of("radial_residual", max(1 - share**2, 0.0) ** 0.5 * theta)
    yield of("zero", torch.zeros_like(theta))
    for _ in range(draws):
        yield of("random_plane", project_out(theta, random_directions(len(plane), len(theta), generator)))
        drawn = random_directions(1, len(theta), generator)[0]
        yield of("isotropic", theta - share * norm * drawn)
        across = drawn - (drawn @ unit) * unit
        u = share * unit + max(1 - share**2, 0.0) ** 0.5 * across / across.norm()
        yield of("angle_matched", project_out(theta, u[None]))


def displacements(theta: Tensor, direction: Tensor, points: int = 21) -> Tensor:
    """Displacements along v from −|⟨θ, v⟩| to +|⟨θ, v⟩|, in units of θ: −⟨θ, v⟩ is the ablation of v.

    Returns:
        (points,) float64, with 0 in the middle; evenly spaced.
    """
    reach = float((theta @ direction).abs())
    half = torch.linspace(0, reach, points // 2 + 1, dtype=torch.float64)
    return torch.cat((-half[1:].flip(0), half))


def curvature(loss: Callable[[Tensor], Tensor], theta: Tensor, direction: Tensor) -> float:
    """vᵀ H v by a Hessian-vector product, exact up to rounding.

    Args:
        loss: of θ, differentiable twice. theta: (p,) float64. direction: v, (p,) float64.

    Example: the loss 3 a² + b² along (0, 1).
        >>> scale = torch.tensor([3.0, 1.0], dtype=torch.float64)
        >>> curvature(lambda t: (scale * t**2).sum(), torch.ones(2).double(), torch.tensor([0.0, 1.0]).double())
        2.0
    """
    return float(torch.dot(hessian_vector(loss, theta, direction), direction))


def curvatures(loss: Callable[[Tensor], Tensor], theta: Tensor, directions: Tensor) -> tuple[Tensor, list[float]]:
    """∇L and vᵀ H v of several directions, with one gradient for all.

    Args:
        loss: of θ, differentiable twice. theta: (p,) float64. directions: (k, p) float64.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fast kernels of attention have no second derivative
        at = theta.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(at), at, create_graph=True)
        products = [torch.autograd.grad(torch.dot(gradient, v), at, retain_graph=True)[0] for v in directions]
    return gradient.detach(), [float(torch.dot(hv, v)) for hv, v in zip(products, directions, strict=True)]


def hessian_vector(loss: Callable[[Tensor], Tensor], theta: Tensor, direction: Tensor) -> Tensor:
    """H v, (p,) float64: the gradient of ⟨∇L, v⟩."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fast kernels of attention have no second derivative
        at = theta.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(at), at, create_graph=True)
        (product,) = torch.autograd.grad(torch.dot(gradient, direction), at)
    return product.detach()


def gradient_of(loss: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    """∇L, (p,)."""
    with torch.enable_grad():
        at = theta.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(at), at)
    return gradient.detach()


def finite_difference(loss: Callable[[Tensor], Tensor], theta: Tensor, direction: Tensor, step: float) -> float:
    """[L(θ + εv) + L(θ − εv) − 2 L(θ)] / ε², the published estimate of vᵀ H v.

    Source: Xu (arXiv 2604.07380), its code, in float32 with ε = 0.001 ‖θ‖: its rounding is of the order of eps · L / ε².
    """
    with torch.no_grad():
        ends = [float(loss(theta + sign * step * direction)) for sign in (1.0, -1.0)]
        return (ends[0] + ends[1] - 2 * float(loss(theta))) / step**2
