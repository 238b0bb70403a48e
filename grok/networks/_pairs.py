"""Networks of pairs of symbols that share one embedding, under a cross-entropy; gradients by autograd, layer by layer.

Shapes: S seeds, n pairs, V symbols, d dimensions of the embedding, H heads, T = 3 places, K features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from grok.networks.base import EVERY_NETWORK, Network, Predictor, Stack
from grok.spec.config import RunConfig
from grok.tasks.base import Sizes

Layers = Mapping[str, Tensor]
"""Weights of one seed by name."""
GIVES = ("features", "readout", *EVERY_NETWORK)


@dataclass
class PairBatch:
    """Pairs of S problems: inputs (S, n, 2) and labels (S, n), int64."""

    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Shape:
    """What one network of pairs is.

    Attributes:
        draw: (sizes) → initial weights of one seed by name, float32, of torch's global generator.
        features: (weights, pairs (n, 2)) → what the last layer, `v`, reads: (n, K).
        attention: (weights, pairs) → (layers, n, H, T, T); None without attention.
        by_symbol: names of layers that meet each symbol once at each place, and not each pair.
    """

    draw: Callable[[Sizes], dict[str, Tensor]]
    features: Callable[[Layers, Tensor], Tensor]
    attention: Callable[[Layers, Tensor], Tensor] | None = None
    by_symbol: tuple[str, ...] = ()


class PairStack(Stack):
    """S networks of one shape.

    Args:
        shape: of the network. layers: (S, …) by name, taken as they are. temperature: by which outputs are divided in the loss.
    """

    def __init__(self, shape: Shape, layers: dict[str, Tensor], temperature: float = 1.0) -> None:
        self.shape, self._layers, self.temperature = shape, layers, temperature
        self._gradients = {name: torch.zeros_like(layer) for name, layer in layers.items()}

    @property
    def layers(self) -> dict[str, Tensor]:
        """By name, (S, …)."""
        return dict(self._layers)

    @property
    def gradients(self) -> dict[str, Tensor]:
        """Of the same."""
        return dict(self._gradients)

    def batch(self, inputs: Tensor, labels: Tensor) -> PairBatch:
        """On the training device."""
        device = self._layers["v"].device
        return PairBatch(inputs.to(device), labels.to(device))

    def _of(self, s: int) -> dict[str, Tensor]:
        return {name: layer[s] for name, layer in self._layers.items()}

    def loss(self, layers: Layers, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy of outputs over temperature, and the outputs (n, C), of one seed's weights."""
        outputs = self.shape.features(layers, inputs) @ layers["v"]
        return functional.cross_entropy(outputs / self.temperature, labels), outputs

    def loss_and_gradient(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed; the gradient of the loss by autograd."""
        losses, rights = [], []
        for s, (inputs, labels) in enumerate(zip(batch.inputs, batch.labels, strict=True)):
            with torch.enable_grad():
                points = {name: layer.detach().requires_grad_() for name, layer in self._of(s).items()}
                loss, outputs = self.loss(points, inputs, labels)
                found = torch.autograd.grad(loss, list(points.values()))
            for gradient, value in zip(self._gradients.values(), found, strict=True):
                gradient[s].copy_(value)
            losses.append(loss.detach().double())
            rights.append((outputs.argmax(dim=1) == labels).double().mean())
        return torch.stack(losses), torch.stack(rights)

    def evaluate(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """The same without a gradient."""
        losses, rights = [], []
        with torch.no_grad():
            for s, (inputs, labels) in enumerate(zip(batch.inputs, batch.labels, strict=True)):
                loss, outputs = self.loss(self._of(s), inputs, labels)
                losses.append(loss.double())
                rights.append((outputs.argmax(dim=1) == labels).double().mean())
        return torch.stack(losses), torch.stack(rights)

    def features(self, batch: PairBatch) -> Tensor:
        """(S, n, K)."""
        return torch.stack([self.shape.features(self._of(s), inputs) for s, inputs in enumerate(batch.inputs)])

    def readout(self) -> Tensor:
        """(S, K, C)."""
        return self._layers["v"]

    def attention(self, batch: PairBatch) -> Tensor:
        """(S, blocks, n, H, T, T)."""
        assert self.shape.attention is not None  # who asks has looked at what the network gives
        return torch.stack([self.shape.attention(self._of(s), inputs) for s, inputs in enumerate(batch.inputs)])


@dataclass(frozen=True, kw_only=True)
class PairNetwork(Network):
    """A network of pairs by its `Shape`.

    Attributes:
        told: in a description. shape: of it.
    """

    told: str
    shape: Shape

    def shapes(self, config: RunConfig, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """Of each layer."""
        return {name: tuple(layer.shape) for name, layer in self._drawn(sizes, 0).items()}

    def _drawn(self, sizes: Sizes, seed: int) -> dict[str, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.shape.draw(sizes)

    def build(
        self, config: RunConfig, sizes: Sizes, seeds: Sequence[int], device: torch.device, dtype: torch.dtype
    ) -> PairStack:
        """Each drawn from torch's generator at its seed."""
        drawn = [self._drawn(sizes, seed) for seed in seeds]
        layers = {name: torch.stack([one[name] for one in drawn]).to(device, dtype) for name in self.layers}
        return PairStack(self.shape, layers, config.temperature)

    def sentence(self, config: RunConfig) -> str:
        """As `told`."""
        return self.told

    def flops(self, config: RunConfig, sizes: Sizes) -> float:
        """Six a weight and training pair, two a weight and test pair; eight a weight, symbol and place where `by_symbol`."""
        shapes = self.shapes(config, sizes)
        looked_up = ("embedding", "position", *self.shape.by_symbol)
        weights = sum(float(np.prod(shape)) for name, shape in shapes.items() if name not in looked_up)
        by_symbol = sum(float(np.prod(shapes[name])) for name in self.shape.by_symbol)
        return weights * (6 * sizes.train + 2 * sizes.test) + by_symbol * 8 * sizes.places * sizes.symbols

    def facts(self, config: RunConfig) -> dict[str, Any]:
        """None: the weights tell their sizes."""
        return {}

    def predictor(self, layers: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Predictor:
        """Outputs (n, C)."""
        symbols = layers["v"].shape[1]

        def predict(inputs: np.ndarray) -> np.ndarray:
            pairs = torch.from_numpy(np.array(inputs, dtype=np.int64))
            if pairs.numel() and not 0 <= int(pairs.min()) <= int(pairs.max()) < symbols:
                raise ValueError(f"pairs must be whole numbers in [0, {symbols - 1}], got others. Take them modulo {symbols}.")
            with torch.no_grad():
                scores: np.ndarray = (self.shape.features(layers, pairs) @ layers["v"]).numpy()
            return scores

        return predict
