"""What a recorder is: one kind of thing that a run keeps, from the step that shows it to the file. A file of this room ends
in `RECORDER`.

Shapes: S seeds, T updates so far, L lags of the band, P parameters of a layer.

A lockstep group trains S runs. For each, `Recorder.start` gives a `Recording`, whose methods are called in this order: at each
epoch `due`, and where it is, `see`; at the end of each block of updates `extend`; at a save `state`, of what was seen before
the epoch that is saved; to go on `load` and `resume`, and the saved epoch is seen then; `files` at checkpoints, at blocks and
at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from torch import Tensor

from grok.networks.base import Network, View
from grok.numerics.band import BandedGram
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import About
from grok.spec.summary import in_order
from grok.tasks.base import Task

SCORES = ("loss/train", "loss/test", "accuracy/train", "accuracy/test")
"""Metrics that every epoch has; the norm of each layer follows."""


def score_names(layers: Iterable[str]) -> tuple[str, ...]:
    """Columns of `Step.scores`."""
    return (*SCORES, *(f"norm/{layer}" for layer in layers))


def due(config: ResolvedConfig, epoch: int, cadence: str | None) -> bool:
    """Whether something is measured at an epoch: at checkpoints, and every so many epochs as the field `cadence` says.

    Args:
        config: of the run. epoch: t. cadence: name of a field of the config; None: at checkpoints only.
    """
    every = getattr(config, cadence) if cadence else 0
    return epoch in config.checkpoint_epochs or (every > 0 and epoch % every == 0)


@dataclass(frozen=True)
class Step:
    """What is known of one epoch, for S seeds.

    Attributes:
        epoch: t; the networks have taken t steps.
        scores: (S, 4 + layers) float64 on the training device, columns as `names`.
        weights: by layer, (S, …): the live tensors, which the next step changes.
        names: of the scores.
        look: has the recorders see it.
    """

    epoch: int
    scores: Tensor
    weights: dict[str, Tensor]
    names: tuple[str, ...]
    look: Callable[[Step], list[dict[str, float]]] = field(repr=False)

    @cached_property
    def found(self) -> list[dict[str, float]]:
        """Per seed, by metric name, what the recorders see at this epoch only: measured when it is first asked for."""
        return self.look(self)

    def see(self) -> None:
        """Have the recorders see the step, unless they have: the training does so before it goes on."""
        _ = self.found

    def metrics(self, seed_index: int = 0) -> dict[str, float]:
        """Everything of one seed by metric name; it waits for the device."""
        return dict(zip(self.names, self.scores[seed_index].tolist(), strict=True)) | self.found[seed_index]

    @property
    def train_accuracy(self) -> float:
        """Of the first seed, in [0, 1]."""
        return float(self.scores[0, 2])

    @property
    def test_accuracy(self) -> float:
        """Of the first seed, in [0, 1]."""
        return float(self.scores[0, 3])


@dataclass(frozen=True)
class Updates:
    """The updates that one run has made so far, to be read.

    Attributes:
        grams: of the lockstep group, by layer. shapes: of a layer. index: of the run in the group.
        whole: whether the band is read to its last update, not only as far as blocks go.
        usable: updates, from the first on, of a run that diverged; None: all.
    """

    grams: Mapping[str, BandedGram]
    shapes: Mapping[str, tuple[int, ...]]
    index: int
    whole: bool = True
    usable: int | None = None

    @property
    def _any(self) -> BandedGram:
        return next(iter(self.grams.values()))

    @property
    def count(self) -> int:
        """T."""
        return self._any.count

    @property
    def end(self) -> int:
        """The last update that the band is read to."""
        return self._any.count if self.whole else self._any.complete

    @property
    def block(self) -> int:
        """Updates in a block."""
        return self._any.block

    def band(self, layer: str) -> np.ndarray:
        """(T, L) float64 of a layer, as far as it is usable."""
        gram = self.grams[layer]
        band = gram.band() if self.whole else gram.band_rows(0)
        return band[self.index, : self.usable]

    def window(self, layer: str, size: int, end: int) -> Tensor:
        """The raw updates end − size + 1 … end of a layer: (size, P), a copy, oldest first."""
        return self.grams[layer].window(size, end)[self.index]

    def shaped(self, size: int, end: int) -> dict[str, Tensor]:
        """The same of every layer, in the layer's shape: (size, …)."""
        return {layer: self.window(layer, size, end).view(size, *self.shapes[layer]) for layer in self.grams}


When = Literal["checkpoint", "block", "end"]


@dataclass(frozen=True)
class Moment:
    """When files are asked for, and what there is then.

    Attributes:
        when: `checkpoint`, an epoch of `checkpoint_epochs`; `block`, a block of updates is complete or the run ends; `end`.
        epoch: t. weights: the run's live weights by layer. updates: of the run.
        diverged: epoch from which on the loss is not finite, if there is one.
    """

    when: When
    epoch: int
    weights: Mapping[str, Tensor]
    updates: Updates
    diverged: int | None = None


@dataclass(frozen=True)
class File:
    """An artifact.

    Attributes:
        path: in the run; its ending says what it holds: tensors (`.safetensors`), arrays (`.npz`) or a table (`.parquet`).
        content: tensors or arrays by name, or the table.
        facts: small JSON-able values beside tensors.
    """

    path: str
    content: Mapping[str, Tensor] | Mapping[str, np.ndarray] | pd.DataFrame
    facts: Mapping[str, Any] = field(default_factory=dict)


class Run:
    """One run of a lockstep group, as its recordings share it: its rows, and what they know of each epoch.

    Args:
        config: with the seed of this run. index: in the group.
        task, network: of the config.
        facts: go with stored weights.

    Attributes:
        rows: a dict per epoch from 0 on, metrics by name; what was not observed is absent.
        recordings: by name, in the order in which they see a step.
    """

    def __init__(self, config: ResolvedConfig, index: int, task: Task, network: Network, facts: Mapping[str, Any]) -> None:
        self.config, self.index, self.task, self.network = config, index, task, network
        self.facts = {**facts, "config_hash": config.hash}
        self.rows: list[dict[str, float]] = []
        self.recordings: dict[str, Recording] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in order."""
        return self.network.layers

    @property
    def watched(self) -> tuple[str, ...]:
        """Names of the layers of which the band is kept."""
        return self.network.watched

    @property
    def complete(self) -> int:
        """Epochs, from 0 on, of which every metric is known."""
        return min(len(self.rows), *(recording.known(len(self.rows)) for recording in self.recordings.values()))

    @property
    def gap_name(self) -> str:
        """The column that the detector reads."""
        return f"delta_{self.layers[0]}/gap_23"

    def series(self, name: str) -> np.ndarray:
        """(complete,) float64: a column that a recording derives, entry t at epoch t.

        Raises:
            KeyError: if none does.
        """
        count = self.complete
        for recording in self.recordings.values():
            found = recording.series(name, count)
            if found is not None:
                return found
        raise KeyError(name)

    def frame(self) -> pd.DataFrame:
        """A row per complete epoch: `epoch`, then a column per metric, NaN where it was not observed."""
        count = self.complete
        observed = pd.DataFrame(self.rows[:count], columns=None if count else list(score_names(self.layers)))
        columns: dict[str, np.ndarray] = {"epoch": np.arange(count)}
        columns |= {name: observed[name].to_numpy(dtype=np.float64) for name in observed.columns}
        for recording in self.recordings.values():
            columns |= recording.columns(columns, count)
        frame = pd.DataFrame(columns)
        return frame.dropna(axis="columns", how="all") if count else frame

    def history(self) -> pd.DataFrame:
        """What `history.parquet` holds: a row per evaluated epoch, which then stands in the column `step` too.

        With an evaluation at every epoch that is `frame`.
        """
        frame = self.frame()
        if self.config.evaluate_every == 1 or not len(frame):
            return frame
        rows = frame[[self.config.evaluated(epoch) for epoch in frame["epoch"]]].reset_index(drop=True)
        rows.insert(1, "step", rows["epoch"])
        return rows

    def points(self, first: int, last: int) -> Iterable[tuple[int, str, float]]:
        """(epoch, metric, value) for the charts, in evaluated epochs from first to last − 1.

        Of a series of finite values those that `charted` names, and the last epoch's; of the spectra of layers after the first,
        which are a third of all points and in no saved view, every fifth of these.
        """
        frame = self.frame()
        if self.config.evaluate_every > 1:
            frame = frame[[self.config.evaluated(epoch) for epoch in frame["epoch"]]]
        names = [name for name in frame.columns if name != "epoch"]
        epochs, values = frame["epoch"].to_numpy(), frame[names].to_numpy()
        shown = np.zeros(values.shape, dtype=bool)
        beside = tuple(f"delta_{layer}/" for layer in self.layers[1:])
        for column, name in enumerate(names):
            seen = np.flatnonzero(np.isfinite(values[:, column]))
            every = self.config.log_every * (BESIDE if name.startswith(beside) and self.config.log_every > 1 else 1)
            shown[seen, column] = charted(epochs[seen], every) | (epochs[seen] == self.config.last_epoch)
        shown[(epochs < first) | (epochs >= last)] = False
        for row, column in zip(*np.nonzero(shown), strict=True):
            yield int(epochs[row]), names[column], float(values[row, column])

    def summary(self) -> dict[str, float]:
        """The run in a few numbers; what never happened is absent."""
        out: dict[str, float] = {}
        for recording in self.recordings.values():
            out |= recording.summary()
        return in_order(out)

    def truncate(self, epochs: int) -> None:
        """Forget all but the first `epochs` epochs (a run that diverged there)."""
        del self.rows[epochs:]
        for recording in self.recordings.values():
            recording.truncate(epochs)


BESIDE = 5
"""Of how many charted epochs the spectra of layers after the first have one, unless every epoch is logged."""


def charted(epochs: np.ndarray, every: int) -> np.ndarray:
    """Which epochs of a series stand in a chart that has a point every `every` epochs or, where there are fewer, all.

    The first that comes at or after each multiple of `every`: so it does not matter how far a run has come.

    Args:
        epochs: (N,) int, at which the series has a value, ascending.

    Returns:
        (N,) bool.

    Examples:
        >>> charted(np.array([0, 1, 2, 3, 4, 10, 20, 30]), 4).tolist()
        [True, False, False, False, True, True, True, True]
    """
    out: np.ndarray = np.diff(epochs // every, prepend=-1) > 0
    return out


class Recording:
    """What one recorder keeps of one run. A method that a recorder has no use for stays as it is here.

    Args:
        run: that is recorded; other recordings are found in it.

    Attributes:
        large: whether a block's files are as large as its updates: the former ones must be stored before it is asked for them.
    """

    large = False

    def __init__(self, run: Run) -> None:
        self.run, self.config = run, run.config

    def due(self, epoch: int) -> bool:
        """Whether `see` is called at this epoch. It waits for the device."""
        return False

    def see(self, step: Step, view: View) -> dict[str, float]:
        """Look at the live network of an epoch whose loss is finite.

        Returns:
            Metrics of this epoch by name, finite ones only.
        """
        return {}

    def extend(self, updates: Updates) -> dict[int, dict[str, float]]:
        """Take what a block of updates that has just been completed shows; the first, at epoch 0, has none.

        Returns:
            Metrics of epochs that have a row already, by epoch.
        """
        return {}

    def known(self, rows: int) -> int:
        """Of `rows` epochs, how many, from 0 on, have all metrics of this recording."""
        return rows

    def columns(self, known: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        """Columns derived from what was recorded, (count,) float64 by metric name; `known` are those there already."""
        return {}

    def series(self, name: str, count: int) -> np.ndarray | None:
        """One of `columns` alone, where it is cheap; None if it is not one."""
        return None

    def summary(self) -> dict[str, float]:
        """Summary metrics of the run by name; what never happened is absent."""
        return {}

    def truncate(self, epochs: int) -> None:
        """Forget all but the first `epochs` epochs."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able facts that `load` goes on from, bit for bit; nothing that a later step changes."""
        return {}, {}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go on from a `state`."""

    def resume(self, updates: Updates) -> None:
        """After `load`: derive again what follows from the updates, which are kept by the training and not in a `state`."""

    def files(self, moment: Moment) -> Iterable[File]:
        """Artifacts that are complete at this moment."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Recorder(About):
    """A kind of thing that a run keeps.

    Attributes:
        start: gives what is kept of one run, before its first epoch: the class of the recording.
        artifacts: patterns of the paths that its files have.
        own_state: whether the state stands under the recorder's name in the file. Without, its names must be no other's.
        check: refuses a config whose options it cannot take, before there is a run; None if it takes all.
    """

    start: Callable[[Run], Recording]
    artifacts: tuple[str, ...] = ()
    own_state: bool = True
    check: Callable[[RunConfig], object] | None = None
