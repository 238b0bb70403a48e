"""A study of one's own has one spelling, `my.yaml:name`, in every command, in claims and in Python."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.bundle.pack import Wanted, chosen
from analysis.exhibits.sources import Absent, Sources
from analysis.reading.asked import run_ids
from analysis.reading.evidence import Evidence
from entry_points import cli, signals
from entry_points.analyze import studies
from grok.spec.fields import ConfigError
from tests.reading.test_asked import mine  # noqa: F401

COMMANDS = ("study", "sensitivity", "analyze", "measure", "signals", "export")


def test_every_reader_finds_the_same_runs(mine: tuple[Any, str]) -> None:  # noqa: F811
    store, study = mine
    evidence = Evidence(store)
    ids = set(evidence.runs(study)["run_id"])
    assert len(ids) == 2
    assert set(run_ids(evidence, study)) == set(signals._runs("none", study, store)[0]) == ids
    assert set(analysis.runs(study, store=store)["run_id"]) == ids
    assert set(Sources(evidence).take(study)["run_id"]) == ids
    assert {run.run_id for run in chosen(store, Wanted((study,)))} == ids
    assert studies(study) == (study,)
    assert run_ids(evidence, f"{study},mine.yaml") == run_ids(evidence, study)


def test_one_that_was_not_trained_says_the_command_that_trains_it(mine: tuple[Any, str], tmp_path: Path) -> None:  # noqa: F811
    store, _ = mine
    text = (tmp_path / "mine.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text + text.replace("tiny:", "other:").replace("0..1", "7"), encoding="utf-8")
    evidence, other = Evidence(store), "mine.yaml:other"
    with pytest.raises(
        ConfigError, match=rf"got {other} with none. Run it first: python -m entry_points.study --study {other}\."
    ):
        run_ids(evidence, other)
    with pytest.raises(Absent, match=rf"Run python -m entry_points.study --study {other}$"):
        Sources(evidence).take(other)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("spelled", "why"),
    [
        ("headlin", "Did you mean headline?"),
        ("mine.yaml:tini", "Did you mean mine.yaml:tiny?"),
        ("gone.yaml:tiny", "study file must be readable, got gone.yaml"),
    ],
)
def test_one_that_is_not_there_is_refused_by_every_command_alike(
    mine: tuple[Any, str],  # noqa: F811
    name: str,
    spelled: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--study", spelled])
    with pytest.raises(SystemExit) as left:
        cli.run_main(importlib.import_module(f"entry_points.{name}").main)
    told = capsys.readouterr()
    assert left.value.code == 2
    assert told.err.startswith("error: study ")
    assert why in told.err
    assert told.err.count("\n") == 1
