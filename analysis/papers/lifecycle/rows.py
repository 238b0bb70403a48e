"""A row of a table of the paper as a claim of several numbers, under one rule for all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.exhibits.model import BY_DEFINITION, CAVEAT, CONTRADICTED, NOT_REPRODUCED, REPRODUCED, Claim, Entry, Measured
from analysis.exhibits.sources import Sources
from analysis.printed.lifecycle import LIFECYCLE

RULE = (
    "Each number against the run of the paper's seed, or the mean over its three, within the margin of its kind as fixed in "
    "PREREGISTRATION-lifecycle.md; beyond four margins contradicted. Reproduced if all are, with a caveat if three "
    "quarters are."
)
ORDER = (CONTRADICTED, NOT_REPRODUCED)
"""What is told first: where the runs and the print are apart."""
Entries = Callable[[Sources], list[Entry]]


def row(entries: Entries, limit: str = "") -> Callable[[Sources], Measured]:
    """A claim of several numbers; with a limit that agreement has, in words, reproduced with a caveat at best."""

    def measure(sources: Sources) -> Measured:
        found = entries(sources)
        judged = [one.verdict for one in found if one.verdict not in (BY_DEFINITION, "")]
        if not judged:
            verdict = BY_DEFINITION
        elif all(one == REPRODUCED for one in judged):
            verdict = REPRODUCED
        elif sum(one == REPRODUCED for one in judged) >= 0.75 * len(judged):
            verdict = CAVEAT
        else:
            verdict = CONTRADICTED if CONTRADICTED in judged else NOT_REPRODUCED
        if limit and verdict == REPRODUCED:
            verdict = CAVEAT
        off = [one for one in found if one.verdict in (CONTRADICTED, NOT_REPRODUCED)]
        told = sorted(found, key=lambda one: ORDER.index(one.verdict) if one.verdict in ORDER else len(ORDER))
        text = "; ".join(f"{one.id} {one.measured} (printed {one.published})" for one in told)
        far = ", ".join(one.id for one in off if one.verdict == CONTRADICTED and verdict != CONTRADICTED)
        note = " ".join(filter(None, (limit, f"Off by more than four margins: {far}." if far else "")))
        return Measured(text, verdict, note=note, entries=tuple(found), why=_why(found, verdict, limit))

    return measure


def _why(found: Sequence[Entry], verdict: str, limit: str) -> str:
    """How many numbers lie within their margins, and the first that does not."""
    judged = [one for one in found if one.verdict not in (BY_DEFINITION, "")]
    held, of = sum(one.verdict == REPRODUCED for one in judged), len(judged)
    if not of:
        return ""
    numbers = "Both" if held == of == 2 else f"All {of}" if held == of else f"{held} of {of}"
    count = f"{numbers} numbers lie within the margins of their kinds"
    if held == of:
        return f"{count}. {limit}".strip()
    worst = (CONTRADICTED,) if verdict == CONTRADICTED else ORDER
    first = next(one for one in judged if one.verdict in worst)
    far = "off by more than four margins" if first.verdict == CONTRADICTED else "outside its margin"
    enough = "three quarters or more" if verdict == CAVEAT else "fewer than three quarters"
    return f"{count}, {enough}; {first.id} is {far}: {_head(first.measured)} where {first.published} was printed."


def _head(measured: str) -> str:
    """The number that stands first in what was measured, without what stands beside it."""
    return measured.split(", ", maxsplit=1)[0].split(" (", maxsplit=1)[0]


def claim(
    name: str,
    statement: str,
    where: str,
    shown: str,
    how: str,
    entries: Entries,
    studies: Sequence[str],
    kind: str,
    limit: str = "",
) -> Claim:
    """A row of printed numbers as a claim, under the rule that all of them share; `limit` as `row` has it."""
    source = f"{LIFECYCLE}, {where}"
    return Claim(f"lifecycle-{name}", statement, source, shown, how, tuple(studies), RULE, row(entries, limit), kind=kind)
