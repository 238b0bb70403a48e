"""Dyck-1 from the command line: bad input is one line and no run; a killed run goes on to the same bits; a branch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from entry_points import train
from entry_points.cli import run_main
from grok.runs.saving import get
from grok.runs.train import train_tracked
from grok.store.run import TrackedRun
from grok.store.store import Store
from tests.conftest import PROJECT
from tests.training.test_sequences import small

PARTS = {"epochs": 60, "evaluate_every": 10, "options": "edge_intervals=10;edge_rows=5", "save_every": 5, "keep_states": (20,)}


def flags(config: Any) -> list[str]:
    return [word for name, text in config.to_strings().items() for word in (f"--{name.replace('_', '-')}", text)]


def command(store: Store, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "entry_points.train", *words]
    return subprocess.run(line, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=280, check=False)


BRANCH = ("--branch-from", "0" * 32, "--at", "5", "--seed", "3")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "dick"), "multiplication, scan, or module:NAME, got dick. Did you mean dyck?"),
        (("--task", "dyck", "--modulus", "97"), "modulus must be left out with task dyck, got 97. Drop it."),
        (("--task", "scan", "--data-folder", "/nowhere"), "data_folder must have tasks_train_simple.txt and"),
        (("--task", "dyck", "--options", "edge_rows=1"), "options must have edge_rows ≥ 5, got 1. Raise it."),
        (BRANCH, "parameters must be among epochs, weight_decay"),
    ],
)
def test_bad_input_is_one_line_and_no_run(
    store: Store, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In this process."""
    monkeypatch.setattr(sys, "argv", ["train", *words])
    with pytest.raises(SystemExit) as left:
        run_main(train.main)
    told = capfd.readouterr().err
    assert left.value.code == 2, told
    assert said in told
    assert len(told.strip().splitlines()) == 1
    assert not store.find({"kind": "train"})


def test_a_process_ends_with_one_line_too(store: Store) -> None:
    done = command(store, *BRANCH)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not store.find({"kind": "train"})


def table(store: Store, run_id: str) -> pd.DataFrame:
    content = get(TrackedRun(store.client, run_id), "steps.parquet").content
    assert isinstance(content, pd.DataFrame)
    return content


SCAN: dict[str, Any] = {"task": "scan", "network": "seq2seq_mini", "n_train": 40, "batch_size": 8, "eval_sequences": 10}
SCAN |= {"epochs": 30, "evaluate_every": 10, "options": "edge_intervals=10;edge_rows=5", "save_every": 5, "keep_states": ()}
MOMENTS = [pytest.param(PARTS, moment, id=f"dyck-{moment}") for moment in range(10)]
MOMENTS += [pytest.param(SCAN, 4 * moment, id=f"scan-{moment}") for moment in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize(("parts", "moment"), MOMENTS)
def test_a_killed_run_goes_on_to_the_same_bits(store: Store, session_store: Store, parts: dict[str, Any], moment: int) -> None:
    """Killed after its first saves, at ten moments of Dyck-1 and three of SCAN; then run again by the same command."""
    config = small(**parts)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "entry_points.train", *flags(config)]
    process = subprocess.Popen(line, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    root = Path(store.uri.removeprefix("sqlite:///")).parent
    while process.poll() is None and not list(root.rglob("resume/epoch-*.safetensors")):
        time.sleep(0.01)
    time.sleep(0.05 * moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = command(store, *flags(config))
    assert done.returncode == 0, done.stderr
    (run,) = store.find({"kind": "train"})
    (straight,) = train_tracked([config], session_store)
    pd.testing.assert_frame_equal(table(store, run.run_id), table(session_store, straight.run_id))
    mine, theirs = (ledger_of(one, run_id) for one, run_id in ((store, run.run_id), (session_store, straight.run_id)))
    for name, array in theirs.items():
        np.testing.assert_array_equal(mine[name], array, err_msg=name)


def ledger_of(store: Store, run_id: str) -> dict[str, np.ndarray]:
    content = get(TrackedRun(store.client, run_id), "edge/ledger-0010.npz").content
    return {str(name): np.asarray(value) for name, value in dict(content).items()}


@pytest.mark.slow
def test_a_branch_from_the_command_line(store: Store) -> None:
    (parent,) = train_tracked([small(**PARTS)], store)
    words = ("--branch-from", parent.run_id, "--at", "20", "--weight-decay", "0")
    first, again = command(store, *words), command(store, *words)
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert "reused=yes" in again.stdout
    missing = command(store, "--branch-from", parent.run_id, "--at", "30")
    assert missing.returncode == 2
    assert "at must be a step whose state the run has (20), got 30" in missing.stderr
