"""Runs whose params were changed in the store: refused or named on every path, and no stand-in for their config."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from analysis.reading.evidence import Evidence
from grok.runs import train
from grok.runs.load import load_run
from grok.store import prior, sqlite
from grok.store.errors import StoreError
from grok.store.run import TrackedRun
from tests.bundle.conftest import call

pytestmark = pytest.mark.faults


def change(store: Any, run_id: str) -> None:
    """As somebody does by hand in the database."""
    with closing(sqlite3.connect(sqlite.path_of(store.uri))) as database:
        database.execute("UPDATE params SET value = '0.5' WHERE key = 'weight_decay' AND run_uuid = ?", (run_id,))
        database.commit()


def test_a_changed_run_is_refused_or_named_on_every_path(
    store: Any, tiny: Any, command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In one line each; nothing is trained, measured or counted under params that are not its own."""
    config = tiny(keep_states=(20,))
    done = train.train_tracked([config], store, tags={"study.headline": "grok"})[0].run_id
    other = train.train_tracked([tiny(seed=1)], store, tags={"study.headline": "grok"})[0].run_id
    change(store, done)
    monkeypatch.chdir(tmp_path)
    before = sorted(TrackedRun(store.client, done).walk())
    changed = "its params are not those that it was trained with: they were changed since"
    named = f"run must have the params of its config, got {done}, which stopped before, or whose params or code were changed"
    for words in (("--resume", done), ("--replay", done), ("--branch-from", done, "--at", "20", "--weight-decay", "0")):
        answer = command(*words)
        assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1), words
        assert named in answer.err, words
    answer = call("signals", "--run", done, "--workers", "1", "--signals", "lar")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert named in answer.err
    for words in (
        ("measure", "--what", "answers"),
        ("signals", "--study", "headline", "--workers", "1", "--signals", "lar"),
    ):
        answer = call(*words)
        assert (answer.status, answer.err.count("\n")) == (1, 1), words
        assert f"failed: {done}: {changed}" in answer.err, words
    with pytest.raises(StoreError, match="run must have the params of its config"):
        _ = load_run(done, store=store).config
    assert sorted(TrackedRun(store.client, done).walk()) == before
    assert list(Evidence(store).runs("headline")["run_id"]) == [other]
    assert dict(Evidence(store).left_out.set_index("run_id")["reason"])[done] == changed


def test_a_changed_run_does_not_stand_for_its_config(
    store: Any, tiny: Any, flags: Any, command: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The same command, and a study's, train it anew: reports would not count what they reused."""
    done = train.train_tracked([tiny()], store)[0].run_id
    assert command(*flags(tiny())).words["reused"] == "yes"
    change(store, done)
    answer = command(*flags(tiny()))
    assert (answer.status, answer.words["reused"], answer.words["state"]) == (0, "no", "complete")
    assert answer.words["run"] != done
    assert f"{done} is passed over: its params are not those that it was trained with" in caplog.text
    assert prior.find_prior(store, tiny()).run_id == answer.words["run"]


@pytest.mark.parametrize("left", [0, 100, -1])
def test_a_config_that_was_cut_short_is_written_again(store: Any, tiny: Any, left: int) -> None:
    epochs = iter(range(10_000))
    (stopped,) = train.train_tracked([tiny()], store, should_stop=lambda: next(epochs) == 40)
    path = Path(str(TrackedRun(store.client, stopped.run_id)._root)) / "config.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    (outcome,) = train.train_tracked([tiny()], store, resume=[stopped.run_id])
    assert (outcome.run_id, outcome.state) == (stopped.run_id, "complete")
    assert path.read_bytes() == whole


def test_a_config_of_a_finished_run_is_for_people(store: Any, tiny: Any, flags: Any, command: Any) -> None:
    """Its params are its config: no command reads the file, and numbers that are whole are not trained anew for it."""
    done = train.train_tracked([tiny()], store, tags={"study.headline": "grok"})[0].run_id
    (Path(str(TrackedRun(store.client, done)._root)) / "config.json").write_text("{")
    answer = command(*flags(tiny()))
    assert (answer.words["run"], answer.words["reused"]) == (done, "yes")
    assert list(Evidence(store).runs("headline")["run_id"]) == [done]
    assert load_run(done, store=store).config.hash == tiny().hash
    assert command("--replay", done).status == 0
