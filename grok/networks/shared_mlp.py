"""One hidden layer on two embeddings side by side, both from one table."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from grok.networks._pairs import GIVES, Layers, PairNetwork, Shape
from grok.tasks.base import Sizes

DIM, HIDDEN = 128, 256


def draw(sizes: Sizes) -> dict[str, Tensor]:
    """Normal, of variance one over the inputs of a layer, and over d for the table; no biases."""
    shapes = {"embedding": (sizes.symbols, DIM), "w1": (2 * DIM, HIDDEN), "v": (HIDDEN, sizes.classes)}
    inputs = {"embedding": DIM, "w1": 2 * DIM, "v": HIDDEN}
    return {name: torch.randn(shape) / inputs[name] ** 0.5 for name, shape in shapes.items()}


def features(layers: Layers, pairs: Tensor) -> Tensor:
    """gelu([E_a, E_b] W₁): (n, 256). W₁ meets each symbol once at each place, not each pair."""
    first, second = (layers["embedding"] @ half for half in torch.split(layers["w1"], DIM))
    return functional.gelu(functional.embedding(pairs[:, 0], first) + functional.embedding(pairs[:, 1], second))


NETWORK = PairNetwork(
    title="A hidden layer of 256 on two rows of one embedding, d = 128, under a cross-entropy",
    source="Truong et al. (arXiv 2606.13753), their code; without biases: ours",
    cost="six operations a weight of v and pair, six a weight of w1 and symbol",
    layers=("embedding", "w1", "v"),
    gives=GIVES,
    model_type="pair MLP",
    told="An MLP (shared embedding, d = 128, H = 256, GELU)",
    shape=Shape(draw, features, by_symbol=("w1",)),
)
