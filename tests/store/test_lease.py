"""A run is trained by one process at a time, also when two ask for it at the same moment."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from grok.runs import group, train
from grok.store import lease
from grok.store.errors import BusyError, TakenOverError
from grok.store.lease import Lease, check, give_up, settled, take
from grok.store.prior import find_prior
from grok.store.run import TrackedRun
from grok.store.store import Store
from tests.conftest import PROJECT
from tests.helpers.left import leave_files

SCRIPT = """
import json, sys
from dataclasses import replace
from grok.store.errors import BusyError
from grok.store.lease import take
from grok.store.store import open_store
from tests.conftest import TINY
store = open_store()
seeds = list(range(20))
print("ready", flush=True)
sys.stdin.readline()
made = []
for seed in seeds:
    try:
        made.append((seed, take(store, replace(TINY, seed=seed)).made))
    except BusyError:
        pass
print(json.dumps(made), flush=True)
sys.stdin.readline()
"""


def test_two_processes_share_the_cells_of_one_store(store: Any, tiny: Any) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT, bufsize=1
        )
        for _ in range(2)
    ]
    try:
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
        for process in processes:
            process.stdin.write("go\n")
        made = [json.loads(process.stdout.readline()) for process in processes]  # both live until both are through
    finally:
        for process in processes:
            process.communicate("\n", timeout=60)
    assert sorted(seed for found in made for seed, _ in found) == list(range(20))  # each cell once
    assert all(new for found in made for _, new in found)
    assert all(len(store.prior(tiny(seed=seed))) == 1 for seed in range(20))


@pytest.fixture
def server(store: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store as if it were on a server: no lock keeps others out."""
    monkeypatch.setattr(Store, "is_local", False)
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    return store


def at_once(monkeypatch: pytest.MonkeyPatch, store: Any, config: Any) -> list[Lease]:
    """The claims of two commands of which neither saw the other's."""
    found = find_prior(store, config)
    with monkeypatch.context() as patch:
        patch.setattr(lease, "find_prior", lambda *arguments: found)
        return [take(store, config), take(store, config)]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_runs_made_at_once_on_a_server_one_goes(
    server: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    both = at_once(monkeypatch, server, tiny())
    assert both[0].run_id != both[1].run_id
    holds = {one.run_id: settled(server, [one]) for one in both[::order]}
    assert sorted(holds.values()) == [[False], [True]]
    (left,) = server.prior(tiny())
    assert holds[left.run_id] == [True]


def test_one_that_may_not_delete_its_run_ends_it(server: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    both = at_once(monkeypatch, server, tiny())

    def delete_run(self: Any, run_id: str) -> None:
        raise MlflowException("API request failed with error code 403 != 200. Response body: 'Permission denied'")

    monkeypatch.setattr(MlflowClient, "delete_run", delete_run)
    holds = {one.run_id: settled(server, [one]) for one in both}
    assert sorted(holds.values()) == [[False], [True]]
    statuses = {run.status: run.run_id for run in server.prior(tiny())}
    assert holds[statuses["FAILED"]] == [False]
    assert holds[statuses["RUNNING"]] == [True]


def test_a_dead_sibling_is_no_rival(server: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = at_once(monkeypatch, server, tiny())
    server.client.set_tag(first.run_id, "grok.process", "1:0.00")  # of a process that is gone
    assert settled(server, [second]) == [True]


def test_of_two_that_go_on_with_one_run_the_last_to_claim_it_does(
    server: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = take(server, tiny()).run_id
    TrackedRun(server.client, run_id).end("interrupted")
    first, second = at_once(monkeypatch, server, tiny())
    assert {first.run_id, second.run_id} == {run_id}
    assert (settled(server, [first]), settled(server, [second])) == ([False], [True])
    assert server.get(run_id).tags["grok.state"] == "running"


def test_claims_on_a_run_that_is_done_busy_or_to_be_passed_over(store: Any, tiny: Any) -> None:
    one = take(store, tiny(), session="a")
    assert (one.made, one.done) == (True, False)
    with pytest.raises(BusyError):
        take(store, tiny(), session="b")
    again = take(store, tiny(), session="a")
    assert (again.run_id, again.made) == (one.run_id, False)
    assert again.token != one.token
    other = take(store, tiny(), session="b", but=[one.run_id])
    assert other.made
    leave_files(TrackedRun(store.client, one.run_id), tiny())
    TrackedRun(store.client, one.run_id).end("complete")
    done = take(store, tiny(), but=[other.run_id])
    assert (done.run_id, done.run.state, done.done, done.made) == (one.run_id, "complete", True, False)


def test_process_whose_run_was_taken_over_leaves_it_alone(store: Any, tiny: Any) -> None:
    old = take(store, tiny(), session="a")
    epochs = iter(range(30))

    def should_stop() -> bool:
        if next(epochs) == 25:
            take(store, tiny(), session="a")  # by a worker that took this one for dead
        check(store, [old])
        return False

    with pytest.raises(TakenOverError, match=f"got {old.run_id}, which another took over"):
        train.train_tracked([tiny()], store, resume=[old.run_id], should_stop=should_stop)
    tags = store.get(old.run_id).tags
    assert tags["grok.state"] == "running"
    assert "grok.error" not in tags
    assert tags["grok.claim"] != old.token


@pytest.mark.parametrize("stop", [False, True])
def test_run_that_is_taken_over_at_the_last_epoch_is_neither_finished_nor_stopped(store: Any, tiny: Any, stop: bool) -> None:
    old = take(store, tiny(), session="a")
    epochs = iter(range(66))

    def should_stop() -> bool:
        last = next(epochs) == 64
        if last:
            take(store, tiny(), session="a")
        return last and stop

    with pytest.raises(TakenOverError):
        train.train_tracked([tiny()], store, resume=[old.run_id], should_stop=should_stop, confirm=lambda: check(store, [old]))
    run = store.get(old.run_id)
    assert (run.tags["grok.state"], run.status) == ("running", "RUNNING")
    assert "grok.error" not in run.tags
    assert "fired" not in run.metrics
    files = TrackedRun(store.client, old.run_id)
    assert files.list_files("resume") == ["resume/epoch-00048.safetensors"]
    assert files.list_files("") == ["config.json"]


def test_of_a_group_that_fails_at_its_end_the_finished_stay_finished(
    store: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = group.Group._finish

    def second_fails(self: Any, member: Any, run: Any) -> Any:
        if member.index == 1:
            raise OSError("no space")
        return finish(self, member, run)

    monkeypatch.setattr(group.Group, "_finish", second_fails)
    configs = [tiny(seed=seed, epochs=20, checkpoint_epochs=(20,)) for seed in (0, 1)]
    with pytest.raises(OSError, match="no space"):
        train.train_tracked(configs, store)
    states = [store.prior(config)[0].tags["grok.state"] for config in configs]
    assert states == ["complete", "failed"]


def test_claimed_run_that_an_error_left_running_is_marked_failed(store: Any, tiny: Any) -> None:
    ours, theirs = take(store, tiny(seed=1)), take(store, tiny(seed=2))
    store.client.set_tag(theirs.run_id, "grok.claim", "another")
    give_up(store, [ours, theirs], MemoryError("no room"))
    states = {one.run_id: store.get(one.run_id).tags for one in (ours, theirs)}
    assert (states[ours.run_id]["grok.state"], states[ours.run_id]["grok.error"]) == ("failed", "MemoryError: no room")
    assert states[theirs.run_id]["grok.state"] == "running"
