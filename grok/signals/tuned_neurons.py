"""How many hidden neurons are tuned to one frequency of the group."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from grok.numerics import characters
from grok.signals.base import Signal


def compute(grid_features: Tensor, *, mean: bool = False) -> float:
    """Share of neurons of whose energy more than 0.85 is in one frequency's block; `mean` the mean of these shares."""
    found = characters.tuning(grid_features)
    return float(found.mean()) if mean else float(np.mean(found > characters.TUNED))


SIGNAL = Signal(
    "tuned_neurons",
    compute,
    needs=("grid_features",),
    layers=(("embedding",),),
    information="GH",
    variants={"": {}, "mean": {"mean": True}},
    cadence="observed",
    direction="rising",
    title="share of neurons tuned to one frequency of the task's group",
    source="Nguyen (arXiv 2606.17399)",
    cost="a discrete Fourier transform of each neuron's map of all pairs",
)
