"""What is measured of a finished run from the files that it left, without training it again: tables beside its others.

Repulsion with its nulls and answers on unseen pairs come from the weights at checkpoint epochs and from those at epoch 0, which
follow from the seed; ranks come from the band. Only pairs that are fixed at an epoch that is no checkpoint, and ρ at every
epoch of the start, need a replay up to there, which counts only where it meets the stored weights bit for bit.
"""

from __future__ import annotations

import itertools
import math
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from grok.networks.base import Stack
from grok.numerics import answers, nulls, rank
from grok.numerics.features import feature_observables
from grok.numerics.linalg import upper_gram
from grok.numerics.repulsion import PairError, centred, rank_pairs
from grok.recorders._battery import built, put_weights
from grok.recorders._stored import flaw_of_band
from grok.recorders.base import File
from grok.recorders.spectrum import BAND
from grok.recorders.weights import WEIGHTS
from grok.runs import edge_shares
from grok.runs.saving import get, put
from grok.spec.config import RANKING_EPOCH, ResolvedConfig
from grok.spec.fields import ConfigError, refuse, shown
from grok.spec.plugins import OwnCodeError
from grok.store import files
from grok.store.errors import StoreError, one_line
from grok.store.prior import run_config, training_run, with_threads_of
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tags import StoredRun
from grok.training.devices import resolve_device
from grok.training.loop import Training
from grok.training.parts import network_of, task_of

REPULSION, RANKS, ANSWERS, ONSET = "repulsion_nulls.parquet", "ranks.parquet", "answers.parquet", "onset.parquet"
ONSET_END = 100
"""Last epoch of the start: the published levels of ρ are all reached before 30 (Xu's findings, ρ thresholds)."""
CHECKPOINT = re.compile(re.escape(WEIGHTS).replace(re.escape("{:05d}"), r"(\d{5,15})"))
OF_ONE_RUN = (ValueError, ArithmeticError, LookupError, RuntimeError)
"""Errors that say what of one run cannot be used, and nothing of the next: not the disk's, not the store's."""
RHO = "features/rho"
SURROGATE_EPOCHS = (0, 100, 175, 300)
"""At which surrogates are drawn, and at the last checkpoint: before, around and after the published detector's fire."""


@dataclass(frozen=True)
class Finished:
    """A finished run and its files.

    Attributes:
        config: as it was trained. tracked: the run. epochs: of its checkpoints, ascending.
    """

    config: ResolvedConfig
    tracked: TrackedRun
    epochs: tuple[int, ...]

    @classmethod
    def of(cls, store: Store, run: StoredRun, trust_code: bool = False) -> Finished:
        """A run of a store.

        Args:
            store: that holds it. run: a training run. trust_code: whether code of a user's own that it names may be imported.

        Raises:
            StoreError: as `config_of_done` has it.
        """
        config, tracked = with_threads_of(run, config_of_done(run, trust_code)), TrackedRun(store.client, run)
        found = (CHECKPOINT.fullmatch(path) for path in tracked.list_files("checkpoints"))
        epochs = {int(name[1]) for name in found if name is not None and name[0] == WEIGHTS.format(int(name[1]))}
        return cls(config, tracked, tuple(sorted(epoch for epoch in epochs if epoch <= config.last_epoch)))

    @property
    def complete(self) -> bool:
        """Whether it came to its end; it has diverged else."""
        return self.tracked.stored.state == "complete"

    def weights(self, epoch: int) -> dict[str, Tensor]:
        """By layer, at a checkpoint epoch.

        Raises:
            StoreError: if there are none, or they are not those of the run's network. CheckpointError: if they are not whole.
        """
        path = WEIGHTS.format(epoch)
        with tempfile.TemporaryDirectory() as folder:
            found = dict(files.load(self.tracked.get_file(path, Path(folder)))[0])
        shapes = network_of(self.config).shapes(self.config, task_of(self.config).sizes(self.config))
        if {name: tuple(tensor.shape) for name, tensor in found.items()} != {n: tuple(shape) for n, shape in shapes.items()}:
            told = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(found.items()))
            rule = ", ".join(f"{name} {tuple(shape)}" for name, shape in sorted(shapes.items()))
            raise StoreError(
                f"{path} must have layers {rule}, got {shown(told)} in {self.tracked.run_id}. Train that run anew."
            )
        if self.complete and not all(bool(torch.isfinite(tensor).all()) for tensor in found.values()):
            raise StoreError(f"{path} must have finite weights, got others in {self.tracked.run_id}. Train that run anew.")
        return found

    def band(self) -> dict[str, np.ndarray]:
        """By layer, (T, L) float64.

        Raises:
            StoreError: if it is not there, or has other numbers than a band has. CheckpointError: if it is not whole.
        """
        found = cast(dict[str, np.ndarray], get(self.tracked, BAND).content)
        watched = set(network_of(self.config).watched)
        if not watched <= set(found) or any(band.ndim != 2 or band.dtype.kind != "f" for band in found.values()):
            rule = f"bands of real numbers of {', '.join(sorted(watched))}"
            raise StoreError(f"{BAND} must have {rule}, got others in {self.tracked.run_id}. Train that run anew.")
        flaws = [flaw for name, band in found.items() if (flaw := flaw_of_band(name, band))] if self.complete else []
        if flaws:
            raise StoreError(f"run {self.tracked.run_id} must be measured from a whole band, got: {flaws[0]}. Train it anew.")
        return found

    def stacks(self) -> Iterator[tuple[int, Stack]]:
        """The network at epoch 0, as the seed gives it, and at each checkpoint, on the CPU: one object, changed in place."""
        stack = untrained(self.config)
        yield 0, stack
        for epoch in self.epochs:
            if epoch > 0:
                yield epoch, put_weights(stack, self.weights(epoch))


def config_of_done(run: StoredRun, trust_code: bool = False) -> ResolvedConfig:
    """The config of a run that can be measured.

    Args:
        run: of a store. trust_code: whether code of a user's own that it names may be imported.

    Raises:
        StoreError: if it is no training run of this project, is not done, names code that is not trusted, or was changed.
    """
    if training_run(run).done:
        return run_config(run, trust_code)
    told = f"run must be finished to be measured, got {run.run_id} ({run.state or 'of no state'})"
    raise StoreError(f"{told}. Repeat its command first.")


def untrained(config: ResolvedConfig) -> Stack:
    """The network that a config begins with, on the CPU."""
    return built(config, network_of(config), task_of(config))


def training_features(config: ResolvedConfig, stack: Stack) -> Tensor:
    """F̃ on the training samples: (n, K) float64, without column means; on a GPU where there is one."""
    problem = task_of(config).problem(config)
    with torch.no_grad():
        features = stack.features(stack.batch(problem.train_inputs[None], problem.train_labels[None]))[0]
        return centred(features.to(resolve_device("auto")))


def repulsion_table(run: Finished, *, replay: bool = True) -> pd.DataFrame:
    """Repulsion and its nulls at epoch 0 and every checkpoint.

    Args:
        run: whose network gives features.
        replay: whether pairs fixed at epoch 150 may cost training again up to there, where no checkpoint has it.

    Returns:
        Columns `epoch`, `features` (network, rotated or permuted), then those of `nulls.Count`. An epoch at which nothing can
        be measured, of a network that is dead or about to diverge, has no row.
    """
    config = run.config
    asked = nulls.ridges(config.weight_decay, config.optimizer, config.n_train)
    decisive = {name: asked[name] for name in (nulls.PUBLISHED, nulls.MEAN_LOSS)}
    fixed, rows = fixed_pairs(run, replay=replay), []
    for epoch, stack in run.stacks():
        f = training_features(config, stack)
        try:
            rows += _rows(epoch, "network", nulls.count_pairs(f, asked, config.top_pairs, fixed))
            for name in ("rotated", "permuted") if epoch in (*SURROGATE_EPOCHS, run.epochs[-1]) else ():
                generator = np.random.default_rng([config.seed, epoch, len(name)])
                other = getattr(nulls, name)(f, generator)
                rows += _rows(epoch, name, nulls.count_pairs(other, decisive, config.top_pairs, bins=False))
        except PairError:
            continue
    return pd.DataFrame(rows)


def _rows(epoch: int, features: str, counts: list[nulls.Count]) -> list[dict[str, Any]]:
    return [{"epoch": epoch, "features": features} | count._asdict() for count in counts]


def fixed_pairs(run: Finished, *, replay: bool = True) -> Tensor | None:
    """The pairs with the largest signed cosine at epoch 150, (p, 2) int64; None where that epoch cannot be had.

    Source: the simulated rebuttal of Xu (arXiv 2605.08119).
    """
    if RANKING_EPOCH in run.epochs:
        weights: Mapping[str, Tensor] | None = run.weights(RANKING_EPOCH)
    else:
        weights = _replayed(run, RANKING_EPOCH) if replay else None
    if weights is None:
        return None
    f = training_features(run.config, put_weights(untrained(run.config), weights))
    try:
        return rank_pairs(upper_gram(f), run.config.top_pairs, signed=True)[0]
    except PairError:
        return None


def _replayed(run: Finished, epoch: int) -> dict[str, Tensor] | None:
    """The weights at an epoch by training again; None if the run ends before or a checkpoint on the way has other bits."""
    before = [stored for stored in run.epochs if 0 < stored < epoch]
    if not before or run.epochs[-1] < epoch:
        return None
    for step, here in _again(run, epoch):
        if step in before and not _same(here, run.weights(step)):
            return None
        if step == epoch:
            return {name: tensor.cpu().clone() for name, tensor in here.items()}
    return None


def _again(run: Finished, last: int) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Epoch and live weights by layer of the same training, begun anew and seen by nobody, up to an epoch."""
    unseen = replace(run.config, observe_every=0, repulsion_every=0, checkpoint_epochs=(), pair_ranking="current")
    training = Training(replace(unseen, spectrum_methods=("gram",), recorders=(), signals=(), max_window=run.config.window))
    for step in training:
        yield step.epoch, {name: tensor[0] for name, tensor in training.weights.items()}
        if step.epoch == last:
            return


def onset_table(run: Finished) -> pd.DataFrame:
    """ρ at every epoch to 100, by training again: runs observe it now and then only, and levels are reached in between.

    Returns:
        Columns `epoch` and `features/rho`, epochs at which it is not defined left out; empty where a checkpoint of the stretch
        has other bits, or where there is none.
    """
    last, found, met = min(ONSET_END, run.config.last_epoch), list[tuple[int, float]](), False
    stack = untrained(run.config)
    problem = task_of(run.config).problem(run.config)
    batch = stack.batch(problem.train_inputs[None], problem.train_labels[None])
    for epoch, weights in _again(run, last):
        if epoch > 0 and epoch in run.epochs:
            if not _same(weights, run.weights(epoch)):
                return pd.DataFrame()
            met = True
        with torch.no_grad():
            rho = feature_observables(put_weights(stack, weights).features(batch)[0])[RHO]
        if not math.isnan(rho):
            found.append((epoch, rho))
    return pd.DataFrame(found, columns=["epoch", RHO]) if met else pd.DataFrame()


def _same(weights: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(weights[name].cpu(), stored[name]) for name in stored)


def ranks_of(config: ResolvedConfig, band: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """What ranks are told from: by layer and phase the medians of `rank.window_medians`, a row each.

    Args:
        config: of the run, whose window counts. band: by layer, (T, L) float64.

    Returns:
        Columns `layer`, `first` and `last` (epochs of the phase), `of` (raw, unit, mean, line, excess: logarithms; above: a
        count), `k`, `value`. A phase that the run does not reach has no row.
    """
    shapes, window, rows = network_of(config).shapes(config, task_of(config).sizes(config)), config.window, list[Any]()
    for (layer, products), (first, last) in itertools.product(band.items(), rank.PHASES):
        if window < rank.LEAST or first < window or len(products) < last:
            continue
        parameters = math.prod(shapes[layer])
        found = rank.window_medians(products, window, np.arange(first, last + 1, rank.STEP), parameters)
        for name, values in found.items():
            rows += [(layer, first, last, name, k, float(value)) for k, value in enumerate(values, start=1)]
    return pd.DataFrame(rows, columns=["layer", "first", "last", "of", "k", "value"])


def answers_table(run: Finished) -> pd.DataFrame:
    """What the network answers on its test pairs, at epoch 0 and every checkpoint: `epoch`, then `answers.Answers`.

    Empty of a task whose inputs are no pairs.
    """
    problem = task_of(run.config).problem(run.config)
    if problem.train_inputs.shape[1] != 2:
        return pd.DataFrame()
    size, rows = problem.symbols, list[dict[str, Any]]()
    every = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    train, test = (
        (inputs.numpy(), labels.numpy())
        for inputs, labels in ((problem.train_inputs, problem.train_labels), (problem.test_inputs, problem.test_labels))
    )
    for epoch, stack in run.stacks():
        with torch.no_grad():
            batch = stack.batch(every[None], torch.zeros(1, len(every), dtype=torch.int64))
            logits = (stack.features(batch)[0] @ stack.readout()[0]).double().numpy().reshape(size, size, -1)
        if np.isfinite(logits).all():
            rows.append({"epoch": epoch} | answers.answers(logits, train, test)._asdict())
    return pd.DataFrame(rows)


def _repulsion(run: Finished) -> pd.DataFrame:
    return repulsion_table(run)


def _ranks(run: Finished) -> pd.DataFrame:
    return ranks_of(run.config, run.band())


def _edge(run: Finished) -> pd.DataFrame:
    """Empty of a run that has no ledgers."""
    stored = edge_shares.stored(run.tracked.walk())
    ledgers = {every: cast(Mapping[str, np.ndarray], get(run.tracked, path).content) for every, path in stored.items()}
    return edge_shares.shares_table(ledgers)


KINDS: dict[str, tuple[str, tuple[str, ...], Callable[[Finished], pd.DataFrame]]] = {
    "repulsion": (REPULSION, ("features",), _repulsion),
    "ranks": (RANKS, (), _ranks),
    "answers": (ANSWERS, ("features", "readout"), answers_table),
    "onset": (ONSET, ("features",), onset_table),
    "edge": (edge_shares.SHARES, (), _edge),
}
"""By name: the table's file, what the network must give, and how it is measured."""


def check_kinds(kinds: Collection[str]) -> None:
    """Look that kinds are of `KINDS`.

    Raises:
        ConfigError: if one is not.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        refuse("what", f"be of {', '.join(KINDS)}", ", ".join(unknown), "Pick of these")


def why(error: Exception) -> str:
    """What of one run is wrong, in a line: our own words, or a library's after the kind of its error."""
    told = one_line(error)
    ours = isinstance(error, ConfigError | StoreError | OwnCodeError | files.CheckpointError)
    return told if ours else f"{type(error).__name__} {told}"


def measure(
    store: Store, run: StoredRun, kinds: Collection[str] = tuple(KINDS), *, force: bool = False, trust_code: bool = False
) -> list[str]:
    """Measure a finished run and put the tables beside its files; what is there already stays.

    Args:
        store: that holds it. run: a training run that is done. kinds: names in `KINDS`. force: measure anew what is there.
        trust_code: whether code of a user's own that the run names may be imported.

    Returns:
        The paths written.

    Raises:
        ConfigError: if a kind is none of these. StoreError: if the run is not done or lacks a file.
    """
    check_kinds(kinds)
    finished = Finished.of(store, run, trust_code)
    there = set(finished.tracked.list_files(""))
    written = []
    for path, needs, made in (KINDS[kind] for kind in kinds):
        if (path in there and not force) or not set(needs) <= set(network_of(finished.config).gives):
            continue
        table = made(finished)
        if len(table):
            put(finished.tracked, File(path, table))
            written.append(path)
    return written
