"""Train tracked runs: create or resume, log, save, finish. Numbers come from `training` and `member`, storage from
`tracking`; several seeds of one config train in lockstep, each its own MLflow run.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor

from grok.runs import words as describe
from grok.runs.member import Member
from grok.runs.saving import Background
from grok.spec.config import PROTOCOL_VERSION, RunConfig
from grok.spec.fields import ConfigError
from grok.store.files import CheckpointError, load
from grok.store.store import Store, StoreError, TakenOverError, TrackedRun, code_tags
from grok.training.loop import LAYERS, Record, Training

FigureMaker = Callable[[pd.DataFrame, pd.DataFrame, RunConfig], dict[str, Any]]
"""(history, top pairs, config) to figures by name; each has matplotlib's `savefig`."""
Progress = Callable[[int, dict[str, float]], None]
"""Called with the epoch and the newest metrics after each block of epochs."""


@dataclass(frozen=True)
class Outcome:
    """How a tracked run ended.

    Attributes:
        run_id: of the MLflow run.
        state: `complete`, `diverged` or `interrupted`.
        summary: metrics of the run, as `History.summary`, and `diverged_epoch`; empty if interrupted.
        seconds: wall time of this call by part: training, updates, observables, spectra, tracking, and of them all.
    """

    run_id: str
    state: str
    summary: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def check_device(config: RunConfig) -> None:
    """Refuse a device that this machine lacks.

    Raises:
        ConfigError: if cuda, or cuda:N, is asked for and is not there.
    """
    if config.device in ("auto", "cpu"):
        return
    index, count = torch.device(config.device).index or 0, torch.cuda.device_count()
    if index >= count:
        raise ConfigError(f"device must be one of this machine's ({count} cuda devices), got {config.device}. Use cpu or auto.")


def train_tracked(
    configs: Sequence[RunConfig],
    store: Store,
    *,
    resume: Sequence[str | None] = (),
    parent: str | None = None,
    tags: dict[str, str] | None = None,
    figures: FigureMaker | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    confirm: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Train runs that differ in their seed only, in lockstep, each as its own MLflow run.

    Args:
        configs: one per seed.
        store: where to.
        resume: per seed, the run to go on with, or None for a new one; empty for all new.
        parent: MLflow run that new runs are nested under.
        tags: more tags, without our prefix.
        figures: draws the run's figures at the end.
        progress: told of each block of epochs.
        should_stop: asked at each epoch; True saves the state and ends as `interrupted`.
        confirm: called before runs are saved, stopped, finished or marked as failed; raises TakenOverError if another
            process has one of them now, which is then left as it is.

    Returns:
        An outcome per config.

    Raises:
        ConfigError: if the device is not there or the activation cannot be imported; no run was created then.
        StoreError: if the store fails. Whatever is raised later, the runs are first marked `failed` with the reason.
    """
    configs = [config.resolved() for config in configs]
    check_device(configs[0])
    if resume and resume[0] and configs[0].threads is None:  # the same bits need the same threads
        threads = store.get(resume[0]).data.tags.get("grok.threads", "")
        configs = [replace(config, threads=int(threads) if threads.isdigit() else None) for config in configs]
    training = Training(configs[0], [config.seed for config in configs])
    tracked: list[TrackedRun] = []
    try:
        for config, run_id in zip(configs, resume or [None] * len(configs), strict=True):
            tracked.append(store.reopen(run_id, tags) if run_id else create(store, config, parent, tags))
            if "config.json" not in tracked[-1].list_files(""):
                _log_start(config, tracked[-1], training, len(tracked) - 1)
            elif run_id:
                _note_resumed(config, tracked[-1], store.get(run_id).data.tags, training)
        members = [Member(config, index) for index, config in enumerate(configs)]
        if all(run.resumed for run in tracked):
            _restore(training, members, tracked)
        return _Loop(training, members, tracked, figures, progress, should_stop, confirm).run()
    except BaseException as error:
        _mark_failed(configs, tracked, error, confirm)
        raise


def create(store: Store, config: RunConfig, parent: str | None, tags: Mapping[str, str] | None) -> TrackedRun:
    """A new run of a config's identity, with nothing logged yet."""
    identity = {"kind": "train", "config_hash": config.hash, "protocol": PROTOCOL_VERSION}
    return store.create(config.display_name(), {**identity, **code_tags(), **(tags or {})}, parent)


def _log_start(config: RunConfig, run: TrackedRun, training: Training, index: int) -> None:
    run.log_config(config)
    run.set_tags(describe.host_tags(training.device) | {"mlflow.note.content": describe.running(config)})
    task = training.problems[index]
    source = f"grok.modular_addition({config.modulus}, {config.n_train}, seed={config.seed}, labels={config.labels!r})"
    name = f"addition mod {config.modulus}" + (", random labels" if config.labels == "random" else "")
    run.log_dataset(task.train_pairs.numpy(), task.train_labels.numpy(), f"{name}, train", source, "training")
    run.log_dataset(task.test_pairs.numpy(), task.test_labels.numpy(), f"{name}, test", source, "evaluation")
    run.put_json("config.json", {"config": config.to_strings(), "config_hash": config.hash, "protocol": PROTOCOL_VERSION})


def _note_resumed(config: RunConfig, run: TrackedRun, tags: dict[str, str], training: Training) -> None:
    """Say what differs from the process that began the run: its code, its machine."""
    now = {**code_tags(), **describe.host_tags(training.device)}
    differs = [f"{name} {value}" for name, value in now.items() if tags.get(f"grok.{name}") != value]
    run.delete("failure.txt")
    run.set_tags({"mlflow.note.content": describe.running(config)} | ({"resumed_with": ", ".join(differs)} if differs else {}))


def _restore(training: Training, members: list[Member], tracked: list[TrackedRun]) -> None:
    """Go on from the newest saved state that every run of the group has; from the start if there is none."""
    saved = set.intersection(*(set(run.list_files("resume")) for run in tracked))
    for name in sorted(saved, reverse=True):
        try:
            with tempfile.TemporaryDirectory() as folder:
                loaded = [load(run.get_file(name, Path(folder) / run.run_id)) for run in tracked]
        except (CheckpointError, StoreError):
            continue  # cut short by what stopped the run: the one before it is whole
        if all(facts["config_hash"] == member.config.hash for member, (_, facts) in zip(members, loaded, strict=True)):
            training.load([member.restore(*state) for member, state in zip(members, loaded, strict=True)])
            for member in members:
                member.extend(training)
            return


def _drop_states(run: TrackedRun, but: str = "") -> None:
    for name in run.list_files("resume"):
        if name != but:
            run.delete(name)


def _mark_failed(
    configs: Sequence[RunConfig], tracked: list[TrackedRun], error: BaseException, confirm: Callable[[], None]
) -> None:
    """End the runs that are this process's still and that are not done: of a group, some may be."""
    state = "interrupted" if isinstance(error, (KeyboardInterrupt, TakenOverError)) else "failed"
    lost = set(error.run_ids) if isinstance(error, TakenOverError) else set()
    try:
        confirm()
    except Exception as other:
        lost |= set(other.run_ids) if isinstance(other, TakenOverError) else set()
    for config, run in zip(configs, tracked, strict=False):
        with contextlib.suppress(Exception):  # the store may be what failed; the caller hears of the first error
            if run.run_id in lost or run.client.get_run(run.run_id).data.tags.get("grok.state") in ("complete", "diverged"):
                continue
            run.end(state, f"{type(error).__name__}: {error}")
            run.set_tags({"mlflow.note.content": describe.stopped(config, f"Failed: {type(error).__name__}: {error}")})
            run.put_text("failure.txt", "".join(traceback.format_exception(error)))


class _Loop:
    """The epochs of a lockstep group, from the opened runs to the finished ones."""

    def __init__(
        self,
        training: Training,
        members: list[Member],
        tracked: list[TrackedRun],
        figures: FigureMaker | None,
        progress: Progress | None,
        should_stop: Callable[[], bool],
        confirm: Callable[[], None],
    ) -> None:
        self.training, self.members, self.tracked = training, members, tracked
        self.figures, self.progress, self.should_stop, self.confirm = figures, progress, should_stop, confirm
        self.config = training.config
        self.epochs = cast(int, training.config.epochs)
        self.first = training.epoch
        self.pending: list[Record] = []
        self.background = Background()
        self.started = time.perf_counter()
        self.elapsed_before = [member.elapsed_s for member in members]
        self.spectra_s = self.waited_s = 0.0

    def run(self) -> list[Outcome]:
        """Train to the end, to divergence of all, or to a stop."""
        try:
            for record in self.training:
                stop = self.should_stop()
                if record.epoch > self.first and (stop or self._save_due(record.epoch)):
                    self._save()
                if stop:
                    return self._interrupt()
                self.pending.append(record)
                self._keep_weights(record.epoch)
                updates = self.training.updates["w"]
                if record.epoch == self.epochs or updates.count == updates.complete:
                    self._flush(record.epoch)
                    if all(member.diverged is not None for member in self.members):
                        break
            return [self._finish(member, run) for member, run in zip(self.members, self.tracked, strict=True)]
        finally:
            self.background.close()

    def _save_due(self, epoch: int) -> bool:
        every = self.config.save_every
        return every > 0 and epoch % every == 0 and epoch < self.epochs

    def _drain(self) -> None:
        """Hand pending records to the members: one transfer from the device for all of them."""
        if self.pending:
            scores = torch.stack([record.scores for record in self.pending]).cpu().numpy()
            for record, row in zip(self.pending, scores, strict=True):
                for member in self.members:
                    member.add(record, row[member.index])
            self.pending.clear()
        for member, before in zip(self.members, self.elapsed_before, strict=True):
            member.elapsed_s = before + time.perf_counter() - self.started

    def _flush(self, epoch: int) -> None:
        """Spectra, detector and kept updates of the block that ends here."""
        self._drain()
        start = time.perf_counter()
        for member in self.members:
            member.extend(self.training)
        self.spectra_s += time.perf_counter() - start
        if self.config.delta_w == "full" and self.training.updates["w"].count:
            self._keep_updates()
        if self.progress is not None:
            self.progress(epoch, self.members[0].newest())

    def _save(self) -> None:
        """Log what is complete and store a state to go on from, in the background; at most one save is under way."""
        self.confirm()
        self._drain()
        start = time.perf_counter()
        self.background.wait()
        self.waited_s += time.perf_counter() - start
        name = f"resume/epoch-{self.training.epoch:05d}.safetensors"
        for member, run in zip(self.members, self.tracked, strict=True):
            if member.diverged is None:
                self.background.submit(run.log_points, member.new_points())
                self.background.submit(run.put_tensors, name, *member.state(self.training))
                self.background.submit(_drop_states, run, name)

    def _interrupt(self) -> list[Outcome]:
        self.background.wait()
        self.confirm()
        for member, run in zip(self.members, self.tracked, strict=True):
            run.set_tags({"mlflow.note.content": describe.stopped(member.config, f"Stopped at epoch {self.training.epoch}.")})
            run.end("interrupted")
        return [Outcome(run.run_id, "interrupted") for run in self.tracked]

    def _keep_weights(self, epoch: int) -> None:
        """Store the weights, and the raw window if asked for, at a checkpoint epoch."""
        if epoch not in cast(tuple[int, ...], self.config.checkpoint_epochs):
            return
        for member, run in zip(self.members, self.tracked, strict=True):
            if member.diverged is not None:
                continue
            facts = {"epoch": epoch, "config_hash": member.config.hash}
            weights = {name: tensor[member.index].clone() for name, tensor in self.training.weights.items()}
            self.background.submit(run.put_tensors, f"checkpoints/epoch-{epoch:05d}.safetensors", weights, facts)
            if self.config.delta_w == "windows" and epoch > 0:
                path = f"delta_w/window-epoch-{epoch:05d}.safetensors"
                size = min(self.config.window, epoch)
                self.background.submit(run.put_tensors, path, self._raw_updates(member, epoch, size), facts)

    def _raw_updates(self, member: Member, end: int, size: int) -> dict[str, Tensor]:
        """Updates end − size + 1 … end as {"w": (size, 2M, K), "v": (size, K, M)}."""
        out = {}
        for layer in LAYERS:
            window = self.training.updates[layer].window(size, end)[member.index]
            out[layer] = window.view(size, *self.training.weights[layer].shape[1:])
        return out

    def _keep_updates(self) -> None:
        """Store the raw updates of the block that has just ended, and let them go."""
        updates = self.training.updates["w"]
        size = updates.count % updates.block or updates.block
        first = updates.count - size + 1
        path = f"delta_w/updates-{first:05d}-{updates.count:05d}.safetensors"
        for member, run in zip(self.members, self.tracked, strict=True):
            if member.diverged is None:
                facts = {"first_epoch": first, "last_epoch": updates.count, "config_hash": member.config.hash}
                self.background.wait()
                self.background.submit(run.put_tensors, path, self._raw_updates(member, updates.count, size), facts)

    def _finish(self, member: Member, run: TrackedRun) -> Outcome:
        """Store everything that a finished run has, and end it."""
        start = time.perf_counter()
        self.confirm()
        state = "complete" if member.diverged is None else "diverged"
        if member.diverged is not None:
            member.history.truncate(member.diverged)
        else:
            member.add_modes("last", self.training, self.epochs)
        self.background.submit(run.log_points, member.new_points())
        frame, pairs = member.history.frame(), member.pair_table()
        summary = member.summary()
        with tempfile.TemporaryDirectory() as folder:
            for table, name in ((frame, "history"), (pairs, "repulsion_pairs")):
                if len(table) or name == "history":
                    table.to_parquet(Path(folder) / f"{name}.parquet", index=False)
                    run.put_file(Path(folder) / f"{name}.parquet")
            for name, figure in (self.figures(frame, pairs, member.config) if self.figures and len(frame) else {}).items():
                figure.savefig(Path(folder) / f"{name}.png")
                run.put_file(Path(folder) / f"{name}.png", "figures")
        band = {layer: self.training.updates[layer].band()[member.index] for layer in LAYERS}
        kept = max(len(frame) - 1, 0) if member.diverged is not None else None
        run.put_arrays("delta_w/band.npz", **{layer: values[:kept] for layer, values in band.items()})
        if member.factors:
            run.put_arrays("delta_w/factors.npz", **member.factor_arrays(len(frame)))
        facts = {"activation": member.config.activation, "config_hash": member.config.hash}
        if member.modes:
            run.put_tensors("delta_w/modes.safetensors", member.modes, facts | {"fire_epoch": member.fire_epoch})
        source = member.config.own_sources().get("activation")
        if source is not None:
            run.put_file(source, "code")
        if member.diverged is None:
            run.log_network({name: w[member.index] for name, w in self.training.weights.items()}, facts, self.epochs, source)
        self.background.wait()
        summary["elapsed_s"] = self.elapsed_before[member.index] + time.perf_counter() - self.started
        run.log_points([(0, name, value) for name, value in summary.items()])
        run.set_tags({"mlflow.note.content": describe.finished(member.config, summary, member.final())})
        run.end(state)
        _drop_states(run)  # after the end: a run that stops between the two is complete, not without a state
        total = time.perf_counter() - self.started
        seconds = self.training.seconds | {
            "spectra": self.spectra_s,
            "finish": time.perf_counter() - start,
            "background": self.background.seconds,
            "waited": self.waited_s,
            "total": total,
        }
        return Outcome(run.run_id, state, summary, seconds)
