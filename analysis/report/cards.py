"""A card per claim: what was printed and what was measured on one axis, the verdict, and a sentence why."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from analysis import papers
from analysis.exhibits.margins import DECIDED
from analysis.exhibits.model import (
    BY_DEFINITION,
    CAVEAT,
    FAILED,
    HELD,
    KINDS,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDABLE,
    VERDICTS,
    Entry,
    Result,
)
from analysis.report import axis
from analysis.report.content import Content
from analysis.report.plain import head, plain, short
from analysis.report.words import by_digits, first_sentence, has_margin, stopped
from analysis.statistics.estimates import Estimate
from analysis.words import spread

ROWS = 6
"""Axes of a card; the rest stands in its fold."""
NAMED = 2
"""Parts that a reason names before it counts the rest."""
SHORTFALL = "Not all runs are there"
"""How the note of a claim begins that was judged on fewer runs than its study has."""
WITHIN = ("margin", "within")
"""What the setting of an entry calls the margin around its published value."""


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
        why: the verdict in a sentence. measured: whole, in few words. note: what a reader must know besides.
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
        short(result) if result.measured else "",
        plain(result.note),
        result.claim.studies[0],
        paper_of(result.claim.id),
    )


def paper_of(claim: str) -> str:
    """The title of the paper that a claim is in; `others` where a wing holds several; `own` for the reader's own."""
    titles = {paper.address: paper.title for paper in papers.PAPERS}
    found = (titles[address] for address in titles if claim in {one.id for one in papers.SAID[address]})
    return next(found, "others" if claim in {one.id for one in papers.CLAIMS} else "own")


def _rows(result: Result) -> list[Row]:
    """What is drawn of a claim: its axes, or the numbers that both sides have, or the claim itself where it is one number."""
    if result.axes:
        return [
            _row(one.name, one.published, one.text, result.verdict, one.estimate, one.samples, one.margin, one.ends)
            for one in result.axes
        ]
    found = [(entry, result.estimates.get(entry.id) or axis.read(entry.measured)) for entry in result.entries]
    pairs = [(entry, estimate) for entry, estimate in found if estimate is not None]
    if not pairs and len(result.estimates) == 1:
        (name, alone), *_ = result.estimates.items()
        pairs = [(Entry(name, {}, result.claim.published, result.measured, result.verdict), alone)]
    if not pairs and result.entries:
        return [_counted(result)]
    rows = []
    for entry, estimate in pairs:
        margin = next((entry.setting[name] for name in WITHIN if name in entry.setting), "")
        samples = result.samples.get(entry.id, ())
        rows.append(_row(entry.id, entry.published, entry.measured, entry.verdict, estimate, samples, margin))
    return rows


def _counted(result: Result) -> Row:
    """How many of the parts of a claim are as published, where none of them is a number."""
    held, of = sum(entry.verdict in HELD for entry in result.entries), len(result.entries)
    share = Estimate(held / of, math.nan, math.nan, of)
    return _row("as published", f"{of}/{of}", f"{held}/{of}", result.verdict, share, (), "")


def _row(
    name: str,
    published: str,
    text: str,
    verdict: str,
    estimate: Estimate,
    samples: Sequence[float],
    margin: str,
    ends: tuple[float, float] | None = None,
) -> Row:
    share = axis.SHARE.fullmatch(published) is not None
    if not text:
        text = f"{round(estimate.value * estimate.n)}/{estimate.n}" if share else spread(*estimate[:3])
    whole = f"{published}/{estimate.n}" if text.endswith(f"/{estimate.n}") and not share else published
    printed = whole if published.isdigit() and not math.isnan(axis.printed(text)) else published
    return Row(plain(name), plain(printed), plain(text), verdict, axis.draw(printed, estimate, samples, margin, ends))


WORDED = {"≈": "“alike”", "none": "“none”", "–": "“–”"}
"""What is published as a sign or a word alone, within a sentence."""
SYMBOL = re.compile(r"grad%|[a-z]\b(?!\w)")
"""How a sentence begins that keeps its small letter."""


def why(result: Result) -> str:
    """The verdict in a sentence: the condition that decided, as the evaluator says it, or what its verdict says alone."""
    text = _why(result)
    return text if SYMBOL.match(text) or not text[:1].isascii() else f"{text[:1].upper()}{text[1:]}"


def _why(result: Result) -> str:
    holds = {BY_DEFINITION: "The quantity is so by its definition, whatever is trained."}
    holds[UNDECIDABLE] = f"{plain(result.rounding)} The order of summation decides.".strip()
    if result.verdict in holds:
        return holds[result.verdict]
    if result.why:
        return f"{stopped(plain(result.why))}{_as_published(result)}"
    if result.verdict == REPRODUCED:
        return _held(result)
    if result.verdict == CAVEAT:
        return _caveat(result)
    return f"{_decided(result)}{_as_published(result)}"


def _caveat(result: Result) -> str:
    """Why it does not hold in full, where its evaluator has not said it: runs that are absent, or printed digits."""
    at = result.note.find(SHORTFALL)
    if at >= 0:
        return f"It holds on the runs that are there. {plain(result.note[at:]).split('. ')[0].rstrip('.')}."
    if len({replicate.verdict for replicate in result.replicates}) > 1:
        return f"It holds in each order of summation, not in full in all. {plain(result.rounding)}"
    limit = f"It holds, with a limit: {stopped(plain(first_sentence(result.note)))}" if result.note else ""
    return limit or _decided(result)


def _decided(result: Result) -> str:
    """The first number that has the verdict of the claim, beside what was published; empty where there is none."""
    decides = next((entry for entry in result.entries if entry.verdict == result.verdict), None)
    if decides is None:
        measured = head(result.measured, 80)
        return f"Measured {measured}, where {plain(result.claim.published)} was published." if measured else ""
    named = plain(" ".join(decides.setting.values()) if not decides.measured else decides.id)
    published = plain(decides.published) or plain(result.claim.published)
    margin = next((f"; the margin is {decides.setting[name]}" for name in WITHIN if name in decides.setting), "")
    return f"{named} is {head(decides.measured, 80)} where {WORDED.get(published, published)} was published{margin}."


def _as_published(result: Result) -> str:
    """Which parts of a claim that fails hold, in words; empty if none does, or it has one part only."""
    if result.verdict not in FAILED or len(result.entries) < 2:
        return ""
    held = [f"{plain(entry.id)} {head(entry.measured, 60)}" for entry in result.entries if entry.verdict in HELD]
    if not held:
        return ""
    more = f", and {len(held) - NAMED} more" if len(held) > NAMED else ""
    return f" As published: {'; '.join(held[:NAMED])}{more}."


def _held(result: Result) -> str:
    """What decides that a claim is reproduced."""
    if by_digits(result):
        names = ", ".join(plain(entry.id) for entry in result.entries if DECIDED in entry.setting)
        return f"It has the printed digits, with an interval within a factor of 2; no test puts this in the margin: {names}."
    if not has_margin(result):
        return (
            f"Measured {short(result)}, as the claim has it."
            if math.isnan(result.p)
            else "Tests decide that it is as published."
        )
    if math.isnan(result.p):
        said = short(result).removesuffix(" as published")
        return f"The runs that it names give {said} as published."
    margins = [entry.setting["margin"] for entry in result.entries if "margin" in entry.setting]
    if len(margins) == 1:
        return f"One-sided tests at 5 % put {short(result)} within the margin, {margins[0]}."
    return f"One-sided tests at 5 % put all {len(margins)} numbers within their margins."


def filters(found: Sequence[Card]) -> list[tuple[str, str, list[str]]]:
    """What the table is filtered by: name, label and values, those with a choice only."""
    values = {
        "verdict": ("Verdict", sorted({card.result.verdict for card in found}, key=VERDICTS.index)),
        "kind": ("Whose word", sorted({card.result.claim.kind for card in found}, key=KINDS.index)),
        "study": ("Study", sorted({study for card in found for study in card.result.claim.studies})),
        "paper": ("Paper", sorted({card.paper for card in found})),
    }
    return [(name, label, options) for name, (label, options) in values.items() if len(options) > 1]
