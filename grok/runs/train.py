"""Train tracked runs: create or resume, log, save, finish. Numbers come from `training`, what is kept of them from `recorders`;
several seeds of one config train in lockstep, each its own MLflow run.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from grok.recorders.base import Step, When
from grok.recorders.edge import RING
from grok.runs import words
from grok.runs.branch import STATES_KEPT, Branch
from grok.runs.member import Member
from grok.runs.saving import Background, put
from grok.runs.trial import check_own
from grok.spec.config import PROTOCOL_VERSION, ResolvedConfig, RunConfig
from grok.spec.plugins import blamed
from grok.spec.summary import in_order
from grok.store.errors import StoreError, TakenOverError, masked, one_line
from grok.store.files import CheckpointError, load
from grok.store.model import log_network
from grok.store.prior import create, with_table_of, with_threads_of
from grok.store.provenance import code_tags
from grok.store.run import RESUME, TrackedRun
from grok.store.store import Store
from grok.store.system import watched
from grok.store.tags import NOTE, RESUMED_WITH, SEARCHED, StoredRun
from grok.store.views import spaced
from grok.training.devices import check_device
from grok.training.loop import Training
from grok.training.parts import check_parts, network_facts, network_of, network_sources, sources, task_of
from grok.training.size import check_size

LOG = logging.getLogger("grok")
FigureMaker = Callable[[pd.DataFrame, pd.DataFrame, ResolvedConfig], dict[str, Any]]
"""(history, top pairs, config) to figures by name; each has matplotlib's `savefig`."""
Progress = Callable[[int, dict[str, float]], None]
"""Called with the epoch and the newest metrics after each block of epochs."""


@dataclass(frozen=True)
class Outcome:
    """How a tracked run ended.

    Attributes:
        run_id: of the MLflow run.
        state: `complete`, `diverged` or `interrupted`.
        summary: metrics of the run, as `Run.summary`, `diverged_epoch` and `elapsed_s`; empty if interrupted.
        seconds: wall time of this call by part: training, updates, observables, spectra, tracking, and of them all.
    """

    run_id: str
    state: str
    summary: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def train_tracked(
    configs: Sequence[ResolvedConfig],
    store: Store,
    *,
    resume: Sequence[StoredRun | str | None] = (),
    parent: str | None = None,
    tags: dict[str, str] | None = None,
    figures: FigureMaker | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    confirm: Callable[[], None] = lambda: None,
    branch: Branch | None = None,
) -> list[Outcome]:
    """Train runs that differ in their seed only, in lockstep, each as its own MLflow run.

    Args:
        configs: one per seed.
        store: where to.
        resume: per seed, the run to go on with or its id, or None for a new one; empty for all new.
        parent: MLflow run that new runs are nested under.
        tags: more tags, without our prefix.
        figures: draws the run's figures at the end.
        progress: told of each block of epochs.
        should_stop: asked at each epoch; True saves the state and ends as `interrupted`.
        confirm: called before runs are saved, stopped, finished or marked as failed; raises TakenOverError if another
            process has one of them now, which is then left as it is.
        branch: a state of another run that a single new run goes on from.

    Returns:
        An outcome per config.

    Raises:
        ConfigError: if the device is not there or the activation cannot be imported; no run was created then.
        StoreError: if the store fails. Whatever is raised later, the runs are first marked `failed` with the reason.
        OwnCodeError: if code of somebody's own fails in mid-run, with its name.
    """
    check_trainable(configs[0], len(configs))
    prior = [store.get(run) if isinstance(run, str) else run for run in resume] or [None] * len(configs)
    if prior[0] is not None:
        configs = [with_table_of(prior[0], with_threads_of(prior[0], config)) for config in configs]
    training = Training(configs[0], [config.seed for config in configs])
    configs = [run.config for run in training.runs]  # a caller may have left an `auto`, which the training replaces
    tracked: list[TrackedRun] = []
    try:
        for config, run in zip(configs, prior, strict=True):
            tracked.append(create(store, config, parent, tags) if run is None else store.reopen(run, tags))
            if "config.json" not in tracked[-1].list_files(""):
                _log_start(config, tracked[-1], training, len(tracked) - 1)
            elif run is not None:
                tracked[-1].check_config(config)
                _note_resumed(config, tracked[-1], run, training)
        members = [Member(training, index) for index in range(len(configs))]
        restored = all(run.resumed for run in tracked) and _restore(training, members, tracked)
        if branch is not None and not restored:
            _load_branch(training, members[0], branch)
        with watched([run.run_id for run in tracked]):
            return _Loop(training, members, tracked, figures, progress, should_stop, confirm).run()
    except BaseException as error:
        told = blamed(error)
        if told is not None:
            told.__cause__ = error
        _mark_failed(configs, tracked, told or error, confirm)
        if told is not None:
            raise told from error
        raise


def check_trainable(config: RunConfig, seeds: int = 1) -> None:
    """Refuse, before a run is made, a device that is not there, a part that cannot be used, and what memory cannot hold.

    Args:
        config: of the runs. seeds: that are trained in lockstep.

    Raises:
        ConfigError: if so.
    """
    check_device(config)
    check_parts(config)
    check_size(config.resolved(), seeds)
    check_own(config)


def _log_start(config: ResolvedConfig, run: TrackedRun, training: Training, index: int) -> None:
    run.log_config(config)
    run.set_tags(words.host_tags(training) | {NOTE: words.running(config)})
    problem, (name, source) = training.problems[index], task_of(config).dataset(config)
    run.log_dataset(problem.train_inputs.numpy(), problem.train_labels.numpy(), f"{name}, train", source, "training")
    run.log_dataset(problem.test_inputs.numpy(), problem.test_labels.numpy(), f"{name}, test", source, "evaluation")
    run.put_json("config.json", {"config": config.to_strings(), "config_hash": config.hash, "protocol": PROTOCOL_VERSION})


def _note_resumed(config: ResolvedConfig, run: TrackedRun, before: StoredRun, training: Training) -> None:
    """Say what differs from the process that began the run: its code, its machine."""
    now = {**code_tags(), **words.host_tags(training)}
    differs = [f"{name} {value}" for name, value in now.items() if before.get(name) != value]
    run.delete("failure.txt")
    run.set_tags({NOTE: words.running(config)} | ({RESUMED_WITH: ", ".join(differs)} if differs else {}))


def _restore(training: Training, members: list[Member], tracked: list[TrackedRun]) -> bool:
    """Go on from the newest saved state that every run of the group has; from the start if there is none.

    A state that is not whole, or not as it was written, is passed over and said so.

    Returns:
        Whether there was one.

    Raises:
        CheckpointError: if a state is whole and does not fit; it is dropped, so that the same command begins anew.
    """
    saved = set.intersection(*(set(run.list_files(RESUME)) for run in tracked))
    for name in sorted(saved, reverse=True):
        try:
            with tempfile.TemporaryDirectory() as folder:
                loaded = [load(run.get_file(name, Path(folder) / run.run_id)) for run in tracked]
        except (CheckpointError, StoreError) as error:
            LOG.warning("%s %s is passed over: %s Training goes on from an earlier state.", tracked[0].run_id, name, error)
            continue
        if all(facts.get("config_hash") == member.config.hash for member, (_, facts) in zip(members, loaded, strict=True)):
            try:
                training.load([member.restore(*state) for member, state in zip(members, loaded, strict=True)])
                for member in members:
                    member.resume()
            except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
                for run in tracked:
                    run.delete(name)
                raise CheckpointError(
                    f"state must be that of the run's config, got {name} of {tracked[0].run_id} ({one_line(error)[:120]}). "
                    "It is dropped: repeat the command."
                ) from error
            return True
    return False


def _load_branch(training: Training, member: Member, branch: Branch) -> None:
    """Go on from the state of another run.

    Raises:
        CheckpointError: if it does not fit.
    """
    try:
        training.load([member.restore(branch.tensors, branch.facts)])
        member.resume()
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"state must be that of the run's config, got step {branch.step} of {branch.run_id} ({one_line(error)[:120]}). "
            "Train that run anew."
        ) from error


def _mark_failed(
    configs: Sequence[ResolvedConfig], tracked: list[TrackedRun], error: BaseException, confirm: Callable[[], None]
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
            if run.run_id in lost or run.look().done:
                continue
            reason = f"{type(error).__name__}: {one_line(error)}"
            run.end(state, reason)
            run.set_tags({NOTE: words.stopped(config, f"Failed: {reason}")})
            run.put_text("failure.txt", masked("".join(traceback.format_exception(error))))


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
        self.epochs = training.config.epochs
        self.first = training.epoch
        self.pending: list[Step] = []
        self.background = Background()
        self.started = time.perf_counter()
        self.elapsed_before = [member.elapsed_s for member in members]
        self.spectra_s = self.waited_s = 0.0

    def run(self) -> list[Outcome]:
        """Train to the end, to divergence of all, or to a stop."""
        try:
            for step in self.training:
                stop = self.should_stop()
                if step.epoch > self.first and (stop or self._save_due(step.epoch)):
                    self._save()
                if stop:
                    return self._interrupt()
                if step.epoch in self.config.keep_states and step.epoch > self.first:
                    self._keep_state(step.epoch)
                step.see()  # before files are asked for that may hold what is seen
                self.pending.append(step)
                if step.epoch in self.config.checkpoint_epochs:
                    self._keep("checkpoint", step.epoch)
                if step.epoch == self.epochs or self.training.block_complete:
                    self._flush(step.epoch)
                    if all(member.diverged is not None for member in self.members):
                        break
            return [self._finish(member, run) for member, run in zip(self.members, self.tracked, strict=True)]
        finally:
            self.background.close()

    def _save_due(self, epoch: int) -> bool:
        every = self.config.save_every
        return every > 0 and epoch % every == 0 and epoch < self.epochs

    def _drain(self) -> None:
        """Hand pending steps to the members: one transfer from the device for all of them."""
        if self.pending:
            scores = torch.stack([step.scores for step in self.pending]).cpu().numpy()
            for step, row in zip(self.pending, scores, strict=True):
                for member in self.members:
                    member.add(step, row[member.index])
            self.pending.clear()
        for member, before in zip(self.members, self.elapsed_before, strict=True):
            member.elapsed_s = before + time.perf_counter() - self.started

    def _flush(self, epoch: int) -> None:
        """What the block that ends here shows, and the files that it leaves."""
        self._drain()
        start = time.perf_counter()
        for member in self.members:
            member.extend()
        self.spectra_s += time.perf_counter() - start
        self._keep("block", epoch)
        if self.progress is not None:
            self.progress(epoch, self.members[0].newest())

    def _save(self) -> None:
        """Log what is complete and store a state to go on from, in the background; at most one save is under way."""
        self.confirm()
        self._drain()
        start = time.perf_counter()
        self.background.wait()
        self.waited_s += time.perf_counter() - start
        name = f"{RESUME}/epoch-{self.training.epoch:05d}.safetensors"
        for member, run in zip(self.members, self.tracked, strict=True):
            if member.diverged is None:
                self.background.submit(run.log_points, member.new_points())
                self.background.submit(run.put_tensors, name, *member.state())
                self.background.submit(run.drop_states, name)

    def _keep_state(self, epoch: int) -> None:
        """Store the whole state for runs that branch here, without the rows that windows of theirs do not reach back to."""
        self._drain()
        for member, run in zip(self.members, self.tracked, strict=True):
            if member.diverged is None:
                tensors, facts = member.state()
                kept = {name: tensor for name, tensor in tensors.items() if not name.endswith(RING)}
                self.background.submit(run.put_tensors, STATES_KEPT.format(epoch), kept, facts)

    def _interrupt(self) -> list[Outcome]:
        self.background.wait()
        self.confirm()
        for member, run in zip(self.members, self.tracked, strict=True):
            run.set_tags({NOTE: words.stopped(member.config, f"Stopped at epoch {self.training.epoch}.")})
            run.end("interrupted")
        return [Outcome(run.run_id, "interrupted") for run in self.tracked]

    def _keep(self, when: When, epoch: int) -> None:
        """Store in the background what the recorders leave here; large files of a block one by one."""
        for member, run in zip(self.members, self.tracked, strict=True):
            if member.diverged is not None:
                continue
            moment = member.moment(when, epoch)
            for recording in member.run.recordings.values():
                if recording.large and when == "block":
                    self.background.wait()
                for file in recording.files(moment):
                    self.background.submit(put, run, file)

    def _finish(self, member: Member, run: TrackedRun) -> Outcome:
        """Store everything that a finished run has, and end it."""
        start = time.perf_counter()
        self.confirm()
        state = "complete" if member.diverged is None else "diverged"
        if member.diverged is not None:
            member.run.truncate(member.diverged)
        self.background.submit(run.log_points, member.new_points())
        config, summary = member.config, member.summary()
        last = self.epochs if member.diverged is None else max(member.diverged - 1, 0)
        moment = member.moment("end", last)
        for recording in member.run.recordings.values():
            for file in recording.files(moment):
                put(run, file)
        self._draw(member, run)
        for source in sources(config):
            run.put_file(source, "code")
        if member.diverged is None:
            self._log_network(member, run)
        self.background.wait()
        summary = in_order(summary | {"elapsed_s": self.elapsed_before[member.index] + time.perf_counter() - self.started})
        run.log_points([(0, name, value) for name, value in summary.items()])
        run.set_tags({NOTE: spaced(words.finished(config, summary, member.final()))})
        run.end(state)
        total = time.perf_counter() - self.started
        seconds = self.training.seconds | {
            "spectra": self.spectra_s,
            "finish": time.perf_counter() - start,
            "background": self.background.seconds,
            "waited": self.waited_s,
            "total": total,
        }
        return Outcome(run.run_id, state, summary, seconds)

    def _draw(self, member: Member, run: TrackedRun) -> None:
        """Store the run's figures, if there is somebody to draw them and something to draw."""
        frame = member.run.frame()
        if self.figures is None or not len(frame):
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, figure in self.figures(frame, member.pair_table(), member.config).items():
                figure.savefig(Path(folder) / f"{name}.png")
                run.put_file(Path(folder) / f"{name}.png", "figures")

    def _log_network(self, member: Member, run: TrackedRun) -> None:
        """Log the last network as a model that can be loaded."""
        config, architecture = member.config, network_of(member.config)
        sizes, facts = task_of(config).sizes(config), network_facts(config) | {"config_hash": config.hash}
        weights = {name: tensor[member.index] for name, tensor in self.training.weights.items()}
        example = self.training.problems[member.index].train_inputs[:2].cpu().numpy().astype(np.int64)
        scores = np.empty((0, *([sizes.outputs] if sizes.outputs else []), sizes.classes), dtype=config.precision)
        log_network(
            run,
            weights,
            facts,
            self.epochs,
            network_sources(config),
            model_type=architecture.model_type,
            example=(example, scores),
            params={name: config.to_strings()[name] for name in (*SEARCHED, "task", "labels", "modulus", "width", "seed")},
        )
