"""A finished run as it is measured: its config, its files looked at as they are read, and the networks that they give."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from grok.networks.base import Stack
from grok.recorders._battery import built, put_weights
from grok.recorders._stored import flaw_of_band
from grok.runs.saving import get
from grok.spec.artifacts import BAND, WEIGHTS
from grok.spec.config import ResolvedConfig
from grok.spec.fields import shown
from grok.store import files
from grok.store.errors import StoreError
from grok.store.prior import run_config, training_run, with_threads_of
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tags import StoredRun
from grok.training.parts import network_of, task_of

CHECKPOINT = re.compile(re.escape(WEIGHTS).replace(re.escape("{:05d}"), r"(\d{5,15})"))


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
                f"{path} must have layers {rule}, got {shown(told)} in {self.tracked.run_id}. Delete it and train anew."
            )
        if self.complete and not all(bool(torch.isfinite(tensor).all()) for tensor in found.values()):
            raise StoreError(f"{path} must have finite weights, got others in {self.tracked.run_id}. Delete it and train anew.")
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
            raise StoreError(f"{BAND} must have {rule}, got others in {self.tracked.run_id}. Delete it and train anew.")
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
