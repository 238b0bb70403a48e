"""A card per claim: what was printed and what was measured on one axis, the verdict, and a sentence why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from analysis import papers
from analysis.exhibits.margins import DECIDED
from analysis.exhibits.model import (
    BY_DEFINITION,
    CAVEAT,
    CONTRADICTED,
    FAILED,
    HELD,
    IMPRECISE,
    KINDS,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDABLE,
    VERDICTS,
    Entry,
    Result,
)
from analysis.report import axis
from analysis.report.content import Content
from analysis.report.plain import brief, plain
from analysis.report.words import by_digits, has_margin

ROWS = 6
"""Axes of a card; the rest stands in its fold."""
NAMED = 2
"""Parts that a reason names before it counts the rest."""
BY_RULE = "By the rule of this claim it holds with a caveat."


@dataclass(frozen=True)
class Row:
    """A number of a claim: its name, both values in words, its verdict, and the drawing, empty where it cannot be drawn."""

    name: str
    published: str
    measured: str
    verdict: str
    drawing: Markup


@dataclass(frozen=True)
class Card:
    """A claim as the report shows it.

    Attributes:
        result: of the claim. rows: its numbers, `ROWS` at most. more: how many are left out of them.
        why: the verdict in a sentence. measured: in brief. note: what a reader must know besides.
        study: the one to run first. paper: whose claim it is.
    """

    result: Result
    rows: tuple[Row, ...]
    more: int
    why: str
    measured: str
    note: str
    study: str
    paper: str


@dataclass(frozen=True)
class Waiting:
    """The claims that one study would make testable: its name, the command, and their results."""

    study: str
    command: str
    results: tuple[Result, ...]


def cards(content: Content) -> tuple[Card, ...]:
    """A card per tested claim, the weightiest source first, in the report's order within it."""
    tested = [result for result in content.results if result.verdict != NOT_TESTABLE]
    return tuple(_card(result) for result in sorted(tested, key=lambda r: KINDS.index(r.claim.kind)))


def waiting(content: Content) -> tuple[Waiting, ...]:
    """What cannot be tested yet, by the study to run first."""
    found: dict[str, list[Result]] = {}
    for result in content.results:
        if result.verdict == NOT_TESTABLE:
            found.setdefault(result.claim.studies[0], []).append(result)
    return tuple(Waiting(study, some[0].command.split(" && ")[0], tuple(some)) for study, some in found.items())


def _card(result: Result) -> Card:
    rows = _rows(result)
    return Card(
        result,
        tuple(rows[:ROWS]),
        max(0, len(rows) - ROWS),
        why(result),
        brief(result.measured, 110),
        plain(result.note),
        result.claim.studies[0],
        paper_of(result.claim.id),
    )


def paper_of(claim: str) -> str:
    """The title of the paper that a claim is in; `others` where a wing holds several; `own` for the reader's own."""
    titles = {paper.address: paper.title for paper in papers.PAPERS}
    found = (titles[address] for address, said in papers.SAID.items() if claim in {one.id for one in said})
    return next(found, "others" if claim in {one.id for one in papers.CLAIMS} else "own")


def _rows(result: Result) -> list[Row]:
    """The numbers that both sides have; one row of the claim itself where it is made of one number only."""
    pairs = [(entry, result.estimates[entry.id]) for entry in result.entries if entry.id in result.estimates]
    if not pairs and len(result.estimates) == 1:
        (name, estimate), *_ = result.estimates.items()
        pairs = [(Entry(name, {}, result.claim.published, result.measured, result.verdict), estimate)]
    rows = []
    for entry, estimate in pairs:
        whole = f"{entry.published}/{estimate.n}" if entry.measured.endswith(f"/{estimate.n}") else entry.published
        printed = whole if entry.published.isdigit() and math.isnan(axis.printed(entry.measured)) is False else entry.published
        samples = result.samples.get(entry.id, ())
        drawing = axis.draw(printed, estimate, samples, entry.setting.get("margin", ""))
        rows.append(Row(plain(entry.id), plain(printed), plain(entry.measured), entry.verdict, drawing))
    return rows


def why(result: Result) -> str:
    """The verdict in a sentence, of the entry that decides it where there are several."""
    failing = [entry for entry in result.entries if entry.verdict in FAILED] if result.verdict in FAILED else []
    decides = next((entry for entry in result.entries if entry.verdict == result.verdict), next(iter(failing), None))
    what = ""
    if decides is not None and len(result.entries) > 1:
        named = plain(" ".join(decides.setting.values()) if not decides.measured else decides.id)
        what = f"{named} is {brief(decides.measured, 80)} where {plain(decides.published)} was published. "
    reasons = {
        REPRODUCED: _held(result),
        CAVEAT: f"{what}{'It is within the margin, but not the printed value.' if has_margin(result) else BY_RULE}",
        NOT_REPRODUCED: f"{what}By the rule of this claim that is outside what counts as equal.{_as_published(result)}",
        CONTRADICTED: f"{what}By the rule of this claim that contradicts what was published.{_as_published(result)}",
        UNDECIDABLE: f"{plain(result.rounding)} The order of summation decides.".strip(),
        BY_DEFINITION: "The quantity is so by its definition, whatever is trained.",
        IMPRECISE: f"{what}The interval is too wide to say whether that is within the margin.",
    }
    return reasons.get(result.verdict, "").strip()


def _as_published(result: Result) -> str:
    """Which parts of a claim that fails hold, in words; empty if none does, or it has one part only."""
    held = [f"{plain(entry.id)} {brief(entry.measured, 60)}" for entry in result.entries if entry.verdict in HELD]
    if not held or len(result.entries) < 2:
        return ""
    more = f", and {len(held) - NAMED} more" if len(held) > NAMED else ""
    return f" As published: {'; '.join(held[:NAMED])}{more}."


def _held(result: Result) -> str:
    """What decides that a claim is reproduced."""
    if by_digits(result):
        names = ", ".join(plain(entry.id) for entry in result.entries if DECIDED in entry.setting)
        return f"It has the printed digits, with an interval within a factor of 2; no test puts this in the margin: {names}."
    if not has_margin(result):
        return "By the rule of this claim." if math.isnan(result.p) else "Tests decide, by the rule of this claim."
    if not math.isnan(result.p):
        return "One-sided tests at 5 % put it within the margin around what was published."
    return "The runs that the paper names give the published value."


def filters(found: Sequence[Card]) -> list[tuple[str, str, list[str]]]:
    """What the table is filtered by: name, label and values, those with a choice only."""
    values = {
        "verdict": ("Verdict", sorted({card.result.verdict for card in found}, key=VERDICTS.index)),
        "kind": ("Whose word", sorted({card.result.claim.kind for card in found}, key=KINDS.index)),
        "study": ("Study", sorted({study for card in found for study in card.result.claim.studies})),
        "paper": ("Paper", sorted({card.paper for card in found})),
    }
    return [(name, label, options) for name, (label, options) in values.items() if len(options) > 1]
