"""Runs whose process, files, params or clock were tampered with: one trains, nothing is doubled, nothing altered is used."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from analysis.reading.evidence import Evidence
from grok.runs import study as studies
from grok.runs import train
from grok.runs.fanout import Fanout
from grok.spec.studies import Cell, Study
from grok.store import alive, lease, prior, sqlite
from grok.store.errors import BusyError, StoreError
from grok.store.files import CheckpointError, load, save
from grok.store.run import TrackedRun
from grok.store.store import Store
from tests.conftest import PROJECT

pytestmark = pytest.mark.faults


def stopped(store: Any, config: Any, at: int = 40) -> str:
    """A run that was interrupted, with a state to go on from."""
    epochs = iter(range(10_000))
    (outcome,) = train.train_tracked([config], store, should_stop=lambda: next(epochs) == at)
    assert outcome.state == "interrupted"
    return str(outcome.run_id)


def state_of(store: Any, run_id: str) -> Path:
    (path,) = TrackedRun(store.client, run_id).list_files("resume")
    root = TrackedRun(store.client, run_id)._root
    assert root is not None
    return root / path


def doubled(store: Any, run_id: str) -> list[str]:
    """Metrics that have a step twice."""
    found = []
    for name in store.get(run_id).metrics:
        steps = [metric.step for metric in store.client.get_metric_history(run_id, name)]
        found += [name] if len(steps) != len(set(steps)) else []
    return found


# one process trains


def test_a_second_command_is_told_while_the_first_trains(
    store: Any, tiny: Any, flags: Any, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command, and `--resume`, on a run that a command has under way: neither touches it."""
    from entry_points.progress import EpochBar

    run_id, told = stopped(store, tiny()), []
    right = EpochBar.update

    def ask(bar: Any, epoch: int, metrics: Any) -> None:
        if not told:
            for attempt in (lambda: lease.take(store, tiny()), lambda: lease.take_named(store, run_id)):
                with pytest.raises(BusyError) as caught:
                    attempt()
                told.append(str(caught.value))
        right(bar, epoch, metrics)

    monkeypatch.setattr(EpochBar, "update", ask)
    done = command(*flags(tiny()))
    assert (done.status, done.words["run"], done.words["state"]) == (0, run_id, "complete")
    assert [run_id in line for line in told] == [True, True]
    assert doubled(store, run_id) == []


def test_a_command_whose_run_was_taken_over_leaves_it_and_says_so(
    store: Any, tiny: Any, flags: Any, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from entry_points.progress import EpochBar

    right = EpochBar.update

    def steal(bar: Any, epoch: int, metrics: Any) -> None:
        (run,) = store.prior(tiny())
        store.client.set_tag(run.run_id, "grok.claim", "another")
        right(bar, epoch, metrics)

    monkeypatch.setattr(EpochBar, "update", steal)
    done = command(*flags(tiny()))
    (run,) = store.prior(tiny())
    assert (done.status, done.out) == (1, "")
    assert done.err == f"error: run must be trained by one process, got {run.run_id}, which another took over. Wait for it.\n"
    assert (run.state, run.get("error")) == ("running", "")


def test_of_two_new_commands_on_a_server_the_later_gives_way(
    store: Any, tiny: Any, flags: Any, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "is_local", False)
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    first = lease.make(store, tiny())  # neither saw the other's
    monkeypatch.setattr(lease, "find_prior", lambda *arguments: None)
    done = command(*flags(tiny()))
    assert (done.status, done.out) == (2, "")
    assert "run must not be trained twice at once" in done.err
    assert [run.run_id for run in store.prior(tiny())] == [first.run_id]


def test_a_run_that_mlflow_run_made_and_that_gives_way_becomes_a_pointer(
    store: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "is_local", False)
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    first = lease.make(store, tiny())
    made = store.client.create_run(store.experiment_id, tags={"mlflow.project.entryPoint": "train"}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", made)
    store.client.update_run(made)
    monkeypatch.setattr(lease, "find_prior", lambda *arguments: None)
    second = lease.take(store, tiny())
    holds = {one.run_id: lease.settled(store, [one])[0] for one in (first, second)}
    assert sorted(holds.values()) == [False, True]
    if not holds[made]:
        assert store.get(made).get("points_to") == first.run_id


def test_parents_of_one_study_made_at_once_on_a_server_are_one(store: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study("own/one", "One.", "ours", (Cell("grok", tiny()),))
    first = studies.open_parent(store, study, force=False)
    monkeypatch.setattr(Store, "is_local", False)
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    seen: list[int] = []
    right = Store.find

    def blind(self: Any, filters: Any) -> Any:
        seen.append(1)
        return [] if len(seen) == 1 else right(self, filters)  # it looked before the other's was there

    monkeypatch.setattr(Store, "find", blind)
    second = studies.open_parent(store, study, force=False)
    assert second.run_id == first.run_id
    assert len(right(store, {"kind": "study"})) == 1


def start(store: Any, words: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"MLFLOW_TRACKING_URI": store.uri, "MLFLOW_EXPERIMENT_NAME": "tests", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "entry_points.train", *words],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("new", [True, False], ids=["new", "stopped"])
def test_of_four_commands_at_once_one_trains(store: Any, tiny: Any, flags: Any, new: bool) -> None:
    config = tiny(epochs=4000, checkpoint_epochs=(4000,), observe_every=0)
    before = None if new else stopped(store, config)
    processes = [start(store, flags(config)) for _ in range(4)]
    answers = [process.communicate() for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 2, 2, 2], answers
    (run,) = store.prior(config)
    assert before in (None, run.run_id)
    assert (run.state, run.status, doubled(store, run.run_id)) == ("complete", "FINISHED", [])
    assert all("run must not be trained twice at once" in err for out, err in answers if not out)


# who lives


def test_a_clock_that_is_set_kills_nobody(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process's birth by the wall clock moves with it: the name of a process does not."""
    run = store.create("alive", {"kind": "train"})
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        run.set_tags({"process": alive.process_name(child.pid)})
        born = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: born(self) + 5)
        monkeypatch.setattr(alive.time, "time", lambda: time.monotonic() - 10**6)
        assert alive.is_alive(store.get(run.run_id))
        assert alive.process_name(child.pid) == store.get(run.run_id).get("process")
        child.send_signal(signal.SIGSTOP)  # longer than any time-out: it lives
        assert alive.is_alive(store.get(run.run_id))
        pid, ticks, boot = alive.process_name(child.pid).split(":")
        for name in (f"{pid}:{int(ticks) - 100}:{boot}", f"{pid}:{ticks}:{boot[::-1]}", "x:1:y", f"{10**30}:1:2", ""):
            run.set_tags({"process": name})
            assert not alive.is_alive(store.get(run.run_id)), name
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("heartbeat", ["nonsense", "", "inf", "nan"])
def test_a_heartbeat_that_is_no_time_is_no_sign_of_life(store: Any, heartbeat: str) -> None:
    run = store.create("afar", {"kind": "train"})
    run.set_tags({"host": "elsewhere", "heartbeat": heartbeat})
    assert not alive.is_alive(store.get(run.run_id))


# states and files


@pytest.mark.parametrize("part", ["tensors", "header", "facts", "cut"])
def test_a_state_that_was_altered_is_passed_over_and_said(
    store: Any, session_store: Any, tiny: Any, contents: Any, finished: Any, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = stopped(store, tiny())
    path = state_of(store, run_id)
    whole = bytearray(path.read_bytes())
    place = {"tensors": len(whole) - 999, "header": whole.index(b"network/w"), "facts": whole.index(b"elapsed_s") + 2, "cut": 0}
    whole[place[part]] ^= 1
    path.write_bytes(whole if part != "cut" else whole[:-10])
    (outcome,) = train.train_tracked([tiny()], store, resume=[run_id])
    assert (outcome.run_id, outcome.state) == (run_id, "complete")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "grok"]
    assert re.match(rf"{run_id} resume/epoch-\d+\.safetensors is passed over: checkpoint must ", line)
    expected = contents(finished.store, finished.outcome.run_id)
    found = contents(store, run_id)
    assert found.metrics == expected.metrics
    for name, array in expected.arrays.items():
        assert (found.arrays[name] == array).all() or (array != array).any(), name


def test_a_state_that_does_not_fit_is_dropped_and_the_next_command_begins_anew(store: Any, tiny: Any) -> None:
    run_id = stopped(store, tiny())
    path = state_of(store, run_id)
    tensors, facts = load(path)
    save(path, {name: tensor for name, tensor in tensors.items() if name != "network/w"}, facts)
    with pytest.raises(CheckpointError, match=r"state must be that of the run's config, got .*It is dropped: repeat"):
        train.train_tracked([tiny()], store, resume=[run_id])
    (outcome,) = train.train_tracked([tiny()], store, resume=[run_id])
    assert outcome.state == "complete"
    assert doubled(store, run_id) == []


def test_states_of_earlier_versions_have_no_checksum_and_are_read(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"x": torch.ones(3)}, tmp_path / "old.safetensors", metadata={"facts": json.dumps({"epoch": 3})})
    tensors, facts = load(tmp_path / "old.safetensors")
    assert (tensors["x"].tolist(), facts) == ([1.0, 1.0, 1.0], {"epoch": 3})


def test_a_run_whose_process_died_between_its_last_calls_is_finished_when_next_seen(
    store: Any, tiny: Any, flags: Any, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As SIGKILL: nothing is done about it."""

    def die(*arguments: Any, **named: Any) -> None:
        raise Killed

    monkeypatch.setattr(TrackedRun, "drop_states", die)
    monkeypatch.setattr(train, "_mark_failed", lambda *arguments: None)
    config = tiny(save_every=0)
    with pytest.raises(Killed):
        train.train_tracked([replace(config)], store)
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    (run,) = store.prior(config)
    assert (run.state, run.status) == ("complete", "RUNNING")
    assert run.get("heartbeat")
    study = Study("own/one", "One.", "ours", (Cell("grok", config),))
    parent = studies.open_parent(store, study, force=False)
    (result,) = studies.run_study(study, store, Fanout("sequential"), parent=parent)
    assert result.reused
    assert (store.get(run.run_id).status, store.get(run.run_id).get("heartbeat")) == ("FINISHED", "")
    store.client.update_run(run.run_id, status="RUNNING")
    root = TrackedRun(store.client, run.run_id)._root
    assert root is not None
    (root / "resume").mkdir(exist_ok=True)
    (root / "resume" / "epoch-00060.safetensors").write_bytes(b"left")
    done = command(*flags(config))
    assert (done.status, done.words["reused"]) == (0, "yes")
    assert store.get(run.run_id).status == "FINISHED"
    assert not (root / "resume").exists()


def test_runs_that_a_killed_analysis_left_are_ended(store: Any) -> None:
    left = store.create("report", {"kind": "analysis"})
    left.set_tags({"process": "1:1.00"})
    mine = store.create("report", {"kind": "analysis"})
    prior.reap(store, "analysis")
    assert (store.get(left.run_id).status, store.get(mine.run_id).status) == ("FAILED", "RUNNING")


def test_files_of_a_model_that_was_half_copied_go(store: Any, tiny: Any) -> None:
    run_id = stopped(store, tiny())
    left = store.client.create_logged_model(store.experiment_id, name="network", source_run_id=run_id)
    place = Path(left.artifact_location.removeprefix("file://"))
    place.mkdir(parents=True)
    (place / "MLmodel").write_text("half")
    train.train_tracked([tiny()], store, resume=[run_id])
    assert not place.parent.exists()
    (model,) = store.get(run_id).outputs.model_outputs
    assert Path(store.client.get_logged_model(model.model_id).artifact_location.removeprefix("file://")).exists()


# what a study keeps, and params


@pytest.mark.parametrize("text", ["", '{"name": "own', "[" * 100_000, "\xff"])
def test_a_grid_that_is_not_whole_is_written_anew(store: Any, tiny: Any, text: str, caplog: pytest.LogCaptureFixture) -> None:
    study = Study("own/one", "One.", "ours", (Cell("grok", tiny()),))
    parent = studies.open_parent(store, study, force=False)
    assert parent._root is not None
    (parent._root / "grid.json").write_text(text, encoding="latin-1")
    assert studies.open_parent(store, study, force=False).run_id == parent.run_id
    assert json.loads((parent._root / "grid.json").read_text())["name"] == "own/one"
    assert "grid.json of" in caplog.text
    assert "is not whole" in caplog.text


def test_a_forced_study_whose_list_of_older_runs_is_cut_still_passes_them_over(store: Any, tiny: Any) -> None:
    old = lease.take(store, tiny())
    TrackedRun(store.client, old.run_id).end("complete")
    time.sleep(0.01)
    study = Study("own/one", "One.", "ours", (Cell("grok", tiny()),))
    parent = studies.open_parent(store, study, force=True)
    assert parent._root is not None
    (parent._root / "older_runs.json").write_text('["')
    assert studies._older(study, store, parent) == {old.run_id}
    assert json.loads((parent._root / "older_runs.json").read_text()) == [old.run_id]


def test_an_edited_param_is_neither_counted_nor_gone_on_with(store: Any, tiny: Any, flags: Any, command: Any) -> None:
    done = train.train_tracked([tiny()], store, tags={"study.headline": "grok"})[0].run_id
    run_id = stopped(store, tiny(seed=1))
    assert list(Evidence(store).runs("headline")["run_id"]) == [done]
    with closing(sqlite3.connect(sqlite.path_of(store.uri))) as database:
        database.execute("UPDATE params SET value = '0.5' WHERE key = 'weight_decay'")
        database.commit()
    left_out = Evidence(store).left_out.set_index("run_id")["reason"]
    assert left_out[done] == "its params are not those that it was trained with: they were changed since"
    with pytest.raises(StoreError, match="whose params or code were changed since"):
        prior.run_config(store.get(run_id))
    answer = command("--resume", run_id)
    assert (answer.status, answer.out) == (2, "")
    assert "whose params or code were changed since" in answer.err


EDITS = {
    "a value": "UPDATE params SET value = '0.5' WHERE key = 'weight_decay'",
    "no value": "UPDATE params SET value = 'much' WHERE key = 'weight_decay'",
    "no value of one that is in no hash": "UPDATE params SET value = 'much' WHERE key = 'signal_every'",
    "none left": "DELETE FROM params",
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_stopped_run_whose_params_were_edited_is_passed_over(
    store: Any, tiny: Any, caplog: pytest.LogCaptureFixture, edit: str
) -> None:
    """A command and a study train its config anew, and the next ones find what they trained."""
    run_id = stopped(store, tiny())
    with closing(sqlite3.connect(sqlite.path_of(store.uri))) as database:
        assert database.execute(EDITS[edit]).rowcount
        database.commit()
    before = sorted(TrackedRun(store.client, run_id).walk())
    study = Study("own/one", "One.", "ours", (Cell("grok", tiny()),))
    for reused in (False, True):
        (result,) = studies.run_study(study, store, Fanout("sequential"), parent=studies.open_parent(store, study, force=False))
        assert (result.state, result.reused, result.error) == ("complete", reused, "")
        assert result.run_id != run_id
    assert f"{run_id} is passed over: its params are" in caplog.text
    assert store.get(run_id).state == "interrupted"
    assert sorted(TrackedRun(store.client, run_id).walk()) == before
    assert list(Evidence(store).runs("own/one")["run_id"]) == [result.run_id]


@pytest.mark.parametrize("state", ["interrupted", "complete"])
def test_an_edited_run_takes_nothing_from_a_new_one_on_a_server(
    store: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """A server keeps nobody out: of rivals for one config the first stays, and an edited run is none."""
    first = lease.take(store, tiny()).run
    TrackedRun(store.client, first).log_config(replace(tiny(), weight_decay=0.5))
    TrackedRun(store.client, first).end(state)
    monkeypatch.setattr(Store, "is_local", False)
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    second = lease.take(store, tiny())
    assert second.made
    assert lease.settled(store, [second]) == [True]


def test_a_run_that_is_edited_while_it_trains_is_waited_for(store: Any, tiny: Any) -> None:
    held = lease.take(store, tiny()).run
    TrackedRun(store.client, held).log_config(replace(tiny(), weight_decay=0.5))
    with pytest.raises(BusyError, match=held.run_id):
        lease.take(store, tiny())


# code of somebody's own


def test_code_that_a_store_names_is_loaded_only_where_it_is_trusted(
    store: Any, tiny: Any, flags: Any, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "theirs"
    (folder / "evil").mkdir(parents=True)
    ran = f"with open({str(tmp_path / 'ran')!r}, 'a') as ran: ran.write('{{}}')\n"
    (folder / "evil" / "__init__.py").write_text(ran.format("package "))
    (folder / "evil" / "sigma.py").write_text(ran.format("x") + "def f(h): return h * h\n")
    monkeypatch.syspath_prepend(str(folder))
    config = tiny(activation="evil.sigma:f")
    assert config.own_sources()["activation"] == folder / "evil" / "sigma.py"
    assert not (tmp_path / "ran").exists()  # its identity is known, and nothing of it was run
    one = lease.make(store, config)
    TrackedRun(store.client, one.run).log_config(config)
    TrackedRun(store.client, one.run_id).end("interrupted")
    for flag in ("--resume", "--replay"):
        done = command(flag, one.run_id)
        assert (done.status, done.out) == (2, "")
        assert "activation evil.sigma:f in" in done.err
        assert "--trust-code" in done.err
    assert one.run_id in set(Evidence(store).left_out["run_id"])
    assert not (tmp_path / "ran").exists()
    done = command("--resume", one.run_id, "--trust-code")
    assert (done.status, done.words["state"]) == (0, "complete")
    assert (tmp_path / "ran").read_text() == "package x"
    assert command("--trust-code").status == 2
    shutil.rmtree(folder)
