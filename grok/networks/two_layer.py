"""The two-layer network Ŷ = σ(X W) V, for S seeds at once, with its gradient in closed form.

Shapes: S seeds, n samples, P places of V symbols, C classes, K width; modular addition has P = 2 and V = C = M. X is P
one-hots side by side, so X W is a sum of P rows of W and its gradient a segment sum. Samples pass in blocks that stay in
the cache.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from grok.networks._activations import Activation, activation
from grok.networks.base import EVERY_NETWORK, Network, Predictor, Stack
from grok.numerics import placement
from grok.numerics.linalg import product
from grok.spec.config import RunConfig
from grok.spec.roundings import Rounding, named
from grok.tasks.base import Sizes

BLOCK_VALUES = 1 << 19
"""Preactivations per block and thread on a CPU, 2 MiB in float32: at K = 2048 the fastest of 128, 256 and 512 rows."""
LEAST_ROWS = 256
"""Samples of each seed per block and thread at least: a block adds up whole gradients, which must not outweigh its products."""


class Block(NamedTuple):
    """Samples that pass through the network together, and where they come from.

    Attributes:
        rows: which samples of the batch.
        sources, bags: rows of the stacked (S·P·V, K) first layer that each sample adds up, and where each sample's begin.
        samples, segments: for each row of the first layer the block's samples that it feeds, and where each row's begin.
    """

    rows: slice
    sources: Tensor
    bags: Tensor
    samples: Tensor
    segments: Tensor


class Batch:
    """Samples of S problems, laid out for the network.

    Args:
        inputs: (S, n, P) int64.
        labels: (S, n) int64.
        symbols: V.
        device: where the tensors live.
        classes: C; V unless said.

    Attributes:
        hits: (S, n, C) int8, one-hot labels.
    """

    def __init__(self, inputs: Tensor, labels: Tensor, symbols: int, device: torch.device, classes: int | None = None) -> None:
        self.seeds, self.size, self.places = inputs.shape
        self._layer_rows = self.seeds * self.places * symbols
        offset = torch.arange(self.seeds)[:, None, None] * self.places * symbols
        self._sources = inputs + torch.arange(self.places) * symbols + offset
        self._blocks: dict[int, list[Block]] = {}
        self.labels = labels.to(device)
        self.classes = symbols if classes is None else classes
        self.hits = functional.one_hot(self.labels, self.classes).to(torch.int8)

    def blocks(self, rows: int) -> list[Block]:
        """The batch in blocks of at most `rows` samples of each seed, of nearly equal length."""
        if rows not in self._blocks:
            count = max(1, -(-self.size // rows))
            bounds = [self.size * i // count for i in range(count + 1)]
            self._blocks[rows] = [self._block(slice(low, high)) for low, high in itertools.pairwise(bounds)]
        return self._blocks[rows]

    def _block(self, rows: slice) -> Block:
        device = self.labels.device
        sources = self._sources[:, rows].flatten()
        starts = torch.bincount(sources, minlength=self._layer_rows).cumsum(0).roll(1)
        starts[0] = 0
        samples = torch.argsort(sources, stable=True) // self.places
        bags = torch.arange(0, len(sources), self.places)
        return Block(rows, *(index.to(device) for index in (sources, bags, samples, starts)))


def initial_weights(symbols: int, width: int, seed: int, places: int = 2, classes: int | None = None) -> tuple[Tensor, Tensor]:
    """PyTorch's default initialisation of the two layers, in the order of the protocol.

    Args:
        symbols: V. width: K. seed: of torch's generator. places: P. classes: C; V unless said.

    Returns:
        W: (P·V, K) and V: (K, C), float32, on the CPU. Torch's global generator is left as it was.

    Source: Xu (arXiv 2605.08119) §2: manual_seed, Linear(2M, K), Linear(K, M), in this order.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = nn.Linear(places * symbols, width, bias=False)
        second = nn.Linear(width, symbols if classes is None else classes, bias=False)
    return first.weight.detach().T.contiguous(), second.weight.detach().T.contiguous()


class TwoLayerNetwork(Stack):
    """S networks σ(X W) V that share a shape and an activation.

    Attributes:
        w: (S, P·V, K) first layer. v: (S, K, C) second layer.
        grad_w, grad_v: gradients of the same shapes, filled by `loss_and_gradient`.

    Args:
        w: (S, P·V, K), taken as it is, not copied.
        v: (S, K, C), likewise.
        activation_name: name or `module:function` of σ.
        rounding: whose rows and order the blocks have; by default rows that suit the cache, in their order.
    """

    def __init__(self, w: Tensor, v: Tensor, activation_name: str, rounding: Rounding | None = None) -> None:
        self.w, self.v, self.rounding = w, v, rounding
        self.grad_w, self.grad_v = torch.zeros_like(w), torch.zeros_like(v)
        self.activation: Activation = activation(activation_name)

    @classmethod
    def initialised(
        cls,
        symbols: int,
        width: int,
        seeds: Sequence[int],
        activation_name: str,
        device: torch.device,
        dtype: torch.dtype,
        places: int = 2,
        classes: int | None = None,
        rounding: Rounding | None = None,
    ) -> TwoLayerNetwork:
        """Fresh networks, one per seed, drawn on the CPU whatever the device."""
        layers = [initial_weights(symbols, width, seed, places, classes) for seed in seeds]
        w = torch.stack([w for w, _ in layers]).to(device, dtype)
        v = torch.stack([v for _, v in layers]).to(device, dtype)
        return cls(w, v, activation_name, rounding)

    @property
    def layers(self) -> dict[str, Tensor]:
        """W and V."""
        return {"w": self.w, "v": self.v}

    @property
    def gradients(self) -> dict[str, Tensor]:
        """Of W and V."""
        return {"w": self.grad_w, "v": self.grad_v}

    def batch(self, inputs: Tensor, labels: Tensor) -> Batch:
        """Samples of as many places as `inputs` has; the symbols follow from the rows of W."""
        symbols = self.w.shape[1] // inputs.shape[2]
        return Batch(inputs, labels, symbols, self.w.device, self.v.shape[2])

    def readout(self) -> Tensor:
        """V: (S, K, C)."""
        return self.v

    def preactivations(self, block: Block) -> Tensor:
        """X W of a block's samples: (S, n, K)."""
        h = functional.embedding_bag(block.sources, self.w.flatten(0, 1), block.bags, mode="sum")
        return h.view(len(self.w), -1, self.w.shape[2])

    def features(self, batch: Batch) -> Tensor:
        """F = σ(X W): (S, n, K)."""
        seeds, _, width = self.w.shape
        out = self.w.new_empty(seeds, batch.size, width)
        for block in self._blocks(batch):
            out[:, block.rows] = self.activation.value(self.preactivations(block))
        return out

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed, (S,) float64 both; no activation is kept."""
        output = self.v.new_empty(*batch.hits.shape)
        for block in self._blocks(batch):
            output[:, block.rows] = product(self.activation.over(self.preactivations(block)), self.v.transpose(1, 2))
        return self._score(output, batch)

    def loss_and_gradient(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed, and the gradient of the loss in `grad_w` and `grad_v`.

            L = mean_i ‖c_i‖² − 2 c_i,y + 1 − 1/C,  c = o − mean(o),  o = F V
            ∂L/∂o = 2 (c − onehot(y) + 1/C) / n,  ∂V = Fᵀ ∂o,  ∂W = Xᵀ [(∂o Vᵀ) ⊙ σ′(X W)]

        Returns:
            loss: (S,) float64. accuracy: (S,) float64 in [0, 1].

        Source: Xu (arXiv 2605.08119) §2; the autograd version in tests/helpers/references.py agrees.
        """
        output = self.v.new_empty(*batch.hits.shape)
        self.grad_w.zero_()
        grad_rows = self.grad_w.flatten(0, 1)
        grad_v = self.v.new_zeros(len(self.v), batch.classes, self.v.shape[1])
        for block in self._blocks(batch):
            h = self.preactivations(block)
            features = self.activation.value(h)
            output[:, block.rows] = raw = product(features, self.v.transpose(1, 2))
            raw -= raw.mean(dim=2, keepdim=True) - 1 / batch.classes
            residual = raw.sub_(batch.hits[:, block.rows]).mul_(2 / batch.size)
            grad_v += product(residual.transpose(1, 2), features.transpose(1, 2))
            back = self.activation.pull(product(residual, self.v), h)
            pulled = functional.embedding_bag(block.samples, back.flatten(0, 1), block.segments, mode="sum")
            grad_rows.add_(pulled, alpha=self.activation.slope)
        self.grad_v.copy_(grad_v.transpose(1, 2))
        return self._score(output, batch)

    def _blocks(self, batch: Batch) -> list[Block]:
        blocks = batch.blocks(self.block_rows)
        return blocks[::-1] if self.rounding is not None and self.rounding.reversed else blocks

    @property
    def block_rows(self) -> int:
        """Samples of each seed in a block at most."""
        if self.rounding is not None:
            return self.rounding.rows
        if placement.on_gpu(self.w):
            return 1 << 30  # all of them
        seeds, _, width = self.w.shape
        return torch.get_num_threads() * max(LEAST_ROWS, BLOCK_VALUES // (seeds * width))

    @staticmethod
    def _score(output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed from the outputs (S, n, C), which are centred in place."""
        accuracy = (output.argmax(dim=2) == batch.labels).double().mean(dim=1)
        output -= output.mean(dim=2, keepdim=True)
        hit = output.gather(2, batch.labels[:, :, None]).sum(dim=(1, 2), dtype=torch.float64)
        loss = output.square().sum(dim=(1, 2), dtype=torch.float64) - 2 * hit
        return loss / batch.size + 1 - 1 / batch.classes, accuracy


@dataclass(frozen=True, kw_only=True)
class TwoLayer(Network):
    """`TwoLayerNetwork` of the config's `width` and `activation`."""

    def shapes(self, config: RunConfig, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """(P·V, K) and (K, C)."""
        shapes = (sizes.places * sizes.symbols, config.width), (config.width, sizes.classes)
        return dict(zip(self.layers, shapes, strict=True))

    def build(
        self, config: RunConfig, sizes: Sizes, seeds: Sequence[int], device: torch.device, dtype: torch.dtype
    ) -> TwoLayerNetwork:
        """Each drawn as `initial_weights` says."""
        return TwoLayerNetwork.initialised(
            sizes.symbols,
            config.width,
            seeds,
            config.activation,
            device,
            dtype,
            sizes.places,
            sizes.classes,
            named(config.rounding),
        )

    def check(self, config: RunConfig) -> None:
        """Refuse an activation that is not there."""
        activation(config.activation)

    def sentence(self, config: RunConfig) -> str:
        """`A two-layer network (σ = square, K = 2048)`."""
        return f"A two-layer network (σ = {config.activation}, K = {config.width})"

    def flops(self, config: RunConfig, sizes: Sizes) -> float:
        """Three products of 2 n K C for the training samples and one for the test samples; W takes sums only."""
        return 2.0 * config.width * sizes.classes * (3 * sizes.train + sizes.test)

    def facts(self, config: RunConfig) -> dict[str, Any]:
        """The name of σ."""
        return {"activation": config.activation}

    def predictor(self, layers: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Predictor:
        """σ(X W) V."""
        w, v = (layers[name] for name in self.layers)
        network = TwoLayerNetwork(w[None], v[None], facts["activation"])

        def predict(inputs: np.ndarray) -> np.ndarray:
            samples = torch.from_numpy(np.array(inputs, dtype=np.int64))[None]
            symbols = len(w) // samples.shape[2]
            if samples.numel() and not 0 <= int(samples.min()) <= int(samples.max()) < symbols:
                raise ValueError(f"pairs must be whole numbers in [0, {symbols - 1}], got others. Take them modulo {symbols}.")
            batch = network.batch(samples, torch.zeros(samples.shape[:2], dtype=torch.int64))
            with torch.no_grad():
                scores: np.ndarray = (network.features(batch)[0] @ v).numpy()
            return scores

        return predict

    def sources(self, config: RunConfig) -> tuple[Path, ...]:
        """The file of an activation of one's own."""
        source = config.own_sources().get("activation")
        return () if source is None else (source,)


NETWORK = TwoLayer(
    title="Two layers without bias, an elementwise activation between them",
    source="Xu (arXiv 2605.08119) §2",
    cost="four matrix products an epoch",
    layers=("w", "v"),
    gives=("features", "readout", *EVERY_NETWORK),
    model_type="two-layer network",
    takes_rounding=True,
)
