"""A server makes a run, dies before it says so, and is asked again: of the two one stays, whichever the answer was about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from grok.runs import study as studies
from grok.runs.fanout import Fanout
from grok.spec.studies import Cell, Study
from grok.store import lease
from grok.store.prior import find_prior
from grok.store.run import TrackedRun
from grok.store.store import Store
from tests.helpers.left import leave_files

pytestmark = pytest.mark.faults
DEAD = "1:0.00"
"""A process that is gone."""
Repeat = Callable[..., None]


@pytest.fixture
def server(store: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store as if it were on a server: no lock keeps others out."""
    monkeypatch.setattr(Store, "is_local", False)
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    return store


@pytest.fixture
def repeat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repeat]:
    """`repeat(answered)`: each request for a run is made twice, and the first or the second answered; none by None."""
    right = MlflowClient.create_run

    def set_up(answered: int | None) -> None:
        def create_run(self: Any, *words: Any, **named: Any) -> Any:
            made = [right(self, *words, **named, start_time=1) for _ in range(2)]  # the request says when
            if answered is None:
                raise MlflowException("API request failed: Max retries exceeded")
            return made[answered]

        monkeypatch.setattr(MlflowClient, "create_run", create_run)

    yield set_up
    monkeypatch.setattr(MlflowClient, "create_run", right)


def study(config: Any) -> Study:
    return Study("own/one", "One.", "ours", (Cell("grok", config),))


def ghost(store: Any, of: str) -> str:
    """A run with the tags that a run was made with, of a process that is dead; its id."""
    kept = {name: text for name, text in store.get(of).tags.items() if not name.startswith("grok.progress_")}
    return str(
        store.client.create_run(store.experiment_id, tags=kept | {"grok.state": "running", "grok.process": DEAD}).info.run_id
    )


def ids(runs: list[Any]) -> list[str]:
    return [run.run_id for run in runs]


@pytest.mark.parametrize("answered", [0, 1])
@pytest.mark.parametrize("forced", [False, True])
def test_of_a_run_that_was_made_twice_by_one_request_one_stays(
    server: Any, tiny: Any, repeat: Repeat, answered: int, forced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    repeat(answered)
    one = (lease.make if forced else lease.take)(server, tiny())
    assert len(server.prior(tiny())) == 2
    assert lease.settled(server, [one]) == [True]
    assert ids(server.prior(tiny())) == [one.run_id]
    assert "is taken away: it was begun, and nothing was logged in it." in caplog.text


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("answered", [0, 1])
def test_of_a_study_that_was_begun_twice_by_one_request_one_parent_stays(
    server: Any, tiny: Any, repeat: Repeat, answered: int, forced: bool
) -> None:
    repeat(answered)
    parent = studies.open_parent(server, study(tiny()), force=forced)
    assert ids(server.find({"kind": "study"})) == [parent.run_id]


def test_runs_whose_request_got_no_answer_are_gone_on_with_by_the_next_command(server: Any, tiny: Any, repeat: Repeat) -> None:
    repeat(None)
    with pytest.raises(MlflowException):
        lease.take(server, tiny())
    with pytest.raises(MlflowException):
        studies.open_parent(server, study(tiny()), force=False)
    left = server.prior(tiny())
    parents = server.find({"kind": "study"})
    assert (len(left), len(parents)) == (2, 2)
    for run in [*left, *parents]:
        server.client.set_tag(run.run_id, "grok.process", DEAD)
    one = lease.take(server, tiny())
    assert not one.made
    assert ids(server.prior(tiny())) == [one.run_id]
    assert one.run_id in ids(left)
    parent = studies.open_parent(server, study(tiny()), force=False)
    assert ids(server.find({"kind": "study"})) == [parent.run_id]


@pytest.mark.parametrize("state", ["complete", "interrupted"])
def test_a_run_that_came_late_goes_when_its_config_is_asked_for_again(store: Any, tiny: Any, state: str) -> None:
    """Also where it is the newest: what has something logged is gone on with."""
    one = lease.take(store, tiny())
    leave_files(TrackedRun(store.client, one.run_id), tiny())
    TrackedRun(store.client, one.run_id).end(state)
    ghost(store, one.run_id)
    assert len(store.prior(tiny())) == 2
    found = find_prior(store, tiny())
    assert found is not None
    assert (found.run_id, found.state) == (one.run_id, state)
    assert ids(store.prior(tiny())) == [one.run_id]


def test_a_study_that_is_asked_for_again_takes_away_what_came_late(store: Any, tiny: Any) -> None:
    one = lease.take(store, tiny(), tags={"study.own/one": "grok"})
    leave_files(TrackedRun(store.client, one.run_id), tiny())
    TrackedRun(store.client, one.run_id).end("complete")
    ghost(store, one.run_id)
    parent = studies.open_parent(store, study(tiny()), force=False)
    studies.run_study(study(tiny()), store, Fanout("sequential"), parent=parent)
    parent.end("complete")
    ghost(store, parent.run_id)
    assert (len(store.prior(tiny())), len(store.find({"kind": "study"}))) == (1, 2)
    assert studies.open_parent(store, study(tiny()), force=False).run_id == parent.run_id
    assert ids(store.find({"kind": "study"})) == [parent.run_id]


@pytest.mark.parametrize(
    "kept",
    [
        {"grok.process": ""},  # filled in: a process that lives
        {"grok.host": "elsewhere", "grok.heartbeat": "9999999999"},
        {"mlflow.project.entryPoint": "train"},
        {"param": "1"},
    ],
    ids=["alive", "elsewhere", "mlflow run", "logged"],
)
def test_what_may_be_somebodys_stays(store: Any, tiny: Any, kept: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    one = lease.take(store, tiny())
    leave_files(TrackedRun(store.client, one.run_id), tiny())
    TrackedRun(store.client, one.run_id).end("complete")
    other = ghost(store, one.run_id)
    if "grok.process" in kept:
        monkeypatch.setattr("grok.store.alive.is_process", lambda name: True)
    monkeypatch.setattr("grok.store.alive.STALE_S", 1e10)
    for name, text in kept.items():
        if name == "param":
            store.client.log_param(other, "seed", "0")
        elif text:
            store.client.set_tag(other, name, text)
    assert find_prior(store, tiny()).run_id == one.run_id
    assert sorted(ids(store.prior(tiny()))) == sorted([one.run_id, other])


def test_what_a_server_does_not_let_us_delete_is_ended_and_not_gone_on_with(
    store: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = lease.take(store, tiny())
    leave_files(TrackedRun(store.client, one.run_id), tiny())
    TrackedRun(store.client, one.run_id).end("interrupted")
    other = ghost(store, one.run_id)

    def delete_run(self: Any, run_id: str) -> None:
        raise MlflowException("API request failed with error code 403 != 200. Response body: 'Permission denied'")

    monkeypatch.setattr(MlflowClient, "delete_run", delete_run)
    for _ in range(2):
        assert find_prior(store, tiny()).run_id == one.run_id
        assert (store.get(other).state, store.get(other).status) == ("failed", "FAILED")
