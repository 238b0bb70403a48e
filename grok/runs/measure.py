"""What is measured of a finished run from the files that it left, without training it again: tables beside its others.

Repulsion with its nulls and answers on unseen pairs come from the weights at checkpoint epochs and from those at epoch 0, which
follow from the seed; ranks come from the band. Only pairs that are fixed at an epoch that is no checkpoint, and ρ at every
epoch of the start, need a replay up to there, which counts only where it meets the stored weights bit for bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
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
from grok.recorders._battery import put_weights
from grok.recorders.base import File
from grok.runs import edge_shares
from grok.runs.finished import Finished, untrained
from grok.runs.saving import get, put
from grok.spec.config import RANKING_EPOCH, ResolvedConfig
from grok.spec.fields import ConfigError, refuse
from grok.spec.plugins import OwnCodeError
from grok.store import files
from grok.store.errors import StoreError, one_line
from grok.store.store import Store
from grok.store.tags import StoredRun
from grok.training.devices import resolve_device
from grok.training.loop import Training
from grok.training.parts import network_of, task_of

REPULSION, RANKS, ANSWERS, ONSET = "repulsion_nulls.parquet", "ranks.parquet", "answers.parquet", "onset.parquet"
ONSET_END = 100
"""Last epoch of the start: the published levels of ρ are all reached before 30 (Xu's findings, ρ thresholds)."""
OF_ONE_RUN = (ValueError, ArithmeticError, LookupError, RuntimeError)
"""Errors that say what of one run cannot be used, and nothing of the next: not the disk's, not the store's."""
RHO = "features/rho"
SURROGATE_EPOCHS = (0, 100, 175, 300)
"""At which surrogates are drawn, and at the last checkpoint: before, around and after the published detector's fire."""


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
