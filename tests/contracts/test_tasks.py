"""What every task must hold, the project's and one of a file outside it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from grok.recorders.base import score_names
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import TASKS
from grok.tasks.base import IGNORED, Problem, Task
from tests.contracts.own import CONFIG as MODULAR
from tests.contracts.own import own  # noqa: F401

EVERY = [*TASKS.names, "own"]
CONFIGS = {name: RunConfig(task=name, seed=0).resolved() for name in ("dyck", "scan")}
"""Of tasks that have no modulus."""
PARTS = ("train", "test")


@pytest.fixture(params=EVERY)
def task(request: pytest.FixtureRequest) -> Task:
    name = request.param
    found = TASKS.find(f"{request.getfixturevalue('own')}:TASK" if name == "own" else name)
    assert isinstance(found, Task)
    return found


@pytest.fixture
def config(request: pytest.FixtureRequest, task: Task) -> ResolvedConfig:
    """A config of the task, with seed 0."""
    names = {id(TASKS.find(name)): found for name, found in CONFIGS.items()}
    return names.get(id(task), MODULAR)


def same(first: Problem, second: Problem) -> bool:
    return all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(first, second, strict=True))


def test_the_same_seed_gives_the_same_problem_and_another_another(task: Task, config: ResolvedConfig) -> None:
    first = task.problem(config)
    torch.rand(3)
    assert same(first, task.problem(config))
    other = task.problem(dataclasses.replace(config, seed=1))
    assert first.train_inputs.shape == other.train_inputs.shape
    assert torch.equal(first.train_inputs, other.train_inputs) != task.seeded


def test_the_global_generator_is_left_alone(task: Task, config: ResolvedConfig) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    task.problem(config)
    assert torch.equal(torch.get_rng_state(), before)


def test_sizes_and_ranges_are_as_said(task: Task, config: ResolvedConfig) -> None:
    problem, sizes = task.problem(config), task.sizes(config)
    assert (problem.symbols, problem.classes) == (sizes.symbols, sizes.classes)
    for part in PARTS:
        inputs, labels = getattr(problem, f"{part}_inputs"), getattr(problem, f"{part}_labels")
        assert inputs.shape == (getattr(sizes, part), sizes.places)
        assert labels.shape == (getattr(sizes, part), *([sizes.outputs] if sizes.outputs else []))
        assert inputs.dtype == labels.dtype == torch.int64
        assert inputs.device.type == labels.device.type == "cpu"
        assert 0 <= int(inputs.min()) <= int(inputs.max()) < sizes.symbols
        counted = labels[labels != IGNORED] if sizes.outputs else labels
        assert 0 <= int(counted.min()) <= int(counted.max()) < sizes.classes


def test_a_test_sample_is_trained_on_only_where_the_task_says_so(task: Task, config: ResolvedConfig) -> None:
    problem = task.problem(config)
    train, test = ({tuple(row) for row in getattr(problem, f"{part}_inputs").tolist()} for part in PARTS)
    assert bool(train & test) != task.disjoint


def test_what_is_said_of_it_fits_its_places(task: Task, config: ResolvedConfig) -> None:
    assert task.title
    sentence = task.sentence(config)
    assert sentence.isprintable()
    assert not sentence.endswith(".")  # it is followed by the optimiser
    assert str(task.sizes(config).train) in sentence
    dataset, other = task.dataset(config), task.dataset(dataclasses.replace(config, seed=1))
    assert dataset.name == other.name
    assert (dataset.source != other.source) or not task.seeded
    assert task.targets
    assert {target.metric for target in task.targets.values()} <= set(score_names(()))


def test_the_words_of_modular_addition() -> None:
    task = TASKS.find("modular")
    random = dataclasses.replace(MODULAR, labels="random")
    assert task.sentence(MODULAR) == "addition mod 7: 25 of 49 pairs train"
    assert task.sentence(random) == "addition mod 7 with random labels: 25 of 49 pairs train"
    assert task.dataset(MODULAR) == ("addition mod 7", "grok.modular_addition(7, 25, seed=0, labels='true')")
    assert task.dataset(random) == ("addition mod 7, random labels", "grok.modular_addition(7, 25, seed=0, labels='random')")
