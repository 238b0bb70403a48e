"""What stands beside the report, and what of a long chapter is folded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.exhibits.model import Erratum
from analysis.exhibits.panels import Drawn, Panel
from analysis.report import write
from analysis.report.content import Content
from analysis.report.html import PRINTED_ROWS

NOBODY = pd.DataFrame(columns=["run_id", "name", "study", "condition", "reason"])


def drawn(name: str, page: str = "", *, empty: bool = False, problem: str = "") -> Drawn:
    panel = Panel(
        name, f"Title of {name}", "What is drawn.", ("signals",), lambda evidence: evidence, lambda tables: tables, page
    )
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    return Drawn(panel, {}, None if empty else figure, f"Caption of {name}.", ("run-7",), ("do",), problem=problem)


def test_figures_of_a_page_of_their_own_stand_there_and_are_linked(tmp_path: Path) -> None:
    """One that nothing is known of stands nowhere; of a page without figures there is none."""
    figures = (drawn("plain"), drawn("ildr", "signals"), drawn("odd", "signals", empty=True, problem="it broke"))
    rest = (drawn("fve", "signals", empty=True), drawn("other", "others", empty=True))
    write.build(Content((), (), (*figures, *rest), (), NOBODY, 1), tmp_path)
    report, page = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.html", "signals.html"))
    assert not (tmp_path / "others.html").exists()
    assert "Caption of plain." in report
    assert "Caption of ildr." not in report
    assert '<a href="signals.html#figure-ildr">Title of ildr</a>, <a href="signals.html#figure-odd">Title of odd</a>.' in report
    assert "figure-fve" not in report + page
    assert '<section id="figure-ildr">' in page
    assert "<figcaption>Caption of ildr.</figcaption>" in page
    assert "Not drawn: it broke." in page
    assert '<a href="report.html">' in page
    assert 'alt="Title of ildr: What is drawn."' in page
    assert "data:image/png;base64," in page
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "### Signals\n\nA figure for each, with what is said of it: [signals.html](signals.html)." in text
    assert "\n- [Title of ildr](figures/ildr.png)\n" in text
    assert "Title of odd" not in text
    assert "signals.html" in write.digests(tmp_path)
    without = tmp_path / "without"
    without.mkdir()
    write.build(Content((), (), figures[:1], (), NOBODY, 1), without)
    assert [path.name for path in without.glob("*.html")] == ["report.html"]


def test_what_a_figures_fold_says_is_in_the_markdown_too(tmp_path: Path) -> None:
    folded = replace(drawn("plain"), details=(("How it is drawn", "Dashed: 0.1 | each_run."), ("Rule", "None.")))
    write.build(Content((), (), (folded,), (), NOBODY, 1), tmp_path)
    assert "<dt>How it is drawn</dt><dd>Dashed: 0.1 | each_run.</dd>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    said = "Caption of plain.\n\nHow it is drawn: Dashed: 0.1 \\| each\\_run.\n\nRule: None.\n\n[plain.svg](figures/plain.svg)"
    assert said in text


def test_a_long_chapter_is_folded_and_its_file_has_all(tmp_path: Path) -> None:
    table = pd.DataFrame({"signal": [f"name {i}" for i in range(PRINTED_ROWS + 2)], "column of the file": 7})
    text = "Why.\n\nFirst.\n\nSecond.\n\nThird."
    long = Erratum("long", "Long", text, table, None, (), "do", "long", "Signals", table[["signal"]], 2)
    short = Erratum("short", "Short", text, table, None, (), "do", "short", "Signals")
    write.build(Content((), (long, short), (), (), NOBODY, 1), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    first, second = (page[page.index(f'<section id="erratum-{name}">') :].split("</section>")[0] for name in ("long", "short"))
    open_, folded, rest = first.split("<details>")
    assert "<p>Why.</p>\n<p>First.</p>" in open_
    assert "<summary>In detail</summary><p>Second.</p>\n<p>Third.</p>" in folded
    assert f"name {PRINTED_ROWS - 1}" in folded
    assert rest.startswith("<summary>The other 2 rows of this table</summary>")
    assert f"name {PRINTED_ROWS}" in rest
    assert "column of the file" not in first
    assert "<summary>In detail</summary>" not in second  # all of its text stands open, of its table the first rows
    assert "column of the file" in second.split("<details>")[0]
    assert "<summary>The other 2 rows of this table</summary>" in second
    for name in ("long", "short"):
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "data" / f"{name}.csv"), table)
