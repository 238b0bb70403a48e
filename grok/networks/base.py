"""What a network is: how S of them are built and trained together, and all that is said of it elsewhere. A file of this
room ends in `NETWORK`.

Shapes: S seeds, n samples, P places of V symbols, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grok.spec.config import RunConfig
from grok.spec.plugins import About
from grok.tasks.base import Sizes

Predictor = Callable[[np.ndarray], np.ndarray]
"""(n, P) integers in [0, V) to (n, C) scores."""


class Stack(ABC):
    """S networks of one shape that are trained in lockstep. Seed s reads and writes entry s of each tensor only."""

    @property
    @abstractmethod
    def layers(self) -> dict[str, Tensor]:
        """The live weights, (S, …) each, in the order of `Network.layers`; the optimiser writes to them."""

    @property
    @abstractmethod
    def gradients(self) -> dict[str, Tensor]:
        """Of the same names and shapes; `loss_and_gradient` fills them."""

    @abstractmethod
    def batch(self, inputs: Tensor, labels: Tensor) -> Any:
        """Samples as the other methods take them, with `labels`: (S, n, P) and (S, n) int64, on the CPU."""

    @abstractmethod
    def loss_and_gradient(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed, (S,) float64 both; the loss's gradient is in `gradients` then."""

    @abstractmethod
    def evaluate(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed, (S,) float64 both; gradients stay."""

    @property
    def block_rows(self) -> int:
        """Samples of each seed at most over which a gradient is summed at once; 0 where that is not told."""
        return 0

    def features(self, batch: Any) -> Tensor:
        """What the last layer reads, (S, n, K), where `Network.gives` has `features`."""
        raise NotImplementedError

    def readout(self) -> Tensor:
        """The last layer, (S, K, C), where `Network.gives` has `readout`."""
        raise NotImplementedError

    def attention(self, batch: Any) -> Tensor:
        """Of each block, (S, blocks, n, H, T, T), rows sum to 1, where `Network.gives` has `attention`."""
        raise NotImplementedError

    def generators(self, seeds: Sequence[int]) -> list[torch.Generator]:
        """Of the batches that are drawn, one per seed, on the CPU."""
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    def parameters(self) -> list[nn.Parameter]:
        """The layers of each seed in turn: parameters that share memory with `layers` and `gradients`."""
        layers, gradients = self.layers, self.gradients
        out = []
        for s in range(len(next(iter(layers.values())))):
            for name, value in layers.items():
                parameter = nn.Parameter(value[s])
                parameter.grad = gradients[name][s]
                out.append(parameter)
        return out


@dataclass(frozen=True)
class View:
    """One seed's network at one epoch, computed as far as somebody asks: what observables are given.

    Attributes:
        stack: of all seeds. batch: training samples. index: of the seed. seed: its number.
        shared: what has been computed for all seeds at this epoch.
        test: the test samples that are evaluated, None where a caller has none.
    """

    stack: Stack
    batch: Any
    index: int
    seed: int
    shared: dict[str, Tensor]
    test: Any = None

    @cached_property
    def features(self) -> Tensor:
        """F on the training samples: (n, K)."""
        if "features" not in self.shared:
            self.shared["features"] = self.stack.features(self.batch)
        return self.shared["features"][self.index]

    @property
    def attention(self) -> Tensor:
        """(blocks, n, H, T, T)."""
        return self.stack.attention(self.batch)[self.index]

    @property
    def readout(self) -> Tensor:
        """(K, C)."""
        return self.stack.readout()[self.index]

    @property
    def labels(self) -> Tensor:
        """(n,) int64."""
        labels: Tensor = self.batch.labels
        return labels[self.index]

    @property
    def weights(self) -> dict[str, Tensor]:
        """By layer."""
        return {name: weights[self.index] for name, weights in self.stack.layers.items()}

    @property
    def gradients(self) -> dict[str, Tensor]:
        """Of the training loss, without weight decay, by layer."""
        return {name: gradient[self.index] for name, gradient in self.stack.gradients.items()}


EVERY_NETWORK = ("labels", "seed", "weights", "gradients")
"""What a `View` of any network gives; `features`, `readout` and `attention` are for those that say so."""


@dataclass(frozen=True, kw_only=True)
class Network(About, ABC):
    """A network. Each method takes a resolved config.

    Attributes:
        layers: names, in order; the first is the one whose updates the detector watches.
        gives: names among the attributes of `View`.
        model_type: of the logged model.
        takes_rounding: whether `build` follows the rows and the order of blocks of a named `rounding`, and every product of
            matrices is `grok.numerics.linalg.product`.
        banded: layers of which the band of single updates is kept, the first of `layers` among them; None: all.
        recorders: names of those that every run of this network has.
    """

    layers: tuple[str, ...]
    gives: tuple[str, ...] = EVERY_NETWORK
    model_type: str
    takes_rounding: bool = False
    banded: tuple[str, ...] | None = None
    recorders: tuple[str, ...] = ()

    @property
    def watched(self) -> tuple[str, ...]:
        """The layers of which the band is kept."""
        return self.layers if self.banded is None else self.banded

    def lags(self, config: RunConfig) -> int:
        """Of the band: max_window, or just the window where only some layers are watched, which are large then."""
        return config.max_window if self.banded is None else config.window

    def segments(self, config: RunConfig, sizes: Sizes) -> dict[str, slice]:
        """Named parts of the first layer as it is flattened, in order and without gaps; none if it has no parts."""
        return {}

    def unused(self, config: RunConfig, sizes: Sizes) -> dict[str, list[slice]]:
        """Parts of a flat layer that no input of the task ever reads, so that nothing but decay moves them; none by default."""
        return {}

    @abstractmethod
    def shapes(self, config: RunConfig, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """Of each layer of one seed, in the order of `layers`."""

    @abstractmethod
    def build(self, config: RunConfig, sizes: Sizes, seeds: Sequence[int], device: torch.device, dtype: torch.dtype) -> Stack:
        """Fresh networks, one per seed, drawn on the CPU whatever the device; torch's global generator is left as it was.

        Raises:
            ConfigError: if something that the config names is not there.
        """

    def check(self, config: RunConfig) -> None:
        """Refuse, before a run is made, what the config names for the network and is not there.

        Raises:
            ConfigError: if so.
        """

    @abstractmethod
    def sentence(self, config: RunConfig) -> str:
        """The network in a description, such as `A two-layer network (σ = square, K = 2048)`."""

    @abstractmethod
    def flops(self, config: RunConfig, sizes: Sizes) -> float:
        """Operations of the matrix products of one epoch: scores and gradient of training, scores of test samples."""

    @abstractmethod
    def facts(self, config: RunConfig) -> dict[str, Any]:
        """Small JSON-able values that `predictor` needs beside the weights."""

    @abstractmethod
    def predictor(self, layers: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Predictor:
        """The served form, from the weights of one seed and what `facts` gave.

        The predictor raises ValueError for inputs that are not symbols of the task.
        """

    def sources(self, config: RunConfig) -> tuple[Path, ...]:
        """Files of the user's own that the config names and that a stored network needs to be loaded."""
        return ()
