"""Bars of longer commands: what passes through them, and what a log file is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from entry_points import progress
from grok.spec.config import RunConfig
from grok.spec.studies import Cell, Study


def test_items_pass_through_a_stage_in_order_and_a_log_file_is_told_how_many_are_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_S", 0.0)
    with progress.StageBar() as bar:
        seen = [(item, capsys.readouterr().err) for item in bar.over("claims", ["a", "b"])]
        assert list(bar.over("figures", [])) == []
    assert seen == [("a", "at work: claims, 0 of 2\n"), ("b", "at work: claims, 1 of 2\n")]
    assert capsys.readouterr().err == "at work: claims, 2 of 2\nat work: figures, 0 of 0\n"


def test_a_terminal_has_a_bar_of_each_stage_and_no_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with progress.StageBar() as bar:
        assert list(bar.over("claims", [1, 2, 3])) == [1, 2, 3]
    err = capsys.readouterr().err
    assert "claims: 100%" in err
    assert "at work" not in err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "about a minute left"),
        (100, "about 2 min left"),
        (5400, "about 90 min left"),
        (20_000, "about 6 h left"),
        (10**6, "about 12 days left"),
    ],
)
def test_a_time_that_is_left_is_told_in_its_unit(seconds: float, words: str) -> None:
    assert progress.told_time(seconds) == words


def test_a_run_of_very_many_epochs_says_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A billion epochs of 0.1 s are three years: whoever asked for them reads it at once, and again after a minute."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "LINE_S", 60.0)
    with progress.EpochBar(RunConfig(epochs=10**9).resolved()) as bar:
        for epoch in range(1, 640):
            now[0] += 0.1
            bar.update(epoch, {"accuracy/test": 0.25})
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": epoch ")[2].partition(",")[0] for line in lines] == [f"21 of {10**9}", f"621 of {10**9}"]
    assert all(line.endswith(", test 0.25, about 1157 days left") for line in lines)


@pytest.mark.parametrize(("epochs", "every_s"), [(500, 60.0), (10**9, 1e9)])
def test_a_run_that_is_soon_over_says_nothing_at_once_and_nor_does_one_that_is_asked_not_to(
    epochs: int, every_s: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "LINE_S", every_s)
    with progress.EpochBar(RunConfig(epochs=epochs).resolved()) as bar:
        for epoch in range(1, 500):
            now[0] += 0.1
            bar.update(epoch, {"accuracy/test": 0.25})
    assert capsys.readouterr().err == ""


def test_a_study_that_takes_long_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "LINE_S", 60.0)
    config = RunConfig(epochs=1000).resolved()
    bar = progress.CellBar(Study("own/one", "One.", "ours", (Cell("grok", config),)), tmp_path)
    said = {}

    def tick(_: float) -> bool:
        said[now[0]] = capsys.readouterr().err
        now[0] += 1.0
        if now[0] >= 20:  # its worker takes a while to begin
            (tmp_path / config.hash).write_text(str(int(now[0]) - 18))
        return now[0] > 70

    monkeypatch.setattr(bar._ended, "wait", tick)
    bar._tick()
    assert {second: line.partition("/")[2] for second, line in said.items() if line} == {
        22.0: "one: 0 of 1 runs, square 0: 4/1000, about 17 min left\n",
    }
