"""The golden file of signals at the paper's size: it is whole, and today's code gives its values."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grok.recorders._battery import usable
from grok.spec.plugins import SIGNALS
from tests.runs.paper_signals import EPOCHS, GOLDEN, LATER, OWN_SEED, RUNS, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def golden() -> Any:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def of_series(signal: Any) -> bool:
    """Whether it reads a history, or the values of earlier epochs."""
    return signal.over is not None or not signal.per_epoch


@pytest.mark.parametrize("name", RUNS)
def test_every_signal_of_a_run_has_a_value_or_null_at_each_epoch(name: str, golden: Any) -> None:
    signals = usable(run(name), SIGNALS.names)
    at_once, later = golden[name], golden[f"{name}, seed {OWN_SEED}"]
    every = {f"{key}/{variant}": of_series(signal) for key, signal in signals.items() for variant in signal.variants}
    variants = {key for key, late in every.items() if late}
    assert set(at_once) == set(every) - variants
    assert set(later) == variants
    for rows, epochs in ((at_once, EPOCHS), (later, LATER)):
        assert {len(values) for values in rows.values()} == {len(epochs)}
        known = [value for values in rows.values() for value in values if value is not None]
        assert all(type(value) in (float, int) and math.isfinite(value) for value in known)
        assert len(known) > len(rows)
    assert all(values[-1] is not None for key, values in at_once.items() if not key.startswith(("angle_from", "ildr_train")))


def test_no_other_runs_are_there(golden: Any) -> None:
    assert set(golden) == {*RUNS, *(f"{name}, seed {OWN_SEED}" for name in RUNS)}


@pytest.mark.slow
def test_runs_that_are_trained_anew_have_these_values() -> None:
    """Twelve runs at the paper's size, as `moved` allows them to differ."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.runs.paper_signals", "check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip().endswith("moved=0")
