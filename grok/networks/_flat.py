"""Networks of torch's modules whose parameters are two flat vectors: the attention's weight matrices, and all others.

Shapes: S seeds, n samples, P places of an input, O labels of a sample, C classes, p attention weights, q other parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from grok.networks.base import Network, Predictor, Stack
from grok.spec.config import RunConfig
from grok.tasks.base import IGNORED, Sizes

ATTENTION, REST = "attention", "rest"
"""The layers: in_proj and out_proj weights of all attention blocks, without biases; and everything else."""
MATRICES = ("q", "k", "v", "o")
EVALUATED = 256
"""Samples that are evaluated at a time, of like length."""


def is_attention(key: str) -> bool:
    """Whether a parameter is one of θ_attn (Xu, arXiv 2604.07380, its code)."""
    return key.endswith(("in_proj_weight", "out_proj.weight"))


def split_keys(module: nn.Module) -> dict[str, list[str]]:
    """Names of a module's parameters by layer, in alphabetical order."""
    keys = sorted(name for name, _ in module.named_parameters())
    return {ATTENTION: [k for k in keys if is_attention(k)], REST: [k for k in keys if not is_attention(k)]}


def flatten(module: nn.Module) -> dict[str, Tensor]:
    """The parameters as two vectors, copies."""
    parameters = dict(module.named_parameters())
    return {layer: torch.cat([parameters[k].detach().flatten() for k in keys]) for layer, keys in split_keys(module).items()}


def bind(module: nn.Module, vectors: Mapping[str, Tensor], gradients: Mapping[str, Tensor] | None = None) -> None:
    """Let the parameters, and their gradients if given, share memory with the vectors."""
    parameters = dict(module.named_parameters())
    for layer, keys in split_keys(module).items():
        at = 0
        for key in keys:
            parameter = parameters[key]
            size, shape = parameter.numel(), parameter.shape
            parameter.data = vectors[layer][at : at + size].view(shape)
            if gradients is not None:
                parameter.grad = gradients[layer][at : at + size].view(shape)
            at += size


def segments(module: nn.Module) -> dict[str, slice]:
    """Where each matrix of each attention block is in θ_attn: `encoder.layers.0.self_attn.q` and so on, in order."""
    out: dict[str, slice] = {}
    at = 0
    parameters = dict(module.named_parameters())
    for key in split_keys(module)[ATTENTION]:
        size = parameters[key].numel()
        block, _, kind = key.replace("out_proj.weight", "out_proj_weight").rpartition(".")
        names = MATRICES[:3] if kind == "in_proj_weight" else MATRICES[3:]
        each = size // len(names)
        out |= {f"{block}.{name}": slice(at + i * each, at + (i + 1) * each) for i, name in enumerate(names)}
        at += size
    return out


@dataclass
class SequenceBatch:
    """Samples: inputs (S, n, P) and labels (S, n) or (S, n, O), int64.

    Attributes:
        lengths: (S, n) int64, labels of each sample that count; on the CPU, so that to cut a batch by them waits for no GPU.
        right: (S, n, O) bool, or (S, n), as `evaluate` found it last: whether the label is the arg-max; False where ignored.
    """

    inputs: Tensor
    labels: Tensor
    lengths: Tensor
    right: Tensor | None = None


class FlatStack(Stack):
    """S modules of one shape; module s has the entries s of the vectors.

    Args:
        modules: on the CPU as drawn, in the dtype of the training; each maps (inputs (n, P), length) to scores (n, length, C),
            or (n, C) if samples have one label.
        device: to train on.
        states: (seed) the state of the generator right after the module was drawn.
        buckets: parts of like length that a batch is trained in, so that less is spent on padding.
        whole: whether a sample is right only if all its labels are.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        device: torch.device,
        states: Sequence[Tensor],
        buckets: int = 1,
        whole: bool = False,
    ) -> None:
        self.modules = [module.to(device).train() for module in modules]  # without dropout; its fast path rounds differently
        vectors = [flatten(module) for module in self.modules]
        self._layers = {layer: torch.stack([vector[layer] for vector in vectors]) for layer in (ATTENTION, REST)}
        self._gradients = {layer: torch.zeros_like(value) for layer, value in self._layers.items()}
        self.states, self.buckets, self.whole, self.device = list(states), buckets, whole, device
        for s, module in enumerate(self.modules):
            bind(module, *({k: v[s] for k, v in of.items()} for of in (self._layers, self._gradients)))

    @property
    def layers(self) -> dict[str, Tensor]:
        """θ_attn and the rest: (S, p) and (S, q)."""
        return dict(self._layers)

    @property
    def gradients(self) -> dict[str, Tensor]:
        """Of the same."""
        return dict(self._gradients)

    def generators(self, seeds: Sequence[int]) -> list[torch.Generator]:
        """Going on where the initial weights ended, as a script with one global generator does."""
        out = [torch.Generator() for _ in seeds]
        for generator, state in zip(out, self.states, strict=True):
            generator.set_state(state)
        return out

    def batch(self, inputs: Tensor, labels: Tensor) -> SequenceBatch:
        """On the training device."""
        lengths = (labels != IGNORED).sum(dim=2) if labels.dim() == 3 else torch.ones_like(labels)
        return SequenceBatch(inputs.to(self.device), labels.to(self.device), lengths.cpu())

    def loss_and_gradient(self, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy of the labels that count, and the gradient of it."""
        for gradient in self._gradients.values():
            gradient.zero_()
        losses, rights = [], []
        with torch.enable_grad():
            for s, module in enumerate(self.modules):
                losses.append(torch.zeros((), dtype=torch.float64, device=self.device))
                right = torch.zeros_like(batch.labels[s], dtype=torch.bool)
                lengths = batch.lengths[s]
                counted = int(lengths.sum())
                for rows, length in self._parts(batch, s):
                    scores, labels = self._scores(module, batch, s, rows, length)
                    loss = functional.cross_entropy(scores.flatten(0, -2), labels.flatten(), ignore_index=IGNORED)
                    share = 1.0 if rows is None else int(lengths[rows].sum()) / counted
                    (loss if rows is None else loss * share).backward()  # type: ignore[no-untyped-call]
                    losses[-1] += loss.detach().double() * share
                    self._put(right, rows, length, scores.argmax(dim=-1) == labels)
                rights.append(right)
        return torch.stack(losses), self._accuracy(torch.stack(rights), batch)

    def evaluate(self, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
        """The same without a gradient; which labels were right stays with the batch."""
        losses, rights = [], []
        with torch.no_grad():
            for s, module in enumerate(self.modules):
                total = torch.zeros((), dtype=torch.float64, device=self.device)
                right = torch.zeros_like(batch.labels[s], dtype=torch.bool)
                order = torch.argsort(batch.lengths[s], stable=True)
                for rows in torch.split(order, EVALUATED):
                    length = int(batch.lengths[s][rows].max())
                    scores, labels = self._scores(module, batch, s, rows, length)
                    total += functional.cross_entropy(
                        scores.flatten(0, -2).double(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
                    )
                    self._put(right, rows, length, scores.argmax(dim=-1) == labels)
                losses.append(total / int(batch.lengths[s].sum()))
                rights.append(right)
        batch.right = torch.stack(rights)
        return torch.stack(losses), self._accuracy(batch.right, batch)

    def _parts(self, batch: SequenceBatch, s: int) -> list[tuple[Tensor | None, int]]:
        """Rows and length of each part that is trained together; None for all rows at full length."""
        if self.buckets == 1:
            return [(None, batch.labels.shape[-1])]
        lengths = batch.lengths[s]
        order = torch.argsort(lengths, stable=True)
        return [(rows, int(lengths[rows].max())) for rows in torch.split(order, -(-len(order) // self.buckets))]

    @staticmethod
    def _scores(module: nn.Module, batch: SequenceBatch, s: int, rows: Tensor | None, length: int) -> tuple[Tensor, Tensor]:
        inputs, labels = batch.inputs[s], batch.labels[s]
        inputs, labels = (inputs, labels) if rows is None else (inputs[rows], labels[rows])
        return module(inputs, length), labels[:, :length] if labels.dim() == 2 else labels

    @staticmethod
    def _put(into: Tensor, rows: Tensor | None, length: int, right: Tensor) -> None:
        if into.dim() == 1:
            into[slice(None) if rows is None else rows] = right
        elif rows is None:
            into[:, :length] = right
        else:
            into[rows, :length] = right

    def _accuracy(self, right: Tensor, batch: SequenceBatch) -> Tensor:
        if batch.labels.dim() == 2:
            return right.double().mean(dim=1)
        lengths = batch.lengths.to(right.device)
        if self.whole:
            return (right.sum(dim=2) == lengths).double().mean(dim=1)
        return right.double().sum(dim=(1, 2)) / lengths.sum(dim=1)


@dataclass(frozen=True, kw_only=True)
class FlatNetwork(Network):
    """A network of torch's modules, by the function that makes one.

    Attributes:
        make: (sizes) → module, with the weights of torch's global generator.
        buckets, whole: as of `FlatStack`.
    """

    make: Callable[[Sizes], nn.Module]
    buckets: int = 1
    whole: bool = False

    def shapes(self, config: RunConfig, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """(p,) and (q,)."""
        return {layer: tuple(vector.shape) for layer, vector in flatten(self.blank(sizes)).items()}

    def blank(self, sizes: Sizes) -> nn.Module:
        """A module of these sizes with weights that mean nothing."""
        with torch.random.fork_rng(devices=[]):
            return self.make(sizes).train()

    def module(self, sizes: Sizes, vectors: Mapping[str, Tensor]) -> nn.Module:
        """A module with copies of these weights, in their dtype."""
        out = self.blank(sizes).to(vectors[ATTENTION].dtype)
        bind(out, {layer: vector.clone() for layer, vector in vectors.items()})
        return out

    def build(
        self, config: RunConfig, sizes: Sizes, seeds: Sequence[int], device: torch.device, dtype: torch.dtype
    ) -> FlatStack:
        """Each drawn from torch's generator at its seed; the attention's weights are then scaled as the config says."""
        modules, states = [], []
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                modules.append(self.make(sizes).to(dtype))
                states.append(torch.get_rng_state())
        stack = FlatStack(modules, device, states, self.buckets, self.whole)
        if config.initial_scale != 1:
            stack.layers[ATTENTION].mul_(config.initial_scale)
        return stack

    def segments(self, config: RunConfig, sizes: Sizes) -> dict[str, slice]:
        """W_Q, W_K, W_V and W_O of each attention block."""
        return segments(self.blank(sizes))

    def unused(self, config: RunConfig, sizes: Sizes) -> dict[str, list[slice]]:
        """Rows that the module says no input reads, as parts of its layer."""
        module = self.blank(sizes)
        told: Mapping[str, slice] = getattr(module, "unused", dict)()
        parameters, out = dict(module.named_parameters()), dict[str, list[slice]]()
        for layer, keys in split_keys(module).items():
            at = 0
            for key in keys:
                rows, *rest = parameters[key].shape
                if key in told:
                    start, stop, _ = told[key].indices(rows)
                    width = int(np.prod(rest))
                    out.setdefault(layer, []).append(slice(at + start * width, at + stop * width))
                at += parameters[key].numel()
        return out

    def flops(self, config: RunConfig, sizes: Sizes) -> float:
        """Six a parameter and place of a step's batch, two a place that is evaluated, per step."""
        drawn = config.resolved().batch_size or sizes.train
        parameters = sum(np.prod(shape) for shape in self.shapes(config, sizes).values())
        evaluated = (config.resolved().eval_sequences or sizes.test) / config.resolved().evaluate_every
        return float(parameters * sizes.places * (6 * drawn + 2 * evaluated))

    def facts(self, config: RunConfig) -> dict[str, Any]:
        """The sizes of the task, which the weights alone do not tell."""
        from grok.spec.plugins import TASKS

        resolved = config.resolved()
        return {"sizes": list(TASKS.find(resolved.task).sizes(resolved))}

    def predictor(self, layers: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Predictor:
        """Scores (n, O, C), or (n, C) of a task with one label a sample."""
        sizes = Sizes(*facts["sizes"])
        module = self.module(sizes, layers)

        def predict(inputs: np.ndarray) -> np.ndarray:
            tokens = torch.from_numpy(np.array(inputs, dtype=np.int64))
            if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < sizes.symbols:
                raise ValueError(
                    f"symbols must be whole numbers in [0, {sizes.symbols - 1}], got others. Encode them as the task does."
                )
            with torch.no_grad():
                scores: np.ndarray = module(tokens, sizes.outputs).numpy()
            return scores

        return predict
