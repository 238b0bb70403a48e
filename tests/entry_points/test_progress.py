"""Bars of longer commands: what passes through them, and what a log file is told."""

from __future__ import annotations

import pytest

from entry_points import progress


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
