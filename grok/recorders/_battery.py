"""What a network shows at one epoch, and the values of many signals as epochs go by: the same while a run trains and after it.

Shapes: n training samples, m held-out ones, K features, M classes, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from grok.networks._pairs import PairNetwork
from grok.networks.base import Network, Stack
from grok.numerics.characters import powers
from grok.numerics.linalg import products_of
from grok.recorders._minibatches import minibatch_gradients
from grok.recorders._needs import run_needs
from grok.signals.base import NEEDS, Signal, find, from_history, series
from grok.spec.config import ResolvedConfig
from grok.spec.plugins import NETWORKS, TASKS
from grok.spec.published import DEFAULT_NETWORK
from grok.tasks.base import Problem, Task

COSTLY = "checkpoint"
"""Cadence of signals that cost more than a training step."""
TABLE, VERSIONS = "signals.parquet", "signal_versions.parquet"
COLUMNS = ["epoch", "signal", "variant", "value"]
MEMORISED = 0.99
"""Training accuracy from which a run has memorised."""
GRID = ("grid_logits", "grid_features", "inputs", "grid_labels")
"""Needs of tasks whose inputs are pairs of symbols that are classes too."""
OF_FEATURES = ("features", "readout", "logits", "held_out_features", "held_out_logits", "held_out_labels")
"""Needs of networks that give features and the last layer."""


@dataclass(frozen=True)
class State:
    """What a network shows at one epoch, each thing computed if a signal needs it.

    Attributes:
        config, problem: of the run. stack: of one seed, as it was at the epoch. kept: weights at memorisation, None before it.
        before: weights at the epoch seen before, None at the first.
        given: what gives `features` and `gradients`, where somebody has the same bits already.
        batches: laid out so far, the same at every epoch.
    """

    config: ResolvedConfig
    problem: Problem
    stack: Stack
    kept: Mapping[str, Tensor] | None
    before: Mapping[str, Tensor] | None = None
    given: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    batches: dict[str, Any] = field(default_factory=dict)

    def _batch(self, name: str, inputs: Tensor, labels: Tensor) -> Any:
        if name not in self.batches:
            self.batches[name] = self.stack.batch(inputs[None], labels[None])
        return self.batches[name]

    @property
    def _training(self) -> Any:
        """All training samples as the network takes them."""
        return self._batch("training", self.problem.train_inputs, self.problem.train_labels)

    @cached_property
    def features(self) -> Tensor:
        """(n, K)."""
        found: Tensor = self.given["features"]() if "features" in self.given else self.stack.features(self._training)[0]
        return found

    @cached_property
    def held_out_features(self) -> Tensor:
        """(m, K), in the order of the split."""
        inputs = self.problem.test_inputs
        batch = self._batch("held out", inputs, torch.zeros(len(inputs), dtype=torch.int64))
        return self.stack.features(batch)[0]

    @cached_property
    def readout(self) -> Tensor:
        """(K, M)."""
        return self.stack.readout()[0]

    @cached_property
    def logits(self) -> Tensor:
        """(n, M)."""
        return self.features @ self.readout

    @cached_property
    def held_out_logits(self) -> Tensor:
        """(m, M)."""
        return self.held_out_features @ self.readout

    @property
    def order(self) -> Tensor:
        """The symbols in the order of the task's group: (M,)."""
        multiplies = self.config.task == "multiplication"
        return torch.tensor(powers(self.config.modulus)) if multiplies else torch.arange(self.problem.symbols)

    def _grid(self, train: Tensor, test: Tensor) -> Tensor:
        """(M, M, …) in the order of the group, put together from training and held-out rows."""
        size = self.problem.symbols
        out = train.new_full((size, size, *train.shape[1:]), torch.nan)
        for inputs, rows in ((self.problem.train_inputs, train), (self.problem.test_inputs, test)):
            out[inputs[:, 0], inputs[:, 1]] = rows
        return out[self.order][:, self.order]

    @cached_property
    def grid_logits(self) -> Tensor:
        """(M², M)."""
        return self._grid(self.logits, self.held_out_logits)[:, :, self.order].flatten(0, 1)

    @cached_property
    def grid_features(self) -> Tensor:
        """(M, M, K)."""
        return self._grid(self.features, self.held_out_features)

    def _places(self, symbols: Tensor) -> Tensor:
        """Where symbols are in the order of the group."""
        places = torch.zeros(self.problem.symbols, dtype=torch.int64)
        places[self.order] = torch.arange(len(self.order))
        return places[symbols]

    @property
    def inputs(self) -> Tensor:
        """(n, 2)."""
        return self._places(self.problem.train_inputs)

    @property
    def grid_labels(self) -> Tensor:
        """(n,)."""
        return self._places(self.problem.train_labels)

    @cached_property
    def attention(self) -> Tensor:
        """(layers, n, H, T, T)."""
        return self.stack.attention(self._training)[0]

    @cached_property
    def moved(self) -> dict[str, Tensor] | None:
        """By layer."""
        return None if self.before is None else {name: layer - self.before[name] for name, layer in self.weights.items()}

    @property
    def labels(self) -> Tensor:
        """(n,)."""
        return self.problem.train_labels

    @property
    def held_out_labels(self) -> Tensor:
        """(m,)."""
        return self.problem.test_labels

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """By layer; the same tensors whenever asked, so that what was made of them is kept."""
        return {name: layer[0] for name, layer in self.stack.layers.items()}

    @property
    def memorised(self) -> Mapping[str, Tensor] | None:
        """Weights by layer at memorisation."""
        return self.kept

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """Of the training loss, by layer."""
        if "gradients" in self.given:
            return {name: gradient.clone() for name, gradient in self.given["gradients"]().items()}
        self.stack.loss_and_gradient(self._training)
        return {name: gradient[0].clone() for name, gradient in self.stack.gradients.items()}

    @cached_property
    def minibatch_gradients(self) -> Tensor:
        """(draws, 6, P) float64, as `grok.numerics.dynamics.commutator` takes it; the same minibatches at every epoch."""
        return minibatch_gradients(self.config, self.problem, self.stack)


def built(config: ResolvedConfig, network: Network, task: Task) -> Stack:
    """The network that a config begins with, on the CPU."""
    return network.build(config, task.sizes(config), [config.seed], torch.device("cpu"), getattr(torch, config.precision))


def put_weights(stack: Stack, weights: Mapping[str, Tensor]) -> Stack:
    """A network of one seed with other weights, by layer."""
    for name, layer in stack.layers.items():
        layer[0].copy_(weights[name])
    return stack


def fed(config: ResolvedConfig) -> set[str]:
    """The needs of one epoch that a run's network and task can feed."""
    network, sizes = NETWORKS.find(config.network), TASKS.find(config.task).sizes(config)
    found = {"labels", "weights", "moved", "memorised", "gradients"}
    if {"features", "readout"} <= set(network.gives):
        found |= set(OF_FEATURES) | (set(GRID) if sizes.places == 2 and sizes.symbols == sizes.classes else set())
    if "attention" in network.gives:
        found.add("attention")
    if config.network == DEFAULT_NETWORK or isinstance(network, PairNetwork):
        found.add("minibatch_gradients")
    return found


def usable(config: ResolvedConfig, names: Sequence[str]) -> dict[str, Signal]:
    """The signals that a run's network and task can feed, by name.

    Raises:
        ConfigError: if one is not there.
    """
    given, layers = fed(config), NETWORKS.find(config.network).layers
    signals = {name: find(name) for name in names}
    return {name: signal for name, signal in signals.items() if set(moving(signal)) <= given and signal.has_layers(layers)}


def moving(signal: Signal) -> list[str]:
    """Its needs that are of one epoch."""
    return [need for need in signal.needs if NEEDS[need].kind == "epoch"]


class Battery:
    """The values of signals at one epoch after another, every variant of each.

    Args:
        config, network, task: of the run. signals: by name; those of a history are left out.
        costly_every: of the epochs that are seen every so many for signals of cadence `checkpoint`, from the first on.

    Attributes:
        epochs: seen so far. values: by signal and variant what `compute` gave; variants of one `compute` share them.
    """

    def __init__(
        self, config: ResolvedConfig, network: Network, task: Task, signals: Mapping[str, Signal], costly_every: int = 1
    ) -> None:
        self.config, self.costly_every = config, costly_every
        self.signals = {name: signal for name, signal in signals.items() if signal.per_epoch}
        self.problem, self.stack, self.fixed = task.problem(config), built(config, network, task), run_needs(config)
        self.epochs: list[int] = []
        self.values: dict[tuple[str, str], list[Any]] = {}
        self._batches: dict[str, Any] = {}
        for name, signal in self.signals.items():
            alike: dict[str, list[Any]] = {}
            for variant, options in signal.variants.items():
                self.values[name, variant] = alike.setdefault(repr(sorted(options.items())), [])
        self.kept: dict[str, Tensor] | None = None
        self.before: dict[str, Tensor] | None = None

    def see(
        self,
        epoch: int,
        weights: Mapping[str, Tensor],
        *,
        memorised: bool,
        given: Mapping[str, Callable[[], Any]] | None = None,
    ) -> None:
        """Take an epoch.

        Args:
            epoch: t, after those seen. weights: by layer, of one seed.
            memorised: whether a training accuracy up to t was ≥ 0.99.
            given: what gives `features` or `gradients` of these weights on all training samples, each asked where a signal
                needs it, if somebody has the same bits already.
        """
        here = {name: layer.detach().clone().cpu() for name, layer in weights.items()}
        if self.kept is None and memorised:
            self.kept = here
        with torch.no_grad(), products_of(None):
            stack = put_weights(self.stack, here)
            state = State(self.config, self.problem, stack, self.kept, self.before, given or {}, self._batches)
            for (name, variant), values in self.values.items():
                if len(values) < self._due(name):
                    signal = self.signals[name]
                    values.append(signal.at(self.fixed | {need: getattr(state, need) for need in moving(signal)}, variant))
        self.before = here
        self.epochs.append(epoch)

    def _due(self, name: str) -> int:
        """How many values a signal has once the epoch at hand is seen."""
        every = self.costly_every if self.signals[name].cadence == COSTLY else 1
        return len(self.epochs) // every + 1

    def table(self) -> pd.DataFrame:
        """Columns epoch, signal, variant, value; NaN where it is not known."""
        rows = list[tuple[int, str, str, float]]()
        for (name, variant), values in self.values.items():
            signal = self.signals[name]
            found = signal.over_history(signal.stacked(values), variant)
            at = self.epochs[:: self.costly_every] if signal.cadence == COSTLY else self.epochs
            rows += [(epoch, name, variant, float(value)) for epoch, value in zip(at, found, strict=True)]
        return pd.DataFrame(rows, columns=COLUMNS)

    def truncate(self, epochs: int) -> None:
        """Forget all but the first `epochs` epochs of the run."""
        self.epochs = [epoch for epoch in self.epochs if epoch < epochs]
        for (name, _), values in self.values.items():
            every = self.costly_every if self.signals[name].cadence == COSTLY else 1
            del values[-(-len(self.epochs) // every) :]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `load` goes on from, bit for bit."""
        tensors = {
            f"values/{name}/{variant}": torch.from_numpy(self.signals[name].stacked(values))
            for (name, variant), values in self.values.items()
            if values
        }
        for kind, weights in (("kept", self.kept), ("before", self.before)):
            tensors |= {f"{kind}/{name}": layer for name, layer in (weights or {}).items()}
        return tensors, {"epochs": list(self.epochs)}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.epochs = [int(epoch) for epoch in facts["epochs"]]
        for (name, variant), values in self.values.items():
            stored = tensors.get(f"values/{name}/{variant}")
            values[:] = [] if stored is None else list(stored.numpy())
        for kind in ("kept", "before"):
            found = {name.removeprefix(f"{kind}/"): layer for name, layer in tensors.items() if name.startswith(f"{kind}/")}
            setattr(self, kind, found or None)


def of_history(
    signals: Mapping[str, Signal], history: pd.DataFrame, layer: str, band: np.ndarray | None, fixed: Mapping[str, Any]
) -> pd.DataFrame:
    """Signals of a history at every epoch: they cost nothing.

    Args:
        signals: by name; those of one epoch are left out. history: a row per epoch. layer: whose spectrum and band.
        band: (T, L) of that layer, where one of the signals needs it. fixed: needs that belong to the run.
    """
    still = {name: signal for name, signal in signals.items() if not signal.per_epoch}
    if not still:
        return pd.DataFrame(columns=COLUMNS)
    given = {**from_history({str(name): history[name].to_numpy() for name in history}, layer, band), **fixed}
    tables = [
        pd.DataFrame(
            {"epoch": np.arange(len(history)), "signal": name, "variant": variant, "value": series(signal, given, variant)}
        )
        for name, signal in still.items()
        for variant in signal.variants
    ]
    return pd.concat(tables, ignore_index=True)


def whole(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Parts of a table as one, by signal, variant and epoch."""
    filled = [part for part in parts if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=COLUMNS)
    return table.sort_values(["signal", "variant", "epoch"], ignore_index=True)


def versions_table(versions: Mapping[str, int]) -> pd.DataFrame:
    """Columns signal, version: with which each was computed."""
    return pd.DataFrame({"signal": sorted(versions), "version": [versions[name] for name in sorted(versions)]})
