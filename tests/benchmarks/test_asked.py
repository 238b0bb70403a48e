"""Benchmarks of starting, of stores, of waiting and of transformers: at a tiny size they measure what they say."""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from benchmarks import jobs, lifecycle, many, many_parts, start, waiting
from grok.spec.config import RunConfig

TINY = "--modulus 7 --width 16 --epochs 20 --window 6 --max-window 12 --slope-lag 3 --first-epoch 8 --top-pairs 20 --threads 1"


@pytest.mark.parametrize(("own", "known"), [(0, True), (10**9, False)])
def test_a_command_is_timed_and_its_last_line_kept(own: int, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is unknown where this process has had more: a child's count begins with its parent's."""
    monkeypatch.setattr(jobs.resource, "getrusage", lambda who: argparse.Namespace(ru_maxrss=own))
    program = "import os; print('first'); print(os.environ['ASKED'], os.listdir()); raise SystemExit(3)"
    told = jobs.command(["-c", program], {"ASKED": "x"})
    assert (told["status"], told["line"]) == (3, "x []")
    assert told["wall_s"] > 0 < told["cpu_s"]
    assert (told["peak_mb"] is not None) == known


def test_a_job_keeps_its_variables() -> None:
    job = jobs.Job("epochs", RunConfig(), 2, {"seconds": 1.0}, {"GOMP_SPINCOUNT": "1000"})
    assert jobs.Job.from_json(job.to_json()) == job


def test_the_first_step_is_told_and_the_moments_before_it(store: Any) -> None:
    found = start.first_epoch(store.uri, start.SEED, [*TINY.split(), "--device", "cpu"])
    order = [found[name] for name in ("torch_s", "loop_imported_s", "made_s", "wall_s")]
    assert order == sorted(order)
    assert 0 < found["mlflow_s"] < found["wall_s"]
    assert found["cpu_s"] > 0
    (run,) = store.find({"kind": "train"})
    assert (run.params["seed"], run.done) == (str(start.SEED), False)


def test_a_command_that_comes_to_no_step_is_told(store: Any) -> None:
    with pytest.raises(RuntimeError, match=r"first step, got .*width must"):
        start.first_epoch(store.uri, start.SEED, ["--width", "0"])


def test_imports_are_told_apart_from_their_process() -> None:
    row = start.imported("import json", "import decimal")
    assert 0 < row["wall_s"] < row["process_wall_s"]
    (line,) = start.report([{"part": "x", "wall_s": value, "cpu_s": 1.0} for value in (3.0, 1.0, 2.0)])
    assert line == "x: wall_s 2 [1, 3], cpu_s 1 [1, 1]"


@pytest.mark.slow
def test_the_list_of_runs_is_asked_of_a_server_that_is_gone_afterwards(store: Any, tmp_path: Path) -> None:
    for number in range(3):
        store.client.create_run(store.experiment_id, run_name=f"{number}")
    seen: dict[str, Any] = {}
    with many_parts.served(tmp_path / "mlflow.db") as (address, process, up_s):
        seen |= many_parts.page(address, store.experiment_id) | {"mb": many_parts.memory_mb(process)}
    assert seen["listed"] == 3
    assert seen["list_s"] == pytest.approx(sum(seen[f"{name}_s"] for name in ("page", "experiments", "experiment", "runs")))
    assert seen["mb"] > 50
    assert up_s > 0
    assert not process.is_running()
    assert not many_parts._answers(f"{address}/health")


@pytest.mark.slow
def test_one_run_is_weighed_by_what_it_adds() -> None:
    row = many_parts.one_run(f"{TINY} --device cpu", many.sizes)
    assert row["status"] == 0
    assert row["database_grew_mb"] > 0
    assert row["artifacts_mb"] > 0
    assert row["points"] > 20


def test_a_study_that_is_not_complete_is_not_asked_for(store: Any, tmp_path: Path) -> None:
    """Asking would train it."""
    commands, missing = many.usual(tmp_path)
    assert commands == [many.REPORT]
    assert len(missing) == 3
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_waits_are_measured_by_the_clock_in_the_environment_of_the_setting(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = {name: value for name, value in waiting.settings((1000,)).items() if name in (waiting.ONE, "GOMP_SPINCOUNT=1000")}
    flags = argparse.Namespace(rounds=1, seconds=0.2, threads=2, busy=1)
    config = RunConfig(modulus=7, width=16, epochs=30, top_pairs=10, device="cpu")
    rows = list(waiting.measure(config, chosen, ["alone"], flags))
    assert [(row["setting"], row["torch_threads"]) for row in rows] == [("GOMP_SPINCOUNT=1000", 2), (waiting.ONE, 1)]
    assert all(row["timed_epochs"] >= 4 and row["epoch_ms"] > 0 and row["cpu_ms"] > 0 for row in rows)


def test_waits_are_held_against_the_default_of_their_round() -> None:
    rows = [
        {"scene": "beside", "setting": name, "round": turn, "epoch_ms": ms * scale, "cpu_ms": 2 * ms * scale}
        for turn, scale in enumerate((1, 10))
        for name, both in ((waiting.DEFAULT, (10, 30)), ("one thread", (8, 12)))
        for ms in both
    ]
    _, line = waiting.report(rows)
    assert "(0.50 × the default)" in line
    assert "55.0 [10.0, 100.0] ms an epoch" in line


def test_length_buckets_change_the_time_of_a_step_and_not_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    row = lifecycle.bucketed(1, 1, "seq2seq_mini")
    assert (row["buckets"], row["rounds"]) == (4, 1)
    assert row["first_losses_apart"] < 1e-5
    assert row["cpu_s_with"] > 0
    assert row["times_faster"] == pytest.approx(row["cpu_s_without"] / row["cpu_s_with"])


def test_recording_by_interval_is_held_against_none() -> None:
    row = lifecycle.recorded(1, 5)
    assert row["cpu_ratio"] == pytest.approx(row["cpu_s_with"] / row["cpu_s_without"])
    assert row["added_with_saves"] > row["added"] == pytest.approx(row["cpu_ratio"] - 1)
    assert row["save_mb"] > 10


@pytest.mark.parametrize(
    ("program", "words", "line"),
    [
        (start, ["--store", "/nowhere"], "store must be a folder with mlflow.db, got /nowhere."),
        (start, ["--rounds", "0"], "rounds must be a whole number ≥ 1, got 0."),
        (many, ["ask", "--store", "/nowhere"], "store must be there, got /nowhere."),
        (many, ["ask", "--store", "/nowhere", "--parts", "all"], "parts must be of size, commands, ui, run, got all."),
        (waiting, ["--scenes", "quiet"], "scenes must be of alone, beside, busy, got quiet."),
        (waiting, ["--only", "never"], "only must name a setting"),
    ],
)
def test_wrong_words_are_refused(program: Any, words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        program.main(words)
    assert left.value.code == 2
    assert line in capsys.readouterr().err
