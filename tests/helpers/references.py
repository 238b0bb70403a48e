"""Slow, obvious versions of what the library computes cleverly: the oracles of the tests.

Nothing here shares code with the library. Shapes: n samples, M modulus, K width, T updates, w window, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
import threadpoolctl
import torch
from torch import Tensor, nn

EPS = float(np.finfo(np.float64).eps)

SIGMA: dict[str, Callable[[Tensor], Tensor]] = {
    "square": lambda h: h**2,
    "relu": torch.relu,
    "abs": torch.abs,
    "cube": lambda h: h**3,
    "relu2": lambda h: torch.relu(h) ** 2,
    "gelu": lambda h: 0.5 * h * (1 + torch.erf(h / 2**0.5)),
    "silu": lambda h: h / (1 + torch.exp(-h)),
    "tanh": lambda h: 2 / (1 + torch.exp(-2 * h)) - 1,
    "sigmoid": lambda h: 1 / (1 + torch.exp(-h)),
}


def identity(h: Tensor) -> Tensor:
    """An activation of someone's own that hands back its very argument."""
    return h


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors are slower on several threads, and reduction orders stay put on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
    torch.set_num_threads(threads)


# ---- network and loss ------------------------------------------------------------------------------------------------


def one_hots(pairs: Tensor, modulus: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """(n, 2M): the one-hot of a beside the one-hot of b."""
    return torch.cat([nn.functional.one_hot(pairs[:, i], modulus) for i in (0, 1)], dim=1).to(dtype)


def protocol_loss(output: Tensor, labels: Tensor) -> Tensor:
    """mean_i ‖o_i − mean(o_i) − (onehot(y_i) − 1/M)‖²: the squared distance itself, not its expansion."""
    modulus = output.shape[1]
    target = nn.functional.one_hot(labels, modulus).to(output.dtype) - 1 / modulus
    return (output - output.mean(dim=1, keepdim=True) - target).square().sum(dim=1).mean()


def loss_and_gradient(
    w: Tensor, v: Tensor, pairs: Tensor, labels: Tensor, sigma: Callable[[Tensor], Tensor]
) -> tuple[float, float, Tensor, Tensor]:
    """Loss, accuracy and autograd's gradients of σ(X W) V with X written out, in float64."""
    w, v = w.double().requires_grad_(), v.double().requires_grad_()
    output = sigma(one_hots(pairs, v.shape[1]) @ w) @ v
    loss = protocol_loss(output, labels)
    loss.backward()
    hits = sum(int(row.argmax()) == int(label) for row, label in zip(output, labels, strict=True))
    return float(loss.detach()), hits / len(labels), w.grad, v.grad


class Snapshot(NamedTuple):
    """One epoch of `plain_loop`, before its step."""

    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float
    w: Tensor
    v: Tensor


def plain_loop(
    modulus: int,
    width: int,
    n_train: int,
    seed: int,
    epochs: int,
    activation: str,
    optimizer: type[torch.optim.Optimizer],
    dtype: torch.dtype = torch.float64,
    linear: bool = True,
    **settings: float,
) -> list[Snapshot]:
    """The protocol as one would write it down: nn.Linear layers, autograd, an optimiser of torch.optim.

    Entry t is taken before the t-th step, so entry 0 is the initial network. The optimiser holds the weights of the
    nn.Linear layers, (K, 2M) and (M, K); unless `linear`, W (2M, K) and V (K, M) of σ(X W) V.
    """
    order = torch.randperm(modulus * modulus, generator=torch.Generator().manual_seed(seed)).tolist()
    pairs = torch.tensor([(i // modulus, i % modulus) for i in order])
    labels = torch.tensor([(i // modulus + i % modulus) % modulus for i in order])
    x = one_hots(pairs, modulus, dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = nn.Linear(2 * modulus, width, bias=False)
        second = nn.Linear(width, modulus, bias=False)
    first, second = first.to(dtype), second.to(dtype)
    parameters = [first.weight, second.weight]
    if not linear:
        parameters = [nn.Parameter(weight.detach().T.clone()) for weight in parameters]
    steps = optimizer(parameters, **settings)
    train, test = slice(None, n_train), slice(n_train, None)
    out = []
    for epoch in range(epochs + 1):
        w, v = (p.T if linear else p for p in parameters)
        output = second(SIGMA[activation](first(x))) if linear else SIGMA[activation](x @ w) @ v
        scores = [protocol_loss(output[part], labels[part]) for part in (train, test)]
        hits = [(output[part].argmax(dim=1) == labels[part]).double().mean() for part in (train, test)]
        out.append(Snapshot(*(float(x.detach()) for x in (*scores, *hits)), w.detach().clone(), v.detach().clone()))
        if epoch < epochs:
            steps.zero_grad()
            scores[0].backward()
            steps.step()
    return out


# ---- updates and spectra ---------------------------------------------------------------------------------------------


def direct_gram(updates: np.ndarray) -> np.ndarray:
    """ΔᵀΔ of stacked raw updates (T, P), summed in extended precision and rounded once to float64."""
    wide = updates.astype(np.longdouble)
    return np.array([[np.sum(a * b) for b in wide] for a in wide], dtype=np.float64)


def direct_eigenvalues(updates: np.ndarray, window: int, epoch: int) -> np.ndarray:
    """All eigenvalues of the Gram of updates max(1, epoch − window + 1) … epoch, descending."""
    return np.linalg.eigvalsh(direct_gram(updates[max(0, epoch - window) : epoch]))[::-1]


# ---- observables -----------------------------------------------------------------------------------------------------


def rho(features: np.ndarray) -> float:
    """‖FFᵀ − [(a − b) I + b 11ᵀ]‖_F / ‖FFᵀ‖_F with every matrix formed."""
    kernel = features @ features.T
    n = len(kernel)
    off = ~np.eye(n, dtype=bool)
    a, b = np.diag(kernel).mean(), kernel[off].mean()
    return float(np.linalg.norm(kernel - ((a - b) * np.eye(n) + b * np.ones((n, n)))) / np.linalg.norm(kernel))


def off_diagonal_ratio(matrix: np.ndarray) -> float:
    """Mean |off-diagonal| / mean |diagonal|."""
    off = ~np.eye(len(matrix), dtype=bool)
    return float(np.abs(matrix[off]).mean() / np.abs(np.diag(matrix)).mean())


def backpropagated_gradient(features: np.ndarray, v: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """G_F = P₁⊥ (Y − F V) Vᵀ with P₁⊥ formed: (n, K)."""
    n = len(features)
    projector = np.eye(n) - np.ones((n, n)) / n
    return projector @ (np.eye(v.shape[1])[labels] - features @ v) @ v.T


# ---- repulsion -------------------------------------------------------------------------------------------------------


def centred(features: np.ndarray) -> np.ndarray:
    """F̃ = F − column means."""
    return features - features.mean(axis=0)


def inverse(features: np.ndarray, ridge: float) -> np.ndarray:
    """B = (F̃ᵀF̃ + ηI)⁻¹, formed."""
    f = centred(features)
    return np.linalg.inv(f.T @ f + ridge * np.eye(f.shape[1]))


def cosines(features: np.ndarray) -> np.ndarray:
    """(K, K) cosines of the centred columns."""
    f = centred(features)
    norms = np.linalg.norm(f, axis=0)
    return (f.T @ f) / np.outer(norms, norms)


def top_pairs(features: np.ndarray, count: int) -> list[tuple[int, int]]:
    """The pairs j < l with the largest |cos|, by sorting all of them."""
    cos, width = cosines(features), features.shape[1]
    everything = [(j, l) for j in range(width) for l in range(j + 1, width)]
    return sorted(everything, key=lambda pair: (-abs(cos[pair]), pair))[:count]


def theorem6_residual(features: np.ndarray, ridge: float, j: int, l: int) -> float:
    """f̃_jᵀ P f̃_l with P = I − F̃₋(F̃₋ᵀF̃₋ + ηI)⁻¹F̃₋ᵀ built from the matrix without columns j and l."""
    f = centred(features)
    rest = np.delete(f, [j, l], axis=1)
    inner = np.linalg.inv(rest.T @ rest + ridge * np.eye(rest.shape[1]))
    return float(f[:, j] @ (np.eye(len(f)) - rest @ inner @ rest.T) @ f[:, l])


def published_inverse(features: np.ndarray, ridge: float) -> np.ndarray:
    """B_pub = I/η − F̃ᵀ(F̃F̃ᵀ + ηI)⁻¹F̃/η², as the paper's code has it."""
    f = centred(features)
    n, width = f.shape
    return np.eye(width) / ridge - f.T @ np.linalg.inv(f @ f.T + ridge * np.eye(n)) @ f / ridge**2


def published_residuals(features: np.ndarray, ridge: float, pairs: list[tuple[int, int]]) -> np.ndarray:
    """f̃_jᵀ (I − F̃ B_pub F̃ᵀ) f̃_l, every matrix formed."""
    f = centred(features)
    middle = np.eye(len(f)) - f @ published_inverse(features, ridge) @ f.T
    return np.array([f[:, j] @ middle @ f[:, l] for j, l in pairs])
