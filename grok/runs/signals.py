"""Signals of finished runs from the states that they left: a table `signals.parquet` beside a run's other files.

States come from checkpoints where they hold every epoch that is asked for, else from training the run again, which counts
only where it meets each checkpoint on the way bit for bit. One pass serves all signals. What is there in a signal's present
version is not computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from grok.networks._activations import activation
from grok.networks._pairs import PairNetwork, PairStack
from grok.networks.base import Stack
from grok.numerics.characters import powers
from grok.numerics.dynamics import DISPLACEMENT
from grok.recorders.base import File
from grok.recorders.history import HISTORY, STEPS
from grok.recorders.signals import run_needs
from grok.recorders.spectrum import BAND
from grok.runs.measure import Finished, put_weights, untrained
from grok.runs.saving import get, put
from grok.signals.base import NEEDS, Signal, find, from_history, series
from grok.spec.config import ResolvedConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import SIGNALS
from grok.spec.published import DEFAULT_NETWORK
from grok.store.errors import StoreError
from grok.store.store import Store, connect
from grok.store.tags import StoredRun
from grok.tasks.base import Problem
from grok.training.loop import Training
from grok.training.memory import keep_freed_memory
from grok.training.parts import network_of, task_of

COSTLY = "checkpoint"
"""Cadence of signals that cost more than a training step."""
TABLE, VERSIONS = "signals.parquet", "signal_versions.parquet"
COLUMNS = ["epoch", "signal", "variant", "value"]
MEMORISED = 0.99
"""Training accuracy from which a run has memorised."""
DRAWS, BATCH = 5, 512
"""Pairs of minibatches of a commutator, and samples of each, drawn with replacement. Source: Xu (arXiv 2602.16967)."""
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
    """

    config: ResolvedConfig
    problem: Problem
    stack: Stack
    kept: Mapping[str, Tensor] | None
    before: Mapping[str, Tensor] | None = None

    def _features(self, inputs: Tensor) -> Tensor:
        batch = self.stack.batch(inputs[None], torch.zeros(1, len(inputs), dtype=torch.int64))
        return self.stack.features(batch)[0]

    @cached_property
    def features(self) -> Tensor:
        """(n, K)."""
        return self._features(self.problem.train_inputs)

    @cached_property
    def held_out_features(self) -> Tensor:
        """(m, K), in the order of the split."""
        return self._features(self.problem.test_inputs)

    @property
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
        return self.stack.attention(self.stack.batch(self.problem.train_inputs[None], self.problem.train_labels[None]))[0]

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

    @property
    def weights(self) -> dict[str, Tensor]:
        """By layer."""
        return {name: layer[0] for name, layer in self.stack.layers.items()}

    @property
    def memorised(self) -> Mapping[str, Tensor] | None:
        """Weights by layer at memorisation."""
        return self.kept

    @cached_property
    def gradients(self) -> dict[str, Tensor]:
        """Of the training loss, by layer."""
        self.stack.loss_and_gradient(self.stack.batch(self.problem.train_inputs[None], self.problem.train_labels[None]))
        return {name: gradient[0].clone() for name, gradient in self.stack.gradients.items()}

    @cached_property
    def minibatch_gradients(self) -> Tensor:
        """(draws, 6, P) float64, as `grok.numerics.dynamics.commutator` takes it; the same minibatches at every epoch."""
        return minibatch_gradients(self.config, self.problem, self.stack)


def minibatch_gradients(config: ResolvedConfig, problem: Problem, stack: Stack) -> Tensor:
    """g_A, g_B, g_B(θ − η_c g_A), g_A(θ − η_c g_B), H_B g_A, H_A g_B of a network of pairs, in float64 by autograd.

    Args:
        config: whose activation and seed count. problem: whose training samples are drawn. stack: of one seed.

    Returns:
        (draws, 6, P).
    """
    generator = np.random.default_rng(config.seed)
    names, shapes = list(stack.layers), [layer.shape[1:] for layer in stack.layers.values()]
    split = [shape.numel() for shape in shapes]
    theta = torch.cat([layer[0].double().cpu().flatten() for layer in stack.layers.values()])
    squared = None if isinstance(stack, PairStack) else activation(config.activation).value

    def loss(at: Tensor, rows: Tensor) -> Tensor:
        parts = (part.view(shape) for part, shape in zip(torch.split(at, split), shapes, strict=True))
        layers, labels = dict(zip(names, parts, strict=True)), problem.train_labels[rows]
        if squared is None:
            return cast(PairStack, stack).loss(layers, problem.train_inputs[rows], labels)[0]
        z = squared(_one_hots(problem, rows) @ layers["w"]) @ layers["v"]
        z = z - z.mean(dim=1, keepdim=True)
        return (z.square().sum() - 2 * z.gather(1, labels[:, None]).sum()) / len(rows)

    def gradient(at: Tensor, rows: Tensor, *, again: bool = False) -> tuple[Tensor, Tensor]:
        point = at.clone().requires_grad_()
        return point, torch.autograd.grad(loss(point, rows), point, create_graph=again)[0]

    draws = []
    for _ in range(DRAWS):
        one, two = (torch.from_numpy(generator.integers(0, len(problem.train_inputs), BATCH)) for _ in range(2))
        with torch.enable_grad():
            (at_a, graph_a), (at_b, graph_b) = gradient(theta, one, again=True), gradient(theta, two, again=True)
            a, b = graph_a.detach(), graph_b.detach()
            hb, ha = torch.autograd.grad(graph_b @ a, at_b)[0], torch.autograd.grad(graph_a @ b, at_a)[0]
            after = gradient(theta - DISPLACEMENT * a, two)[1], gradient(theta - DISPLACEMENT * b, one)[1]
        draws.append(torch.stack([a, b, *after, hb, ha]))
    return torch.stack(draws)


def _one_hots(problem: Problem, rows: Tensor) -> Tensor:
    """(rows, P·V) float64: the one-hots of each place side by side."""
    return torch.nn.functional.one_hot(problem.train_inputs[rows], problem.symbols).flatten(1).double()


def fed(config: ResolvedConfig) -> set[str]:
    """The needs of one epoch that a run's network and task can feed."""
    network, sizes = network_of(config), task_of(config).sizes(config)
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
    given, layers = fed(config), network_of(config).layers
    signals = {name: find(name) for name in names}
    return {
        name: signal
        for name, signal in signals.items()
        if {need for need in signal.needs if NEEDS[need].kind == "epoch"} <= given and signal.has_layers(layers)
    }


def states(run: Finished, epochs: Sequence[int]) -> Iterator[tuple[int, Stack]]:
    """The network at each of some epochs, ascending, on the CPU: one object, changed in place.

    Raises:
        StoreError: if training again does not meet the stored weights.
    """
    stack, wanted = untrained(run.config), sorted(set(epochs))
    if set(wanted) <= {0, *run.epochs}:
        for epoch in wanted:
            yield epoch, stack if epoch == 0 else put_weights(stack, run.weights(epoch))
        return
    unseen = replace(
        run.config, observe_every=0, repulsion_every=0, checkpoint_epochs=(), pair_ranking="current", options="none"
    )
    least = replace(unseen, window=3, max_window=3, evaluate_every=run.config.epochs, detector="slope")  # steps are the same
    training = Training(replace(least, spectrum_methods=("gram",), recorders=(), signals=()))
    for step in training:
        here = {name: layer[0] for name, layer in training.weights.items()}
        if step.epoch in run.epochs:
            stored = run.weights(step.epoch)
            if not all(torch.equal(here[name].cpu(), stored[name]) for name in stored):
                raise StoreError(
                    f"replay must meet the stored weights, got other bits at epoch {step.epoch} of {run.tracked.run_id}. "
                    f"Ask for checkpoint epochs only: {','.join(map(str, run.epochs))}."
                )
        if step.epoch in wanted:
            yield step.epoch, put_weights(stack, {name: layer.cpu() for name, layer in here.items()})
        if step.epoch >= wanted[-1]:
            return


def compute(run: Finished, signals: Mapping[str, Signal], epochs: Sequence[int], costly_every: int = 1) -> pd.DataFrame:
    """Signals at some epochs, every variant of each: columns epoch, signal, variant, value; NaN where it is not known.

    Signals of a history are given at every epoch: they cost nothing.

    Args:
        run: a finished run. signals: by name. epochs: ascending, none beyond the run's last.
        costly_every: of these epochs every so many for signals of cadence `checkpoint`, beginning with the first.
    """
    keep_freed_memory()
    config, rows = run.config, list[tuple[int, str, str, float]]()
    fixed, history = run_needs(config), _history(run)
    moving = {name: signal for name, signal in signals.items() if signal.per_epoch}
    seen: dict[tuple[str, str], list[Any]] = {(name, v): [] for name, signal in moving.items() for v in signal.variants}
    for number, state in enumerate(_each(run, history, epochs) if moving else ()):
        for (name, variant), values in seen.items():
            if number % costly_every == 0 or moving[name].cadence != COSTLY:
                values.append(moving[name].at(fixed | {need: getattr(state, need) for need in _moving(moving[name])}, variant))
    for (name, variant), values in seen.items():
        found = signals[name].over_history(np.array(values, dtype=np.float64), variant)
        at = epochs[::costly_every] if signals[name].cadence == COSTLY else epochs
        rows += [(epoch, name, variant, float(value)) for epoch, value in zip(at, found, strict=True)]
    parts = [pd.DataFrame(rows, columns=COLUMNS), _of_history(run, signals, history, fixed)]
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def _moving(signal: Signal) -> list[str]:
    return [need for need in signal.needs if NEEDS[need].kind == "epoch"]


def _of_history(run: Finished, signals: Mapping[str, Signal], history: pd.DataFrame, fixed: Mapping[str, Any]) -> pd.DataFrame:
    """Signals of a history at every epoch."""
    still = {name: signal for name, signal in signals.items() if not signal.per_epoch}
    if not still:
        return pd.DataFrame(columns=COLUMNS)
    layer = network_of(run.config).layers[0]
    banded = any("band" in signal.needs for signal in still.values())
    band = cast(Mapping[str, np.ndarray], get(run.tracked, BAND).content)[layer] if banded else None
    given = {**from_history({str(name): history[name].to_numpy() for name in history}, layer, band), **fixed}
    tables = [
        pd.DataFrame(
            {"epoch": np.arange(len(history)), "signal": name, "variant": variant, "value": series(signal, given, variant)}
        )
        for name, signal in still.items()
        for variant in signal.variants
    ]
    return pd.concat(tables, ignore_index=True)


def _history(run: Finished) -> pd.DataFrame:
    """A row per epoch, whether it was evaluated or not."""
    return cast(pd.DataFrame, get(run.tracked, HISTORY if run.config.evaluate_every == 1 else STEPS).content)


def _each(run: Finished, history: pd.DataFrame, epochs: Sequence[int]) -> Iterator[State]:
    accuracy = history["accuracy/train"].to_numpy()
    problem, kept, before = task_of(run.config).problem(run.config), None, None
    for epoch, stack in states(run, epochs):
        here = {name: layer[0].clone() for name, layer in stack.layers.items()}
        if kept is None and (accuracy[: epoch + 1] >= MEMORISED).any():
            kept = here
        with torch.no_grad():
            yield State(run.config, problem, stack, kept, before)
        before = here


def signals_of_run(
    store: Store,
    stored: StoredRun,
    names: Sequence[str] = SIGNALS.names,
    epochs: Sequence[int] = (),
    *,
    costly_every: int = 1,
    force: bool = False,
) -> int:
    """Put signals of a finished run into its `signals.parquet`; what is there already stays.

    A signal that lacks an epoch is computed anew at all of its epochs, in one order: some read the values before.

    Args:
        store: that holds it. stored: a training run that is done. names: of signals; those that it cannot feed are left out.
        epochs: at which; none means epoch 0 and the checkpoints, which need no training.
        costly_every: as of `compute`. force: compute anew what is there.

    Returns:
        How many signals were computed.

    Raises:
        ConfigError: if a signal is not there or an epoch is beyond the run. StoreError: if the run is not done or lacks a file.
    """
    run = Finished.of(store, stored)
    wanted = sorted({0, *run.epochs} if not epochs else set(epochs))
    last = len(_history(run)) - 1
    if not wanted or wanted[0] < 0 or wanted[-1] > last:
        raise ConfigError(
            f"epochs must be whole numbers in [0, {last}] of run {stored.run_id}, got {epochs}. Leave out others."
        )
    signals = usable(run.config, names)
    table, versions = _stored(run)
    missing = {}
    for name, signal in signals.items():
        there = set(table.loc[table["signal"] == name, "epoch"])
        asked = wanted[::costly_every] if signal.per_epoch and signal.cadence == COSTLY else wanted
        if force or versions.get(name) != signal.version or not set(asked) <= there:
            missing[name] = signal
    if missing:
        stale = table["signal"].isin([name for name, signal in missing.items() if signal.per_epoch])
        every = sorted({*wanted, *map(int, table.loc[stale, "epoch"])})
        fresh = compute(run, missing, every, costly_every)
        others = table[~table["signal"].isin(list(missing))]
        whole = fresh if others.empty else pd.concat([others, fresh])
        whole = whole.sort_values(["signal", "variant", "epoch"], ignore_index=True)
        versions |= {name: signal.version for name, signal in missing.items()}
        known = pd.DataFrame({"signal": sorted(versions), "version": [versions[name] for name in sorted(versions)]})
        put(run.tracked, File(VERSIONS, known))
        put(run.tracked, File(TABLE, whole))
    return len(missing)


def _stored(run: Finished) -> tuple[pd.DataFrame, dict[str, int]]:
    """The table that is there and the versions of its signals; empty without one."""
    if not {TABLE, VERSIONS} <= set(run.tracked.list_files("")):
        return pd.DataFrame({"epoch": [], "signal": [], "variant": [], "value": []}), {}
    table = cast(pd.DataFrame, get(run.tracked, TABLE).content)
    known = cast(pd.DataFrame, get(run.tracked, VERSIONS).content)
    return table, {str(name): int(version) for name, version in zip(known["signal"], known["version"], strict=True)}


def task(payload: tuple[str, str, str, tuple[str, ...], tuple[int, ...], int, bool]) -> tuple[str, int, str]:
    """One run on a worker, of (address and experiment of the store, run id, signals, epochs, costly_every, force).

    Returns:
        The run id, how many signals were computed, and what went wrong, empty if nothing did.
    """
    address, experiment, run_id, names, epochs, costly_every, force = payload
    try:
        store = connect(address, experiment)
        return run_id, signals_of_run(store, store.get(run_id), names, epochs, costly_every=costly_every, force=force), ""
    except (ConfigError, StoreError) as error:
        return run_id, 0, str(error)
