"""What a docs/howto/KIND.md says, done: the file is written, the examples are run, the commands are read, `CHECKS` looks.

The first Python or YAML block of a text is one file outside the package. It is written under the name that the text gives it,
into a folder that is on the path; the other Python blocks are run there, the shell lines are read by the commands' own parsers,
and the kind's check looks at what the file added.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entry_points.generate import config_from
from grok.spec.config import RunConfig
from tests.contracts.own import CONFIG

FILE = re.compile(r"^```(?:python|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class HowTo:
    """One of the texts.

    Attributes:
        text: the whole of it. file: the example's name. source: what is in it.
        examples: the other Python blocks. commands: the shell lines.
        name: `module:NAME`, or `file.yaml:NAME`, as the text says it.
    """

    text: str
    file: str
    source: str
    examples: list[str]
    commands: list[str]
    name: str


Check = Callable[[HowTo, Callable[[], Any]], None]
"""Looks at what a text's file added; a store of the test's own is made where it is asked for."""


def read(text: str) -> HowTo:
    """The parts of a text; it must name its file before the first block and the plug-in after it."""
    block = FILE.search(text)
    assert block, "the text must have a block that is the file"
    before, after = text[: block.start()], text[block.end() :]
    (file,) = re.findall(r"`(\w+\.(?:py|yaml))`", before)
    module = file.removesuffix(".py")
    name = re.search(rf"`({re.escape(module)}:\w+)`", after)
    assert name, f"the text must name its plug-in as {module}:NAME"
    shell = "".join(SHELL.findall(after))
    commands = [line for line in shell.splitlines() if line.strip() and not line.startswith("#")]
    return HowTo(text, file, block[1], PYTHON.findall(after), commands, name[1])


def understood(command: str) -> None:
    """A command's flags are those of its parser, and what they ask for is accepted."""
    words = shlex.split(command, comments=True)
    assert words[:2] == ["python", "-m"]
    assert words[2].startswith("entry_points.")
    entry = importlib.import_module(words[2])
    flags = entry.parser().parse_args(words[3:])
    _accepted(words[2].removeprefix("entry_points."), entry, flags)


def _accepted(command: str, entry: Any, flags: Any) -> None:
    if command == "train":
        from grok.training.parts import network_of, recorders_of, task_of

        config = config_from(flags, RunConfig).resolved()
        for part in (task_of, network_of, recorders_of):
            part(config)
    elif command == "sensitivity":
        from analysis.sensitivity.settings import SensitivityConfig

        config_from(flags, SensitivityConfig)
    elif command == "study":
        from grok.spec.studies import load_study

        load_study(flags.study)
    else:
        assert command == "analyze", f"{command} must be a command that this test knows"
        assert entry._own(flags.claims)
        entry.studies(flags.study)


def follow(kind: str, text: str, folder: Path, patch: pytest.MonkeyPatch, store: Callable[[], Any]) -> HowTo:
    """Do what a text says in a folder."""
    howto = read(text)
    patch.delitem(sys.modules, howto.file.removesuffix(".py"), raising=False)
    importlib.invalidate_caches()
    (folder / howto.file).write_text(howto.source, encoding="utf-8")
    patch.chdir(folder)
    patch.syspath_prepend(str(folder))
    assert howto.commands or howto.examples
    for command in howto.commands:
        understood(command)
    for example in howto.examples:
        exec(compile(example, f"{kind}.md", "exec"), {"__name__": "example"})
    assert kind in CHECKS, f"docs/howto/{kind}.md must have a check in CHECKS"
    CHECKS[kind](howto, store)
    return howto


def check_detector(howto: HowTo, store: Callable[[], Any]) -> None:
    """It fires where a jump is planted, and is causal, which `find` asks."""
    from grok.detectors.base import at_share, find, fire_epochs

    detector = find(howto.name)
    series = np.zeros((1, 120))
    series[:, 70:] = 7.0
    own = {name: at_share(kind, 0.5) for name, kind in detector.parameters.items()}
    assert fire_epochs(detector, series, 20, **own).tolist() == [70.0]


def check_signal(howto: HowTo, store: Callable[[], Any]) -> None:
    """It is causal, which `find` asks, and says the same live as after the run."""
    from grok.signals.base import Live, example, find, series

    signal = find(howto.name)
    given = example(signal, epochs=6)
    live = Live(signal)
    fed = [live.append(**{need: given[need][t] for need in signal.needs}) for t in range(6)]
    np.testing.assert_allclose(fed, series(signal, given), rtol=1e-12)
    assert np.isfinite(fed).all()


def check_task(howto: HowTo, store: Callable[[], Any]) -> None:
    """Seeded, split, of the sizes that it says, with the labels of a subtraction; and it trains."""
    from grok import train
    from grok.spec.plugins import TASKS
    from tests.contracts import test_tasks as contract

    task = TASKS.find(howto.name)
    contract.test_the_same_seed_gives_the_same_problem_and_another_another(task, CONFIG)
    contract.test_the_global_generator_is_left_alone(task, CONFIG)
    contract.test_sizes_and_ranges_are_as_said(task, CONFIG)
    contract.test_a_test_sample_is_trained_on_only_where_the_task_says_so(task, CONFIG)
    contract.test_what_is_said_of_it_fits_its_places(task, CONFIG)
    problem = task.problem(CONFIG)
    assert problem.train_labels.tolist() == [(a - b) % 7 for a, b in problem.train_inputs.tolist()]
    assert problem.test_labels.tolist() == [(a - b) % 7 for a, b in problem.test_inputs.tolist()]
    losses = [float(step.scores[0, 0]) for step in train(replace(CONFIG, task=howto.name))]
    assert len(losses) == CONFIG.last_epoch + 1
    assert losses[-1] < losses[0]


def check_network(howto: HowTo, store: Callable[[], Any]) -> None:
    """It keeps the contract's tests, its gradient among them; and it trains with its layers named."""
    from grok import train
    from grok.spec.plugins import NETWORKS, TASKS
    from tests.contracts import test_networks as contract

    network, task = NETWORKS.find(howto.name), TASKS.find("modular")
    case = contract.Case(network, CONFIG, task.sizes(CONFIG), task.problem(CONFIG))
    contract.test_layers_are_named_and_shaped_as_said(case)
    contract.test_a_seed_is_drawn_the_same_and_another_is_another(case)
    contract.test_the_gradient_is_that_of_the_loss(case)
    contract.test_parameters_share_memory_in_the_order_of_the_layers(case)
    contract.test_a_seed_in_lockstep_is_that_seed_alone(case)
    contract.test_a_view_gives_what_the_network_says(case)
    contract.test_the_served_form_answers_as_the_network_does(case)
    contract.test_what_is_said_of_it(case)
    steps = [step.metrics() for step in train(replace(CONFIG, network=howto.name))]
    assert {f"norm/{layer}" for layer in network.layers} <= set(steps[0])
    assert steps[-1]["loss/train"] < steps[0]["loss/train"]


def check_optimizer(howto: HowTo, store: Callable[[], Any]) -> None:
    """It passes the trial, its first step is lr against the gradient's sign after the decay, and it trains."""
    import torch

    from grok import train
    from grok.runs.trial import check_own
    from grok.training.optimizers import own_optimizer

    config = replace(CONFIG, optimizer=howto.name, learning_rate=3e-3)
    check_own(config)
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    weight.grad = torch.tensor([0.5, -3.0])
    own_optimizer(howto.name)([weight], lr=0.1, weight_decay=0.2).step()
    torch.testing.assert_close(weight.detach(), torch.tensor([0.98 - 0.1, -1.96 + 0.1]))
    steps = [step.metrics() for step in train(config)]
    assert steps[-1]["loss/train"] < steps[0]["loss/train"]
    assert config.hash != replace(CONFIG, learning_rate=3e-3).hash


def check_recorder(howto: HowTo, store: Callable[[], Any]) -> None:
    """Stopped and gone on it leaves the same, without a store and in one; its metrics and its artifacts are there."""
    from grok.runs.saving import get
    from grok.runs.train import train_tracked
    from grok.spec.plugins import RECORDERS
    from grok.store.run import TrackedRun
    from tests.contracts.test_recorders import FULL, Recorded, assert_same

    recorder = RECORDERS.find(howto.name)
    config = replace(FULL, save_every=10, recorders=(howto.name,))
    straight, first = Recorded(config), Recorded(config, stop=17)
    assert first.state is not None
    tensors, facts = first.state
    second = Recorded(config, saved=(tensors, json.loads(json.dumps(facts, sort_keys=True))))  # as a save has them
    found = first.files | second.files
    mine = [path for path, (owner, _) in straight.files.items() if owner == howto.name]
    assert mine
    assert all(any(fnmatch(path, pattern) for pattern in recorder.artifacts) for path in mine)
    for path in mine:
        assert_same(found[path][1], straight.files[path][1])
    assert second.member.run.rows == straight.member.run.rows
    assert second.member.summary() == straight.member.summary()

    calls = iter(range(100))
    place = store()
    (stopped,) = train_tracked([config], place, should_stop=lambda: next(calls) == 13)
    assert stopped.state == "interrupted"
    (outcome,) = train_tracked([config], place, resume=[stopped.run_id])
    assert outcome.state == "complete"
    run = TrackedRun(place.client, outcome.run_id)
    for path in (*mine, "history.parquet"):
        assert_same(get(run, path), straight.files[path][1])
    others = Recorded(replace(config, recorders=())).member.run
    added = set().union(*straight.member.run.rows) - set().union(*others.rows)
    assert added
    assert added <= set(place.get(outcome.run_id).data.metrics)


def check_study(howto: HowTo, store: Callable[[], Any]) -> None:
    """It has as many runs as the text says, no two of one identity."""
    from grok.spec.studies import load_study

    study = load_study(howto.name)
    assert load_study(howto.file) == study
    assert f"`study={study.name} cells={len(study.cells)}`" in howto.text
    assert {cell.condition for cell in study.cells} == {"grok", "eta0"}
    assert len({cell.config.hash for cell in study.cells}) == len(study.cells)
    assert study.cost() > 0


def check_claim(howto: HowTo, store: Callable[[], Any]) -> None:
    """Made-up runs, all of which fire between epochs 170 and 177, give a verdict and a chapter; three of fifteen give none."""
    from analysis.exhibits.evaluate import evaluate, write
    from analysis.exhibits.model import NOT_TESTABLE, REPRODUCED, Chapter, Claim
    from tests.helpers.fake_evidence import FakeEvidence

    mine = pkgutil.resolve_name(howto.name)
    claims = [one for one in mine if isinstance(one, Claim)]
    chapters = [one for one in mine if isinstance(one, Chapter)]
    assert (len(claims), len(chapters)) == (1, 1)
    evidence = FakeEvidence(("headline",))
    (result,) = evaluate(evidence, claims)
    assert (result.verdict, result.measured, result.n, result.note) == (REPRODUCED, "15 of 15 runs", 15, "")
    assert 170 <= result.estimates["median"].value < 178
    (erratum,) = write(evidence, chapters)
    assert len(erratum.table) == 1
    assert len(erratum.run_ids) == 15
    assert "Not shown yet" not in erratum.text
    (few,) = evaluate(FakeEvidence(("headline",), keep=lambda cell: cell.config.seed < 3), claims)
    assert few.verdict == NOT_TESTABLE
    assert "3 of the 15 runs" in few.note


def check_figure(howto: HowTo, store: Callable[[], Any]) -> None:
    """Made-up runs give a picture of the fifteen with weight decay, with labelled axes; no runs give none."""
    from analysis.exhibits.evaluate import draw
    from tests.helpers.fake_evidence import FakeEvidence

    panels = pkgutil.resolve_name(howto.name)
    for drawn in draw(FakeEvidence(("headline",)), panels):
        assert drawn.problem == ""
        assert len(drawn.run_ids) == 15
        assert all(len(table) == 15 for table in drawn.tables.values())
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in drawn.figure.axes)
    for absent in draw(FakeEvidence(), panels):
        assert (absent.figure, len(absent.missing)) == (None, 1)


CHECKS: dict[str, Check] = {
    "claim": check_claim,
    "detector": check_detector,
    "figure": check_figure,
    "network": check_network,
    "optimizer": check_optimizer,
    "recorder": check_recorder,
    "signal": check_signal,
    "study": check_study,
    "task": check_task,
}
"""By the name of the text."""
