"""A study's command and its workers agree to stop, whatever the store's mood."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grok.runs import stopping
from grok.runs import study as study_runs
from grok.runs.cells import Result
from grok.runs.fanout import Fanout
from grok.spec.studies import load_study
from grok.store.errors import TakenOverError
from grok.store.lease import Lease
from grok.store.run import TrackedRun
from grok.store.store import connect
from grok.store.tags import PREFIX, STOP, StoredRun
from tests.conftest import Answer
from tests.runs.conftest import training_runs

pytestmark = pytest.mark.faults


def stored(run_id: str, tags: dict[str, str]) -> StoredRun:
    """A run of which nothing is known but its tags."""
    return StoredRun(run_id, "", "RUNNING", 0, tags, {}, {}, None)


class Moody:
    """A store that answers what it is told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def get(self, run_id: str) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return stored(run_id, self.answer)


def test_store_that_is_away_for_a_moment_stops_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "POLL_S", 0.0)
    monkeypatch.setattr(stopping, "LEASE_S", 0.0)
    store = Moody({"grok.claim": "t"})
    poll = stopping.Poll(store, "p", "s")
    poll.held = [Lease(stored("r", {}), "t")]
    assert not poll()
    store.answer = ConnectionError("reset")
    assert not poll()
    store.answer = {"grok.claim": "t", "grok.stop.s": "1"}
    assert poll()
    store.answer = ConnectionError("reset")
    assert poll()
    with pytest.raises(ConnectionError):
        poll.confirm()
    store.answer = {"grok.claim": "another"}
    with pytest.raises(TakenOverError):
        poll()


@pytest.mark.parametrize("hurried", [False, True])
def test_second_ctrl_c_does_not_take_the_stop_back(store: Any, hurried: bool) -> None:
    parent = store.create("study", {"kind": "study"})
    asked = threading.Event()
    with contextlib.suppress(KeyboardInterrupt), stopping.StopSignal(parent, "s", asked.is_set):
        asked.set()
        while not hurried and "grok.stop.s" not in store.get(parent.run_id).tags:
            time.sleep(0.05)
        raise KeyboardInterrupt
    assert "grok.stop.s" in store.get(parent.run_id).tags
    with stopping.StopSignal(parent, "s", asked.is_set):
        pass
    assert "grok.stop.s" not in store.get(parent.run_id).tags


@pytest.fixture
def restarting() -> Iterator[tuple[str, list[str]]]:
    """A tracking server that answers 503 to five requests in a row before it takes one."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            self.send_response(503 if len(asked) <= 5 else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_outage_of_the_server_is_waited_for(restarting: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    url, asked = restarting
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    connect(url, "0").client.set_tag("r", "grok.progress_done", "1")
    assert len(asked) == 6


def test_stopped_study_is_finished_by_the_same_command(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, step = write(), stopping.Poll.__call__
    asked = []

    def stop_at_40(self: Any) -> bool:
        asked.append(1)
        self.stopped = self.stopped or len(asked) > 40 + 66  # in the second run
        return step(self)

    monkeypatch.setattr(stopping.Poll, "__call__", stop_at_40)
    monkeypatch.setattr(study_runs, "ROUNDS", 1)
    first = study(path)
    assert (first.status, first.words["state"], first.words["trained"]) == (130, "interrupted", "1")
    states = sorted(run.tags["grok.state"] for run in training_runs(store))
    assert states[0] == "complete"
    assert set(states[1:]) == {"interrupted"}
    assert store.get(first.words["run"]).info.status == "KILLED"
    asked.clear()
    monkeypatch.setattr(stopping.Poll, "__call__", step)
    second = study(path)
    assert (second.status, second.words["trained"], second.words["reused"]) == (0, "2", "1")
    assert {run.tags["grok.state"] for run in training_runs(store)} == {"complete"}
    assert len(training_runs(store)) == 3


def test_a_stop_reaches_the_workers_by_a_tag_which_then_goes(store: Any, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "POLL_S", 0.0)
    loaded = load_study(write())
    parent = study_runs.open_parent(store, loaded, force=False)
    seen: list[str] = []

    def report(result: Result) -> None:
        seen.append(result.state)

    results = study_runs.run_study(
        loaded, store, Fanout("sequential"), parent=parent, report=report, should_stop=lambda: bool(seen)
    )
    states = [result.state for result in results]
    assert states[0] == "complete"
    assert states[1] == "interrupted"  # the tag came while it trained
    assert states[2:] == ["missing"]
    assert not any(result.failed for result in results)
    assert not [tag for tag in store.get(parent.run_id).tags if tag.startswith(PREFIX + STOP)]


def test_stop_of_another_command_is_not_ours(store: Any, write: Any) -> None:
    loaded = load_study(write([("grok", {"seed": 0})]))
    parent = study_runs.open_parent(store, loaded, force=False)
    parent.set_tags({STOP + "other": "1"})
    (result,) = study_runs.run_study(loaded, store, Fanout("sequential"), parent=parent)
    assert result.state == "complete"


VOLATILE = (
    "heartbeat",
    "process",
    "session",
    "claim",
    "resumed_with",
    "mlflow.note.content",
    "mlflow.parentRunId",
    "code_version",
    "code_dirty",
)


def test_study_stopped_at_random_moments_ends_as_one_that_was_not(
    store: Any, write: Any, study: Any, monkeypatch: pytest.MonkeyPatch, contents: Any, tmp_path: Path
) -> None:
    path, step = write([("grok", {"seed": 0}), ("eta0", {"weight_decay": "0.0", "seed": 0})]), stopping.Poll.__call__
    left, rng, statuses = [0], np.random.default_rng(), []

    def stop(self: Any) -> bool:
        left[0] -= 1
        self.stopped = self.stopped or left[0] < 0
        return step(self)

    def kept(answer: Answer) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the store has of the runs and of the parent, without ids, times and who trained them."""
        runs = {}
        for run in training_runs(store):
            tags = {k: v for k, v in run.tags.items() if k.removeprefix("grok.") not in VOLATILE}
            runs[run.tags["grok.config_hash"]] = (tags, run.params, run.status, contents(store, run.run_id))
        tracked = TrackedRun(store.client, answer.words["run"])
        files = [*tracked.list_files(""), *tracked.list_files("figures")]
        tables = {
            name: pd.read_csv(tracked.get_file(name, tmp_path)).drop(columns=["run_id", "elapsed_s"], errors="ignore")
            for name in files
            if name.endswith(".csv")
        }
        tags = {k: v for k, v in store.get(tracked.run_id).tags.items() if "progress" in k or k == "grok.state"}
        return runs, {"files": files, "tables": tables, "tags": tags | {"grok.progress_reused": ""}}

    monkeypatch.setattr(stopping.Poll, "__call__", stop)
    while not statuses or statuses[-1] == 130:
        left[0] = int(rng.integers(20, 90))
        answer = study(path)
        statuses.append(answer.status)
        assert len(statuses) < 60
    assert (statuses[-1], set(statuses[:-1])) == (0, {130})
    runs, parent = kept(answer)
    monkeypatch.setattr(stopping.Poll, "__call__", step)
    for run in (*training_runs(store), *store.find({"kind": "study"})):
        store.client.delete_run(run.run_id)
    other_runs, other_parent = kept(study(path))
    assert runs.keys() == other_runs.keys()
    for key, (*facts, content) in runs.items():
        *other_facts, other_content = other_runs[key]
        assert facts == other_facts
        content.assert_same(other_content)
    assert {k: parent[k] for k in ("files", "tags")} == {k: other_parent[k] for k in ("files", "tags")}
    for name, table in parent["tables"].items():
        pd.testing.assert_frame_equal(table, other_parent["tables"][name], check_exact=True, obj=name)
