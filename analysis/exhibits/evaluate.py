"""Claims held against the runs of a store."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.exhibits.model import CAVEAT, NOT_TESTABLE, REPRODUCED, Claim, Result
from analysis.exhibits.sources import Absent, Sources, fault
from analysis.reading.evidence import Evidence
from grok.store.errors import StoreError


def evaluate(evidence: Evidence, claims: Iterable[Claim]) -> list[Result]:
    """Hold claims against the runs of a store, in order.

    A claim whose runs are absent, too few or unreadable is `not testable yet`, and so is one whose evaluation ends in an error:
    its note says which. One that is `reproduced` on fewer runs than its study has is so `with a caveat`.

    Args:
        evidence: of the store. claims: to hold, as `analysis.papers.CLAIMS` has them.
    """
    return [_evaluate(claim, evidence) for claim in claims]


def _evaluate(claim: Claim, evidence: Evidence) -> Result:
    command = " && ".join(evidence.command(study) for study in claim.studies)
    sources = Sources(evidence)
    try:
        found = claim.measure(sources)
    except (Absent, StoreError) as reason:
        return Result(claim, "", {}, NOT_TESTABLE, str(reason), 0, (), command)
    except Exception as error:  # the fault of one claim must not cost the reader the others
        return Result(claim, "", {}, NOT_TESTABLE, fault(error), 0, (), command)
    run_ids = tuple(dict.fromkeys((*sources.run_ids, *found.run_ids)))
    verdict, notes = found.verdict, [found.note] if found.note else []
    if sources.shortfalls:
        verdict = CAVEAT if verdict == REPRODUCED else verdict
        notes.append(f"Not all runs are there: {', '.join(dict.fromkeys(sources.shortfalls))}.")
    return Result(claim, found.text, found.estimates, verdict, " ".join(notes), len(run_ids), run_ids, command)
