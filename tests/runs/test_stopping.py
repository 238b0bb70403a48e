"""A study's command and its workers agree to stop, whatever the store's mood."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from grok.runs import stopping
from grok.store.errors import TakenOverError
from grok.store.lease import Lease
from grok.store.store import connect
from grok.store.tags import StoredRun


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
