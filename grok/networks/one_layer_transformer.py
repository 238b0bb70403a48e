"""One block of attention and an MLP on `a b =`, read at `=`; without LayerNorm and biases.

Shapes: n pairs, T = 3 places, H = 4 heads, d = 128.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from grok.networks._pairs import GIVES, Layers, PairNetwork, Shape
from grok.tasks.base import Sizes

DIM, HEADS, HIDDEN, PLACES = 128, 4, 512, 3


def draw(sizes: Sizes) -> dict[str, Tensor]:
    """Standard normal over √d, in the order of the layers; row V of the embedding is `=`."""
    shapes = {"embedding": (sizes.symbols + 1, DIM), "position": (PLACES, DIM)}
    shapes |= dict.fromkeys(("query", "key", "value", "output"), (DIM, DIM))
    shapes |= {"rise": (DIM, HIDDEN), "fall": (HIDDEN, DIM), "v": (DIM, sizes.classes)}
    return {name: torch.randn(shape) / DIM**0.5 for name, shape in shapes.items()}


def _tokens(layers: Layers, pairs: Tensor) -> Tensor:
    """(n, T, d)."""
    equals = torch.full_like(pairs[:, :1], len(layers["embedding"]) - 1)
    out: Tensor = functional.embedding(torch.cat((pairs, equals), dim=1), layers["embedding"]) + layers["position"]
    return out


def _heads(x: Tensor) -> Tensor:
    """(n, T, d) to (n, H, T, d / H)."""
    return x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)


def features(layers: Layers, pairs: Tensor) -> Tensor:
    """The residual stream at `=`: (n, d). Only that place asks, since only it is read, and always the same.

    A key and a value belong to a symbol at a place: they and the scores are made once for each of these, and looked up by pair.
    """
    table, position = layers["embedding"], layers["position"]
    symbols = len(table) - 1
    asks = table[symbols] + position[2]
    x = torch.cat((table[:symbols] + position[0], table[:symbols] + position[1], asks[None]))
    query, keys = (asks @ layers["query"]).view(HEADS, -1), (x @ layers["key"]).view(len(x), HEADS, -1)
    scores = (keys * query).sum(dim=2) / (DIM // HEADS) ** 0.5
    rows = torch.stack((pairs[:, 0], pairs[:, 1] + symbols, torch.full_like(pairs[:, 0], 2 * symbols)), dim=1)
    weights = functional.embedding(rows, scores).softmax(dim=1)
    values = functional.embedding(rows, x @ layers["value"]).view(*rows.shape, HEADS, -1)
    x = asks + (weights[..., None] * values).sum(dim=1).flatten(1) @ layers["output"]
    out: Tensor = x + functional.gelu(x @ layers["rise"]) @ layers["fall"]
    return out


def attention(layers: Layers, pairs: Tensor) -> Tensor:
    """Causal attention of all places: (1, n, H, T, T), rows sum to 1."""
    x = _tokens(layers, pairs)
    scores = _heads(x @ layers["query"]) @ _heads(x @ layers["key"]).transpose(2, 3) / (DIM // HEADS) ** 0.5
    unseen = torch.ones(PLACES, PLACES, dtype=torch.bool, device=x.device).triu(1)
    out: Tensor = scores.masked_fill(unseen, float("-inf")).softmax(dim=3)[None]
    return out


NETWORK = PairNetwork(
    title="One block of four heads and a GELU layer of 512, d = 128, under a cross-entropy",
    source="Nanda et al. (arXiv 2301.05217); initial scales and GELU for ReLU, which has no Hessian, are ours",
    cost="six operations a weight and pair; of queries, keys and values a weight and symbol at a place",
    layers=("embedding", "position", "query", "key", "value", "output", "rise", "fall", "v"),
    gives=("attention", *GIVES),
    banded=("embedding",),
    model_type="one-layer transformer",
    told="A one-layer transformer (d = 128, 4 heads, 512 hidden units)",
    shape=Shape(draw, features, attention, by_symbol=("query", "key", "value")),
)
