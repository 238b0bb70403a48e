"""Bars of longer commands: what passes through them, and what a log file is told."""

from __future__ import annotations

import pytest

from entry_points import progress
from grok.spec.config import RunConfig


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
    """A billion epochs of 0.1 s are three years: whoever asked for them reads it after a minute."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "LINE_S", 60.0)
    with progress.EpochBar(RunConfig(epochs=10**9).resolved()) as bar:
        for epoch in range(1, 640):
            now[0] += 0.1
            bar.update(epoch, {"accuracy/test": 0.25})
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.endswith(f"of {10**9}, test 0.25, about 1157 days left\n")
