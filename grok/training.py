"""Training as an iterator of epochs: the protocol's loop for one seed or for several in lockstep. No I/O.

Epoch t is scored *before* the t-th step: record 0 is the initial network, record t has taken t steps. Shapes: S seeds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import threadpoolctl
import torch
from torch import Tensor

from grok import observables, repulsion, spectra
from grok.config import RANKING_EPOCH, RunConfig
from grok.data import Problem, modular_addition
from grok.model import Batch, TwoLayerNetwork
from grok.updates import BandedGram

SCORES = ("loss/train", "loss/test", "accuracy/train", "accuracy/test", "norm/w", "norm/v")
LAYERS = ("w", "v")
_PerSeed = list[dict[str, float]]
_Repulsions = list[repulsion.Repulsion | None]
_Factors = list[dict[str, np.ndarray]]


@dataclass(frozen=True)
class Record:
    """What is known of one epoch, for S seeds.

    Attributes:
        epoch: t; the networks have taken t steps.
        scores: (S, 6) float64 on the training device, columns as `SCORES`.
        observed: per seed, the metrics taken at this epoch only (features, gradient, repulsion, raw spectra).
        repulsions: per seed, the measurement behind `repulsion/…`, or None where there was none.
        factors: per seed, the `window_factor`s of this epoch by `<kind>_<layer>`, where raw spectra were asked for.
        weights: {"w": (S, 2M, K), "v": (S, K, M)}: the live tensors, which the next step changes.
    """

    epoch: int
    scores: Tensor
    observed: list[dict[str, float]]
    repulsions: list[repulsion.Repulsion | None]
    factors: list[dict[str, np.ndarray]]
    weights: dict[str, Tensor]

    def metrics(self, seed_index: int = 0) -> dict[str, float]:
        """Everything of one seed by metric name; it waits for the device."""
        return dict(zip(SCORES, self.scores[seed_index].tolist(), strict=True)) | self.observed[seed_index]

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


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:N` means on this machine."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


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
            layer: BandedGram(
                config.max_window, weights[0].numel(), seeds=len(self.seeds), dtype=dtype, device=self.device
            )
            for layer, weights in self.weights.items()
        }  # fmt: skip
        self.ranked_pairs: list[Tensor | None] = [None] * len(self.seeds)
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
            seen = self._observe(scores)
            self._clock("observables", start)
        return Record(self.epoch, scores, *seen, self.weights)

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

    def _due(self, every: int) -> bool:
        checkpoint = self.epoch in cast(tuple[int, ...], self.config.checkpoint_epochs)
        return checkpoint or (every > 0 and self.epoch % every == 0)

    def _observe(self, scores: Tensor) -> tuple[_PerSeed, _Repulsions, _Factors]:
        """The observables that are due, per seed; a network with a non-finite loss gives none."""
        count, config = len(self.seeds), self.config
        observed: _PerSeed = [{} for _ in range(count)]
        repulsions: _Repulsions = [None] * count
        factors: _Factors = [{} for _ in range(count)]
        ranks = config.pair_ranking == "epoch_150" and self.epoch == RANKING_EPOCH
        repels = self._due(config.repulsion_every) or ranks
        looks = self._due(config.observe_every)
        raw_methods = config.spectrum_methods[1:] if self.updates["w"].count >= 2 else ()
        if not (repels or looks or raw_methods):
            return observed, repulsions, factors
        finite = torch.isfinite(scores[:, 0]).tolist()
        features = self.network.features(self.train_batch) if repels or looks else None
        for s in range(count):
            if not finite[s]:
                continue
            if raw_methods:
                found, factors[s] = self._raw_spectra(s, raw_methods)
                observed[s] |= found
            if features is None:
                continue
            if looks:
                observed[s] |= observables.feature_observables(features[s])
                labels = self.train_batch.labels[s]
                observed[s] |= observables.gradient_observables(features[s], self.network.v[s], labels, self.seeds[s])
                if self._due(0):
                    observed[s] |= observables.kernel_observables(features[s])
            if repels:
                repulsions[s] = self._repulsion(s, features[s])
                observed[s] |= repulsions[s].metrics() if repulsions[s] is not None else {}  # type: ignore[union-attr]
        return observed, repulsions, factors

    def _repulsion(self, s: int, features: Tensor) -> repulsion.Repulsion | None:
        fixed = self.config.pair_ranking == "epoch_150"
        if fixed and self.epoch < RANKING_EPOCH:
            return None  # the pairs are not chosen yet
        try:
            out = repulsion.measure_repulsion(
                features, self.config.weight_decay, self.config.top_pairs, self.seeds[s],
                self.ranked_pairs[s] if fixed else None,
            )  # fmt: skip
        except repulsion.PairError:
            return None  # a dead network has no pair; `features/dead` counts it
        if fixed:
            self.ranked_pairs[s] = out.pairs
        return out

    def _raw_spectra(self, s: int, methods: tuple[str, ...]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Eigenvalues by each raw method, and the factors that they were read from."""
        size = min(self.config.window, self.updates["w"].count)
        metrics: dict[str, float] = {}
        factors: dict[str, np.ndarray] = {}
        for layer, updates in self.updates.items():
            newest_first = updates.window(size)[s].flip(0)
            for method in methods:
                name = f"{spectra.factor_kind(method)}_{layer}"
                if name not in factors:
                    factors[name] = spectra.window_factor(newest_first, method)
                values = spectra.factor_eigenvalues(factors[name], method, size, seed=self.seeds[s])
                known = np.flatnonzero(np.isfinite(values))
                metrics |= {f"delta_{layer}_{method}/lambda_{k + 1}": float(values[k]) for k in known}
        return metrics, factors

    def state(self, s: int) -> dict[str, Tensor]:
        """Everything that one seed needs to go on bit for bit, by name; read it between two records.

        Tensors are views of live memory: save or clone them before the next step.
        """
        out = {f"network/{layer}": weights[s] for layer, weights in self.weights.items()}
        for index, layer in enumerate(LAYERS):
            entry = self.optimizer.state[self._parameters(s)[index]]
            out |= {f"optimizer/{layer}/{name}": value for name, value in entry.items() if isinstance(value, Tensor)}
            out |= {f"updates/{layer}/{name}": value for name, value in self.updates[layer].state(s).items()}
        pairs = self.ranked_pairs[s]
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
            self.ranked_pairs[s] = state.get("ranked_pairs")
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
    and Muon's decoupled.
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
