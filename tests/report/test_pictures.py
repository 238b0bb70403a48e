"""Figures saved by processes are those saved one after the other, whatever becomes of a process, and no process stays."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import loky
import psutil
import pytest

from analysis.report import pictures, write
from analysis.report.content import Content
from grok.runs.fanout import Fanout
from tests.report.test_pages import NOBODY, drawn

FIGURES = (drawn("first"), drawn("second", "signals"), drawn("empty", empty=True), drawn("third"))


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Fanout]:
    """Fan-outs that were begun; two processes for three figures on any machine."""
    kept: list[Fanout] = []
    plain = Fanout.map

    def kept_map(fanout: Fanout, *given: Any) -> Any:
        kept.append(fanout)
        return plain(fanout, *given)

    monkeypatch.setattr(Fanout, "map", kept_map)
    monkeypatch.setattr(loky, "cpu_count", lambda: 2)
    monkeypatch.setattr(pictures, "MANY", 1)
    return kept


def workers() -> list[psutil.Process]:
    """Processes of a pool that are still there."""
    return [one for one in psutil.Process().children(recursive=True) if "LokyProcess" in " ".join(one.cmdline())]


def report(folder: Path) -> str:
    """The digest of a report of three figures."""
    folder.mkdir()
    write.build(Content((), (), FIGURES, (), NOBODY, 1), folder)
    assert len(list((folder / "figures").iterdir())) == 9
    return write.digest(folder)


def test_a_report_of_several_processes_has_the_same_bytes(
    begun: list[Fanout], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pooled = report(tmp_path / "pooled")
    assert not workers()
    monkeypatch.setattr(pictures, "MANY", 3)
    assert report(tmp_path / "one") == pooled
    assert [(one.backend, one.local_workers) for one in begun] == [("loky", 2), ("sequential", 1)]


def test_the_figures_of_a_process_that_dies_are_saved_all_the_same(
    begun: list[Fanout], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parent, plain = os.getpid(), pictures._saved

    def dies(one: pictures._Figure) -> Any:
        if os.getpid() != parent and one.name == "second":
            (one.folder / "figures" / "second.svg").write_text("half", encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(one)

    monkeypatch.setattr(pictures, "_saved", dies)
    found = report(tmp_path / "died")
    assert begun[0].backend == "loky"
    assert not workers()
    monkeypatch.setattr(pictures, "MANY", 3)
    assert report(tmp_path / "one") == found


@pytest.mark.parametrize(
    ("cores", "figures", "processes"),
    [(64, 0, 1), (64, 12, 1), (64, 13, 2), (64, 63, 6), (64, 1000, pictures.MOST), (2, 63, 2), (1, 63, 1)],
)
def test_processes_are_as_many_as_their_figures_are_worth(
    cores: int, figures: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loky, "cpu_count", lambda: cores)
    assert pictures._workers(figures) == processes


def test_without_signal_masks_figures_are_saved_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "pthread_sigmask")
    monkeypatch.setattr(loky, "cpu_count", lambda: 64)
    assert pictures._workers(1000) == 1
