"""The two-layer network Ŷ = σ(X W) V, for S seeds at once, with its gradient in closed form.

Shapes: S seeds, n samples, M modulus, K width. X is two one-hots side by side, so X W is a sum of two rows of W and
its gradient a segment sum. Samples pass in blocks that stay in the cache.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from grok.activations import Activation, activation

BLOCK_VALUES = 1 << 20
"""Preactivations per block on a CPU, 4 MiB in float32: at K = 2048 the fastest of 126 … 2016 rows a block."""


class Batch:
    """Samples of S problems, laid out for the network.

    Args:
        pairs: (S, n, 2) int64.
        labels: (S, n) int64.
        modulus: M.
        device: where the tensors live.
    """

    def __init__(self, pairs: Tensor, labels: Tensor, modulus: int, device: torch.device) -> None:
        seeds, self.size = labels.shape
        offset = torch.arange(seeds)[:, None] * 2 * modulus
        self.rows_a = (pairs[:, :, 0] + offset).to(device)  # rows of the stacked (S·2M, K) first layer
        self.rows_b = (pairs[:, :, 1] + modulus + offset).to(device)
        self.labels = labels.to(device)
        self.modulus = modulus

    def blocks(self, rows: int) -> list[slice]:
        """Slices of at most `rows` samples that cover the batch, of nearly equal length."""
        count = max(1, -(-self.size // rows))
        bounds = [self.size * i // count for i in range(count + 1)]
        return [slice(low, high) for low, high in itertools.pairwise(bounds)]


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

    def preactivations(self, batch: Batch, rows: slice = slice(None)) -> Tensor:
        """X W of the samples `rows`: (S, n, K)."""
        w = self.w.flatten(0, 1)
        h = w.index_select(0, batch.rows_a[:, rows].flatten())
        h += w.index_select(0, batch.rows_b[:, rows].flatten())
        return h.view(len(self.w), -1, self.w.shape[2])

    def features(self, batch: Batch) -> Tensor:
        """F = σ(X W): (S, n, K)."""
        seeds, _, width = self.w.shape
        out = self.w.new_empty(seeds, batch.size, width)
        for rows in batch.blocks(self._block_rows()):
            out[:, rows] = self.activation.value(self.preactivations(batch, rows))
        return out

    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed, (S,) float64 both; no activation is kept."""
        loss, correct = self._sums()
        for rows in batch.blocks(self._block_rows()):
            features = self.activation.value(self.preactivations(batch, rows))
            self._score(torch.bmm(features, self.v), batch.labels[:, rows], loss, correct)
        return self._means(loss, correct, batch)

    def loss_and_gradient(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of each seed, and the gradient of the loss in `grad_w` and `grad_v`.

            L = mean_i ‖c_i‖² − 2 c_i,y + 1 − 1/M,  c = o − mean(o),  o = F V
            ∂L/∂o = 2 (c − onehot(y) + 1/M) / n,  ∂V = Fᵀ ∂o,  ∂W = Xᵀ [(∂o Vᵀ) ⊙ σ′(X W)]

        Returns:
            loss: (S,) float64. accuracy: (S,) float64 in [0, 1].

        Source: Xu (arXiv 2605.08119) §2; the autograd version in tests/references.py agrees.
        """
        loss, correct = self._sums()
        self.grad_w.zero_()
        self.grad_v.zero_()
        grad_rows = self.grad_w.flatten(0, 1)
        v_transposed = self.v.transpose(1, 2)
        for rows in batch.blocks(self._block_rows()):
            h = self.preactivations(batch, rows)
            features = self.activation.value(h)
            labels = batch.labels[:, rows]
            residual = self._score(torch.bmm(features, self.v), labels, loss, correct)
            residual.scatter_add_(2, labels[:, :, None], residual.new_full((), -1.0).expand(*labels.shape, 1))
            residual.add_(1 / batch.modulus).mul_(2 / batch.size)
            self.grad_v.baddbmm_(features.transpose(1, 2), residual)
            slope = self.activation.derivative(h)  # before `features`, which may be h itself, is written over
            back = torch.bmm(residual, v_transposed, out=features).mul_(slope).flatten(0, 1)
            grad_rows.index_add_(0, batch.rows_a[:, rows].flatten(), back)
            grad_rows.index_add_(0, batch.rows_b[:, rows].flatten(), back)
        return self._means(loss, correct, batch)

    def _block_rows(self) -> int:
        seeds, _, width = self.w.shape
        return 1 << 30 if self.w.is_cuda else max(1, BLOCK_VALUES // (seeds * width))

    def _sums(self) -> tuple[Tensor, Tensor]:
        return tuple(torch.zeros(len(self.w), dtype=torch.float64, device=self.w.device) for _ in range(2))  # type: ignore[return-value]

    @staticmethod
    def _score(output: Tensor, labels: Tensor, loss: Tensor, correct: Tensor) -> Tensor:
        """Add the block's summed loss and hits; return the class-centred output, in place."""
        correct += (output.argmax(dim=2) == labels).sum(dim=1)
        output -= output.mean(dim=2, keepdim=True)
        hit = output.gather(2, labels[:, :, None]).sum(dim=(1, 2), dtype=torch.float64)
        loss += output.square().sum(dim=(1, 2), dtype=torch.float64) - 2 * hit
        return output

    def _means(self, loss: Tensor, correct: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return loss / batch.size + 1 - 1 / batch.modulus, correct / batch.size
