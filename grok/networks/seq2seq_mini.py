"""A small network of SCAN, for two cores."""

from __future__ import annotations

from torch import nn

from grok.networks._seq2seq import Seq2seq, Seq2seqNetwork
from grok.tasks.base import Sizes


def mini(sizes: Sizes) -> nn.Module:
    """D = 128, 2 + 2 layers, 4 heads, 256 hidden units."""
    return Seq2seq(sizes, 128, 4, 256, 2)


NETWORK = Seq2seqNetwork(
    title="Encoder and decoder of two pre-LN layers each",
    source="ours: the published one takes hours",
    cost="some 0.2 s a step of 256 pairs on one thread",
    told="2 + 2 layers, d = 128",
    make=mini,
)
