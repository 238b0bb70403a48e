"""Training as an iterator of epochs: the protocol's loop for one seed or for several in lockstep. No I/O.

Epoch t is scored *before* the t-th step: step 0 is the initial network, step t has taken t steps. Shapes: S seeds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import threadpoolctl
import torch
from torch import Tensor

from grok.networks.base import View
from grok.numerics.band import BandedGram
from grok.numerics.linalg import products_of
from grok.recorders.base import Run, Step, Updates, score_names
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.fields import ConfigError
from grok.spec.roundings import Rounding, named
from grok.tasks.base import Problem
from grok.training.batches import Batches
from grok.training.devices import resolve_device, rounding_used
from grok.training.eager import step_of, without_compiler
from grok.training.interventions import Switch, clamp
from grok.training.memory import keep_freed_memory
from grok.training.optimizers import clip_gradients, load_optimizer_state, make_optimizer, optimizer_state, set_weight_decay
from grok.training.parts import check_parts, network_facts, network_of, recorders_of, task_of

Record = Step


def train(config: RunConfig) -> Iterator[Step]:
    """Train one network and yield a step an epoch, 0 to `config.epochs`; it ends early if the loss diverges.

    Raises:
        ConfigError: if something that the config names, such as an activation, cannot be imported.

    Source: Xu (arXiv 2605.08119) §2.
    """
    for step in Training(config):
        yield step
        if not bool(torch.isfinite(step.scores[0, 0])):
            return


class Training:
    """S networks of one config and S seeds, trained in lockstep; iterate it for `Step`s.

    Args:
        config: of the run; `config.seed` is used where `seeds` is not given.
        seeds: S seeds; each network, split and step is that of the config with this seed.

    Attributes:
        epoch: of the next step.
        network: the networks. runs: per seed, what its recorders keep.
        updates: by layer, the band of the steps taken.
        seconds: wall time so far of training, updates (their Gram) and observables (what recorders see); on a GPU, of
            their launch.
    """

    def __init__(self, config: RunConfig, seeds: Sequence[int] | None = None) -> None:
        self.config = config = config.resolved()
        self.seeds = tuple(seeds) if seeds is not None else (config.seed,)
        check_parts(config)
        self.device = resolve_device(config.device)
        keep_freed_memory()
        pinned, threads = named(config.rounding), config.pinned_threads or config.threads
        self._library = None if pinned is None else pinned.library
        if threads is not None:
            torch.set_num_threads(threads)
            threadpoolctl.threadpool_limits(threads)  # scipy's BLAS has a pool of its own
        dtype = getattr(torch, config.precision)
        task, architecture = task_of(config), network_of(config)
        self.problems = [problem(replace(config, seed=seed)) for seed in self.seeds]
        self.network = architecture.build(config, task.sizes(config), self.seeds, self.device, dtype)
        self.batches = Batches(config, self.network, self.problems, self.seeds)
        with without_compiler():
            self.optimizer, self.switch = make_optimizer(config, self.network), Switch(config, architecture.layers[0])
        self._take_step = step_of(self.optimizer)
        lags = architecture.lags(config)
        self.updates = {
            layer: BandedGram(lags, self.weights[layer][0].numel(), seeds=len(self.seeds), dtype=dtype, device=self.device)
            for layer in architecture.watched
        }
        recorders, facts = recorders_of(config), network_facts(config)
        self.runs = [Run(replace(config, seed=s), i, task, architecture, facts) for i, s in enumerate(self.seeds)]
        for run in self.runs:
            run.recordings = {name: recorder.start(run) for name, recorder in recorders.items()}
        self._names = score_names(architecture.layers)
        self.epoch = 0
        self.seconds = {"training": 0.0, "updates": 0.0, "observables": 0.0}

    @property
    def weights(self) -> dict[str, Tensor]:
        """The live weights by layer, (S, …)."""
        return self.network.layers

    @property
    def rounding(self) -> Rounding:
        """What decides the order of summation."""
        return rounding_used(self.config, self.network.block_rows, self.device)

    @property
    def block_complete(self) -> bool:
        """Whether the updates so far make whole blocks."""
        return all(updates.count == updates.complete for updates in self.updates.values())

    def updates_of(self, s: int, whole: bool = True, usable: int | None = None) -> Updates:
        """The updates of one seed, as `Updates` says."""
        shapes = {layer: tuple(self.weights[layer].shape[1:]) for layer in self.updates}
        return Updates(self.updates, shapes, s, whole, usable)

    def __iter__(self) -> Iterator[Step]:
        """Yield steps from the current epoch on; it goes on after a step when the next is asked for."""
        epochs = self.config.epochs
        while self.epoch <= epochs:
            step = self._score()
            yield step
            step.see()
            if self.epoch < epochs:
                self._step()
            self.epoch += 1

    def _score(self) -> Step:
        start = time.perf_counter()
        with torch.no_grad(), products_of(self._library):
            loss, accuracy = self.network.loss_and_gradient(self.batches.draw())
            accuracy, test_loss, test_accuracy = self.batches.evaluate(accuracy, self.config.evaluated(self.epoch))
            norms = [w.flatten(1).norm(dim=1).double() for w in self.weights.values()]
            scores = torch.stack((loss, test_loss, accuracy, test_accuracy, *norms), dim=1)
            self._clock("training", start)
        return Step(self.epoch, scores, self.weights, self._names, self._look)

    def _look(self, step: Step) -> list[dict[str, float]]:
        """What the recorders that are due see, per seed; a network whose loss is not finite shows nothing."""
        start = time.perf_counter()
        found: list[dict[str, float]] = [{} for _ in self.seeds]
        due = [[r for r in run.recordings.values() if r.due(step.epoch)] for run in self.runs]
        if any(due):
            finite, shared = torch.isfinite(step.scores[:, 0]).tolist(), dict[str, Tensor]()
            with torch.no_grad(), products_of(self._library):
                for s in (s for s in range(len(self.seeds)) if finite[s]):
                    view = View(self.network, self.batches.train, s, self.seeds[s], shared, self.batches.test)
                    for recording in due[s]:
                        found[s] |= own_names(recording.see(step, view), (*step.names, *found[s]))
        self._clock("observables", start)
        return found

    def _step(self) -> None:
        start = time.perf_counter()
        with torch.no_grad():
            before = {layer: self.weights[layer].clone() for layer in self.updates}
            clip_gradients(self.optimizer, len(self.weights), self.config.clip)
            set_weight_decay(self.optimizer, self.config, self.epoch)
            self.switch.before(self.epoch, self.optimizer)
            self._take_step()
            self.switch.after(self.epoch, self.weights, before)
            clamp(self.config, self.epoch, self.weights)
            self._clock("training", start)
            start = time.perf_counter()
            for layer, updates in self.updates.items():
                updates.append(self.weights[layer].flatten(1), before[layer].flatten(1))
            self._clock("updates", start)

    def _clock(self, part: str, start: float) -> None:
        self.seconds[part] += time.perf_counter() - start

    def state(self, s: int) -> dict[str, Tensor]:
        """Everything that the training of one seed needs to go on bit for bit, by name; read it between two steps.

        Recordings have states of their own. Tensors are views of live memory: save or clone them before the next step.
        """
        out = {f"network/{layer}": weights[s] for layer, weights in self.weights.items()}
        optimizer = optimizer_state(self.optimizer, tuple(self.weights), s)
        out |= {f"optimizer/{name}": value for name, value in optimizer.items()}
        for layer, updates in self.updates.items():
            out |= {f"updates/{layer}/{name}": value for name, value in updates.state(s).items()}
        return out | self.batches.state(s) | {"epoch": torch.tensor(self.epoch)}

    def load(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on from `state`s of the same config, one per seed, all of one epoch. Tensors are copied in."""
        self.epoch = int(states[0]["epoch"])
        for s, state in enumerate(states):
            for layer, weights in self.weights.items():
                weights[s].copy_(state[f"network/{layer}"])
        with without_compiler():
            load_optimizer_state(self.optimizer, tuple(self.weights), [_under("optimizer/", state) for state in states])
        for layer, updates in self.updates.items():
            updates.load([_under(f"updates/{layer}/", state) for state in states])
        self.batches.load(states)


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def problem(config: ResolvedConfig) -> Problem:
    """The task of a config, with its seed."""
    return task_of(config).problem(config)


def own_names(metrics: dict[str, float], taken: Iterable[str]) -> dict[str, float]:
    """The metrics of a recorder, whose names must be none that the epoch has already.

    Raises:
        ConfigError: if one is.
    """
    if double := sorted(set(metrics) & set(taken)):
        raise ConfigError(f"metrics of a recorder must have names of their own, got {', '.join(double)}. Add a prefix.")
    return metrics
