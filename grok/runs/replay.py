"""Rebuild the state of a tracked run at an epoch, from its config alone, and hold it against the stored checkpoint."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from grok.runs.train import check_trainable
from grok.spec.fields import ConfigError
from grok.store import files
from grok.store.prior import run_config, with_threads_of
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.training.loop import Training


@dataclass(frozen=True)
class Replay:
    """A replayed epoch against its checkpoint.

    Attributes:
        run_id: of the tracked run. epoch: compared.
        identical: whether every weight has the same bits.
        largest: largest absolute difference of a weight.
        out: where the weights were written, if they were.
    """

    run_id: str
    epoch: int
    identical: bool
    largest: float
    out: Path | None

    def line(self) -> str:
        """The result in one line."""
        where = f" out={self.out}" if self.out else ""
        same = "yes" if self.identical else "no"
        return f"run={self.run_id} epoch={self.epoch} identical={same} largest_difference={self.largest:.3g}{where}"


def replay(store: Store, run_id: str, until: int | None = None, out: Path | None = None, trust_code: bool = False) -> Replay:
    """Train a run's config again up to a checkpoint epoch and compare the weights.

    Args:
        store: that holds the run.
        run_id: a training run.
        until: one of its checkpoint epochs; default the last that is stored.
        out: file to write the rebuilt weights to.
        trust_code: whether code of a user's own that the run names may be imported.

    Raises:
        ConfigError: if the run has no checkpoint at that epoch, or `out` cannot be written.
        StoreError: if there is no such run.
    """
    run = store.get(run_id)
    config = with_threads_of(run, run_config(run, trust_code))
    check_trainable(config)
    tracked = TrackedRun(store.client, run)
    paths = {Path(path).stem.removeprefix("epoch-"): path for path in tracked.list_files("checkpoints")}
    stored = {int(number): path for number, path in paths.items() if number.isdecimal() and len(number) < 20}
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise ConfigError(f"out must be a file in a folder that is there, got {out}. Name another.")
    epoch = until if until is not None else max(stored, default=None)
    if epoch not in stored:
        known = ", ".join(map(str, sorted(stored))) or "none"
        raise ConfigError(f"until must be a checkpoint epoch of the run ({known}), got {epoch}. Pick one of these.")
    with tempfile.TemporaryDirectory() as folder:
        kept, facts = files.load(tracked.get_file(stored[epoch], Path(folder)))
    unseen = replace(config, observe_every=0, repulsion_every=0, checkpoint_epochs=(), pair_ranking="current")
    training = Training(replace(unseen, spectrum_methods=("gram",), recorders=(), signals=()))
    next(step for step in training if step.epoch == epoch)
    rebuilt = {name: tensor[0] for name, tensor in training.weights.items()}
    if out is not None:
        files.save(out, rebuilt, facts)
    if {name: tensor.shape for name, tensor in kept.items()} != {name: tensor.shape for name, tensor in rebuilt.items()}:
        raise ConfigError(f"checkpoint must hold the layers of the run's config, got others in {stored[epoch]}. Train it anew.")
    largest = max(float((rebuilt[name].cpu() - kept[name]).abs().max()) for name in kept)
    identical = all(torch.equal(rebuilt[name].cpu(), kept[name]) for name in kept)
    return Replay(run_id, epoch, identical, largest, out)
