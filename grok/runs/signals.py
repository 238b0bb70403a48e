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
from grok.networks.base import Stack
from grok.numerics.dynamics import DISPLACEMENT
from grok.recorders.base import File
from grok.recorders.spectrum import BAND
from grok.runs.measure import Finished, put_weights, untrained
from grok.runs.saving import get, put
from grok.signals.base import NEEDS, Signal, find, from_history, series
from grok.spec.config import ResolvedConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import SIGNALS
from grok.store.errors import StoreError
from grok.store.store import Store, connect
from grok.store.tags import StoredRun
from grok.tasks.base import Problem
from grok.training.loop import Training
from grok.training.parts import network_of, task_of

TABLE, VERSIONS = "signals.parquet", "signal_versions.parquet"
COLUMNS = ["epoch", "signal", "variant", "value"]
MEMORISED = 0.99
"""Training accuracy from which a run has memorised."""
DRAWS, BATCH = 5, 512
"""Pairs of minibatches of a commutator, and samples of each, drawn with replacement. Source: Xu (arXiv 2602.16967)."""
OF_RUN = ("window", "modulus", "seed")
"""Needs that are fields of the config."""
TWO_PLACES = ("grid_logits", "inputs")
"""Needs of tasks whose inputs are pairs of symbols that are classes too."""


@dataclass(frozen=True)
class State:
    """What a network shows at one epoch, each thing computed if a signal needs it.

    Attributes:
        config, problem: of the run. stack: of one seed, as it was at the epoch. kept: weights at memorisation, None before it.
    """

    config: ResolvedConfig
    problem: Problem
    stack: Stack
    kept: Mapping[str, Tensor] | None

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

    @cached_property
    def grid_logits(self) -> Tensor:
        """(M², M), put together from training and held-out outputs."""
        size = self.problem.symbols
        out = self.logits.new_empty(size * size, self.problem.classes)
        for inputs, rows in ((self.problem.train_inputs, self.logits), (self.problem.test_inputs, self.held_out_logits)):
            out[inputs[:, 0] * size + inputs[:, 1]] = rows
        return out

    @property
    def inputs(self) -> Tensor:
        """(n, 2)."""
        return self.problem.train_inputs

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
        return minibatch_gradients(self.config, self.problem, self.weights)


def minibatch_gradients(config: ResolvedConfig, problem: Problem, weights: Mapping[str, Tensor]) -> Tensor:
    """g_A, g_B, g_B(θ − η_c g_A), g_A(θ − η_c g_B), H_B g_A, H_A g_B of the two-layer network, in float64 by autograd.

    Args:
        config: whose activation and seed count. problem: whose training samples are drawn. weights: W and V.

    Returns:
        (draws, 6, P).
    """
    sigma, generator = activation(config.activation).value, np.random.default_rng(config.seed)
    shapes = [weights[name].shape for name in ("w", "v")]
    split = [shape.numel() for shape in shapes]
    offset = torch.arange(problem.train_inputs.shape[1]) * problem.symbols
    theta = torch.cat([weights[name].double().cpu().flatten() for name in ("w", "v")])

    def gradient(at: Tensor, rows: Tensor, along: Tensor | None = None) -> Tensor:
        with torch.enable_grad():
            point = at.clone().requires_grad_()
            w, v = (part.view(shape) for part, shape in zip(torch.split(point, split), shapes, strict=True))
            z = sigma(w[problem.train_inputs[rows] + offset].sum(dim=1)) @ v
            z = z - z.mean(dim=1, keepdim=True)
            hit = z.gather(1, problem.train_labels[rows][:, None])
            loss = (z.square().sum() - 2 * hit.sum()) / len(rows)
            (found,) = torch.autograd.grad(loss, point, create_graph=along is not None)
            if along is not None:
                (found,) = torch.autograd.grad(found @ along, point)
        return found.detach()

    draws = []
    for _ in range(DRAWS):
        one, two = (torch.from_numpy(generator.integers(0, len(problem.train_inputs), BATCH)) for _ in range(2))
        a, b = gradient(theta, one), gradient(theta, two)
        after = gradient(theta - DISPLACEMENT * a, two), gradient(theta - DISPLACEMENT * b, one)
        draws.append(torch.stack([a, b, *after, gradient(theta, two, a), gradient(theta, one, b)]))
    return torch.stack(draws)


def usable(config: ResolvedConfig, names: Sequence[str]) -> dict[str, Signal]:
    """The signals that a run's network and task can feed, by name.

    Raises:
        ConfigError: if one is not there.
    """
    gives, found = network_of(config).gives, {}
    sizes = task_of(config).sizes(config)
    pairs = sizes.places == 2 and sizes.symbols == sizes.classes
    for name in names:
        signal = find(name)
        epoch = {need for need in signal.needs if NEEDS[need].kind == "epoch"}
        shown = {"features", "readout"} <= set(gives) or not epoch - {"weights", "gradients", "memorised", "labels"}
        two_layer = config.network == "two_layer" or "minibatch_gradients" not in epoch
        if shown and two_layer and (pairs or not epoch & set(TWO_PLACES)):
            found[name] = signal
    return found


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
    unseen = replace(run.config, observe_every=0, repulsion_every=0, checkpoint_epochs=(), pair_ranking="current")
    training = Training(replace(unseen, spectrum_methods=("gram",), recorders=(), signals=(), max_window=run.config.window))
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


def compute(run: Finished, signals: Mapping[str, Signal], epochs: Sequence[int]) -> pd.DataFrame:
    """Signals at some epochs, every variant of each: columns epoch, signal, variant, value; NaN where it is not known.

    Args:
        run: a finished run. signals: by name. epochs: ascending, none beyond the run's last.
    """
    config, rows = run.config, list[tuple[int, str, str, float]]()
    fixed = {need: getattr(config, need) for need in OF_RUN}
    history = cast(pd.DataFrame, get(run.tracked, "history.parquet").content)
    moving = {name: signal for name, signal in signals.items() if signal.per_epoch}
    seen: dict[tuple[str, str], list[Any]] = {(name, v): [] for name, signal in moving.items() for v in signal.variants}
    for state in _each(run, history, epochs) if moving else ():
        for (name, variant), values in seen.items():
            needs = {need: getattr(state, need) for need in moving[name].needs if need not in OF_RUN}
            values.append(moving[name].at(fixed | needs, variant))
    for (name, variant), values in seen.items():
        found = signals[name].over_history(np.array(values, dtype=np.float64), variant)
        rows += [(epoch, name, variant, float(value)) for epoch, value in zip(epochs, found, strict=True)]
    still = {name: signal for name, signal in signals.items() if name not in moving}
    if still:
        layer = network_of(config).layers[0]
        banded = any("band" in signal.needs for signal in still.values())
        band = cast(Mapping[str, np.ndarray], get(run.tracked, BAND).content)[layer] if banded else None
        given = from_history({str(name): history[name].to_numpy() for name in history}, layer, band) | fixed
        for name, signal in still.items():
            for variant in signal.variants:
                whole = series(signal, given, variant)
                rows += [(epoch, name, variant, float(whole[epoch])) for epoch in epochs]
    return pd.DataFrame(rows, columns=COLUMNS)


def _each(run: Finished, history: pd.DataFrame, epochs: Sequence[int]) -> Iterator[State]:
    accuracy = history["accuracy/train"].to_numpy()
    problem, kept = task_of(run.config).problem(run.config), None
    for epoch, stack in states(run, epochs):
        if kept is None and (accuracy[: epoch + 1] >= MEMORISED).any():
            kept = {name: layer[0].clone() for name, layer in stack.layers.items()}
        with torch.no_grad():
            yield State(run.config, problem, stack, kept)


def signals_of_run(
    store: Store, stored: StoredRun, names: Sequence[str] = SIGNALS.names, epochs: Sequence[int] = (), *, force: bool = False
) -> int:
    """Put signals of a finished run into its `signals.parquet`; what is there already stays.

    A signal that lacks an epoch is computed anew at all of its epochs, in one order: some read the values before.

    Args:
        store: that holds it. stored: a training run that is done. names: of signals; those that it cannot feed are left out.
        epochs: at which; none means epoch 0 and the checkpoints, which need no training. force: compute anew what is there.

    Returns:
        How many signals were computed.

    Raises:
        ConfigError: if a signal is not there or an epoch is beyond the run. StoreError: if the run is not done or lacks a file.
    """
    run = Finished.of(store, stored)
    wanted = sorted({0, *run.epochs} if not epochs else set(epochs))
    last = len(cast(pd.DataFrame, get(run.tracked, "history.parquet").content)) - 1
    if not wanted or wanted[0] < 0 or wanted[-1] > last:
        raise ConfigError(
            f"epochs must be whole numbers in [0, {last}] of run {stored.run_id}, got {epochs}. Leave out others."
        )
    signals = usable(run.config, names)
    table, versions = _stored(run)
    missing = {}
    for name, signal in signals.items():
        there = set(table.loc[table["signal"] == name, "epoch"])
        if force or versions.get(name) != signal.version or not set(wanted) <= there:
            missing[name] = signal
    if missing:
        stale = table["signal"].isin(list(missing))
        fresh = compute(run, missing, sorted({*wanted, *map(int, table.loc[stale, "epoch"])}))
        others = table[~stale]
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


def task(payload: tuple[str, str, str, tuple[str, ...], tuple[int, ...], bool]) -> tuple[str, int, str]:
    """One run on a worker, of (address and experiment of the store, run id, signals, epochs, force).

    Returns:
        The run id, how many signals were computed, and what went wrong, empty if nothing did.
    """
    address, experiment, run_id, names, epochs, force = payload
    try:
        store = connect(address, experiment)
        return run_id, signals_of_run(store, store.get(run_id), names, epochs, force=force), ""
    except (ConfigError, StoreError) as error:
        return run_id, 0, str(error)
