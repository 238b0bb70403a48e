"""The sentences of the report, and how numbers are written; the same for HTML and Markdown."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import pandas as pd

from analysis.exhibits.margins import DECIDED
from analysis.exhibits.model import (
    ABSTRACT,
    BY_DEFINITION,
    CAVEAT,
    CONTRADICTED,
    FRESH,
    HELD,
    IMPRECISE,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    TABLE,
    TEXT,
    UNDECIDABLE,
    VERDICTS,
    Erratum,
    Result,
)
from analysis.exhibits.robust import discoveries
from analysis.report.compare import ABSENT, CHANGED, MOVED, NEW, Comparison, kind
from analysis.report.content import Content
from analysis.statistics.estimates import Estimate
from analysis.words import CONDITIONS, number, spread

TITLE = "The dissociation report"
DIGITS = 4
"""Significant ones, in estimates and tables."""
METHOD = (
    "λ₁ … λ₅ are the largest eigenvalues of the Gram ΔᵀΔ of the last w weight updates. The paper prints them as σ; singular "
    "values of Δ are their square roots. η is the weight decay.",
    "Each estimate of a claim says what its bracket is. “95 %”: a confidence interval, Clopper–Pearson for counts, bootstrap "
    "or exact for medians and ratios; “quartiles” and “range”: the spread of the runs; “between”: the last observation before "
    "an event and the first at or after it. Bands and bars in figures over epochs are quartiles over seeds. Rates over pairs "
    "of features are reported over seeds, since pairs of one network are not independent.",
    "“Not testable yet” says that the store lacks the runs; the command beside the claim makes them. A run counts "
    "once, the newest finished one of its config; others are left out, with the reason.",
    "A number of named runs is compared as it is; one that stands for seeds at large is tested against a margin that was "
    "fixed for its kind: inside, it is reproduced; outside, not; where the runs cannot tell, “not precise enough to tell”. "
    "Where runs of other orders of summation disagree it is “undecidable to rounding”. analysis/claims/PREREGISTRATION.md has "
    "every rule.",
    "The same store gives the same report, byte for byte.",
)


class Text(NamedTuple):
    """A cell of a table: its text, and whether it is a number."""

    text: str
    number: bool


def count(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def lead(content: Content) -> str:
    """The report's first sentence."""
    claims, fresh = _published(content), [result for result in content.results if result.claim.kind == FRESH]
    also = f", {len(fresh)} of their numbers on fresh seeds too" if fresh else ""
    text = (
        f"{count(len(claims), 'published statement')}{also}, held against {count(content.runs, 'finished run')} of this store."
    )
    out = content.left_out["run_id"].nunique()
    return text + (f" {count(out, 'run')} {'is' if out == 1 else 'are'} left out, each with a reason below." if out else "")


def _published(content: Content) -> list[Result]:
    """Claims on what was published, those on fresh seeds not counted again."""
    return [result for result in content.results if result.claim.kind != FRESH]


SAID = {REPRODUCED: "reproduced", CAVEAT: "with a caveat", NOT_REPRODUCED: "not reproduced", CONTRADICTED: "contradicted"}
FOUR = tuple(SAID)
"""Told whatever their number."""
SAID |= {verdict: verdict for verdict in (UNDECIDABLE, BY_DEFINITION, IMPRECISE)}
PAPERS_OWN = (ABSTRACT, TABLE, TEXT)
"""Kinds of source that a paper itself is; the others are its author's notes and code, and a review."""
SECTIONS = {
    "Fresh seeds": "Seeds that no one had looked at when the rules were fixed.",
    "Rounding": "The same runs by other orders of summation.",
    "Power": "What the designs can tell, by arithmetic.",
    "Errata": "What differs from the published text for a reason that can be shown, each demonstrated on tracked runs.",
}
"""What stands below the heading of a section of chapters."""


def summary(content: Content) -> str:
    """What became of the statements: how many could be tested, how many have each verdict; the same of fresh seeds."""
    claims = _published(content)
    counts = {verdict: sum(result.verdict == verdict for result in claims) for verdict in VERDICTS}
    open_ = counts[NOT_TESTABLE]
    tested = len(claims) - open_
    if not tested:
        return "None of them can be tested yet; the command beside each makes its runs."
    told = ", ".join(f"{counts[verdict]} {label}" for verdict, label in SAID.items() if counts[verdict] or verdict in FOUR)
    rest = f" {open_} cannot be tested yet; the command beside each makes its runs." if open_ else ""
    fresh = [r.verdict for r in content.results if r.claim.kind == FRESH and r.verdict != NOT_TESTABLE]
    held = sum(verdict in HELD for verdict in fresh)
    also = f" On fresh seeds {held} of {len(fresh)} hold." if fresh else ""
    own = [r.verdict for r in claims if r.claim.kind in PAPERS_OWN and r.verdict != NOT_TESTABLE]
    printed = (
        f" Of those in the papers themselves, without notes and code, {sum(one in HELD for one in own)} of {len(own)} hold."
    )
    return f"Of the {tested} that could be tested: {told}.{printed if 0 < len(own) < tested else ''}{rest}{also}"


ALL = "all"
"""What the last row of the tally is called."""


def tally_rows(content: Content) -> list[list[str]]:
    """A row per kind of source, the paper's own first: the kind, its claims, and how many have each of `verdicts_told`.

    The last row is their sum, where there are several.
    """
    told = verdicts_told(content)
    kinds = dict(content.tally)
    if len(kinds) > 1:
        kinds[ALL] = {verdict: sum(of[verdict] for of in content.tally.values()) for verdict in told}
    return [[kind, str(sum(of.values())), *(str(of[verdict]) for verdict in told)] for kind, of in kinds.items()]


def verdicts_told(content: Content) -> list[str]:
    """Those that have a column: any that a claim has, and `FOUR`."""
    return [verdict for verdict, number in content.verdicts.items() if number or verdict in FOUR]


def sections(content: Content) -> list[tuple[str, str, list[Erratum]]]:
    """Chapters by section, in the order of their first: heading, what stands below it, and the chapters."""
    names = dict.fromkeys(erratum.section for erratum in content.errata)
    return [(name, SECTIONS.get(name, ""), [one for one in content.errata if one.section == name]) for name in names]


def discovery_line(content: Content) -> str:
    """How many decisions a test made, and how many of them stand among all; empty where none did."""
    tested, decided, by_any = discoveries(content.results)
    if not tested:
        return ""
    return (
        f"A test decides {decided} of the {count(tested, 'claim')} that one could; of these at most 5 % are expected to be "
        f"wrong (Benjamini–Hochberg, under positive dependence); {by_any} would stand under any dependence "
        f"(Benjamini–Yekutieli). {_uncovered(content)}"
    ).strip()


def _uncovered(content: Content) -> str:
    """Which verdicts the control of false discoveries does not cover, by why; empty if it covers all."""
    others = [r for r in content.results if math.isnan(r.p) and r.verdict not in (NOT_TESTABLE, UNDECIDABLE, BY_DEFINITION)]
    alike = [r for r in others if by_digits(r)]
    rules = without_test(content)
    facts = len(others) - len(alike) - len(rules)
    undecided, defined = (sum(r.verdict == one for r in content.results) for one in (UNDECIDABLE, BY_DEFINITION))
    parts = [
        f"{count(facts, 'claim')} on named runs: facts, compared as they are" if facts else "",
        f"{count(len(alike), 'claim')} that printed digits decide in part, where the test failed" if alike else "",
        f"{count(len(rules), 'claim')} whose rule counts, or holds single runs to a margin, without a test" if rules else "",
        f"{undecided} undecidable to rounding" if undecided else "",
        f"{defined} undecidable by definition" if defined else "",
    ]
    told = "; ".join(filter(None, parts))
    return f"That does not cover {told}." if told else ""


def without_test(content: Content) -> list[Result]:
    """The claims whose rule counts, or holds single runs to a margin, without a test."""
    open_ = (NOT_TESTABLE, UNDECIDABLE, BY_DEFINITION)
    return [r for r in content.results if math.isnan(r.p) and r.verdict not in open_ and not has_margin(r)]


def by_digits(result: Result) -> bool:
    """Whether printed digits decide a claim that holds, or a part of it."""
    return result.verdict in HELD and any(DECIDED in entry.setting for entry in result.entries)


def has_margin(result: Result) -> bool:
    """Whether some number of a claim has a margin, which a rule that counts has not."""
    return any(entry.setting.get("margin") for entry in result.entries)


def rounding_line(content: Content) -> str:
    """On how many roundings claims were judged; empty where none was."""
    judged = [result for result in content.results if result.verdict != NOT_TESTABLE]
    over = sum(bool(result.replicates) for result in judged)
    if not judged:
        return ""
    rest = len(judged) - over
    return f"{count(over, 'claim')} judged over several roundings, {rest} on one."


def make(made_by: Any) -> str:
    """What made a claim's runs, in words; empty where it is not recorded."""
    told = (
        f"{name.replace('_', ' ')} " + ", ".join(f"{value} ({n})" for value, n in counts.items())
        for name, counts in made_by.items()
    )
    return "; ".join(told)


def contradicted_line(content: Content) -> str:
    """What stands before the list of contradicted claims, or that there is none; empty where nothing was tested."""
    number_of, tested = content.verdicts[CONTRADICTED], len(content.results) - content.verdicts[NOT_TESTABLE]
    if not number_of:
        return "The runs contradict none of them." if tested else ""
    return f"The runs contradict {'this one' if number_of == 1 else f'these {number_of}'}:"


def diverged_line(content: Content) -> str:
    """How many runs diverged, by study; empty if none did."""
    counts = content.diverged["study"].value_counts(sort=False)
    told = ", ".join(f"{int(number)} of {study}" for study, number in counts.items())
    return f"Runs whose numbers were no longer finite stopped there, and count as they are: {told}." if told else ""


def runs_line(content: Content) -> str:
    """How many runs are read, and from how many studies."""
    there = sum(study.runs > 0 for study in content.studies)
    return f"{count(content.runs, 'finished run')} in {there} of {len(content.studies)} studies; a run may serve several."


def change_line(comparison: Comparison | None) -> str:
    """How many claims differ from the baseline, and how."""
    if comparison is None:
        return ""
    parts = (
        (CHANGED, "verdict changed", "verdicts changed"),
        (NEW, "claim is new", "claims are new"),
        (ABSENT, "claim is absent now", "claims are absent now"),
        (MOVED, "measured value changed", "measured values changed"),
    )
    told = [f"{n} {one if n == 1 else many}" for kind, one, many in parts if (n := comparison.count(kind))]
    what = ", ".join(told) if told else "nothing changed"
    return f"Against {comparison.baseline}: {what}; {count(comparison.same, 'claim')} as before."


def estimate(value: Estimate) -> str:
    """`value [low, high] (95 %), n = 15`; in parentheses, what the bracket is."""
    there = not (math.isnan(value.low) and math.isnan(value.high))
    what = f" ({kind(value)})" if there else ""
    return f"{spread(value.value, value.low, value.high, DIGITS)}{what}, n = {value.n}"


def cell(value: Any) -> Text:
    """A value of a DataFrame as text."""
    if isinstance(value, bool):
        return Text("yes" if value else "no", False)
    if value is None or value is pd.NA:
        return Text("–", False)
    if isinstance(value, int) or (hasattr(value, "dtype") and value.dtype.kind in "iu"):
        return Text(str(int(value)), True)
    if isinstance(value, float) or (hasattr(value, "dtype") and value.dtype.kind == "f"):
        return Text(number(float(value), DIGITS), True)
    return Text(str(value), False)


def visible(table: pd.DataFrame) -> pd.DataFrame:
    """A table as a page shows it: without ids of runs, which its CSV has."""
    return table.drop(columns="run_id", errors="ignore")


def rows(table: pd.DataFrame) -> list[list[Text]]:
    """The cells of a table, by row; conditions as people say them."""
    said = table.astype(object)
    if "condition" in said:
        said["condition"] = [CONDITIONS.get(name, name) for name in said["condition"]]
    return [[cell(value) for value in values] for values in said.itertuples(index=False, name=None)]


def numeric(table: pd.DataFrame) -> set[str]:
    """The columns that hold numbers."""
    return {str(name) for name in table.columns if table[name].dtype.kind in "iuf"}


def paragraphs(text: str) -> list[str]:
    """Parts of a text between empty lines, each on one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]


def slug(text: str) -> str:
    """Lower-case words joined by dashes."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))


def stopped(text: str) -> str:
    """A text with a full stop, unless it was cut or has one."""
    return text if text.endswith((".", "…")) else f"{text}."


def first_sentence(text: str) -> str:
    """As far as the first full stop that ends a sentence."""
    return re.split(r"(?<=\.) (?=[A-ZΛ])", text, maxsplit=1)[0]


def address(url: str) -> str:
    """An address as people name it.

    Example:
        >>> address("https://arxiv.org/abs/2605.08119")
        'arXiv:2605.08119'
    """
    return re.sub(r"^https://arxiv\.org/abs/", "arXiv:", url).removeprefix("https://")
