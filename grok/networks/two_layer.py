"""The two-layer network Ŷ = σ(X W) V, for S seeds at once, with its gradient in closed form.

Shapes: S seeds, n samples, M modulus, K width. X is two one-hots side by side, so X W is a sum of two rows of W and
its gradient a segment sum. Samples pass in blocks that stay in the cache.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from grok.networks.activations import Activation, activation
from grok.numerics.linalg import product

BLOCK_VALUES = 1 << 19
"""Preactivations per block and thread on a CPU, 2 MiB in float32: at K = 2048 the fastest of 128, 256 and 512 rows."""
LEAST_ROWS = 256
"""Samples of each seed per block and thread at least: a block adds up whole gradients, which must not outweigh its products."""


class Block(NamedTuple):
    """Samples that pass through the network together, and where they come from.

    Attributes:
        rows: which samples of the batch.
        sources, bags: rows of the stacked (S·2M, K) first layer that each sample adds up, and where each sample's begin.
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
        pairs: (S, n, 2) int64.
        labels: (S, n) int64.
        modulus: M.
        device: where the tensors live.

    Attributes:
        hits: (S, n, M) int8, one-hot labels.
    """

    def __init__(self, pairs: Tensor, labels: Tensor, modulus: int, device: torch.device) -> None:
        self.seeds, self.size = labels.shape
        offset = torch.arange(self.seeds)[:, None] * 2 * modulus
        self._sources = torch.stack((pairs[:, :, 0] + offset, pairs[:, :, 1] + modulus + offset), dim=2)
        self._blocks: dict[int, list[Block]] = {}
        self.labels = labels.to(device)
        self.modulus = modulus
        self.hits = functional.one_hot(self.labels, modulus).to(torch.int8)

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
        layer_rows = self.seeds * 2 * self.modulus
        starts = torch.bincount(sources, minlength=layer_rows).cumsum(0).roll(1)
        starts[0] = 0
        samples = torch.argsort(sources, stable=True) // 2
        bags = torch.arange(0, len(sources), 2)
        return Block(rows, *(index.to(device) for index in (sources, bags, samples, starts)))


def initial_weights(modulus: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """PyTorch's default initialisation of the two layers, in the order of the protocol.

    Returns:
        W: (2M, K) and V: (K, M), float32, on the CPU. Torch's global generator is left as it was.

    Source: Xu (arXiv 2605.08119) §2: manual_seed, Linear(2M, K), Linear(K, M), in this order.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = nn.Linear(2 * modulus, width, bias=False)
        second = nn.Linear(width, modulus, bias=False)
    return first.weight.detach().T.contiguous(), second.weight.detach().T.contiguous()


class TwoLayerNetwork:
    """S networks σ(X W) V that share a shape and an activation.

    Attributes:
        w: (S, 2M, K) first layer. v: (S, K, M) second layer.
        grad_w, grad_v: gradients of the same shapes, filled by `loss_and_gradient`.

    Args:
        w: (S, 2M, K), taken as it is, not copied.
        v: (S, K, M), likewise.
        activation_name: name or `module:function` of σ.
    """

    def __init__(self, w: Tensor, v: Tensor, activation_name: str) -> None:
        self.w, self.v = w, v
        self.grad_w, self.grad_v = torch.zeros_like(w), torch.zeros_like(v)
        self.activation: Activation = activation(activation_name)

    @classmethod
    def initialised(
        cls, modulus: int, width: int, seeds: tuple[int, ...], activation_name: str, device: torch.device, dtype: torch.dtype
    ) -> TwoLayerNetwork:
        """Fresh networks, one per seed, drawn on the CPU whatever the device."""
        layers = [initial_weights(modulus, width, seed) for seed in seeds]
        w = torch.stack([w for w, _ in layers]).to(device, dtype)
        v = torch.stack([v for _, v in layers]).to(device, dtype)
        return cls(w, v, activation_name)

    def parameters(self) -> list[nn.Parameter]:
        """W and V of each seed in turn: 2-D parameters that share memory with `w`, `v` and their gradients."""
        out = []
        for s in range(len(self.w)):
            for value, grad in ((self.w[s], self.grad_w[s]), (self.v[s], self.grad_v[s])):
                parameter = nn.Parameter(value)
                parameter.grad = grad
                out.append(parameter)
        return out

    def preactivations(self, block: Block) -> Tensor:
        """X W of a block's samples: (S, n, K)."""
        h = functional.embedding_bag(block.sources, self.w.flatten(0, 1), block.bags, mode="sum")
        return h.view(len(self.w), -1, self.w.shape[2])

    def features(self, batch: Batch) -> Tensor:
        """F = σ(X W): (S, n, K)."""
        seeds, _, width = self.w.shape
        out = self.w.new_empty(seeds, batch.size, width)
        for block in batch.blocks(self._block_rows()):
            out[:, block.rows] = self.activation.value(self.preactivations(block))
        return out

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed, (S,) float64 both; no activation is kept."""
        output = self.v.new_empty(*batch.hits.shape)
        for block in batch.blocks(self._block_rows()):
            output[:, block.rows] = product(self.activation.over(self.preactivations(block)), self.v.transpose(1, 2))
        return self._score(output, batch)

    def loss_and_gradient(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed, and the gradient of the loss in `grad_w` and `grad_v`.

            L = mean_i ‖c_i‖² − 2 c_i,y + 1 − 1/M,  c = o − mean(o),  o = F V
            ∂L/∂o = 2 (c − onehot(y) + 1/M) / n,  ∂V = Fᵀ ∂o,  ∂W = Xᵀ [(∂o Vᵀ) ⊙ σ′(X W)]

        Returns:
            loss: (S,) float64. accuracy: (S,) float64 in [0, 1].

        Source: Xu (arXiv 2605.08119) §2; the autograd version in tests/helpers/references.py agrees.
        """
        output = self.v.new_empty(*batch.hits.shape)
        self.grad_w.zero_()
        grad_rows = self.grad_w.flatten(0, 1)
        grad_v = self.v.new_zeros(len(self.v), batch.modulus, self.v.shape[1])
        for block in batch.blocks(self._block_rows()):
            h = self.preactivations(block)
            features = self.activation.value(h)
            output[:, block.rows] = raw = product(features, self.v.transpose(1, 2))
            raw -= raw.mean(dim=2, keepdim=True) - 1 / batch.modulus
            residual = raw.sub_(batch.hits[:, block.rows]).mul_(2 / batch.size)
            grad_v += product(residual.transpose(1, 2), features.transpose(1, 2))
            back = self.activation.pull(product(residual, self.v), h)
            grad_rows += functional.embedding_bag(block.samples, back.flatten(0, 1), block.segments, mode="sum")
        self.grad_v.copy_(grad_v.transpose(1, 2))
        return self._score(output, batch)

    def _block_rows(self) -> int:
        seeds, _, width = self.w.shape
        return 1 << 30 if self.w.is_cuda else torch.get_num_threads() * max(LEAST_ROWS, BLOCK_VALUES // (seeds * width))

    @staticmethod
    def _score(output: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed from the outputs (S, n, M), which are centred in place."""
        accuracy = (output.argmax(dim=2) == batch.labels).double().mean(dim=1)
        output -= output.mean(dim=2, keepdim=True)
        hit = output.gather(2, batch.labels[:, :, None]).sum(dim=(1, 2), dtype=torch.float64)
        loss = output.square().sum(dim=(1, 2), dtype=torch.float64) - 2 * hit
        return loss / batch.size + 1 - 1 / batch.modulus, accuracy
