"""The pictures of the concepts page are of the committed data, and the page says what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.exhibits.model import MEANING
from docs import concepts

PAGE = concepts.DOCS / "concepts.md"


@pytest.mark.parametrize("name", concepts.FIGURES)
def test_each_picture_is_drawn_by_its_script_and_shown_on_the_page(name: str) -> None:
    assert (concepts.OUT / f"{name}.png").is_file()
    assert f"](figures/concepts/{name}.png)" in PAGE.read_text(encoding="utf-8")
    figure = concepts.FIGURES[name]()
    assert figure.axes
    assert all(ax.get_xlabel() for ax in figure.axes)
    assert sum(len(ax.lines) for ax in figure.axes) >= 2


def test_no_picture_is_left_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {path.stem for path in concepts.OUT.iterdir()} == set(concepts.FIGURES)
    monkeypatch.setattr(concepts, "OUT", tmp_path / "new")
    monkeypatch.setattr(concepts, "PAGE", tmp_path / "concepts.md")
    concepts.PAGE.write_text(concepts.BEGIN + concepts.END, encoding="utf-8")
    monkeypatch.setattr(concepts, "FIGURES", {"gap": concepts.gap})
    monkeypatch.setattr(Path, "relative_to", lambda self, _: self)
    assert concepts.main() == 0
    assert (tmp_path / "new" / "gap.png").stat().st_size > 1000


def test_the_page_says_what_the_data_say() -> None:
    """The settings of the detector, and how often it fires in the controls."""
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    shares = concepts.data("detector-shares").set_index(["activation", "condition"])
    without = shares.loc[("square", "eta0")]
    assert f"there it fires in {int(without['fired'])} of these {int(without['runs'])} runs" in text
    starved = shares.loc[("square", "data_starved")]
    assert starved["fired"] == starved["runs"]
    assert "the detector fires in every run" in text
    assert f"first epoch ≥ {concepts.FIRST} at which log λ₂/λ₃ has risen by more than {concepts.THRESHOLD:g}" in text
    assert f"over the last {concepts.LAG} epochs" in text
    late = {name: concepts.medians(name, "delta_w/gap_23").loc[200:].median() for name in ("grok", "eta0")}
    assert late["grok"] > 100 * late["eta0"]
    assert np.isfinite(concepts.medians("grok", "delta_w/lambda_5")).all()


def test_the_verdicts_are_said_in_the_words_of_the_report() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert concepts.page(text) == text
    assert all(f"| {verdict} | {meaning} |" in text for verdict, meaning in MEANING.items())
    assert concepts.page(text.replace("printed digits", "digits")) == text


def test_the_words_of_the_second_study_are_explained() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"*{word}*" in text for word in ("edge", "grad%", "ηωt", "bulk"))
