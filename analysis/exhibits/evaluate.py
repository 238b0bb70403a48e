"""Exhibits held against the runs of a store: claims, chapters of errata and figures, each by one evaluator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pandas as pd

from analysis.exhibits.model import (
    CAVEAT,
    FAILED,
    HELD,
    IMPRECISE,
    NOT_TESTABLE,
    REPRODUCED,
    Answered,
    Chapter,
    Claim,
    Erratum,
    Measured,
    Question,
    Replicate,
    Result,
)
from analysis.exhibits.panels import Drawn, Panel, Prepared
from analysis.exhibits.robust import DEFAULT, control, over_roundings, provenance
from analysis.exhibits.sources import ENOUGH, Absent, Sources, replicates
from analysis.reading.evidence import SENSITIVITY_STUDY, Evidence
from analysis.reading.runs import grid
from grok.store.errors import StoreError

NOTHING = "the runs that are there hold none of it"
T = TypeVar("T")


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """What came of holding something against a store.

    Attributes:
        made: None if that was not possible. problem: why, a sentence; empty otherwise.
        broken: whether an error that nothing foresaw stopped it, and not runs that are absent or cannot be read.
        run_ids: of the runs taken. shortfalls: `14 of 15 runs of headline` for each incomplete take.
        commands: that make the runs, by study. made_by: what made each run taken, as `Sources.made_by`. replaced: of these
            that are of another rounding. changed: whether there are any by a rounding.
    """

    made: T | None
    problem: str
    broken: bool
    run_ids: tuple[str, ...]
    shortfalls: tuple[str, ...]
    commands: tuple[str, ...]
    made_by: Mapping[str, tuple[str, ...]]
    replaced: int
    changed: Callable[[str], bool]

    @property
    def short(self) -> str:
        """What is not all there, a sentence; empty if all is."""
        return f"Not all runs are there: {', '.join(self.shortfalls)}." if self.shortfalls else ""


def attempt(
    evidence: Evidence, studies: Sequence[str], make: Callable[[Sources], T], rounding: str | None = None
) -> Attempt[T]:
    """Make something of the evidence, or say why not; the fault of one must not cost the reader the others.

    Args:
        evidence: of the store. studies: that are read. make: takes its runs from `Sources`; `Absent` if they are not there.
        rounding: whose runs are taken in their place.
    """
    sources, made, problem, broken = Sources(evidence, rounding), None, "", False
    try:
        made = make(sources)
    except (Absent, StoreError) as reason:
        problem = str(reason)
    except Exception as error:
        problem, broken = fault(error), True
    commands = tuple(evidence.command(study) for study in studies)
    shortfalls = tuple(dict.fromkeys(sources.shortfalls))
    run_ids, made_by, replaced = tuple(sources.run_ids), sources.made_by, sources.replaced
    return Attempt(made, problem, broken, run_ids, shortfalls, commands, made_by, replaced, sources.changed)


def fault(error: Exception) -> str:
    """An error that nothing foresaw, as one line for the reader of a report."""
    return f"An error stopped this: {type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(".: ") + "."


def evaluate(evidence: Evidence, claims: Iterable[Claim]) -> list[Result]:
    """Hold claims against the runs of a store, in order, over roundings, with the false-discovery rate controlled over all.

    A claim whose runs are absent, too few or unreadable is `not testable yet`, and so is one whose evaluation ends in an error:
    its note says which. One that is `reproduced` on fewer runs than its study has is so `with a caveat`.

    Args:
        evidence: of the store. claims: to hold, as `analysis.papers.CLAIMS` has them.
    """
    return control([_judge(claim, evidence) for claim in claims])


def repeat(
    claim: Claim,
    evidence: Evidence,
    runs: int,
    changed: Callable[[str], bool],
    default: Mapping[str, Mapping[str, int]],
) -> list[tuple[Replicate, Measured]]:
    """A claim with the runs of each rounding in place of those that it repeats, where it repeats any by another order.

    Args:
        claim: to hold. evidence: of the store. runs: that the claim takes by default; a rounding with less than `ENOUGH` of as
            many does not count. changed: whether a rounding repeats any of them. default: what made the runs by default; in
            float32 a rounding that they have already is not counted again.
    """
    out = []
    for name in filter(changed, replicates()):
        one = attempt(evidence, claim.studies, claim.measure, name)
        if one.made is not None and one.replaced and len(one.run_ids) >= ENOUGH * runs:
            made_by, _ = provenance(one.made_by)
            if name in default.get("rounding", ()) and made_by.get("rounding") == default["rounding"]:
                continue
            out.append((Replicate(name, one.made.verdict, one.made.text, one.replaced, made_by), one.made))
    return out


def _judge(claim: Claim, evidence: Evidence) -> Result:
    tried = attempt(evidence, claim.studies, claim.measure)
    command = " && ".join(tried.commands)
    if tried.made is None:
        return Result(claim, "", {}, NOT_TESTABLE, tried.problem, 0, (), command)
    found = tried.made
    run_ids = tuple(dict.fromkeys((*tried.run_ids, *found.run_ids)))
    own = CAVEAT if tried.shortfalls and found.verdict == REPRODUCED else found.verdict
    made_by, mixed = provenance(tried.made_by)
    others = repeat(claim, evidence, len(run_ids), tried.changed, made_by)
    replaced = max((replicate.replaced for replicate, _ in others), default=0)
    verdict, told = over_roundings(own, [other.verdict for _, other in others], (replaced, len(run_ids)))
    repeated = (Replicate(DEFAULT, own, found.text, 0, made_by), *(replicate for replicate, _ in others))
    ps = [one.p for one in (found, *(other for _, other in others))]
    tested = [one for one in ps if not math.isnan(one)]
    by_digits = verdict in HELD and len(tested) < len(ps)  # in one of the roundings: there no test decides
    p = math.nan if by_digits or not tested else max(tested)
    return Result(
        claim,
        found.text,
        found.estimates,
        verdict,
        " ".join(text for text in (found.note, tried.short, mixed) if text),
        len(run_ids),
        run_ids,
        command,
        found.entries,
        repeated if others else (),
        told,
        made_by,
        p if verdict in (*HELD, *FAILED, IMPRECISE) else math.nan,
        samples=found.samples,
        short=found.short,
        why=found.why if verdict == found.verdict else "",
        axes=found.axes,
    )


def ask(evidence: Evidence, questions: Iterable[Question]) -> list[Answered]:
    """Put questions to the runs of a store, in order; where runs are absent the note says which, and the answer is empty.

    Args:
        evidence: of the store. questions: as `analysis.papers.QUESTIONS` has them.
    """
    return [_answer(question, evidence) for question in questions]


def _answer(question: Question, evidence: Evidence) -> Answered:
    tried = attempt(evidence, question.studies, question.measure)
    command = " && ".join(tried.commands)
    if tried.made is None:
        return Answered(question, "", {}, tried.problem, 0, (), command)
    found = tried.made
    run_ids = tuple(dict.fromkeys((*tried.run_ids, *found.run_ids)))
    note = " ".join(text for text in (found.note, tried.short) if text)
    return Answered(question, found.text, found.estimates, note, len(run_ids), run_ids, command, found.entries)


def write(evidence: Evidence, chapters: Iterable[Chapter]) -> list[Erratum]:
    """Every chapter, in order; where runs are absent its text says which study to run and the table is empty.

    Args:
        evidence: of the store. chapters: as `analysis.papers.ERRATA` has them.
    """
    return [_chapter(chapter, evidence) for chapter in chapters]


def _chapter(chapter: Chapter, evidence: Evidence) -> Erratum:
    tried = attempt(evidence, chapter.studies, chapter.build)
    if tried.made is None:
        measured, table = f"Not shown yet{'. ' if tried.broken else ': '}{tried.problem.rstrip('.')}.", pd.DataFrame()
    else:
        measured, table = tried.made
    text = f"{chapter.why}\n\n{f'{measured} {tried.short}'.strip()}"
    command = " && ".join(tried.commands)
    brief = chapter.brief(table) if chapter.brief is not None and len(table) else None
    about = (chapter.figure, tried.run_ids, command, chapter.id, chapter.section)
    return Erratum(chapter.id, chapter.title, text, table, *about, brief, chapter.first)


def draw(evidence: Evidence, panels: Iterable[Panel]) -> list[Drawn]:
    """Prepare and draw panels, in order, or say which commands make their data; one that fails says how.

    Args:
        evidence: of the store. panels: as `analysis.papers.PANELS` has them.
    """
    return [_panel(panel, evidence) for panel in panels]


def _panel(panel: Panel, evidence: Evidence) -> Drawn:
    there: dict[str, list[str]] = {}

    def make(sources: Sources) -> tuple[Prepared, Any, str] | None:
        there.update({study: ids for study in panel.studies if (ids := _run_ids(sources.evidence, study))})
        if not there:
            return None
        prepared = panel.prepare(sources.evidence)
        empty = any(table.empty for table in prepared.tables.values())
        if empty:
            return prepared, None, ""
        return prepared, panel.draw(prepared.tables), panel.finding(prepared.tables) if panel.finding else ""

    tried = attempt(evidence, panel.studies, make)
    if tried.problem:
        return Drawn(panel, problem=tried.problem.rstrip(".").replace("An error", "an error", 1), commands=tried.commands)
    missing = tuple(evidence.command(study) for study in panel.studies if study not in there)
    if tried.made is None or (tried.made[1] is None and missing):
        return Drawn(panel, missing=tried.commands)
    prepared, figure, finding = tried.made
    if figure is None:
        return Drawn(panel, problem=NOTHING, commands=tried.commands)
    drawn = tuple(dict.fromkeys(prepared.run_ids))
    used = tuple(evidence.command(study) for study, ids in there.items() if not set(ids).isdisjoint(drawn))
    counts = {study: _of_grid(evidence, study) for study in there if study != SENSITIVITY_STUDY}
    partial = tuple(f"{study}: {have} of {cells} runs" for study, (have, cells) in counts.items() if have < cells)
    caption = " ".join(filter(None, (finding, panel.caption, prepared.note)))
    return Drawn(panel, prepared.tables, figure, caption, drawn, used, missing, partial, details=prepared.details)


def _of_grid(evidence: Evidence, study: str) -> tuple[int, int]:
    """How many cells of a registry study's grid have a finished run, and how many cells there are."""
    hashes, runs = {cell.config.hash for cell in grid(study)}, evidence.runs(study)
    return len(hashes & set(runs["config_hash"])) if len(runs) else 0, len(hashes)


def _run_ids(evidence: Evidence, study: str) -> list[str]:
    if study == SENSITIVITY_STUDY:
        found = evidence.sensitivity()
        return [] if found is None else [str(found["run_id"])]
    return [str(run_id) for run_id in evidence.runs(study)["run_id"]]
