"""One hidden layer on two embeddings side by side, both from one table."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from grok.networks._pairs import GIVES, Layers, PairNetwork, Shape
from grok.tasks.base import Sizes

DIM, HIDDEN = 128, 256


def draw(sizes: Sizes) -> dict[str, Tensor]:
    """Torch's defaults: a standard normal table, and uniform layers in ±1/√(inputs); no biases."""
    table = nn.Embedding(sizes.symbols, DIM)
    first, last = nn.Linear(2 * DIM, HIDDEN, bias=False), nn.Linear(HIDDEN, sizes.classes, bias=False)
    return {"embedding": table.weight.detach(), "w1": first.weight.detach().T, "v": last.weight.detach().T}


def features(layers: Layers, pairs: Tensor) -> Tensor:
    """gelu([E_a, E_b] W₁): (n, 256)."""
    both = torch.nn.functional.embedding(pairs, layers["embedding"]).flatten(1)
    return functional.gelu(both @ layers["w1"])


NETWORK = PairNetwork(
    title="A hidden layer of 256 on two rows of one embedding, d = 128, under a cross-entropy",
    source="Truong et al. (arXiv 2606.13753): d = 128, H = 256, GELU; concatenated, without biases: ours",
    cost="six operations a weight and pair",
    layers=("embedding", "w1", "v"),
    gives=GIVES,
    model_type="pair MLP",
    told="An MLP (shared embedding, d = 128, H = 256, GELU)",
    shape=Shape(draw, features),
)
