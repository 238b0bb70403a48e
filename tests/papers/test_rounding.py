"""What rounding moves: the figure of the study, on runs of the whole grid."""

from __future__ import annotations

import pytest

from analysis.exhibits.evaluate import draw
from analysis.figures.rounding import order
from analysis.papers.xu import rounding
from tests.helpers.fake_evidence import FakeEvidence


@pytest.fixture(scope="module")
def evidence() -> FakeEvidence:
    return FakeEvidence((rounding.ROUNDINGS,), keep=lambda cell: cell.config.seed < 3)


def test_each_order_of_summation_is_a_line_of_its_block(evidence: FakeEvidence) -> None:
    (drawn,) = draw(evidence, rounding.PANELS)  # type: ignore[arg-type]
    assert drawn.problem == ""
    runs = drawn.tables["runs"]
    assert len(runs) == len(drawn.run_ids) == 3 * 36
    blocks = runs[["activation", "condition"]].drop_duplicates()
    assert blocks.iloc[0].tolist() == ["square", "weight decay"]
    assert [tuple(block) for block in blocks.to_numpy()][-2:] == [("relu", "weight decay"), ("relu", "without weight decay")]
    fire, gap = drawn.figure.axes[:2]
    assert fire.get_title(loc="left") == "$x^2$, weight decay: fire epoch, fires"
    lines = [label.get_text() for label in fire.get_yticklabels()]
    own = runs[(runs["activation"] == "square") & (runs["condition"] == "weight decay")]
    assert lines == [order(name) for name in dict.fromkeys(own["variant"])]
    assert lines[0] == "oneDNN, blocks of 256"
    assert len(lines) == 6
    dots = [float(x) for line in gap.lines if line.get_marker() == "o" for x in line.get_xdata()]
    assert dots == own["late_gap_23"].tolist()
    assert [text.get_text() for text in fire.texts] == [
        f"{int(group['fired'].sum())}/3" for _, group in own.groupby("variant", sort=False)
    ]


def test_no_run_no_figure() -> None:
    (drawn,) = draw(FakeEvidence((), keep=lambda cell: True), rounding.PANELS)  # type: ignore[arg-type]
    assert drawn.figure is None
