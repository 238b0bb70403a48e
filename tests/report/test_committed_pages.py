"""What stands open on the committed report and on the page beside it: nobody has to read a screen before he may fold it."""

from __future__ import annotations

import re

from analysis.report.html import PRINTED_ROWS
from tests.conftest import PROJECT

REPORT = PROJECT / "docs" / "report"
INNERMOST = re.compile(r"<details(?! open)[^>]*>(?:(?!<details).)*?</details>", re.DOTALL)


def unfolded(page: str) -> str:
    """A page without what is folded, folds in folds too."""
    while (less := INNERMOST.sub("", page)) != page:
        page = less
    return page


def test_of_a_chapters_table_a_few_rows_stand_open() -> None:
    page = (REPORT / "report.html").read_text(encoding="utf-8")
    chapters = re.findall(r'<section id="erratum-([\w-]+)">(.*?)</section>', page, re.DOTALL)
    assert len(chapters) > 20
    rows = {name: unfolded(text).count("<tr>") - unfolded(text).count("<thead>") for name, text in chapters}
    assert {name: count for name, count in rows.items() if count > PRINTED_ROWS} == {}
    assert max(rows.values()) == PRINTED_ROWS


def test_a_signals_caption_says_what_it_was_worth_and_folds_the_rest() -> None:
    page = (REPORT / "signals.html").read_text(encoding="utf-8")
    captions = dict(re.findall(r'<section id="figure-([\w-]+)">.*?<figcaption>(.*?)</figcaption>', page, re.DOTALL))
    assert len(captions) > 30
    assert {name: len(text.split()) for name, text in captions.items() if len(text.split()) > 60} == {}
    for name, text in re.findall(r'<section id="figure-([\w-]+)">(.*?)</section>', page, re.DOTALL):
        assert "Formula" not in unfolded(text), name
        assert "<dt>Formula</dt>" in text, name
        assert "<dt>Source</dt>" in text, name
