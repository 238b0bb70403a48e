"""What a report says, before it is HTML or Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis import papers
from analysis.exhibits.evaluate import ask, draw, evaluate, write
from analysis.exhibits.model import CONTRADICTED, VERDICTS, Answered, Chapter, Claim, Erratum, Question, Result
from analysis.exhibits.panels import Drawn, Panel
from analysis.reading.evidence import Evidence
from analysis.reading.runs import is_own, stored_name
from analysis.report.compare import Comparison, compare, tally
from grok.spec.studies import load_study, registry

Over = Callable[[str, Sequence[Any]], Iterable[Any]]
"""(stage, items) → the same items: where a bar stands."""
DIVERGED = ["study", "condition", "seed", "run_id"]


@dataclass(frozen=True)
class StudyRow:
    """A study in the report.

    Attributes:
        name: as its runs are tagged. sentence: what it asks. runs: finished ones. cells: of its grid; 0 if it is not of the
            registry. left_out: runs that are not counted. command: that makes the runs; empty if it is not of the registry.
    """

    name: str
    sentence: str
    runs: int
    cells: int
    left_out: int
    command: str


@dataclass(frozen=True)
class Content:
    """All that the report shows.

    Attributes:
        results: claims, in order. errata: demonstrations. drawn: figures, drawn or not. studies: those that it reads.
        left_out: run_id, name, study, condition, reason. runs: different finished runs. comparison: with a baseline, if any.
        diverged: study, condition, seed, run_id of each run that stopped since its numbers were no longer finite.
        answers: to questions of ours. ui_url: of the MLflow UI that runs are linked to; empty for none.
    """

    results: tuple[Result, ...]
    errata: tuple[Erratum, ...]
    drawn: tuple[Drawn, ...]
    studies: tuple[StudyRow, ...]
    left_out: pd.DataFrame
    runs: int
    comparison: Comparison | None = None
    diverged: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=DIVERGED))
    answers: tuple[Answered, ...] = ()
    ui_url: str = ""

    @property
    def verdicts(self) -> dict[str, int]:
        """How many claims have each verdict, in the order of `VERDICTS`."""
        return {verdict: sum(result.verdict == verdict for result in self.results) for verdict in VERDICTS}

    @property
    def tally(self) -> dict[str, dict[str, int]]:
        """By kind of source, the paper's own first, how many claims have each verdict; kinds without a claim are left out."""
        return tally(self.results)

    @property
    def contradicted(self) -> tuple[Result, ...]:
        """The claims that the runs contradict."""
        return tuple(result for result in self.results if result.verdict == CONTRADICTED)

    @property
    def reasons(self) -> dict[str, int]:
        """How many left-out runs there are by reason, the most frequent first."""
        counts = self.left_out.drop_duplicates(["run_id", "reason"])["reason"].value_counts(sort=False)
        return dict(sorted(((str(k), int(v)) for k, v in counts.items()), key=lambda item: (-item[1], item[0])))


def gather(
    evidence: Evidence,
    only: Sequence[str] = (),
    baseline: Mapping[str, Any] | None = None,
    baseline_name: str = "",
    own: Sequence[Claim | Question | Chapter | Panel] = (),
    over: Over = lambda _, items: items,
) -> Content:
    """Evaluate claims, errata and figures, and compare with a baseline.

    Args:
        evidence: of the store.
        only: names of studies; what reads none of them is left out. Empty: all.
        baseline: as `compare.read_baseline` gives it. baseline_name: what the user calls it.
        own: claims, questions, chapters and panels of the user, after those of the papers. over: to be told of what is done.
    """
    wanted = {stored_name(one) for one in only}

    def reads(names: Sequence[str]) -> bool:
        return not wanted or bool(wanted & {stored_name(name) for name in names})

    claims = (*papers.CLAIMS, *(one for one in own if isinstance(one, Claim)))
    held = [claim for claim in claims if reads(claim.studies)]
    results = tuple(evaluate(evidence, over("claims", held)))
    questions = (*papers.QUESTIONS, *(one for one in own if isinstance(one, Question)))
    asked = [one for one in questions if reads(one.studies)]
    answers = tuple(ask(evidence, over("questions", asked)))
    panels = (*papers.PANELS, *(one for one in own if isinstance(one, Panel)))
    chosen = [panel for panel in panels if reads(panel.studies)]
    drawn = tuple(draw(evidence, over("figures", chosen)))
    shown = {panel.id for panel in chosen}
    chapters = (*papers.ERRATA, *(one for one in own if isinstance(one, Chapter)))
    told = [one for one in chapters if reads(one.studies) or one.figure in shown]
    found = tuple(write(evidence, over("chapters", told)))
    studies = registry() | {stored_name(one): load_study(one) for one in only if is_own(one)}
    names = [name for name in dict.fromkeys((*studies, *evidence.studies)) if not wanted or name in wanted]
    left_out = evidence.left_out
    if wanted:
        left_out = left_out[left_out["study"].isin(wanted)]
    left_out = left_out.sort_values(["study", "condition", "reason", "run_id"], ignore_index=True)
    ids: dict[str, None] = {}
    rows = []
    diverged = []
    for name in names:
        runs = evidence.runs(name)
        if len(runs):
            diverged.append(runs[runs["state"] == "diverged"].assign(study=name)[DIVERGED])
        ids |= dict.fromkeys(runs["run_id"])
        known, out = studies.get(name), int((left_out["study"] == name).sum())
        rows.append(
            StudyRow(name, known.sentence, len(runs), len(known.cells), out, evidence.command(name))
            if known
            else StudyRow(name, "", len(runs), 0, out, "")
        )
    comparison = None if baseline is None else compare(baseline, results, baseline_name, only, answers)
    stopped = pd.concat(diverged, ignore_index=True) if diverged else pd.DataFrame(columns=DIVERGED)
    return Content(results, found, drawn, tuple(rows), left_out, len(ids), comparison, stopped, answers)
