"""One run of a lockstep group while it trains: its recordings together, and what of them is already logged. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
from torch import Tensor

from grok.recorders.base import Moment, Recording, Step, Updates, When
from grok.recorders.pairs import Pairs
from grok.training.loop import Training
from grok.training.parts import recorders_of

OWN = "recorders/"
"""What the names of a recorder's own state begin with in a file."""


class Member:
    """One seed of a `Training`: takes its steps and knows what of it is already logged."""

    def __init__(self, training: Training, index: int) -> None:
        self.training, self.index = training, index
        self.run = training.runs[index]
        self.config = self.run.config
        self.recorders = recorders_of(self.config)
        self.logged = 0
        self.elapsed_s = 0.0
        self.diverged: int | None = None

    def add(self, step: Step, scores: np.ndarray) -> None:
        """Take one epoch's numbers, unless the run diverged before."""
        if self.diverged is not None:
            return
        if not np.isfinite(scores[0]):
            self.diverged = step.epoch
            return
        row = dict(zip(step.names, scores.tolist(), strict=True))
        if self.config.evaluate_every > 1:
            row = {name: value for name, value in row.items() if not np.isnan(value)}
        self.run.rows.append(row | step.found[self.index])

    def extend(self) -> None:
        """Let the recordings take the block that has just been completed."""
        updates = self._updates()
        for recording in self.run.recordings.values():
            for epoch, metrics in recording.extend(updates).items():
                self.run.rows[epoch] |= metrics

    def _updates(self) -> Updates:
        whole = self.diverged is not None or self.training.epoch == self.training.config.epochs
        usable = None if self.diverged is None else max(self.diverged - 1, 0)
        return self.training.updates_of(self.index, whole, usable)

    def moment(self, when: When, epoch: int) -> Moment:
        """What the recordings are given when they are asked for files."""
        weights = {name: tensor[self.index] for name, tensor in self.training.weights.items()}
        return Moment(when, epoch, weights, self.training.updates_of(self.index), self.diverged)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors (cloned) and facts that `restore` goes on from."""
        tensors = dict(self.training.state(self.index))
        facts = {"config_hash": self.config.hash, "epoch": self.training.epoch, "elapsed_s": self.elapsed_s}
        own: dict[str, Any] = {}
        for name, recording in self.run.recordings.items():
            kept, told = recording.state()
            if self.recorders[name].own_state:
                tensors |= {f"{OWN}{name}/{key}": tensor for key, tensor in kept.items()}
                own |= {name: told} if told else {}
            else:
                tensors |= kept
                facts |= told
        return {n: t.detach().clone().cpu() for n, t in tensors.items()}, facts | ({"recorders": own} if own else {})

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Mapping[str, Tensor]:
        """Take the recordings' states back; the tensors are for `Training.load` too."""
        for name, recording in self.run.recordings.items():
            self._load(name, recording, tensors, facts)
        self.elapsed_s = facts["elapsed_s"]
        return tensors

    def _load(self, name: str, recording: Recording, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        if not self.recorders[name].own_state:
            recording.load(tensors, facts)
            return
        prefix = f"{OWN}{name}/"
        mine = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        recording.load(mine, facts.get("recorders", {}).get(name, {}))

    def resume(self) -> None:
        """Once the training is loaded too: what the recordings derive from its updates."""
        for recording in self.run.recordings.values():
            recording.resume(self._updates())

    def new_points(self) -> list[tuple[int, str, float]]:
        """(epoch, metric, value) of the epochs completed since the last call."""
        first, self.logged = self.logged, self.run.complete
        return list(self.run.points(first, self.logged))

    def newest(self) -> dict[str, float]:
        """Accuracy and gap of the last epoch, for a progress bar."""
        gap_23 = self.run.series(self.run.gap_name)
        row = self.run.rows[-1] if self.run.rows else {}
        out = {name: row[name] for name in ("accuracy/train", "accuracy/test") if name in row}
        return out | ({self.run.gap_name: float(gap_23[-1])} if len(gap_23) else {})

    def pair_table(self) -> pd.DataFrame:
        """Top pairs at each measurement of repulsion: columns epoch, j, l, cos."""
        return cast(Pairs, self.run.recordings["pairs"]).table()

    def summary(self) -> dict[str, float]:
        """`Run.summary`, and `diverged_epoch` where the loss stopped being finite."""
        out = self.run.summary()
        return out if self.diverged is None else out | {"diverged_epoch": float(self.diverged)}

    def final(self) -> dict[str, float]:
        """The last known value of every metric."""
        return {name: value for row in self.run.rows for name, value in row.items()}
