"""The published network of SCAN."""

from __future__ import annotations

from torch import nn

from grok.networks._seq2seq import Seq2seq, Seq2seqNetwork
from grok.tasks.base import Sizes


def published(sizes: Sizes) -> nn.Module:
    """D = 256, 3 + 3 layers, 4 heads, 512 hidden units."""
    return Seq2seq(sizes, 256, 4, 512, 3)


NETWORK = Seq2seqNetwork(
    title="Encoder and decoder of three pre-LN layers each",
    source="Xu (arXiv 2604.07380)",
    cost="some 2 s a step of 256 pairs on one thread",
    told="3 + 3 layers, d = 256",
    make=published,
)
