"""Claims of a report recomputed by a second reader, from the bundle alone.

    python -m tests.bundle.second_reader docs/report/bundle docs/report/claims.json

Nothing of the project is imported: which runs count, the detector, the events, the statistics and the words are written anew
from docs/bundle.md, the claims' own rules and Xu (arXiv 2605.08119).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

from tests.bundle.second_claims import CLAIMS, Answer
from tests.bundle.second_numbers import Bundle, read, stored_differs

Claim = dict[str, Any]
Claims = dict[str, Claim]
Answers = dict[tuple[str, str, str], Answer]
"""By claim, part of its words and rounding."""


@dataclass(frozen=True)
class Row:
    """A text of the report and the second reader's; `far` names the estimates that differ."""

    claim: str
    part: str
    rounding: str
    report: str
    answer: Answer
    far: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether text and estimates agree."""
        return self.report == self.answer.text and not self.far


def text(claim: Claim, part: str, rounding: str) -> str:
    """The report's words for a part of a claim under a rounding."""
    if part == "note":
        return str(claim["note"].split(". ")[0])
    entries = {entry["rounding"]: entry["measured"] for entry in claim["replicates"]} | {"default": claim["measured"]}
    return str(entries[rounding].split(" ")[0] if part == "value" else entries[rounding])


def far(claim: Claim, answer: Answer) -> Iterator[str]:
    """The estimates that differ from the report's by more than the rounding of float64."""
    for key, values in answer.estimates.items():
        theirs = claim["estimates"].get(key, {})
        for name, value in zip(("value", "low", "high"), values, strict=False):
            known = theirs.get(name)
            if known is None or not isclose(known, value, rel_tol=1e-9, abs_tol=1e-12):
                yield f"{key}, {name}: {known} in the report, {value} here"


def recompute(bundle: Bundle, claims: Claims) -> Answers:
    """Every claim here under every rounding that the report has it for; of a report only these names are read."""
    answers: Answers = {}
    for (name, part), function in CLAIMS.items():
        replicates = [entry["rounding"] for entry in claims[name]["replicates"]]
        for rounding in dict.fromkeys(["default", *replicates]):
            try:
                answers[name, part, rounding] = function(bundle, rounding)
            except LookupError as error:
                answers[name, part, rounding] = Answer(f"not in the bundle: {error}")
    return answers


def compare(answers: Answers, claims: Claims) -> list[Row]:
    """Hold the second reader's answers against the report's claims."""
    rows = []
    for (name, part, rounding), answer in answers.items():
        apart = tuple(far(claims[name], answer)) if rounding == "default" else ()
        rows.append(Row(name, part, rounding, text(claims[name], part, rounding), answer, apart))
    return rows


def by_id(path: Path) -> Claims:
    """The claims of a claims.json."""
    return {claim["id"]: claim for claim in json.loads(path.read_text(encoding="utf-8"))["claims"]}


def main(folder: str, path: str) -> int:
    """Print the table as CSV, and how many runs' stored values were held; 1 if anything differs."""
    bundle, claims = read(Path(folder)), by_id(Path(path))
    rows = compare(recompute(bundle, claims), claims)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["claim", "what", "report", "second_reader", "same"])
    for row in rows:
        held = sum(len(values) for values in row.answer.estimates.values()) if row.rounding == "default" else 0
        parts = ("" if row.part == "measured" else row.part, row.answer.beside, f"numbers of estimates: {held}" if held else "")
        what = "; ".join(filter(None, (row.rounding, *parts)))
        out.writerow([row.claim, what, row.report, row.answer.text, "yes" if row.same else "; ".join(["no", *row.far])])
    held, differ = stored_differs(bundle)
    what = "fire epoch, first epochs of test accuracy, late gap, λ₂/λ₃"
    print(
        f"{len(differ)} of {held} runs differ from their histories in what they stored ({what})",
        *differ,
        sep="\n",
        file=sys.stderr,
    )
    return int(bool(differ) or not all(row.same for row in rows))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
