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
    NOT_TESTABLE,
    TABLE,
    UNDECIDABLE,
    Result,
)
from analysis.exhibits.paper import Paper
from analysis.report.content import Content
from analysis.report.plain import short
from analysis.report.words import slug

NAMED = 3
"""Statements that a sentence names, of different papers."""
ROWS = 4
"""Statements of an abstract that the first screen has room for; the rest stands in a fold."""
BRACKETS = "Brackets: 95 % intervals (of three or five seeds the whole range, which covers less), or quartiles where so named."


WHY_OPEN = {
    UNDECIDABLE: "the order of summation decides",
    IMPRECISE: "runs are too few",
    BY_DEFINITION: "the definition alone decides",
}
"""Why a statement that was tested has no answer."""


class Named(NamedTuple):
    """What a sentence says of a paper, empty if of none: a claim by its id, in few words, with its value; or words alone."""

    paper: str
    id: str
    words: str
    measured: str

    @property
    def text(self) -> str:
        """Both, without links."""
        told = f"“{self.words}” ({self.measured})" if self.id else self.words
        return f"{self.paper}: {told}" if self.paper else told


class Sentence(NamedTuple):
    """A sentence of the first screen: its heading, and the claims that it names, with what stands around them."""

    head: str
    before: str
    named: tuple[Named, ...]
    after: str

    @property
    def pieces(self) -> tuple[tuple[Named, str], ...]:
        """Its parts in order, each with what follows it: questions end as such, all else is one sentence."""
        around = [Named("", "", text, "") for text in (self.before, self.after)]
        parts = [part._replace(words=part.words.rstrip(".")) for part in (around[0], *self.named, around[1]) if part.words]
        ends = ["." if part is parts[-1] else "; " for part in parts]
        return tuple((part, end[1:] if part.words.endswith("?") else end) for part, end in zip(parts, ends, strict=True))

    @property
    def text(self) -> str:
        """The whole sentence without links."""
        return "".join(f"{part.text}{end}" for part, end in self.pieces)


class Said(NamedTuple):
    """A statement of an abstract: its claim held against the runs, and the statement in a few words."""

    result: Result
    words: str


class Group(NamedTuple):
    """What one abstract says: the paper, None for all others; the statements shown at once, and the rest."""

    paper: Paper | None
    first: tuple[Said, ...]
    rest: tuple[Said, ...]

    @property
    def more(self) -> int:
        """How many statements are not shown at once."""
        return len(self.rest)


def published(results: Sequence[Result]) -> list[Result]:
    """What was published, those on fresh seeds not counted again: sentences before rows, the weightiest source first."""
    found = (result for result in results if result.claim.kind != FRESH)
    return sorted(found, key=lambda r: (r.claim.kind == TABLE, KINDS.index(r.claim.kind)))


def sentences(content: Content) -> tuple[Sentence, ...]:
    """The five sentences, in order."""
    found = published(content.results)
    return (_asked(found), _held(found), _failed(found), _open(found), _surprised(content))


def of_abstracts(content: Content) -> list[Group]:
    """What the abstracts say that could be tested, by paper: whoever knows a paper knows these."""
    told = [r for r in published(content.results) if r.claim.kind == ABSTRACT and r.verdict != NOT_TESTABLE]
    groups = []
    for paper in (*papers.PARTS, None):
        order = list(paper.says) if paper else []
        own = [r for r in told if _paper(r) == paper]
        own.sort(key=lambda r: order.index(r.claim.id) if r.claim.id in order else len(order))
        said = [Said(r, _words(r)) for r in own]
        if said:
            groups.append(Group(paper, tuple(said[:ROWS]), tuple(said[ROWS:])))
    return groups


def _paper(result: Result) -> Paper | None:
    ids = {paper.address: {claim.id for claim in papers.SAID[paper.address]} for paper in papers.PARTS}
    return next((paper for paper in papers.PARTS if result.claim.id in ids[paper.address]), None)


def _asked(found: Sequence[Result]) -> Sentence:
    tested = [result for result in found if result.verdict != NOT_TESTABLE]
    known = [paper for paper in papers.PARTS if paper in [_paper(result) for result in tested]]
    asks = tuple(Named(paper.short, "", paper.asks, "") for paper in known or papers.PAPERS)
    return Sentence("Asked", "", asks, "")


def _held(found: Sequence[Result]) -> Sentence:
    held, tested = [r for r in found if r.verdict in HELD], [r for r in found if r.verdict != NOT_TESTABLE]
    if not tested:
        return Sentence("Holds", "Nothing is tested yet: the store lacks the runs.", (), "")
    caveats = sum(result.verdict == CAVEAT for result in held)
    statements = f"tested statement{'' if len(tested) == 1 else 's'}"
    first = f"{len(held)} of {len(tested)} {statements}{f', {caveats} with a caveat' if caveats else ''}."
    return Sentence("Holds", first, _named(held, tested), "")


def _failed(found: Sequence[Result]) -> Sentence:
    failed = sorted((r for r in found if r.verdict in FAILED), key=lambda r: r.verdict != CONTRADICTED)
    tested = _tested(found)
    if not failed:
        return Sentence("Does not hold", "None of the tested statements fails." if tested else "Nothing is tested yet.", (), "")
    against = sum(result.verdict == CONTRADICTED for result in failed)
    off = len(failed) - against
    counts = [f"{against} contradicted" if against else "", f"{off} not reproduced" if off else ""]
    return Sentence("Does not hold", f"{len(failed)} of the {tested}: {', '.join(filter(None, counts))}.", _named(failed), "")


def _open(found: Sequence[Result]) -> Sentence:
    kinds = {verdict: [result for result in found if result.verdict == verdict] for verdict in WHY_OPEN}
    lacking, number = sum(result.verdict == NOT_TESTABLE for result in found), sum(map(len, kinds.values()))
    if not number:
        rest = _lacking(lacking)
        none = "Nothing: every statement has a verdict." if found else "No claim reads this study."
        return Sentence("Cannot be told", rest if lacking else none, (), "")
    counts = [f"for {len(kinds[verdict])} {why}" for verdict, why in WHY_OPEN.items() if kinds[verdict]]
    named = _named(next(kinds[verdict] for verdict in WHY_OPEN if kinds[verdict]), most=1)
    before = f"{number} of the {_tested(found)}: {', '.join(counts)}."
    return Sentence("Cannot be told", before, named, _lacking(lacking, " more") if lacking else "")


def _surprised(content: Content) -> Sentence:
    answers = {answer.question.id: answer for answer in content.answers}
    told = tuple(Named(part.short, "", text, "") for part in papers.PARTS if (text := part.surprise(answers)))
    return Sentence("Surprised", "" if told else "Nothing yet: the questions behind it lack their runs.", told, "")


def _lacking(number: int, more: str = "") -> str:
    return f"{number}{more} lack{'s its' if number == 1 else ' their'} runs."


def _tested(found: Sequence[Result]) -> int:
    return sum(result.verdict != NOT_TESTABLE for result in found)


def _named(results: Sequence[Result], tested: Sequence[Result] = (), most: int = NAMED) -> tuple[Named, ...]:
    """The first of each paper, the papers' order kept; of none where no paper has any.

    Args:
        results: to choose from. tested: if given, the paper's name has its count of `results` in these. most: to name.
    """
    out: list[Named] = []
    for paper in (*papers.PARTS, None):
        own = [result for result in results if _paper(result) == paper]
        name = paper.short if paper else ""
        if own and name and tested:
            name += f" ({len(own)} of {sum(_paper(result) == paper for result in tested)})"
        if own and (paper or not out):
            first = own[0]
            told = f"with a caveat: {short(first)}" if first.verdict == CAVEAT else short(first)
            out.append(Named(name, first.claim.id, _words(first), told))
    return tuple(out[:most])


def _words(result: Result) -> str:
    """The statement as the abstract's table has it, or else whole."""
    paper = _paper(result)
    return (paper.says if paper else {}).get(result.claim.id, result.claim.statement.rstrip("."))


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
