"""Code of one's own that works on a first try and fails in mid-run: one line that names it, a failed run, status 1."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entry_points import cli
from grok.runs import study as studies
from grok.runs.fanout import Fanout
from grok.spec.plugins import OwnCodeError
from grok.spec.studies import Cell, Study
from grok.store.run import TrackedRun
from tests.conftest import Answer

pytestmark = pytest.mark.faults
LATE = """
import torch
seen = 0
def f(h):
    global seen
    seen += h.numel() > 100  # a try has fewer
    return {late} if seen > 60 and h.numel() > 100 else h * h
def leave(status):
    raise SystemExit(status)
def fail():
    raise ValueError("too late\\nsecond line")
"""
ACTIVATIONS = {
    "leaves": ("leave(0)", "SystemExit: 0"),
    "raises": ("fail()", "ValueError: too late second line"),
    "shape": ("(h * h)[..., :1]", "it gives torch.float32 ("),
    "double": ("(h * h).double()", "it gives torch.float64 ("),
    "detached": ("(h * h).detach()", "RuntimeError: element 0 of tensors does not require grad"),
    "nothing": ("None", "it gives NoneType for torch.float32 ("),
}
OTHERS = """
import torch
from dataclasses import dataclass
from grok.recorders.base import Recorder, Recording
from grok.networks.two_layer import TwoLayer, TwoLayerNetwork, NETWORK

class Seen(Recording):
    def due(self, epoch):
        return True
    def see(self, step, view):
        if step.epoch == 30:
            raise SystemExit(0)
        return {}

RECORDER = Recorder(start=lambda run: Seen(run), title="Leaves at epoch 30")

class Late(torch.optim.SGD):
    steps = 0
    def step(self, closure=None):
        Late.steps += self.param_groups[0]["params"][0].numel() > 100
        if Late.steps > 20:
            raise ValueError("no more steps")
        super().step(closure)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`module(name, text)` writes a module of one's own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)

    yield write
    for name in made:
        sys.modules.pop(name, None)


def failed(store: Any, answer: Answer, told: str) -> None:
    """One line and status 1, and the run says the same."""
    assert (answer.status, answer.out) == (1, "")
    (line,) = [line for line in answer.err.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {told}")
    assert line.endswith("). Mend it, then repeat the command.")
    (run,) = store.find({"kind": "train"})
    assert (run.state, run.status) == ("failed", "FAILED")
    assert run.get("error").startswith(f"OwnCodeError: {told}")
    assert "OwnCodeError" in (TrackedRun(store.client, run)._root / "failure.txt").read_text()


@pytest.mark.parametrize("kind", sorted(ACTIVATIONS))
def test_an_activation_that_fails_late_is_named(
    kind: str, store: Any, tiny: Any, flags: Any, command: Any, module: Any
) -> None:
    late, told = ACTIVATIONS[kind]
    module(f"late_{kind}", LATE.format(late=late))
    answer = command(*flags(tiny(activation=f"late_{kind}:f")))
    failed(store, answer, f"activation must work to the end, got late_{kind}:f ({told}")


@pytest.mark.parametrize(
    ("field", "name", "told"),
    [
        ("recorders", "RECORDER", "recorder must work to the end, got late_others:RECORDER (SystemExit: 0"),
        ("optimizer", "Late", "optimizer must work to the end, got late_others:Late (ValueError: no more steps"),
    ],
)
def test_other_code_of_ones_own_that_fails_late_is_named(
    field: str, name: str, told: str, store: Any, tiny: Any, flags: Any, command: Any, module: Any
) -> None:
    module("late_others", OTHERS)
    one = f"late_others:{name}"
    failed(store, command(*flags(tiny(**{field: (one,) if field == "recorders" else one}))), told)


def test_a_study_goes_on_after_a_cell_whose_code_leaves(store: Any, tiny: Any, module: Any) -> None:
    module("late_cell", LATE.format(late="leave(0)"))
    cells = (Cell("own", tiny(activation="late_cell:f")), Cell("grok", replace(tiny(), seed=3)))
    study = Study("own/late", "One.", "ours", cells)
    parent = studies.open_parent(store, study, force=False)
    results = studies.run_study(study, store, Fanout("sequential"), parent=parent)
    assert [result.state for result in results] == ["failed", "complete"]
    assert "activation must work to the end, got late_cell:f (SystemExit: 0)" in results[0].error


def test_an_exit_that_is_not_of_the_command_line_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """argparse's own is none: `--help` ends well, a flag that is not there with status 2."""

    def status(main: Any) -> int:
        with pytest.raises(SystemExit) as left:
            cli.run_main(main)
        assert isinstance(left.value.code, int)
        return left.value.code

    monkeypatch.setattr(sys, "argv", ["train"])
    parser = cli.OneLineParser(prog="x")
    assert status(lambda words: parser.parse_args(["--help"])) == 0
    assert status(lambda words: parser.parse_args(["--no-such"])) == 2
    capsys.readouterr()

    def leave(words: list[str]) -> int:
        raise SystemExit(0)

    assert status(leave) == 1
    assert "command must come to its end, got an exit with 0 from code that it called" in capsys.readouterr().err


def test_the_error_travels_between_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(OwnCodeError("activation must work")))
    assert str(error) == "activation must work"
