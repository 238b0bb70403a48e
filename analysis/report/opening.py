"""The first screen: what was asked, what holds, what does not, what cannot be told, what surprised.

Each sentence is made of verdicts by a template, so that none can be older than the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analysis import papers
from analysis.exhibits.model import (
    ABSTRACT,
    BY_DEFINITION,
    CAVEAT,
    CONTRADICTED,
    FAILED,
    FRESH,
    HELD,
    IMPRECISE,
    KINDS,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    TABLE,
    TEXT,
    UNDECIDABLE,
    Result,
)
from analysis.report.content import Content
from analysis.report.plain import brief
from analysis.report.words import slug

NAMED = 2
"""Statements that a sentence names before it counts the rest."""
ROWS = 16
"""Statements of an abstract that the first screen has room for."""
BRACKETS = "Brackets: 95 % intervals (of three or five seeds the whole range, which covers less), or quartiles where so named."
MEANING = {
    REPRODUCED: "It has the printed digits, or tests put it within the margin of its kind of quantity.",
    CAVEAT: "It holds, but not in full: off by a run or a digit, with runs missing, at some settings only, or with a limit "
    "that its rule or note names.",
    NOT_REPRODUCED: "The value lies outside the margin, or what was published is not found; nothing contradicts it.",
    CONTRADICTED: "Off by far more than its margin, outside what any seed gives, or the opposite; the claim's rule says which.",
    UNDECIDABLE: "The same runs, summed in another order, disagree.",
    BY_DEFINITION: "The quantity is so by its definition, whatever is trained: that it agrees, or not, tells nothing.",
    IMPRECISE: "The runs are too few, or the interval too wide, for a test to decide: neither for nor against.",
    NOT_TESTABLE: "The runs, or a measurement on them, are not in this store.",
}
"""What each verdict means, a sentence; the rules themselves stand with each claim."""


PAPERS_OWN = (ABSTRACT, TABLE, TEXT)
"""Kinds of source that a paper itself is; the others are its author's notes and code, and a review."""
WHY_OPEN = {
    UNDECIDABLE: "since the same runs, summed in another order, disagree",
    BY_DEFINITION: "since the quantity is so by its definition, whatever is trained",
    IMPRECISE: "since the runs are too few, or too coarsely observed, for a test to decide",
}
"""Why a statement that was tested has no answer."""


class Sentence(NamedTuple):
    """A sentence of the first screen: its heading, and the claims that it names, with what follows each."""

    head: str
    before: str
    named: tuple[tuple[str, str, str], ...]
    after: str

    @property
    def text(self) -> str:
        """The whole sentence without links."""
        named = "; ".join(f"“{statement}” ({measured})" for _, statement, measured in self.named)
        return " ".join(part for part in (self.before, f"{named}{'.' if named else ''}", self.after) if part)


def published(results: Sequence[Result]) -> list[Result]:
    """What was published, those on fresh seeds not counted again: sentences before rows, the weightiest source first."""
    found = (result for result in results if result.claim.kind != FRESH)
    return sorted(found, key=lambda r: (r.claim.kind == TABLE, KINDS.index(r.claim.kind)))


def sentences(content: Content) -> tuple[Sentence, ...]:
    """The five sentences, in order."""
    found = published(content.results)
    return (_asked(content, found), _held(content, found), _failed(found), _open(found), _surprised(content))


def of_abstracts(content: Content) -> list[Result]:
    """What the abstracts say that could be tested, as many as there is room for: whoever knows a paper knows these."""
    told = [r for r in published(content.results) if r.claim.kind == KINDS[0] and r.verdict != NOT_TESTABLE]
    return told[:ROWS]


def _asked(content: Content, found: Sequence[Result]) -> Sentence:
    tested = [result for result in found if result.verdict != NOT_TESTABLE]
    ids = {result.claim.id for result in tested}
    known = [one for one in papers.PAPERS if not ids.isdisjoint(claim.id for claim in papers.SAID[one.address])]
    asks = " ".join(paper.asks for paper in known or papers.PAPERS)
    runs = f"{content.runs} finished run{'' if content.runs == 1 else 's'}"
    lacking = len(found) - len(tested)
    rest = f"; {_lacking(lacking)}" if lacking else ""
    return Sentence("Asked", asks, (), f"{_count(len(tested), 'published statement')} tested on a store of {runs}{rest}.")


def _held(content: Content, found: Sequence[Result]) -> Sentence:
    held, tested = [r for r in found if r.verdict in HELD], _tested(found)
    if not tested:
        return Sentence("Holds", "Nothing is tested yet: the store lacks the runs.", (), "")
    caveats = sum(result.verdict == CAVEAT for result in held)
    some = f", {caveats} of these with a caveat" if caveats else ""
    own = [r.verdict for r in found if r.claim.kind in PAPERS_OWN and r.verdict != NOT_TESTABLE]
    words = f"; of the papers' own words {sum(one in HELD for one in own)} of {len(own)}" if own else ""
    first = f"{len(held)} of the {tested} tested{some}{words}{', as' if held else '.'}"
    fresh = [r.verdict for r in content.results if r.claim.kind == FRESH and r.verdict != NOT_TESTABLE]
    again = f"On seeds that nobody had run before, {sum(v in HELD for v in fresh)} of {len(fresh)} hold." if fresh else ""
    plainly = [result for result in held if result.verdict == REPRODUCED]
    return Sentence("Holds", first, _named(plainly or held), again)


def _failed(found: Sequence[Result]) -> Sentence:
    failed = sorted((r for r in found if r.verdict in FAILED), key=lambda r: r.verdict != CONTRADICTED)
    if not failed:
        told = "None of the tested statements fails." if _tested(found) else "Nothing is tested yet."
        return Sentence("Does not hold", told, (), "")
    against = sum(result.verdict == CONTRADICTED for result in failed)
    off = len(failed) - against
    counts = [f"{against} contradicted" if against else "", f"{off} not reproduced" if off else ""]
    told = f"{len(failed)} of the {_tested(found)} tested ({' and '.join(filter(None, counts))}), as"
    return Sentence("Does not hold", told, _named(failed), "")


def _open(found: Sequence[Result]) -> Sentence:
    kinds = {verdict: [result for result in found if result.verdict == verdict] for verdict in (*WHY_OPEN, NOT_TESTABLE)}
    told = [f"{len(kinds[verdict])} {why}" for verdict, why in WHY_OPEN.items() if kinds[verdict]]
    lacking = f"{_lacking(len(kinds[NOT_TESTABLE]))}." if kinds[NOT_TESTABLE] else ""
    if not told:
        return Sentence("Cannot be told", lacking or "Nothing: every statement has a verdict.", (), "")
    rest = " ".join(f"{one[0].upper()}{one[1:]}." for one in told[1:])
    named = _named(next(kinds[verdict] for verdict in WHY_OPEN if kinds[verdict])[:1])
    return Sentence("Cannot be told", f"{told[0]}, as", named, " ".join(filter(None, (rest, lacking))))


def _surprised(content: Content) -> Sentence:
    answers = {answer.question.id: answer for answer in content.answers}
    told = " ".join(filter(None, (paper.surprise(answers) for paper in papers.PAPERS)))
    return Sentence("Surprised", told or "Nothing yet: the questions behind it lack their runs.", (), "")


def _tested(found: Sequence[Result]) -> int:
    return sum(result.verdict != NOT_TESTABLE for result in found)


def _named(results: Sequence[Result]) -> tuple[tuple[str, str, str], ...]:
    chosen = results[:NAMED]
    return tuple((r.claim.id, r.claim.statement.rstrip("."), brief(r.measured, 70)) for r in chosen)


def _lacking(number: int) -> str:
    return f"{number} lack{'s its' if number == 1 else ' their'} runs in this store"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{' is' if number == 1 else 's are'}"


def main_figure(drawn: Sequence[str]) -> str:
    """The id of the figure beside the sentences: the paper's, or else the first that is drawn; empty if none is.

    Args:
        drawn: ids of the figures that are drawn, in order.
    """
    wanted = [paper.figure for paper in papers.PAPERS if paper.figure in drawn]
    return next(iter([*wanted, *drawn]), "")


def next_links(content: Content, drawn: Sequence[str]) -> list[tuple[str, str]]:
    """Where to go on, as anchors with their labels; only what is there.

    Args:
        content: of the report. drawn: ids of the figures that are drawn.
    """
    links = [("contradicted", "what the runs contradict")] if content.contradicted else []
    links.append(("claims", "every claim, to sort and filter"))
    if content.answers:
        links.append(("questions", "what we asked besides"))
    if content.errata:
        links.append((slug(content.errata[0].section), content.errata[0].section.lower()))
    if drawn:
        links.append(("figures", "the figures"))
    return [*links, ("runs", "the runs behind them"), ("method", "how to read this")]
