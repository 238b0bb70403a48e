"""Whatever is amiss in a store is told: a point, a model, a file, a table of the study, a run that is not done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grok.spec.studies import load_file
from tests.faults.outcome import THE_STUDY, flaws, outcome
from tests.faults.world import STUDY, World


class MadeUp(World):
    """A world whose runs, points and models are made up; its files are real."""

    every: dict[str, list[Any]]
    points: dict[str, list[tuple[int, float]]]
    logged: dict[str, list[Any]]

    def client(self) -> Any:
        def history(run_id: str, key: str) -> list[Any]:
            return [SimpleNamespace(step=step, value=value) for step, value in self.points[run_id]]

        return SimpleNamespace(get_metric_history=history)

    def runs(self, kind: str = "train") -> list[Any]:
        return self.every[kind]

    def models(self, run: Any) -> list[Any]:
        return self.logged[run.info.run_id]


@pytest.fixture
def world(tmp_path: Path) -> MadeUp:
    """A study that is complete."""
    made = MadeUp(tmp_path / "store")
    made.own.write_text(STUDY, encoding="utf-8")
    cells = [cell.config.hash for study in load_file(made.own).values() for cell in study.cells]
    made.every, made.points, made.logged = {"train": [], "study": []}, {}, {}
    for name, config in [*zip("abc", cells, strict=True), ("study", "")]:
        root = made.folder / name / "artifacts"
        root.mkdir(parents=True)
        (root / "one.json").write_text(json.dumps({"of": config}))
        info = SimpleNamespace(run_id=name, status="FINISHED", artifact_uri=str(root))
        tags = {"grok.state": "complete", "grok.config_hash": config}
        run = SimpleNamespace(info=info, data=SimpleNamespace(tags=tags, metrics={"loss": 1.0, "system/cpu": 1.0}))
        made.every["study" if name == "study" else "train"].append(run)
        made.points[name] = [(0, 2.0), (1, 1.0)]
        model = made.folder / f"m-{name}"
        (model / "code").mkdir(parents=True)
        (model / "code" / "part.py").write_text("")
        made.logged[name] = [SimpleNamespace(status="READY", artifact_location=str(model))]
    return made


def root(world: MadeUp, name: str) -> Path:
    """The files of a run."""
    return world.folder / name / "artifacts"


AMISS: dict[str, tuple[Callable[[MadeUp], Any], str]] = {
    "a point is lost": (lambda world: world.points["a"].pop(), "another metrics"),
    "a point is another": (lambda world: world.points["b"].__setitem__(0, (0, 2.5)), "another metrics"),
    "a point is there twice": (lambda world: world.points["b"].append((1, 1.0)), "has 1 steps of loss twice"),
    "a model is there twice": (lambda world: world.logged["a"].append(world.logged["a"][0]), "another models"),
    "a model is not ready": (lambda world: setattr(world.logged["a"][0], "status", "PENDING"), "another models"),
    "no model": (lambda world: world.logged["c"].clear(), "files of the model"),
    "a file of a model is gone": (lambda world: (world.folder / "m-b/code/part.py").unlink(), "another files of the model"),
    "a file of a model is cut": (
        lambda world: (world.folder / "m-b/code/part.py").write_text("x"),
        "another code of the model",
    ),
    "a file is left": (lambda world: (root(world, "a") / "failure.txt").write_text(""), "failure.txt"),
    "a file is gone": (lambda world: (root(world, "a") / "one.json").unlink(), "one.json"),
    "a file of the study is another": (lambda world: (root(world, "study") / "one.json").write_text("{}"), f"of {THE_STUDY}"),
    "a file is being written": (lambda world: (world.folder / "band.npz.new").write_text(""), "half-written band.npz.new"),
    "a run is missing": (lambda world: world.every["train"].pop(), "0 runs of"),
    "a run is there twice": (lambda world: world.every["train"].append(world.every["train"][0]), "2 runs of"),
    "a run runs": (lambda world: setattr(world.every["train"][0].info, "status", "RUNNING"), "RUNNING"),
    "a run failed": (lambda world: world.every["train"][0].data.tags.update({"grok.state": "failed"}), "failed"),
    "two studies": (lambda world: world.every["study"].append(world.every["study"][0]), "2 studies"),
    "something was noted": (lambda world: world.noted.append("a command hung"), "a command hung"),
}


@pytest.mark.parametrize("name", AMISS)
def test_what_is_amiss_is_told(world: MadeUp, name: str) -> None:
    expected = outcome(world)
    assert flaws(world, expected) == []
    change, told = AMISS[name]
    change(world)
    found = flaws(world, expected)
    assert told in "; ".join(found)


def test_an_undisturbed_study_that_lacks_something_is_no_measure(world: MadeUp) -> None:
    expected = outcome(world)
    del expected[THE_STUDY]
    assert any("the undisturbed study has" in one for one in flaws(world, expected))


def test_a_study_tells_as_many_left_out_runs_as_a_fault_has_broken(world: MadeUp) -> None:
    summary = root(world, "study") / "summary.md"
    summary.write_text("**Two.**\n\nSource: ours.\n\nMedian.\n")
    expected = outcome(world)
    summary.write_text("**Two.**\n\nSource: ours.\n\nNot counted: 1 × history must be whole, 2 × state failed.\n\nMedian.\n")
    assert any("another not counted of the study (0, 3)" in one for one in flaws(world, expected))
    world.broken = {"x", "y", "z"}
    assert flaws(world, expected) == []
    summary.write_text("**Two.**\n\nSource: ours.\n\nMedian.\n")
    assert any("another not counted of the study (3, 0)" in one for one in flaws(world, expected))


def test_a_broken_file_that_a_run_can_do_without_may_stay(world: MadeUp) -> None:
    expected = outcome(world)
    path = root(world, "a") / "one.json"
    path.write_bytes(b"\xff")
    world.beside.add(path)
    assert flaws(world, expected) == []
