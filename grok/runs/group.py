"""A lockstep group of tracked runs while it trains: what its epochs leave is stored as it comes, and each run is ended."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from grok.recorders.base import Step, When
from grok.recorders.edge import RING
from grok.runs import words
from grok.runs.branch import STATES_KEPT
from grok.runs.member import Member
from grok.runs.saving import Background, put
from grok.spec.config import ResolvedConfig
from grok.spec.summary import in_order
from grok.store.model import log_network
from grok.store.run import RESUME, TrackedRun
from grok.store.tags import NOTE, SEARCHED
from grok.store.views import spaced
from grok.training.loop import Training
from grok.training.parts import network_facts, network_of, network_sources, sources, task_of

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


class Group:
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
