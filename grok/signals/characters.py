"""How few characters the embedding is made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from grok.numerics import characters
from grok.signals.base import Signal


def compute(weights: dict[str, Tensor], symbols: int, *, additive: bool = False, count: bool = False) -> float:
    """Gini of the strengths of multiplicative characters; `additive` of those of addition mod p; `count` their number.

    The right basis is that of the task's group; the other is the negative control. NaN of multiplication mod no prime.
    """
    rows = weights["embedding"][:symbols]
    if not additive:
        if not characters.is_prime(symbols):
            return math.nan
        rows = rows[torch.tensor(characters.powers(symbols))]
    found = characters.strengths(rows)
    return characters.inverse_participation(found) if count else characters.gini(found)


SIGNAL = Signal(
    "characters",
    compute,
    needs=("weights", "symbols"),
    layers=(("embedding",),),
    information="G",
    variants={"": {}, "additive": {"additive": True}, "count": {"count": True}},
    direction="rising",
    turned=("count",),
    title="Gini coefficient of the embedding's strengths over multiplicative characters",
    source="Nguyen (arXiv 2606.17399); its additive comparison has period p − 1, here p",
    cost="one discrete Fourier transform of the embedding",
)
