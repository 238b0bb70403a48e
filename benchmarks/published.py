"""The published per-epoch procedure, written down as a competent person would: the baseline of the benchmark.

One-hot inputs, `nn.Linear` layers, autograd and `torch.optim.Adam`. Every epoch: scores; the n×n and the K×K Gram of the
features for ρ and the off-diagonal ratios; the backpropagated gradient with its column pairs; the last w updates stacked
and multiplied for W and for V. At checkpoint epochs: repulsion by the published inverse. The forward pass is shared by
loss and observables, no matrix is formed twice, every product is one call in the network's own precision (float32; the
repulsion in float64). Left out in its favour: what this project adds, the null and the direct check of Theorem 6.

Only the random pairs and the task are the library's, so that the numbers can be compared. Shapes: n, K, M as in `floor`.

Source: Xu (arXiv 2605.08119) §2 to §4; Tian (arXiv 2509.21519) Fig. 3.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np
import torch
from torch import Tensor, nn

from grok.numerics.features import COLUMN_PAIRS, random_pairs
from grok.numerics.repulsion import DEFAULT_RIDGE
from grok.spec.config import ResolvedConfig, RunConfig
from grok.training.devices import resolve_device
from grok.training.loop import problem

SIGMA: dict[str, Callable[[Tensor], Tensor]] = {"square": torch.square, "relu": torch.relu}
GAP_FLOOR = 1e-6


@dataclass
class Seconds:
    """Wall time of a published run.

    Attributes:
        setup: before the first epoch. epochs: of each epoch without its repulsion. repulsion: of each measurement.
    """

    setup: float = 0.0
    epochs: list[float] = field(default_factory=list)
    repulsion: list[float] = field(default_factory=list)

    def scaled(self, config: RunConfig) -> float:
        """Seconds of the whole run of `config`: epochs that were not run cost the mean of those with a full window.

        Raises:
            ValueError: if no epoch with a full window, or no measurement of a run that has some, was timed.
        """
        config = config.resolved()
        full, missing = self.epochs[config.window :], config.epochs + 1 - len(self.epochs)
        checkpoints = len(config.checkpoint_epochs)
        if (missing and not full) or (checkpoints and not self.repulsion):
            rule = f"exceed the window, {config.window}, and reach a checkpoint"
            raise ValueError(f"timed epochs must {rule}, got {len(self.epochs)}. Time more of them.")
        rest = missing * sum(full) / len(full) if missing else 0.0
        measured = checkpoints * sum(self.repulsion) / len(self.repulsion) if checkpoints else 0.0
        return self.setup + sum(self.epochs) + rest + measured


def run(config: RunConfig, log: TextIO) -> Seconds:
    """Train one network of a config (square or relu, Adam) and log a JSON line an epoch.

    Args:
        config: epochs, checkpoints and window are taken from it; a checkpoint beyond `epochs` is not reached.
        log: takes {"epoch": t, metric: value, …} lines, metrics by the names that the library gives them.
    """
    start = time.perf_counter()
    training = _Published(config.resolved())
    seconds = Seconds(setup=time.perf_counter() - start)
    for epoch in range(training.config.epochs + 1):
        start = time.perf_counter()
        row, features = training.epoch(epoch)
        seconds.epochs.append(time.perf_counter() - start)
        if epoch in training.config.checkpoint_epochs:
            start = time.perf_counter()
            row |= repulsion(features, training.config.weight_decay, training.config.top_pairs)
            seconds.repulsion.append(time.perf_counter() - start)
        log.write(json.dumps({"epoch": epoch} | {k: v for k, v in row.items() if math.isfinite(v)}) + "\n")
    return seconds


class _Published:
    """Network, optimiser and the windows of raw updates."""

    def __init__(self, config: ResolvedConfig) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        dtype = getattr(torch, config.precision)
        task = problem(config)
        self.labels = {"train": task.train_labels.to(self.device), "test": task.test_labels.to(self.device)}
        pairs = {"train": task.train_pairs, "test": task.test_pairs}
        self.inputs = {part: _one_hots(p, config.modulus).to(self.device, dtype) for part, p in pairs.items()}
        self.targets = {part: _one_hot(labels, config.modulus).to(dtype) for part, labels in self.labels.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.first = nn.Linear(2 * config.modulus, config.width, bias=False)
            self.second = nn.Linear(config.width, config.modulus, bias=False)
        self.first.to(self.device, dtype)
        self.second.to(self.device, dtype)
        self.layers = {"w": self.first.weight, "v": self.second.weight}
        self.optimizer = torch.optim.Adam(self.layers.values(), lr=config.learning_rate, weight_decay=config.weight_decay)
        self.previous = {name: weight.detach().clone().flatten() for name, weight in self.layers.items()}
        self.windows: dict[str, deque[Tensor]] = {name: deque(maxlen=config.window) for name in self.layers}
        self.gaps: dict[str, list[float]] = {name: [] for name in self.layers}
        columns = random_pairs(config.width, COLUMN_PAIRS, np.random.default_rng(config.seed))
        self.column_pairs = torch.from_numpy(columns.T.copy()).to(self.device)

    def epoch(self, epoch: int) -> tuple[dict[str, float], Tensor]:
        """Metrics and features of epoch t, then the step to t + 1."""
        sigma = SIGMA[self.config.activation]
        features = sigma(self.first(self.inputs["train"]))
        output = self.second(features)
        loss = _loss(output, self.targets["train"])
        with torch.no_grad():
            test_output = self.second(sigma(self.first(self.inputs["test"])))
            f, o = features.detach(), output.detach()
            row = {
                "loss/train": float(loss),
                "loss/test": float(_loss(test_output, self.targets["test"])),
                "accuracy/train": _accuracy(o, self.labels["train"]),
                "accuracy/test": _accuracy(test_output, self.labels["test"]),
            }
            row |= {f"norm/{name}": float(weight.norm()) for name, weight in self.layers.items()}
            row |= feature_grams(f) | self._gradient(o)
            for name in self.layers if epoch else ():
                row |= self._spectrum(name)
        if epoch < self.config.epochs:
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return row, f

    def _gradient(self, output: Tensor) -> dict[str, float]:
        """Size and alignment of G_F = P₁⊥(Y − F V)Vᵀ, formed."""
        residual = self.targets["train"] - output
        gradient = (residual - residual.mean(dim=0)) @ self.second.weight
        left, right = (gradient.index_select(1, column) for column in self.column_pairs)
        cos = nn.functional.cosine_similarity(left, right, dim=0, eps=1e-30).abs()
        median, high = torch.quantile(cos, cos.new_tensor([0.5, 0.95])).tolist()
        return {"gradient/norm": float(gradient.norm()), "gradient/cos_median": median, "gradient/cos_p95": high}

    def _spectrum(self, name: str) -> dict[str, float]:
        """Take the newest update; eigenvalues of ΔᵀΔ of the whole window, gaps, slope and cosine distance."""
        now = self.layers[name].detach().clone().flatten()
        window = self.windows[name]
        window.append(now - self.previous[name])
        self.previous[name] = now
        row, lag, gaps = {}, self.config.slope_lag, self.gaps[name]
        gap_23 = math.nan
        if len(window) > 1:
            stacked = torch.stack(tuple(window))
            values = torch.linalg.eigvalsh(stacked @ stacked.T).flip(0)[:5].clamp_min(0).tolist()
            row = {f"delta_{name}/lambda_{k}": value for k, value in enumerate(values, 1)}
            row[f"delta_{name}/gap_12"] = values[0] / values[1] if values[1] else math.nan
            if len(values) > 2:
                gap_23 = row[f"delta_{name}/gap_23"] = values[1] / values[2] if values[2] else math.nan
            cos = nn.functional.cosine_similarity(window[-1], window[-2], dim=0, eps=1e-30)
            row[f"delta_{name}/cosine_distance"] = 1 - float(cos)
        gaps.append(gap_23)
        if len(gaps) > lag:
            change = math.log(max(gaps[-1], GAP_FLOOR)) - math.log(max(gaps[-1 - lag], GAP_FLOOR))
            row[f"delta_{name}/slope_23"] = change / lag
        return row


def _one_hot(index: Tensor, modulus: int) -> Tensor:
    hot: Tensor = nn.functional.one_hot(index, modulus)
    return hot


def _one_hots(pairs: Tensor, modulus: int) -> Tensor:
    return torch.cat([_one_hot(pairs[:, i], modulus) for i in (0, 1)], dim=1)


def _loss(output: Tensor, target: Tensor) -> Tensor:
    centred = output - output.mean(dim=1, keepdim=True)
    return (centred - (target - 1 / target.shape[1])).square().sum(dim=1).mean()


def _accuracy(output: Tensor, labels: Tensor) -> float:
    return float((output.argmax(dim=1) == labels).double().mean())


def feature_grams(features: Tensor) -> dict[str, float]:
    """ρ and the off-diagonal ratios from FFᵀ (n×n) and F̃ᵀF̃ (K×K), both formed; dead features.

    Args:
        features: F, (n, K).
    """
    n = len(features)
    kernel = features @ features.T
    trace, total = float(kernel.trace()), float(kernel.sum())
    a, b = trace / n, (total - trace) / (n * (n - 1))
    target = torch.full_like(kernel, b)
    target.fill_diagonal_(a)
    rho = float((kernel - target).norm() / kernel.norm())
    centred = features - features.mean(dim=0)
    return {
        "features/rho": rho,
        "features/offdiag_ratio": _off_diagonal_ratio(centred.T @ centred),
        "features/kernel_offdiag_ratio": _off_diagonal_ratio(kernel - kernel.mean(dim=0)),
        "features/dead": float((features == 0).all(dim=0).sum()),
    }


def _off_diagonal_ratio(matrix: Tensor) -> float:
    """Mean |off-diagonal| / mean |diagonal|."""
    sizes = matrix.abs()
    diagonal = float(sizes.trace())
    return (float(sizes.sum()) - diagonal) / (diagonal * (len(matrix) - 1))


def repulsion(features: Tensor, weight_decay: float, top_pairs: int) -> dict[str, float]:
    """Sign match and repulsion rate of the most similar pairs, by the published inverse, in float64.

        B_pub = I/η − F̃ᵀ(F̃F̃ᵀ + ηI)⁻¹F̃/η²,  residual = f̃_jᵀ(I − F̃B_pubF̃ᵀ)f̃_l

    Off its diagonal B_pub is the correct B times 1/η, so its signs are B's.

    Args:
        features: F, (n, K). weight_decay: η. top_pairs: pairs taken, fewer than all.
    """
    ridge = weight_decay or DEFAULT_RIDGE
    f = features.double()
    f = f - f.mean(dim=0)
    gram = f.T @ f
    norms = gram.diagonal().sqrt()
    upper = torch.triu_indices(len(gram), len(gram), offset=1, device=gram.device)
    cos = (gram / torch.outer(norms, norms).clamp_min(1e-300))[upper[0], upper[1]]
    best = torch.topk(cos.abs(), top_pairs).indices
    (j, l), cos = upper[:, best], cos[best]
    kernel = f @ f.T
    kernel.diagonal().add_(ridge)
    b = f.T @ torch.linalg.inv(kernel) @ f / -(ridge**2)
    b.diagonal().add_(1 / ridge)
    residual = (f[:, j] * (f[:, l] - f @ (b @ gram[:, l]))).sum(dim=0)
    signs = torch.sign(b[j, l])
    return {
        "repulsion/rate": float((signs == -torch.sign(cos)).double().mean()),
        "repulsion/published_estimator": float((signs == -torch.sign(residual)).double().mean()),
        "repulsion/median_cos": float(cos.abs().quantile(0.5)),
        "repulsion/positive_share": float((cos > 0).double().mean()),
    }
