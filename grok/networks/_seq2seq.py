"""torch's encoder-decoder transformer as the paper builds it, in two sizes.

Shapes: n pairs, A places of the source, O of the target, C classes, d the width.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grok.networks._flat import ATTENTION, REST, FlatNetwork
from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError
from grok.tasks.base import Sizes

PAD = 0
SPARE = 1
"""Rows of the target's position table more than places that are read: the table has one for the end."""


class Seq2seq(nn.Module):
    """nn.Transformer (pre-LN, GELU, no dropout, final norms), one more LayerNorm, linear scores.

    The encoder does not see padding of the source, but the decoder's cross-attention does, as published.

    Args:
        sizes: of the task: inputs are the source and then the target as the decoder reads it.
        dim: d. heads, hidden: of each layer. layers: of encoder and of decoder.

    Source: Xu (arXiv 2604.07380), its code: 3 979 529 parameters with d = 256 and 3 + 3 layers.
    """

    def __init__(self, sizes: Sizes, dim: int, heads: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.places = sizes.places - sizes.outputs
        self.source_token = nn.Embedding(sizes.symbols, dim)
        self.target_token = nn.Embedding(sizes.classes, dim)
        self.source_position = nn.Embedding(self.places, dim)
        self.target_position = nn.Embedding(sizes.outputs + SPARE, dim)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "enable_nested_tensor", UserWarning)  # of no use with norms first
            self.transformer = nn.Transformer(
                dim, heads, layers, layers, hidden, 0.0, "gelu", batch_first=True, norm_first=True
            )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, sizes.classes)

    def embed(self, inputs: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the encoder reads and what the decoder does, (n, A, d) and (n, length, d), and the masks added to attention.

        Returns:
            source, target, (length, length) with −inf after each place, (n, A) with −inf at padding of the source.
        """
        source, target = inputs[:, : self.places], inputs[:, self.places : self.places + length]
        places = torch.arange(max(self.places, length), device=inputs.device)
        read = self.source_token(source) + self.source_position(places[: self.places])
        said = self.target_token(target) + self.target_position(places[:length])
        mask = torch.full((length, length), float("-inf"), dtype=read.dtype, device=inputs.device).triu(1)
        padding = torch.zeros(source.shape, dtype=read.dtype, device=inputs.device).masked_fill(source == PAD, float("-inf"))
        return read, said, mask, padding

    def hidden(self, inputs: Tensor, length: int) -> Tensor:
        """Output of the last LayerNorm at the first `length` target places: (n, length, d)."""
        read, said, mask, padding = self.embed(inputs, length)
        hidden: Tensor = self.norm(self.transformer(read, said, tgt_mask=mask, src_key_padding_mask=padding))
        return hidden

    def states(self, inputs: Tensor, length: int) -> dict[str, Tensor]:
        """`embedding`, `layer0` … of the decoder before its norm, `norm` after the last: (n, length, d) each; `encoder` (n, d).

        `encoder` is the mean of the encoder's output over the places of the source that are no padding.
        """
        memory, out, mask = self._read(inputs, length)
        for i, layer in enumerate(self.transformer.decoder.layers):
            out[f"layer{i}"] = layer(list(out.values())[-1], memory, tgt_mask=mask)
        out["norm"] = self.norm(self.transformer.decoder.norm(list(out.values())[-1]))
        real = (inputs[:, : self.places] != PAD).to(memory)[:, :, None]
        return out | {"encoder": (memory * real).sum(dim=1) / real.sum(dim=1)}

    def encoded(self, inputs: Tensor) -> Tensor:
        """Output of the encoder's last layer before its norm, 0 at padding: (n, A, d)."""
        read, _, _, padding = self.embed(inputs, 1)
        for layer in self.transformer.encoder.layers:
            read = layer(read, src_key_padding_mask=padding)
        return read * (inputs[:, : self.places] != PAD).to(read)[:, :, None]

    def _read(self, inputs: Tensor, length: int) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        read, said, mask, padding = self.embed(inputs, length)
        return self.transformer.encoder(read, src_key_padding_mask=padding), {"embedding": said}, mask

    def maps(self, inputs: Tensor, length: int) -> dict[str, Tensor]:
        """Attention weights `encoder0` …, `layer0` … of the decoder, `cross0` …: (n, H, queries, keys)."""
        read, _, mask, padding = self.embed(inputs, length)
        out: dict[str, Tensor] = {}
        for i, layer in enumerate(self.transformer.encoder.layers):
            out[f"encoder{i}"] = attended(layer.self_attn, layer.norm1(read), None, padding[:, None, None, :])
            read = layer(read, src_key_padding_mask=padding)
        memory, states, _ = self._read(inputs, length)
        said = states["embedding"]
        for i, layer in enumerate(self.transformer.decoder.layers):
            into = layer.norm1(said)
            out[f"layer{i}"] = attended(layer.self_attn, into, None, mask)
            between = said + layer.self_attn(into, into, into, attn_mask=mask, need_weights=False)[0]
            out[f"cross{i}"] = attended(layer.multihead_attn, layer.norm2(between), memory, None)
            said = layer(said, memory, tgt_mask=mask)
        return out

    def unused(self) -> dict[str, slice]:
        """Rows of parameters that no input reads: the spare one of the target's positions."""
        return {"target_position.weight": slice(self.target_position.num_embeddings - SPARE, None)}

    def forward(self, inputs: Tensor, length: int) -> Tensor:
        """Scores of the first `length` target places, the gold ones before them given: (n, length, C)."""
        scores: Tensor = self.head(self.hidden(inputs, length))
        return scores


def attended(block: nn.MultiheadAttention, queries: Tensor, keys: Tensor | None, mask: Tensor | None) -> Tensor:
    """Attention weights of a block: (n, H, Q, K), rows sum to 1.

    Args:
        block: torch's. queries: (n, Q, d). keys: (n, K, d), the queries where None. mask: added to the scores.
    """
    other = queries if keys is None else keys
    weights, biases = block.in_proj_weight.chunk(3), block.in_proj_bias.chunk(3)
    parts = [nn.functional.linear(x, w, b) for x, w, b in zip((queries, other), weights, biases, strict=False)]
    query, key = (part.view(*part.shape[:2], block.num_heads, -1).transpose(1, 2) for part in parts)
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    out: Tensor = (scores if mask is None else scores + mask).softmax(dim=-1)
    return out


@dataclass(frozen=True, kw_only=True)
class Seq2seqNetwork(FlatNetwork):
    """`Seq2seq` of one size.

    Attributes:
        told: the size in words.
    """

    told: str
    layers: tuple[str, ...] = (ATTENTION, REST)
    banded: tuple[str, ...] = (ATTENTION,)
    recorders: tuple[str, ...] = ("edge", "sequences")
    model_type: str = "encoder-decoder transformer"
    buckets: int = 4
    whole: bool = True

    def sentence(self, config: RunConfig) -> str:
        """`An encoder-decoder transformer (3 + 3 layers, d = 256)`."""
        return f"An encoder-decoder transformer ({self.told})"

    def blank(self, sizes: Sizes) -> nn.Module:
        """A module of these sizes; only for inputs of a source and a target."""
        if not 0 < sizes.outputs < sizes.places:
            raise ConfigError("network must fit the task, got one that needs a source and a target. Pick another network.")
        return super().blank(sizes)
