"""A campaign that was stopped goes on from its file, and from no other's."""

from __future__ import annotations

import json
import math
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.record import code_version
from grok.store import sqlite
from tests.faults import altered, campaign, outcome
from tests.faults import world as world_module
from tests.faults.outcome import content, half_written, same, saved_epochs
from tests.faults.tries import Try, earlier, keep, planned, read, table
from tests.faults.world import USUAL, Missed, World

KINDS = ["a", "b", "c"]


def test_each_kind_is_tried_as_often_in_an_order_of_the_seed() -> None:
    chosen = planned(0, 9, KINDS)
    assert Counter(chosen) == {"a": 3, "b": 3, "c": 3}
    assert chosen == planned(0, 9, KINDS) != planned(1, 9, KINDS)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A campaign of three kinds whose fourth try does not survive; the numbers of the tries that were made."""
    done = list[int]()

    def tries(folder: Path, seed: int, chosen: list[str], numbers: Sequence[int]) -> Iterator[Try]:
        for number in numbers:
            done.append(number)
            yield Try(
                chosen[number], number != 3, "" if number != 3 else "lost a run", 2.0, 4.0, number=number, code=code_version()
            )

    monkeypatch.setattr(campaign, "FAULTS", dict.fromkeys(KINDS, None))
    monkeypatch.setattr(campaign, "SERVED", {})
    monkeypatch.setattr(campaign, "campaign", tries)
    return done


def test_a_stopped_campaign_goes_on_where_it_was(tmp_path: Path, made_up: list[int], capsys: Any) -> None:
    out = tmp_path / "tries.json"
    words = ["--tries", "6", "--out", str(out)]
    assert campaign.main(words) == 1  # the fourth did not survive
    content = json.loads(out.read_text(encoding="utf-8"))
    assert (content["survived"], len(content["tries"])) == (5, 6)
    out.write_text(json.dumps(content | {"tries": content["tries"][:2]}), encoding="utf-8")
    assert campaign.main(words) == 1
    assert made_up == [0, 1, 2, 3, 4, 5, 2, 3, 4, 5]
    assert "| all | 6 | 5 | 0 | | |" in capsys.readouterr().out
    assert campaign.main(["--seed", "1", *words]) == 2
    assert "out must be of the same seed" in capsys.readouterr().err
    content["tries"][0]["code"] = "another"
    out.write_text(json.dumps(content), encoding="utf-8")
    assert campaign.main(words) == 2
    assert "out must be of this version of the code" in capsys.readouterr().err
    assert len(made_up) == 10


def test_parts_make_a_campaign(tmp_path: Path, made_up: list[int], capsys: Any) -> None:
    one, two, out = (tmp_path / name for name in ("1.json", "2.json", "all.json"))
    assert campaign.main(["--tries", "6", "--part", "1/2", "--out", str(one)]) == 0
    assert campaign.main(["--tries", "6", "--join", str(one), "--out", str(out)]) == 2
    assert "join must have each of 6 tries of a seed once, got 3" in capsys.readouterr().err
    assert not out.exists()
    assert campaign.main(["--tries", "6", "--part", "2/2", "--out", str(two)]) == 1
    assert made_up == [0, 2, 4, 1, 3, 5]
    assert campaign.main(["--tries", "6", "--join", str(two), str(one), "--out", str(out)]) == 1
    assert [found.number for found in read(out)] == [0, 1, 2, 3, 4, 5]
    assert "| all | 6 | 5 | 0 | | |" in capsys.readouterr().out
    content = json.loads(two.read_text(encoding="utf-8"))
    content["tries"][0]["code"] = "another"
    two.write_text(json.dumps(content), encoding="utf-8")
    assert campaign.main(["--tries", "6", "--join", str(one), str(two)]) == 2
    assert "join must have tries of one version of the code" in capsys.readouterr().err


def test_the_table_tells_what_a_fault_costs(tmp_path: Path) -> None:
    tries = [
        Try("a", True, "", 1.0, 4.0, 1, 0.9, number=0, code=code_version()),
        Try("b", False, "x", 8.0, 8.0, 3, 0.0, number=1, code=code_version()),
        Try("a", True, "", 6.0, 8.0, 2, 0.4, number=2, code=code_version()),
        Try("b", False, "no servers", number=3, code=code_version()),
    ]
    keep(tmp_path / "out.json", "--seed 0", ["c"], tries)
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (content["not_tried"], content["tries"][3]["kept"]) == (["c"], None)
    assert table(earlier(tmp_path / "out.json", range(4), ["a", "b", "a", "b"])) == table(tries)
    assert earlier(None, [0], ["a"]) == earlier(tmp_path / "none.json", [0], ["a"]) == []
    told = ["| a | 2 | 2 | 2 | 0.40 | 0.50 |", "| b | 2 | 0 | 3 | 0.00 | 1.00 |", "| all | 4 | 2 | 3 | | |"]
    assert table(tries).splitlines()[2:] == told


def test_a_fault_that_comes_too_late_is_tried_at_another_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = list[float]()

    def fault(world: World, rng: random.Random) -> None:
        moments.append(rng.random())
        if len(moments) < 3:
            raise Missed
        raise AssertionError("here it is")

    monkeypatch.setattr(campaign, "FAULTS", {"late": fault})
    monkeypatch.setattr(campaign, "_keep_the_store", lambda world: None)
    template = tmp_path / "template.db"
    sqlite.make(template)
    found = campaign.attempt("late", random.Random(0), template, tmp_path / "try", {}, USUAL)
    assert (found.survived, found.missed, found.why) == (False, 2, "AssertionError: here it is")
    assert len(set(moments)) == 3
    monkeypatch.setattr(campaign, "FAULTS", {"late": lambda world, rng: (_ for _ in ()).throw(Missed())})
    found = campaign.attempt("late", random.Random(0), template, tmp_path / "again", {}, USUAL)
    assert (found.survived, found.why) == (False, "nothing was left to disturb at 6 moments")


def test_statuses_and_hanging_commands_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_module, "LIMIT_S", 0.2)
    world = World(tmp_path / "store")
    words = [sys.executable, "-c"]
    ends = [subprocess.Popen([*words, f"raise SystemExit({status})"], text=True) for status in (0, 3)]
    world.ends_well(*ends) if all(end.wait() is not None for end in ends) else None
    assert world.noted == ["exit statuses [0, 3] of commands that were to go on"]
    hung = subprocess.Popen([*words, "import time; time.sleep(60)"], text=True, start_new_session=True)
    assert world.end(hung) == [-9]
    assert world.noted[1] == "a command hung for 0.2 s"
    with pytest.raises(Missed):
        world.at(subprocess.Popen([*words, ""], text=True), 60)


def test_two_contents_are_the_same_to_the_last_bit() -> None:
    frame = pd.DataFrame({"x": [1.0, math.nan]})
    one: dict[str, Any] = {
        "a.npz": {"w": np.array([1.0, np.nan])},
        "b.parquet": frame,
        "c.json": "{}",
        "metrics": {"m": math.nan},
    }
    assert same(one, {**one, "b.parquet": frame.copy()})
    for name, other in {
        "a.npz": {"w": np.array([np.nextafter(1.0, 2.0), np.nan])},
        "b.parquet": frame.iloc[:1],
        "c.json": "{ }",
        "metrics": {"m": 0.0},
    }.items():
        assert not same(one, one | {name: other})
    assert not same({"w": np.zeros(2)}, {"w": np.zeros(2, dtype=np.float32)})


def test_a_file_that_is_not_whole_is_seen(tmp_path: Path) -> None:
    world = World(tmp_path / "store")
    place = world.folder / "mlruns"
    place.mkdir(parents=True)
    whole = place / "a.png"
    whole.write_bytes(b"picture" + outcome.END_OF_PNG)
    assert content(whole)
    whole.write_bytes(b"picture" + outcome.END_OF_PNG[:-1])
    assert not content(whole)
    assert half_written(world) == []
    (place / ".band.npz.partial").write_text("")
    assert half_written(world) == [".band.npz.partial"]


def test_counting_what_is_saved_leaves_a_database_as_it_is(tmp_path: Path) -> None:
    world = World(tmp_path / "store")
    world.folder.mkdir()
    assert saved_epochs(world) == 0  # there is none yet
    sqlite3.connect(world.folder / "mlflow.db").close()
    for name in ("mlflow.db", "mlflow.db-journal"):
        (world.folder / name).write_bytes(b"half made")
    assert saved_epochs(world) == 0
    assert {path.name: path.read_bytes() for path in world.folder.iterdir()} == dict.fromkeys(
        ("mlflow.db", "mlflow.db-journal"), b"half made"
    )


def test_a_config_of_a_finished_run_stays_as_it_was_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "store")
    for run in "ab":
        root = world.folder / "mlruns" / "1" / run / "artifacts"
        root.mkdir(parents=True)
        (root / "config.json").write_text("{}")
    made = sqlite3.connect(world.folder / "mlflow.db")
    made.execute("create table runs (run_uuid, artifact_uri, lifecycle_stage)")
    made.execute("create table tags (run_uuid, key, value)")
    for run, state in (("a", "complete"), ("b", "running")):
        made.execute("insert into runs values (?, ?, 'active')", (run, str(world.folder / "mlruns" / "1" / run / "artifacts")))
        made.executemany("insert into tags values (?, ?, ?)", [(run, "grok.kind", "train"), (run, "grok.state", state)])
    made.commit()
    made.close()
    monkeypatch.setattr(altered, "disturbed", lambda world, rng: subprocess.Popen([sys.executable, "-c", ""], text=True))
    altered.altered("config.json", altered.cut)(world, random.Random(0))
    assert world.beside == {world.folder / "mlruns" / "1" / "a" / "artifacts" / "config.json"}
    assert all(len(path.read_bytes()) < 2 for path in world.folder.rglob("config.json"))
