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

    def hidden(self, inputs: Tensor, length: int) -> Tensor:
        """Output of the last LayerNorm at the first `length` target places: (n, length, d)."""
        source, target = inputs[:, : self.places], inputs[:, self.places : self.places + length]
        places = torch.arange(max(self.places, length), device=inputs.device)
        read = self.source_token(source) + self.source_position(places[: self.places])
        said = self.target_token(target) + self.target_position(places[:length])
        mask = torch.full((length, length), float("-inf"), dtype=read.dtype, device=inputs.device).triu(1)
        padding = torch.zeros(source.shape, dtype=read.dtype, device=inputs.device).masked_fill(source == PAD, float("-inf"))
        hidden: Tensor = self.norm(self.transformer(read, said, tgt_mask=mask, src_key_padding_mask=padding))
        return hidden

    def forward(self, inputs: Tensor, length: int) -> Tensor:
        """Scores of the first `length` target places, the gold ones before them given: (n, length, C)."""
        scores: Tensor = self.head(self.hidden(inputs, length))
        return scores


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
