"""Code of one's own that works on a first try and fails in mid-run: one line that names it, a failed run, status 1."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entry_points import cli, signals
from grok.runs import study as studies
from grok.runs.fanout import Fanout
from grok.runs.train import train_tracked
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

READERS = """
from pathlib import Path
import numpy as np
from grok import Detector, Range, Signal
mended = Path(__file__).with_name("mended")
seen = 0

def late(real):
    global seen
    seen += real  # a try is smaller, or of more runs
    return real and seen > {after} and not mended.exists()

def at(readout):
    norm = readout.double().norm()
    return {wrong} if late(readout.numel() > 100) else float(norm)

def of(loss):
    return {wrong} if late(len(loss) > 50) else np.log(loss)

def over(values):
    return {wrong} if late(len(values) > 50) else np.cumsum(values)

def rows(readout):
    return np.ones(3 if late(readout.numel() > 100) else 2)

def hits(log_gap, first_epoch, above):
    return {wrong} if late(len(log_gap) == 1 and log_gap.shape[1] > 50) else np.exp(log_gap) > above

def plain(readout):
    return float(readout.double().norm())

EPOCH = Signal("mine", at, needs=("readout",))
HISTORY = Signal("mine", of, needs=("train_loss",))
OVER = Signal("mine", plain, over, needs=("readout",))
RAGGED = Signal("mine", rows, lambda values: values[:, 0] * np.arange(len(values)), needs=("readout",))
DETECTOR = Detector("mine", {{"above": Range(1.0, 9.0)}}, hits)
"""
WRONG = {
    "EPOCH shape": ("norm.repeat(3)", 40, "it gives float64 (3,) for one float64"),
    "EPOCH dtype": ("np.float32(norm)", 40, "it gives float32 () for one float64"),
    "EPOCH nothing": ("None", 40, "it gives object () for one float64"),
    "EPOCH list": ("[[1.0], [1.0, 2.0]]", 40, "ValueError: setting an array element with a sequence"),
    "HISTORY shape": ("np.log(loss)[1:]", 0, "it gives float64 (64,) for float64 (65,)"),
    "HISTORY dtype": ("np.log(loss).astype(np.float32)", 0, "it gives float32 (65,) for float64 (65,)"),
    "OVER shape": ("np.cumsum(values)[-1]", 0, "it gives float64 () for float64 (51,)"),
    "OVER dtype": ("values > 1", 0, "it gives bool (51,) for float64 (51,)"),
    "RAGGED": ("None", 40, "ValueError: setting an array element with a sequence"),
    "DETECTOR shape": ("(log_gap > above)[:, 1:]", 0, "it gives bool (1, 64) for bool (1, 65)"),
    "DETECTOR dtype": ("(log_gap > above).astype(int)", 0, "it gives int64 (1, 65) for bool (1, 65)"),
    "DETECTOR nothing": ("None", 0, "it gives NoneType for bool (1, 65)"),
}
"""By what is read, and what is wrong with it late: the answer, from which call on, and what is said."""


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


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_signal_or_detector_that_changes_its_answers_late_is_named_and_the_run_goes_on(
    case: str, store: Any, tiny: Any, flags: Any, command: Any, module: Any, tmp_path: Path
) -> None:
    """The same command fails again at the same place, or goes on from the last save where that code works now."""
    wrong, after, told = WRONG[case]
    name = f"late_{case.replace(' ', '_').lower()}"
    module(name, READERS.format(wrong=wrong, after=after))
    one = f"{name}:{case.partition(' ')[0]}"
    kind = "detector" if "DETECTOR" in case else "signal"
    words = flags(tiny(**({"detector": one} if kind == "detector" else {"signals": (one,)})))
    failed(store, command(*words), f"{kind} must work to the end, got {one} ({told}")
    (run,) = store.find({"kind": "train"})
    (saved,) = TrackedRun(store.client, run).list_files("resume")
    assert saved in ("resume/epoch-00032.safetensors", "resume/epoch-00048.safetensors")
    (tmp_path / "mended").touch()
    answer = command(*words)
    assert (answer.status, answer.words["run"], answer.words["state"]) == (0, run.run_id, "complete")
    assert f"going on with run {run.run_id}" in answer.err
    steps = [point.step for point in store.client.get_metric_history(run.run_id, "loss/train")]
    assert steps == list(range(65))


def test_a_finished_run_is_told_of_as_is_a_running_one(
    store: Any, tiny: Any, module: Any, monkeypatch: Any, capsys: Any
) -> None:
    """By the command that computes signals of finished runs, in the same words."""
    module("late_after", READERS.format(wrong="np.float32(norm)", after=2))
    (done,) = train_tracked([tiny()], store)
    monkeypatch.setattr(sys, "argv", ["x", "--run", done.run_id, "--signals", "late_after:EPOCH", "--workers", "1"])
    with pytest.raises(SystemExit) as left:
        cli.run_main(signals.main)
    assert left.value.code == 1
    told = capsys.readouterr().err
    assert f"failed: {done.run_id}: signal must work to the end, got late_after:EPOCH (it gives float32 ()" in told
    assert not {"signals.parquet"} & set(TrackedRun(store.client, done.run_id).list_files(""))


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
