"""A store that is shared with other tools: every command passes over their runs, and answers as it does without them."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from analysis import papers
from analysis.bundle import layout
from benchmarks import foreign
from grok.store import moved, sqlite
from grok.store.store import open_store
from tests.bundle.conftest import call
from tests.frozen.configs import CONFIGS, STUDY
from tests.frozen.conftest import own  # noqa: F401
from tests.frozen.frozen_store import Frozen
from tests.frozen.make_store import SENSITIVITY

pytestmark = pytest.mark.faults
COUNT = 120
"""Ten shapes, in eleven experiments."""
PASSED_OVER = f"Passed over: {COUNT} runs of other tools, which have no tag grok.kind.\n"
CHANGING = re.compile(r"seconds=\S+|bytes=\S+|\d+ s\b|(?<=analysis/)\S+|run=\S+|runs/\S+|Look: .*|about \d+ min.*")
LEFT_OUT = re.compile(r"left_out=(\d+)")


def answers(folder: Path, frozen: Frozen, flags: Callable[..., Any]) -> dict[str, tuple[int, str, str]]:
    """Status, result and what else is said of every command that a person repeats, by command."""
    shutil.rmtree(folder, ignore_errors=True)
    out: dict[str, tuple[int, str, str]] = {}
    for entry, *words in (
        ("train", *flags(CONFIGS["complete"])),
        ("study", "--study", STUDY, "--plan"),
        ("study", "--study", STUDY, "--backend", "sequential"),
        ("signals", "--study", STUDY, "--signals", "gap", "--epochs", "24", "--workers", "1"),
        ("measure", "--study", STUDY, "--what", "onset"),
        ("sensitivity", *SENSITIVITY),
        ("analyze", "--study", "headline", "--out", str(folder / "report")),
        ("export", "--study", "headline", "--out", str(folder / "bundle")),
    ):
        answer = call(entry, *words)
        assert "Traceback" not in answer.err
        out[f"{entry} {len(out)}"] = answer.status, CHANGING.sub("", answer.out), CHANGING.sub("", answer.err)
    return out


def test_every_command_answers_as_without_them(
    own: Frozen,  # noqa: F811
    flags: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(papers, "PANELS", ())
    answers(tmp_path / "first", own, flags)  # what measures or computes does it once
    alone = answers(tmp_path / "out", own, flags)
    assert {name: status for name, (status, _, _) in alone.items()} == dict.fromkeys(alone, 0), alone
    report = (tmp_path / "out" / "report" / "claims.json").read_bytes()
    bundle = layout.entries(tmp_path / "out" / "bundle")
    foreign.fill(own.folder / "mlflow.db", COUNT)
    beside = answers(tmp_path / "out", own, flags)
    told = {name.split()[0] for name, (_, _, err) in beside.items() if PASSED_OVER in err}
    assert told == {"analyze", "export"}
    for name, (status, out, err) in beside.items():
        assert (status, out, err.replace(PASSED_OVER, "")) == alone[name], name
    assert (tmp_path / "out" / "report" / "claims.json").read_bytes() == report
    assert layout.entries(tmp_path / "out" / "bundle") == bundle
    for name, text in (("grok.kind", "train"), ("grok.study.headline", "<b>grok</b>"), ("grok.config_hash", "x" * 9000)):
        own.store.client.set_tag(f"{0:032x}", name, text[:8000])
    answer = call("analyze", "--study", "headline", "--out", str(tmp_path / "out" / "report"))
    assert answer.status == 0, answer.err
    assert PASSED_OVER.replace(str(COUNT), str(COUNT - 1)) in answer.err
    left_out = [LEFT_OUT.search(text)[1] for text in (alone["analyze 6"][1], answer.out)]  # type: ignore[index]
    assert int(left_out[1]) == int(left_out[0]) + 1
    named = [
        path
        for path in (tmp_path / "out" / "report").rglob("*")
        if path.is_file() and f"{0:032x}".encode() in path.read_bytes()
    ]
    assert named


def test_where_other_tools_keep_their_files_is_no_matter_of_ours(store: Any, tmp_path: Path) -> None:
    """An experiment whose files are on another machine, or nowhere, makes no store that was moved; one of ours does."""
    path = sqlite.path_of(store.uri)
    store.create("ours", {"kind": "train"})
    with closing(sqlite3.connect(path)) as database:
        columns = "experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time"
        for number, place in enumerate(("file:///home/ann/mlruns/7", "", None), start=70):
            database.execute(
                f"INSERT INTO experiments ({columns}) VALUES (?, ?, ?, 'active', 0, 0)", (number, f"n{number}", place)
            )
        database.commit()
    with pytest.raises(Exception, match="experiments must have a place for their files, got none for experiment 71"):
        open_store()  # empty: whose they are cannot be told
    for number in (70, 71, 72):
        with closing(sqlite3.connect(path)) as database:
            given = (f"{number:032x}", "theirs", "FINISHED", 1, "active", "file:///home/ann/mlruns/7/x/artifacts", number)
            columns = "run_uuid, name, status, start_time, lifecycle_stage, artifact_uri, experiment_id"
            database.execute(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", given)
            database.commit()
    assert open_store().strangers() == 3
    assert moved.rebase(path) == ([], 0)
    store.client.set_tag(f"{70:032x}", "grok.kind", "train")
    with pytest.raises(Exception, match=r"store must have its files beside its database, got .*, moved or copied"):
        open_store()
