"""The numbers in prose: `docs/results.md` comes of the committed data, and so does what the README says of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from docs import results
from tests.conftest import PROJECT


def test_the_page_is_what_the_data_say() -> None:
    assert results.main(["--check"]) == 0, "write it anew: python -m docs.results"


def changed(monkeypatch: pytest.MonkeyPatch, name: str, change: dict[str, float]) -> None:
    """Another value in every row of a table."""
    real = results.data.__wrapped__

    def data(wanted: str) -> pd.DataFrame:
        return real(wanted).assign(**change) if wanted == name else real(wanted)

    monkeypatch.setattr(results, "data", data)


def test_other_data_give_another_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(monkeypatch, "headline-conditions", {"test_50_epoch": 77.0})
    assert results.main(["--check"]) == 1
    assert "Run: python -m docs.results" in capsys.readouterr().err
    monkeypatch.setattr(results, "PAGE", tmp_path / "results.md")
    assert results.main([]) == 0
    assert "| epoch 77 [99, 102] |" in (tmp_path / "results.md").read_text(encoding="utf-8")
    assert results.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("eta-conditions", {"test_50_epoch_n": 1}),
        ("relu-conditions", {"fired": 3}),
        ("report/theorem6-identity", {"smallest share": 0.99}),
        ("controls-conditions", {"late_gap_23": 2.0}),
    ],
)
def test_a_sentence_that_is_not_so_is_not_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, change: dict[str, float]
) -> None:
    monkeypatch.setattr(results, "PAGE", tmp_path / "results.md")
    changed(monkeypatch, name, change)
    with pytest.raises(ValueError, match="a sentence must be what the data say"):
        results.main([])
    assert not (tmp_path / "results.md").exists()


def test_numbers_are_written_as_they_are() -> None:
    assert [results.number(value) for value in (174.0, 518.5, float("nan"))] == ["174", "518.5", "–"]
    assert [results.number(value, 2) for value in (-0.386, 1.3176)] == ["−0.39", "1.32"]
    one = pd.Series({"a": 2.0, "a_q1": 1.0, "a_q3": 3.5, "b": 5.0, "b_q1": 5.0, "b_q3": 5.0})
    assert (results.spread(one, "a"), results.spread(one, "b")) == ("2 [1, 3.5]", "5")


def test_a_row_that_is_not_there_is_asked_for() -> None:
    with pytest.raises(ValueError, match="data must have rows of headline-conditions"):
        results.row("headline-conditions", condition="none")
    with pytest.raises(ValueError, match=r"data must have one row of headline-runs .*, got 15"):
        results.row("headline-runs", condition="grok")


def test_the_readme_says_what_the_data_say() -> None:
    text = " ".join((PROJECT / "README.md").read_text(encoding="utf-8").split())
    grok, eta0 = (results.row("headline-conditions", condition=condition) for condition in ("grok", "eta0"))
    starved = results.row("controls-conditions", activation="square", condition="data_starved")
    said = (
        f"fires in {grok.fired} of {grok.runs} and {eta0.fired} of {eta0.runs}",
        f"at median epoch {results.number(grok.fire_epoch)}; published",
        f"where test accuracy ends at {results.number(starved['accuracy/test'], 3)}",
        f"it fires in {starved.fired} of {starved.runs} too, at epoch {results.number(starved.fire_epoch)}",
    )
    assert [one for one in said if one not in text] == []


def test_the_readme_answers_the_second_study_as_the_report_does() -> None:
    text = " ".join((PROJECT / "README.md").read_text(encoding="utf-8").split())
    found = json.loads((PROJECT / "docs" / "report" / "claims.json").read_text(encoding="utf-8"))
    claim = next(one for one in found["claims"] if one["id"] == "lifecycle-at-grokking")
    near, of, falls, without = re.match(  # type: ignore[union-attr]
        r"in (\d+) of (\d+) within 100 steps of the grok step at each .* it falls in (\d+) of (\d+)$", claim["measured"]
    ).groups()
    assert f"turns within 100 steps of the grok step in {near} of {of} runs, and in {falls} of {without} whose labels" in text
    question = next(one for one in found["questions"] if one["id"] == "lifecycle-what-the-flip-follows")
    assert "generalisation: no" in question["answer"]
    assert "the window: yes with true labels" in question["answer"]
    held, tried = re.search(r"in (\d+) of (\d+) choices of N and W", question["answer"]).groups()  # type: ignore[union-attr]
    assert f"with true labels, in {held} of {tried} choices of it" in text
