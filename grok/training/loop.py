"""Training as an iterator of epochs: the protocol's loop for one seed or for several in lockstep. No I/O.

Epoch t is scored *before* the t-th step: record 0 is the initial network, record t has taken t steps. Shapes: S seeds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import threadpoolctl
import torch
from torch import Tensor

from grok.networks.two_layer import Batch, TwoLayerNetwork
from grok.numerics.band import BandedGram
from grok.recorders.history import SCORES
from grok.recorders.observer import Found, Observer
from grok.spec.config import RunConfig
from grok.tasks.modular import Problem, modular_addition
from grok.training.devices import resolve_device
from grok.training.memory import keep_freed_memory

LAYERS = ("w", "v")


@dataclass(frozen=True)
class Record:
    """What is known of one epoch, for S seeds.

    Attributes:
        epoch: t; the networks have taken t steps.
        scores: (S, 6) float64 on the training device, columns as `SCORES`.
        found: per seed, what was observed at this epoch only.
        weights: {"w": (S, 2M, K), "v": (S, K, M)}: the live tensors, which the next step changes.
    """

    epoch: int
    scores: Tensor
    found: list[Found]
    weights: dict[str, Tensor]

    def metrics(self, seed_index: int = 0) -> dict[str, float]:
        """Everything of one seed by metric name; it waits for the device."""
        return dict(zip(SCORES, self.scores[seed_index].tolist(), strict=True)) | self.found[seed_index].metrics

    @property
    def train_accuracy(self) -> float:
        """Of the first seed, in [0, 1]."""
        return float(self.scores[0, 2])

    @property
    def test_accuracy(self) -> float:
        """Of the first seed, in [0, 1]."""
        return float(self.scores[0, 3])


def train(config: RunConfig) -> Iterator[Record]:
    """Train one network and yield a record an epoch, 0 to `config.epochs`; it ends early if the loss diverges.

    Raises:
        ConfigError: if the activation cannot be imported.

    Source: Xu (arXiv 2605.08119) §2.
    """
    for record in Training(config):
        yield record
        if not bool(torch.isfinite(record.scores[0, 0])):
            return


class Training:
    """S networks of one config and S seeds, trained in lockstep; iterate it for `Record`s.

    Args:
        config: of the run; `config.seed` is used where `seeds` is not given.
        seeds: S seeds; each network, split and record is that of the config with this seed.

    Attributes:
        epoch: of the next record.
        updates: {"w": BandedGram, "v": BandedGram} of the steps taken.
        seconds: wall time so far of training, updates (their Gram) and observables; on a GPU, of their launch.
    """

    def __init__(self, config: RunConfig, seeds: Sequence[int] | None = None) -> None:
        self.config = config = config.resolved()
        self.seeds = tuple(seeds) if seeds is not None else (config.seed,)
        self.device = resolve_device(config.device)
        keep_freed_memory()
        if config.threads is not None:
            torch.set_num_threads(config.threads)
            threadpoolctl.threadpool_limits(config.threads)  # scipy's BLAS has a pool of its own
        dtype = getattr(torch, config.precision)
        self.problems = [problem(replace(config, seed=seed)) for seed in self.seeds]
        self.train_batch = self._batch("train")
        self.test_batch = self._batch("test")
        self.network = TwoLayerNetwork.initialised(
            config.modulus, config.width, self.seeds, config.activation, self.device, dtype
        )
        self.optimizer = make_optimizer(config, self.network)
        self.updates = {
            layer: BandedGram(config.max_window, weights[0].numel(), seeds=len(self.seeds), dtype=dtype, device=self.device)
            for layer, weights in self.weights.items()
        }
        self.observer = Observer(config, self.seeds)
        self.epoch = 0
        self.seconds = {"training": 0.0, "updates": 0.0, "observables": 0.0}

    @property
    def weights(self) -> dict[str, Tensor]:
        """The live weights by layer: (S, 2M, K) and (S, K, M)."""
        return {"w": self.network.w, "v": self.network.v}

    def __iter__(self) -> Iterator[Record]:
        """Yield records from the current epoch on; the step after a record is taken when the next is asked for."""
        while self.epoch <= cast(int, self.config.epochs):
            record = self._record()
            yield record
            if self.epoch < cast(int, self.config.epochs):
                self._step()
            self.epoch += 1

    def _batch(self, part: str) -> Batch:
        pairs = torch.stack([getattr(p, f"{part}_pairs") for p in self.problems])
        labels = torch.stack([getattr(p, f"{part}_labels") for p in self.problems])
        return Batch(pairs, labels, self.config.modulus, self.device)

    def _record(self) -> Record:
        start = time.perf_counter()
        with torch.no_grad():
            loss, accuracy = self.network.loss_and_gradient(self.train_batch)
            test_loss, test_accuracy = self.network.evaluate(self.test_batch)
            norms = [w.flatten(1).norm(dim=1).double() for w in self.weights.values()]
            scores = torch.stack((loss, test_loss, accuracy, test_accuracy, *norms), dim=1)
            self._clock("training", start)
            start = time.perf_counter()
            found = self.observer.observe(self.epoch, scores[:, 0], self.network, self.train_batch)
            self._clock("observables", start)
        return Record(self.epoch, scores, found, self.weights)

    def _step(self) -> None:
        start = time.perf_counter()
        with torch.no_grad():
            before = {layer: weights.clone() for layer, weights in self.weights.items()}
            self.optimizer.step()
            self._clock("training", start)
            start = time.perf_counter()
            for layer, weights in self.weights.items():
                self.updates[layer].append(weights.flatten(1), before[layer].flatten(1))
            self._clock("updates", start)

    def _clock(self, part: str, start: float) -> None:
        self.seconds[part] += time.perf_counter() - start

    def state(self, s: int) -> dict[str, Tensor]:
        """Everything that one seed needs to go on bit for bit, by name; read it between two records.

        Tensors are views of live memory: save or clone them before the next step.
        """
        out = {f"network/{layer}": weights[s] for layer, weights in self.weights.items()}
        for index, layer in enumerate(LAYERS):
            entry = self.optimizer.state[self._parameters(s)[index]]
            out |= {f"optimizer/{layer}/{name}": value for name, value in entry.items() if isinstance(value, Tensor)}
            out |= {f"updates/{layer}/{name}": value for name, value in self.updates[layer].state(s).items()}
        pairs = self.observer.ranked_pairs[s]
        if pairs is not None:
            out["ranked_pairs"] = pairs
        out["epoch"] = torch.tensor(self.epoch)
        return out

    def load(self, states: Sequence[dict[str, Tensor]]) -> None:
        """Go on from `state`s of the same config, one per seed, all of one epoch. Tensors are copied in."""
        self.epoch = int(states[0]["epoch"])
        for s, state in enumerate(states):
            for layer, weights in self.weights.items():
                weights[s].copy_(state[f"network/{layer}"])
            self.observer.ranked_pairs[s] = state.get("ranked_pairs")
        saved: dict[int, dict[str, Any]] = {}
        for s, state in enumerate(states):
            for index, layer in enumerate(LAYERS):
                prefix = f"optimizer/{layer}/"
                entry = {name.removeprefix(prefix): v.clone() for name, v in state.items() if name.startswith(prefix)}
                if entry:
                    saved[2 * s + index] = entry
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": saved})
        for layer, updates in self.updates.items():
            prefix = f"updates/{layer}/"
            updates.load([{n.removeprefix(prefix): v for n, v in st.items() if n.startswith(prefix)} for st in states])

    def _parameters(self, s: int) -> list[Tensor]:
        parameters: list[Tensor] = self.optimizer.param_groups[0]["params"]
        return parameters[2 * s : 2 * s + 2]


def problem(config: RunConfig) -> Problem:
    """The task of a config."""
    config = config.resolved()
    return modular_addition(config.modulus, cast(int, config.n_train), config.seed, config.labels)


def make_optimizer(config: RunConfig, network: TwoLayerNetwork) -> torch.optim.Optimizer:
    """The full-batch optimiser of a config on 2-D parameters, W and V of each seed in turn.

    Betas, eps, momentum and the like are torch's defaults (Xu §2 for Adam). Adam's and SGD's weight decay is L2, AdamW's
    and Muon's decoupled. Muon's step depends on a matrix's orientation: here W is (2M, K) and V (K, M), as in σ(XW)V.
    """
    settings: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    parameters = network.parameters()
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, fused=True, **settings)
        case "adamw":
            return torch.optim.AdamW(parameters, fused=True, **settings)
        case "sgd":
            return torch.optim.SGD(parameters, fused=True, **settings)
        case _:
            return torch.optim.Muon(parameters, **settings)
