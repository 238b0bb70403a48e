"""Plug-ins of one's own, tried before a run is made: types, shapes, finite numbers, the same again, and two epochs in memory.

Only code that a config names as `module:NAME` is tried. What comes with the project has its contract tests.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from grok.recorders.base import File
from grok.runs.member import Member
from grok.runs.trial_optimizer import check_optimizer
from grok.spec.config import ORDER, ResolvedConfig, RunConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import OWN, said
from grok.tasks.base import Dataset, Problem, Sizes
from grok.training.loop import Training
from grok.training.parts import network_of, task_of

EPOCHS = 2
"""That are gone through."""
SAMPLES = 8
"""That the served form is asked for."""


def check_own(config: RunConfig) -> None:
    """Try the task, the network, the optimiser and the recorders of a config that are somebody's own; nothing is stored.

    An activation, a signal and a detector are tried where they are looked up.

    Raises:
        ConfigError: naming the plug-in and what is wrong.
    """
    c = config.resolved()
    task, network = (name if OWN.fullmatch(name) else "" for name in (c.task, c.network))
    recorders = [name for name in c.recorders if OWN.fullmatch(name)]
    optimizer = c.optimizer if OWN.fullmatch(c.optimizer) else ""
    if not (task or network or recorders or optimizer):
        return
    threads = torch.get_num_threads()
    try:
        if task:
            with _said("task", task):
                _check_task(task, c)
        if network:
            with _said("network", network):
                _check_network(network, c)
        if optimizer:
            with _said("optimizer", optimizer):
                check_optimizer(optimizer, c)
        if not (task or network or recorders):
            return
        with _said("recorder" if recorders else "network" if network else "task", ", ".join(recorders) or network or task):
            _check_run(c, recorders)
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _said(kind: str, name: str) -> Iterator[None]:
    """Whatever somebody else's code raises, `SystemExit` too, becomes one line; torch's generator must stay as it was."""
    before = torch.random.get_rng_state()
    try:
        yield
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ConfigError(
            f"{kind} must work on a first try, got {name} ({said(error)}). Mend it; docs/howto/{kind}.md has its contract."
        ) from error
    if not torch.equal(before, torch.random.get_rng_state()):
        _refuse(kind, "leave torch's generator as it was", f"{name}, which draws from it", "Draw from a torch.Generator")


def _refuse(kind: str, rule: str, what: str, step: str) -> NoReturn:
    raise ConfigError(f"{kind} must {rule}, got {what}. {step}.")


def _check_task(name: str, config: ResolvedConfig) -> None:
    task = task_of(config)
    sizes, first, again = task.sizes(config), task.problem(config), task.problem(config)
    if not isinstance(sizes, Sizes) or not isinstance(first, Problem):
        _refuse("task", "give Sizes and a Problem", f"{name} ({type(sizes).__name__}, {type(first).__name__})", "Return those")
    parts = (("train", sizes.train), ("test", sizes.test))
    wanted = {f"{part}_inputs": (count, sizes.places) for part, count in parts} | {f"{p}_labels": (n,) for p, n in parts}
    for field, shape in wanted.items():
        tensor, most = getattr(first, field), sizes.symbols if field.endswith("inputs") else sizes.classes
        if not isinstance(tensor, Tensor) or tensor.dtype != torch.int64 or tensor.device.type != "cpu":
            _refuse("task", f"give {field} as int64 on the CPU", f"{name} ({_kind(tensor)})", "Convert it")
        if tuple(tensor.shape) != shape:
            _refuse("task", f"give {field} of shape {shape}, as sizes says", f"{name} {tuple(tensor.shape)}", "Correct sizes")
        if tensor.numel() and not 0 <= int(tensor.min()) <= int(tensor.max()) < most:
            got = f"{name} with {int(tensor.min())} to {int(tensor.max())}"
            _refuse("task", f"give {field} in [0, {most - 1}]", got, "Correct sizes or the samples")
        if not torch.equal(tensor, getattr(again, field)):
            _refuse("task", "give the same samples for the same seed", f"{name}, whose {field} differ", "Seed what it draws")
    if not isinstance(task.sentence(config), str) or not isinstance(task.dataset(config), Dataset):
        _refuse("task", "give a sentence as text and a Dataset", name, "Return those")


def _check_network(name: str, config: ResolvedConfig) -> None:
    network, task = network_of(config), task_of(config)
    problem, sizes, dtype = task.problem(config), task.sizes(config), getattr(torch, config.precision)
    built = [network.build(config, sizes, [config.seed], torch.device("cpu"), dtype) for _ in range(2)]
    shapes = {layer: (1, *shape) for layer, shape in network.shapes(config, sizes).items()}
    batch = [part[None] for part in (problem.train_inputs, problem.train_labels)]
    scores = [stack.loss_and_gradient(stack.batch(*batch)) for stack in built]
    for what, tensors in (("layers", built[0].layers), ("gradients", built[0].gradients)):
        found = {layer: tuple(tensor.shape) for layer, tensor in tensors.items()}
        if found != shapes or tuple(found) != network.layers:
            _refuse("network", f"have {what} {shapes}, as shapes and layers say", f"{name} {found}", "Correct one of them")
        for layer, tensor in tensors.items():
            if tensor.dtype != dtype:
                _refuse(
                    "network", f"have {what} of {dtype}, as precision says", f"{name}, {layer} {tensor.dtype}", "Convert it"
                )
            if not torch.isfinite(tensor).all():
                _refuse("network", f"have finite {what} at epoch 0", f"{name}, {layer}", "Correct how it begins")
    kept = {layer: tensor.clone() for layer, tensor in built[0].gradients.items()}
    for values in (*scores[0], *built[0].evaluate(built[0].batch(*batch))):
        if not isinstance(values, Tensor) or values.dtype != torch.float64 or tuple(values.shape) != (1,):
            _refuse("network", "give losses and accuracies as (S,) float64", f"{name} ({_kind(values)})", "Convert them")
        if not torch.isfinite(values).all():
            _refuse("network", "have a finite loss at epoch 0", f"{name} {values.tolist()}", "Correct how it begins")
    if any(not torch.equal(kept[layer], tensor) for layer, tensor in built[0].gradients.items()):
        _refuse("network", "leave the gradients as they are in evaluate", name, "Write to others there")
    same = all(torch.equal(one, other) for one, other in zip(*scores, strict=True))
    if not same or any(not torch.equal(built[0].layers[layer], built[1].layers[layer]) for layer in shapes):
        _refuse("network", "begin the same for the same seed", name, "Seed what it draws")
    facts = json.loads(json.dumps(network.facts(config), allow_nan=False))
    layers = {layer: tensor[0] for layer, tensor in built[0].layers.items()}
    served = network.predictor(layers, facts)(problem.train_inputs[:SAMPLES].numpy())
    wanted = (min(SAMPLES, sizes.train), sizes.classes)
    if not isinstance(served, np.ndarray) or served.shape != wanted or not np.isfinite(served).all():
        _refuse("network", f"serve finite scores of shape {wanted}", f"{name} ({_kind(served)})", "Correct its predictor")


def _check_run(config: ResolvedConfig, recorders: list[str]) -> None:
    """The first epochs in memory, and what the recorders keep of them, there and back."""
    training = Training(config)
    member = Member(training, 0)
    for step in training:
        before = {layer: weights.clone() for layer, weights in step.weights.items()}
        step.see()
        if any(not torch.equal(before[layer], weights) for layer, weights in step.weights.items()):
            _refuse("recorder", "leave the weights as they are", ", ".join(recorders) or config.network, "Work on a copy")
        member.add(step, step.scores[0].cpu().numpy())
        if step.epoch in config.checkpoint_epochs or step.epoch == EPOCHS:
            for name in recorders:
                _check_files(name, member, step.epoch)
        if step.epoch >= EPOCHS:
            break
    for name in recorders:
        recording = member.run.recordings[name]
        for row in member.run.rows:
            _check_numbers(name, row)
        _check_numbers(name, recording.summary())
        tensors, facts = recording.state()
        _check_content(name, "state", tensors, facts)
        fresh = Member(Training(config), 0).run.recordings[name]
        fresh.load({key: tensor.clone() for key, tensor in tensors.items()}, json.loads(json.dumps(facts)))
        again = fresh.state()
        if again[0].keys() != tensors.keys() or any(not torch.equal(again[0][key], kept) for key, kept in tensors.items()):
            _refuse("recorder", "have the same state after load", name, "Take back all that state gives")


def _check_files(name: str, member: Member, epoch: int) -> None:
    for file in member.run.recordings[name].files(member.moment("checkpoint", epoch)):
        if not isinstance(file, File) or not file.path.endswith((".safetensors", ".npz", ".parquet")):
            _refuse("recorder", "give Files that end in .safetensors, .npz or .parquet", f"{name} ({_kind(file)})", "Rename it")
        if file.path.startswith("/") or ".." in file.path.split("/"):
            _refuse("recorder", "keep its files in the run", f"{name}, {file.path}", "Drop what leads out")
        if isinstance(file.content, pd.DataFrame) != file.path.endswith(".parquet"):
            _refuse("recorder", "give a table for .parquet, else tensors or arrays", f"{name}, {file.path}", "Rename it")
        if file.path.endswith(".safetensors"):
            _check_content(name, file.path, file.content, file.facts)


def _check_content(name: str, what: str, tensors: Any, facts: Mapping[str, Any]) -> None:
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        _refuse("recorder", f"give tensors by name in {what}", f"{name} ({_kind(tensors)})", "Convert them")
    try:
        json.dumps(facts, allow_nan=False)
    except (TypeError, ValueError) as error:
        _refuse("recorder", f"give facts that JSON has in {what}", f"{name} ({said(error)})", "Convert them")


def _check_numbers(name: str, numbers: Any) -> None:
    if double := sorted(set(numbers) & set(ORDER)):
        _refuse("recorder", "leave the names of fields to the config", f"{name}, {', '.join(double)}", "Add a prefix")
    for metric, value in numbers.items():
        if not isinstance(metric, str) or not isinstance(value, float | int | np.floating) or not math.isfinite(value):
            _refuse(
                "recorder", "give finite numbers by name", f"{name}, {metric} = {_kind(value)}", "Leave out what is not known"
            )


def _kind(value: object) -> str:
    """A value in a word: its type, or of a tensor its dtype and shape."""
    shape = getattr(value, "shape", None)
    return f"{value!r:.40}" if shape is None else f"{getattr(value, 'dtype', '')} {tuple(shape)}"
