"""Where rows and events go."""

from __future__ import annotations

import gc
import itertools
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from grok import SpectralMonitor, Watch
from grok.monitor.events import DIVERGENCE, Calibration, Event
from grok.monitor.sinks import Call, JsonLines, Parquet
from grok.monitor.spectral import MonitorWarning
from grok.spec.fields import ConfigError

RULE = Watch(first=20, parameters={"slope_lag": 8, "slope_threshold": 0.1})


def grow(sinks: Any, updates: int = 60, **settings: Any) -> SpectralMonitor:
    """An onset is told at some update after 30."""
    rng = np.random.default_rng(0)
    weights = torch.zeros(12, dtype=torch.float64)
    monitor = SpectralMonitor(weights, 4, watches=[RULE], sinks=sinks, **settings)
    for t in range(updates + 1):
        monitor.update(step=10 * t)
        weights += torch.from_numpy(rng.standard_normal(12))
        if t >= 30:
            weights[:2] += 1.5 ** (t - 30) * torch.tensor([1.0, (-1.0) ** t], dtype=torch.float64)
    monitor.detach()
    return monitor


@pytest.mark.parametrize("kind", [JsonLines, Parquet])
def test_a_state_is_saved_with_all_rows_written(kind: Any, tmp_path: Path) -> None:
    """A process that is killed after it has no time to write."""
    weights = torch.zeros(12, dtype=torch.float64)
    monitor = SpectralMonitor(weights, 4, sinks=[kind(tmp_path / "rows")])
    for _ in range(6):
        monitor.update()
        weights += torch.randn(12, dtype=torch.float64)
    monitor.state_dict()
    if kind is JsonLines:
        assert len((tmp_path / "rows").read_text(encoding="utf-8").splitlines()) == 5
    else:
        assert pq.read_table(list((tmp_path / "rows").glob("rows-*"))).num_rows == 5


class Full(JsonLines):
    """A sink whose disk is full when what it holds is to be written."""

    def close(self) -> None:
        raise OSError("disk full")


def test_a_sink_that_fails_as_a_state_is_saved_is_left_out(tmp_path: Path) -> None:
    rows: list[Any] = []
    monitor = SpectralMonitor(torch.zeros(3), 3, sinks=[Full(tmp_path / "rows"), Call(rows.append)])
    with pytest.warns(MonitorWarning, match="Full is off: OSError: disk full"):
        monitor.state_dict()
    monitor.state_dict()  # without another warning, which would be an error
    assert [type(sink) for sink in monitor.sinks] == [Call]
    strict = SpectralMonitor(torch.zeros(3), 3, sinks=[Full(tmp_path / "rows")], strict=True)
    with pytest.raises(OSError, match="disk full"):
        strict.state_dict()
    strict.state_dict()  # it is left out by now


def test_json_lines_have_every_row_and_event(tmp_path: Path) -> None:
    monitor = grow([JsonLines(tmp_path / "run.jsonl")], strict=True)
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [line for line in lines if "event" not in line]
    (event,) = [line for line in lines if "event" in line]
    table = monitor.columns()
    assert [row["update"] for row in rows] == list(range(1, 61))
    assert [row["step"] for row in rows] == list(range(10, 601, 10))
    assert rows[0]["lambda_1"] is None
    for name in ("lambda_1", "gap_23", "cosine", "weight_norm"):
        found = np.array([np.nan if row[name] is None else row[name] for row in rows])
        np.testing.assert_array_equal(found, table[name][1:])
    (told,) = monitor.events
    assert event == {
        "event": "onset",
        "block": "all",
        "update": told.update,
        "step": told.step,
        "rule": RULE.words,
        "worth": "uncalibrated",
    }
    assert lines[told.update] == event  # written when it happened


def test_a_resumed_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for _ in range(2):
        grow([JsonLines(tmp_path / "run.jsonl")], updates=5, strict=True)
    assert len((tmp_path / "run.jsonl").read_text(encoding="utf-8").splitlines()) == 10


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    monitor = grow([Parquet(tmp_path / "run")], strict=True)
    table = pq.read_table(tmp_path / "run" / "rows-00000.parquet")
    np.testing.assert_array_equal(table["gap_23"].to_numpy(), monitor.gap()[1:])
    assert set(table["block"].to_pylist()) == {"all"}
    assert len((tmp_path / "run" / "events.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_a_function_is_called_with_each_row_and_another_with_each_event() -> None:
    rows: list[dict[str, Any]] = []
    events: list[Any] = []
    monitor = grow([Call(rows.append)], strict=True, on_event=events.append)
    assert [row["update"] for row in rows] == list(range(1, 61))
    assert events == list(monitor.events)
    assert len(events) == 1


FORGOTTEN = """
import sys, torch
from grok import SpectralMonitor
from grok.monitor.sinks import JsonLines
weights = torch.zeros(5)
monitor = SpectralMonitor(weights, 3, sinks=[JsonLines(sys.argv[1])], watches=())
for t in range(8):
    monitor.update()
    weights += torch.eye(5)[t % 5]
"""


def test_rows_are_written_where_nobody_detaches(tmp_path: Path) -> None:
    """Neither at the end of the process, nor where the monitor is forgotten."""
    path = tmp_path / "run.jsonl"
    subprocess.run([sys.executable, "-c", FORGOTTEN, path], check=True)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 7
    weights = torch.zeros(5)
    monitor = SpectralMonitor(weights, 3, sinks=[JsonLines(path)], watches=())
    for _ in range(3):
        monitor.update()
        weights += 1
    del monitor
    gc.collect()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 9


def test_parquet_without_pyarrow_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match="pyarrow"):
        Parquet(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_sink_that_fails_is_left_out_with_one_warning(tmp_path: Path) -> None:
    rows: list[Any] = []
    with pytest.warns(MonitorWarning, match="JsonLines is off: IsADirectoryError") as told:
        monitor = grow([JsonLines(tmp_path), Call(rows.append)])
    assert len(told) == 1
    assert len(rows) == 60
    assert monitor.off is None
    assert len(monitor.sinks) == 1
    with pytest.raises(IsADirectoryError):
        grow([JsonLines(tmp_path)], strict=True)


def test_the_picture_shows_the_columns_and_the_events(tmp_path: Path) -> None:
    monitor = grow([], strict=True)
    figure = monitor.plot()
    above, below = figure.axes
    table = monitor.columns()
    np.testing.assert_array_equal(above.lines[0].get_ydata(), table["lambda_1"])
    np.testing.assert_array_equal(below.lines[1].get_ydata(), table["gap_23"])
    np.testing.assert_array_equal(below.lines[1].get_xdata(), table["step"])
    (event,) = monitor.events
    assert list(above.lines[5].get_xdata()) == [event.step, event.step]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"onset (uncalibrated) at step {event.step}"]
    monitor.events.append(Event(DIVERGENCE, "all", 60, 600, "an update that is not finite", float("nan")))
    monitor.events.append(replace(event, calibration=Calibration("walks", 20, 1, 90)))
    for step in range(601, 607):
        monitor.events.append(Event(DIVERGENCE, "all", 60, step, "an update that is not finite", float("nan")))
    figure = monitor.plot()
    figure.savefig(tmp_path / "x.png")
    (legend,) = figure.legends
    at = event.step
    assert [text.get_text() for text in legend.get_texts()] == [
        f"onset (uncalibrated) at step {at}",
        "divergence at step 600, 601, 602, 603, 604 and 2 more",
        f"onset (calibrated) at step {at}",
    ]
    words = [text.get_window_extent() for text in legend.get_texts()]
    assert not any(word.overlaps(ax.get_window_extent()) for word in words for ax in figure.axes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(words, 2))
    SpectralMonitor(torch.zeros(3)).plot().savefig(tmp_path / "empty.png")
    frame = monitor.frame()
    assert list(frame.columns[:3]) == ["update", "step", "lambda_1"]
    assert len(frame) == 61


# MLflow


def test_mlflow_gets_rows_in_batches_from_another_thread(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from grok.store.sink import MlflowSink

    run_id = store.client.create_run(store.experiment_id).info.run_id
    calls: list[tuple[str, int]] = []
    real = store.client.log_batch

    def log_batch(run: str, metrics: Any = (), **more: Any) -> Any:
        calls.append((threading.current_thread().name, len(metrics)))
        return real(run, metrics=metrics, **more)

    monkeypatch.setattr(store.client, "log_batch", log_batch)
    sink = MlflowSink(run_id, client=store.client, every=2)
    monitor = grow([sink], strict=True)
    history = store.client.get_metric_history(run_id, "monitor/all/gap_23")
    table = monitor.columns()
    known = [t for t in range(2, 61, 2) if np.isfinite(table["gap_23"][t])]
    assert [metric.step for metric in history] == [10 * t for t in known]
    np.testing.assert_array_equal([metric.value for metric in history], table["gap_23"][known])
    assert store.client.get_run(run_id).data.tags["monitor.event.1"] == str(monitor.events[0])
    assert {name for name, _ in calls} == {"monitor-mlflow"}
    assert len(calls) < 10
    assert max(count for _, count in calls) <= 1000
    assert sink.dropped == 0


def test_a_store_that_fails_or_is_slow_does_not_hold_training_up(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from grok.store.sink import MlflowSink

    def away(*_: Any, **__: Any) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(store.client, "log_batch", away)
    with pytest.warns(MonitorWarning, match="MlflowSink is off: ConnectionError: away"):
        monitor = grow([MlflowSink("some", client=store.client)])
    assert monitor.updates == {"all": 60}
    gate, told = threading.Event(), []
    monkeypatch.setattr(store.client, "log_batch", lambda *_, **__: gate.wait(30))
    run_id = store.client.create_run(store.experiment_id).info.run_id
    slow = MlflowSink(run_id, client=store.client, waiting=20)
    slow.row({"block": "all", "update": 1, "step": 1, "gap_23": 1.0})
    for update in range(200):
        slow.row({"block": "all", "update": update, "step": update, "gap_23": 1.0})
        if update % 40 == 0:
            slow.event(f"event at {update}")
    monkeypatch.setattr(store.client, "log_batch", lambda *_, tags=(), **__: told.extend(tag.value for tag in tags))
    gate.set()
    slow.close()
    assert slow.dropped >= 201 - 2 * 20
    assert sorted(told) == sorted(f"event at {update}" for update in range(0, 200, 40))


def test_a_saved_state_waits_for_no_slow_store(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a store that keeps up every row is there when the state is; of another none is lost, and none comes twice."""
    from grok.store.sink import WAIT_S, MlflowSink

    run_id = store.client.create_run(store.experiment_id).info.run_id
    weights = torch.zeros(12, dtype=torch.float64)
    monitor = SpectralMonitor(weights, 4, sinks=[MlflowSink(run_id, client=store.client, names=("weight_norm",))], strict=True)

    def train(updates: int) -> None:
        for _ in range(updates):
            weights.add_(torch.randn(12, dtype=torch.float64))
            monitor.update()

    def steps() -> list[int]:
        return [metric.step for metric in store.client.get_metric_history(run_id, "monitor/all/weight_norm")]

    monkeypatch.setattr("grok.store.sink.WAIT_S", 30.0)  # whatever else the machine does
    monitor.update()
    train(5)
    monitor.state_dict()
    assert steps() == [1, 2, 3, 4, 5]
    monkeypatch.setattr("grok.store.sink.WAIT_S", WAIT_S)
    gate, real = threading.Event(), store.client.log_batch

    def slow(*args: Any, **named: Any) -> Any:
        gate.wait(30)
        return real(*args, **named)

    monkeypatch.setattr(store.client, "log_batch", slow)
    for _ in range(2):
        train(5)
        began = time.monotonic()
        monitor.state_dict()
        assert time.monotonic() - began < 10 * WAIT_S
    assert steps() == [1, 2, 3, 4, 5]
    gate.set()
    monitor.detach()
    assert steps() == list(range(1, 16))


def test_mlflow_gets_the_columns_that_are_named_and_no_more(store: Any) -> None:
    """A page of hundreds of charts helps nobody."""
    from grok.store.sink import MlflowSink

    run_id = store.client.create_run(store.experiment_id).info.run_id
    grow([MlflowSink(run_id, client=store.client, every=20, names=("gap_23", "lambda_1"))], strict=True)
    assert set(store.client.get_run(run_id).data.metrics) == {"monitor/all/gap_23", "monitor/all/lambda_1"}


@pytest.mark.parametrize("sinks", [1, 2])
def test_events_of_a_resumed_run_overwrite_no_tag(store: Any, sinks: int) -> None:
    """Nor those of another monitor of the run, nor what the user has written in between."""
    from grok.store.sink import MlflowSink

    run_id = store.client.create_run(store.experiment_id).info.run_id
    words = {}
    for part in ("first", "resumed"):
        several = [MlflowSink(run_id, client=store.client) for _ in range(sinks)]
        for i, sink in enumerate(several):
            for event in ("a", "b"):
                sink.event(f"{part} {i} {event}")
        for sink in several:
            sink.close()
        if part == "first":
            words = {"monitor.event.9": "the user's", "monitor.event.note": "too"}
            words |= {tag: text for tag, text in store.client.get_run(run_id).data.tags.items() if tag.startswith("monitor.")}
            for tag in ("monitor.event.9", "monitor.event.note"):
                store.client.set_tag(run_id, tag, words[tag])
    tags = {tag: text for tag, text in store.client.get_run(run_id).data.tags.items() if tag.startswith("monitor.")}
    assert words.items() <= tags.items()
    numbers = [tag.removeprefix("monitor.event.") for tag in tags.keys() - words.keys()]
    assert sorted(map(int, numbers)) == list(range(10, 10 + 2 * sinks))
    told = [f"{part} {i} {event}" for part in ("first", "resumed") for i in range(sinks) for event in ("a", "b")]
    assert sorted(tags.values()) == sorted([*told, "the user's", "too"])


def test_an_mlflow_sink_needs_a_run() -> None:
    from grok.store.sink import MlflowSink

    with pytest.raises(ConfigError, match=r"^run_id must be given where no MLflow run is active, got none\."):
        MlflowSink()
