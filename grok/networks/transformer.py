"""The pre-LN transformer encoder of the paper: causal with a label at each place for Dyck-1, or one label read at place 0.

Shapes: n samples of T places, C classes, d = 128.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grok.networks._flat import ATTENTION, REST, FlatNetwork
from grok.spec.config import RunConfig
from grok.tasks.base import Sizes

DIM, HEADS, HIDDEN, LAYERS = 128, 4, 256, 2
POSITIONS = 48
"""Rows of the position table of a sequence task; Dyck-1 uses 24 of them."""


class Encoder(nn.Module):
    """Token and position embedding, pre-LN encoder layers (GELU, no dropout), LayerNorm, linear scores.

    Both layers begin with the same weights, since torch's encoder copies the layer that it is given.

    Args:
        sizes: of the task. With labels at each place attention is causal.

    Source: Xu (arXiv 2604.07380), its code: 273 421 parameters for Dyck-1.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.causal, self.places = sizes.outputs > 0, sizes.places
        self.token = nn.Embedding(sizes.symbols, DIM)
        self.position = nn.Embedding(POSITIONS if self.causal else sizes.places, DIM)
        layer = nn.TransformerEncoderLayer(DIM, HEADS, HIDDEN, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, sizes.classes)

    def embed(self, tokens: Tensor) -> Tensor:
        """What the first layer reads: (n, T, d)."""
        embedded: Tensor = self.token(tokens) + self.position(torch.arange(tokens.shape[1], device=tokens.device))
        return embedded

    def mask(self, tokens: Tensor, dtype: torch.dtype) -> Tensor | None:
        """Added to attention scores: (T, T), −inf after each place; None where attention is not causal."""
        if not self.causal:
            return None
        places = tokens.shape[1]
        return torch.full((places, places), float("-inf"), dtype=dtype, device=tokens.device).triu(1)

    def hidden(self, tokens: Tensor) -> list[Tensor]:
        """Embedding, output of each layer, and of the last LayerNorm: (n, T, d) each."""
        out = [self.embed(tokens)]
        mask = self.mask(tokens, out[0].dtype)
        for layer in self.encoder.layers:
            out.append(layer(out[-1], src_mask=mask))
        return [*out, self.norm(out[-1])]

    def attention(self, tokens: Tensor) -> list[Tensor]:
        """Attention weights of each layer: (n, H, T, T), rows sum to 1."""
        hidden, mask = self.hidden(tokens), self.mask(tokens, self.token.weight.dtype)
        out = []
        for layer, into in zip(self.encoder.layers, hidden, strict=False):
            read = layer.norm1(into)
            both = nn.functional.linear(read, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)
            query, key, _ = (part.view(*part.shape[:2], HEADS, -1).transpose(1, 2) for part in both.chunk(3, dim=2))
            scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
            out.append((scores if mask is None else scores + mask).softmax(dim=-1))
        return out

    def states(self, tokens: Tensor, length: int) -> dict[str, Tensor]:
        """`embedding`, `layer0` …, `norm`: (n, length, d) each, or (n, d) at place 0 where a sample has one label."""
        found = self.hidden(tokens[:, :length] if self.causal else tokens)
        names = ("embedding", *(f"layer{i}" for i in range(LAYERS)), "norm")
        return {name: state if self.causal else state[:, 0] for name, state in zip(names, found, strict=True)}

    def maps(self, tokens: Tensor, length: int) -> dict[str, Tensor]:
        """Attention weights `layer0` …: (n, H, T, T) at the first `length` places."""
        found = self.attention(tokens[:, :length] if self.causal else tokens)
        return {f"layer{i}": weights for i, weights in enumerate(found)}

    def unused(self) -> dict[str, slice]:
        """Rows of parameters that no input reads: the positions beyond the places of Dyck-1."""
        return {"position.weight": slice(self.places, None)} if self.places < self.position.num_embeddings else {}

    def forward(self, tokens: Tensor, length: int) -> Tensor:
        """Scores of the first `length` places (n, length, C); or (n, C) at place 0."""
        tokens = tokens[:, :length] if self.causal else tokens
        hidden = self.hidden(tokens)[-1]
        scores: Tensor = self.head(hidden if self.causal else hidden[:, 0])
        return scores


@dataclass(frozen=True, kw_only=True)
class Transformer(FlatNetwork):
    """`Encoder` of the task's sizes."""

    def sentence(self, config: RunConfig) -> str:
        """`A transformer (2 layers, d = 128)`."""
        return f"A transformer ({LAYERS} layers, d = {DIM})"


NETWORK = Transformer(
    title="Two pre-LN encoder layers, causal where a sample has a label at each place",
    source="Xu (arXiv 2604.07380)",
    cost="0.03 s a step of 50 sequences of 24 on one thread",
    layers=(ATTENTION, REST),
    banded=(ATTENTION,),
    recorders=("edge", "sequences"),
    model_type="transformer encoder",
    make=Encoder,
)
