"""Plug-ins of one's own that are wrong in one way each: refused before a run is made, in one line that names them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from grok.detectors.base import find as find_detector
from grok.runs import trial
from grok.runs.trial import check_own
from grok.signals.base import find as find_signal
from grok.spec.fields import ConfigError
from tests.contracts.own import CONFIG, SOURCE, own  # noqa: F401

pytestmark = pytest.mark.faults
DRAWN = "return Problem(inputs[train]"
STATE = 'return {"total": self.total}, {"count": self.count, "blocks": list(self.blocks)}'
ENDS = "return Halved(whole.w / 2, whole.v, config.activation)"
WRONG = {
    "labels of floats": (DRAWN, "labels = labels.float(); " + DRAWN, "task must give train_labels as int64 on the CPU"),
    "labels beyond": (DRAWN, "labels = labels + 1; " + DRAWN, "task must give train_labels in [0, 1]"),
    "other sizes": ("Sizes(train=80", "Sizes(train=81", "task must give train_inputs of shape (81, 3), as sizes says"),
    "another each time": (
        DRAWN,
        "import random; labels = torch.tensor([random.getrandbits(1) for _ in labels]); " + DRAWN,
        "task must give the same",
    ),
    "draws": (DRAWN, "torch.rand(1); " + DRAWN, "task must leave torch's generator as it was"),
    "raises": (DRAWN, "1 / 0; " + DRAWN, "task must work on a first try, got {name}:TASK (ZeroDivisionError"),
    "leaves": (DRAWN, "raise SystemExit(0); " + DRAWN, "task must work on a first try, got {name}:TASK (SystemExit"),
    "no dataset": (
        'return Dataset("parity of three", f"own parity, seed={config.seed}")',
        "return 3",
        "task must give a sentence",
    ),
    "half precision": (ENDS, ENDS.replace("whole.w / 2", "(whole.w / 2).half()"), "network must "),
    "not a number": (ENDS, ENDS.replace("whole.w / 2", "whole.w / 0"), "network must have finite"),
    "unseeded": (ENDS, ENDS.replace("whole.w / 2", "whole.w * __import__('random').random()"), "network must begin the same"),
    "other layers": ('return {"into": self.w, "out": self.v}', 'return {"out": self.v, "into": self.w}', "network must "),
    "metric of a tensor": (
        '"own/gradient": size',
        '"own/gradient": torch.tensor(size)',
        "recorder must give finite numbers by name",
    ),
    "metric of a NaN": ('"own/gradient": size', '"own/gradient": float("nan")', "recorder must give finite numbers by name"),
    "weights changed": ("self.count += 1", "self.count += 1; view.weights['into'].add_(1)", "recorder must leave the weights"),
    "state of arrays": (
        STATE,
        STATE.replace("self.total}", "self.total.numpy()}", 1),
        "recorder must give tensors by name in state",
    ),
    "facts of tensors": (STATE, STATE.replace("self.count", "self.total"), "recorder must give facts that JSON has in state"),
    "state not taken": (
        'self.total, self.count, self.blocks = tensors["total"]',
        'self.count, self.blocks = 1, 2; _ = tensors["total"]',
        "recorder must ",
    ),
}


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of one's own beside which nothing stands."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "wrong_one.py"
    sys.modules.pop("wrong_one", None)


def test_good_plug_ins_are_taken_and_leave_threads_and_generator(own: str) -> None:  # noqa: F811
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    check_own(replace(CONFIG, task=f"{own}:TASK", network=f"{own}:NETWORK", recorders=(f"{own}:RECORDER",), threads=1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_one_is_refused(what: str, named: Path) -> None:
    old, new, words = WRONG[what]
    assert SOURCE.count(old) == 1, old
    named.write_text(SOURCE.replace(old, new), encoding="utf-8")
    name = "wrong_one"
    config = replace(CONFIG, task=f"{name}:TASK", network=f"{name}:NETWORK", recorders=(f"{name}:RECORDER",))
    with pytest.raises(ConfigError) as refused:
        check_own(config)
    told = str(refused.value)
    assert told.startswith(words.format(name=name)), told
    assert name in told
    assert "\n" not in told


def test_a_recorder_whose_metric_is_named_as_a_field_is_refused() -> None:
    with pytest.raises(ConfigError, match="recorder must leave the names of fields to the config, got my:R, seed, width"):
        trial._check_numbers("my:R", {"width": 1.0, "seed": 2.0, "width/mean": 3.0})
    trial._check_numbers("my:R", {"width/mean": 3.0})


def test_no_run_is_made_for_one(named: Path, store: object, command: object) -> None:
    named.write_text(SOURCE.replace(DRAWN, "1 / 0; " + DRAWN), encoding="utf-8")
    done = command("--task", "wrong_one:TASK", "--modulus", "7", "--width", "16", "--epochs", "24", "--top-pairs", "9")  # type: ignore[operator]
    assert done.status == 2
    assert done.err.startswith("error: task must work on a first try, got wrong_one:TASK (ZeroDivisionError")
    assert not store.find({})  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1 / 0", "signal must work on made-up input, got wrong_one:MINE (ZeroDivisionError"),
        ("raise SystemExit", "signal must work on made-up input, got wrong_one:MINE (SystemExit"),
        ("return train_loss.astype('float32')", "signal must give float64, got wrong_one:MINE with float32"),
        ("return train_loss / 0", "signal must "),
        ("return train_loss * np.nan", "signal must give finite values"),
        ("return train_loss * np.random.random()", "signal must give the same values each time"),
        ("return train_loss[:-1]", "wrong must give one value an epoch"),
        ("return train_loss[::-1]", "signal must use epochs ≤ t only"),
    ],
)
def test_a_wrong_signal_is_refused(body: str, words: str, named: Path) -> None:
    named.write_text(
        "import numpy as np\nfrom grok import Signal\n\n"
        f"def compute(train_loss):\n    with np.errstate(all='ignore'):\n        {body}\n\n"
        "MINE = Signal('wrong', compute, needs=('train_loss',))\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match=r"^") as refused:
        find_signal("wrong_one:MINE")
    assert str(refused.value).startswith(words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1 / 0", "detector must work on made-up input, got wrong_one:MINE (ZeroDivisionError"),
        ("return None", "detector must give (R, T + 1) booleans, here (3, 50), got wrong_one:MINE with NoneType"),
        (
            "return (log_gap > level).astype(float)",
            "detector must give (R, T + 1) booleans, here (3, 50), got wrong_one:MINE with float64",
        ),
        ("return (log_gap > level)[:, 1:]", "detector must give (R, T + 1) booleans"),
        ("return ~(log_gap > level)", "detector must not hold where the series is NaN"),
        ("return np.random.random(log_gap.shape) < 0.5 * np.isfinite(log_gap)", "detector must give the same each time"),
        ("log_gap[:] = 1; return np.zeros(log_gap.shape, bool)", "detector must give the same each time and leave"),
        ("return log_gap > np.nanmean(log_gap)", "detector must use epochs ≤ t only"),
    ],
)
def test_a_wrong_detector_is_refused(body: str, words: str, named: Path) -> None:
    named.write_text(
        f"import numpy as np\nfrom grok import Range, Rule\n\ndef hits(log_gap, first_epoch, level):\n    {body}\n\n"
        "MINE = Rule('wrong', {'level': Range(0.5, 2)}, hits)\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as refused:
        find_detector("wrong_one:MINE")
    assert str(refused.value).startswith(words), refused.value
