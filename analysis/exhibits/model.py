"""What a claim is, what a question of ours is, and what holding them against runs gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from analysis.statistics.estimates import Estimate

if TYPE_CHECKING:
    from analysis.exhibits.sources import Sources

REPRODUCED, CAVEAT, NOT_REPRODUCED, CONTRADICTED, UNDECIDABLE, BY_DEFINITION, IMPRECISE, NOT_TESTABLE = VERDICTS = (
    "reproduced",
    "reproduced with a caveat",
    "not reproduced",
    "contradicted",
    "undecidable to rounding",
    "undecidable by definition",
    "not precise enough to tell",
    "not testable yet",
)
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
"""What each verdict means, a sentence; the rules themselves stand with each claim. The report and the docs have these."""
ERRATA = "Errata"
"""The section of a chapter that is of no other."""
HELD, FAILED = (REPRODUCED, CAVEAT), (NOT_REPRODUCED, CONTRADICTED)
"""Sides that verdicts fall on; a third is open."""
ABSTRACT, TABLE, TEXT, NOTES, FRESH, REVIEW = KINDS = (
    "paper abstract",
    "paper table",
    "paper text",
    "author's notes or code",
    "the paper's sentences on fresh seeds",
    "machine-written review with a simulated rebuttal",
)
"""Whose word a claim is, the paper's own first; verdicts are counted for each kind apart."""


def weakest(verdicts: Sequence[str]) -> str:
    """The weakest of verdicts on one side: with a caveat before reproduced, not reproduced before contradicted."""
    order = (CAVEAT, REPRODUCED, NOT_REPRODUCED, CONTRADICTED)
    return min(verdicts, key=lambda one: order.index(one) if one in order else len(order))


@dataclass(frozen=True)
class Entry:
    """One of several results of a claim: a number of a table row, or a setting of a sentence that names many.

    Attributes:
        id: unique within the claim. setting: what tells it from the others, by name.
        published: its value as printed. measured: in words and numbers.
        verdict: one of `VERDICTS`; the claim has one of its own.
    """

    id: str
    setting: Mapping[str, str]
    published: str
    measured: str
    verdict: str


@dataclass(frozen=True)
class Axis:
    """A number as it is drawn, where the entries of a claim have it not.

    Attributes:
        name: of the number. published: as printed, a number or a count; empty where none was. estimate: measured.
        text: the same in words; made of the estimate where empty. margin: `low … high` around what was published, if any.
        samples: a value per run. ends: of the line, where several numbers are to be compared; else as far as the values go.
    """

    name: str
    published: str
    estimate: Estimate
    text: str = ""
    margin: str = ""
    samples: tuple[float, ...] = ()
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Measured:
    """What the runs say about a claim.

    Attributes:
        text: the measured value in words and numbers.
        verdict: one of `VERDICTS`, by the claim's rule.
        estimates: the numbers in `text`, by name.
        note: what a reader must know besides; may be empty.
        run_ids: runs that were used, in order; those that the claim took from `Sources` are added by `evaluate`.
        entries: what it is made of.
        p: of the decision, for the false-discovery control; NaN where facts about named runs decide, or a rule without a test.
        samples: the value of each run, by name of an estimate, where it is one per run; drawn beside the estimate.
        short: the measured value whole in at most 60 characters, for the first screen; empty where `text` does.
        why: which condition of the rule decided, a sentence; empty where the verdict alone says it.
        axes: what is drawn in place of the entries.
    """

    text: str
    verdict: str
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    note: str = ""
    run_ids: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    p: float = math.nan
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    short: str = ""
    why: str = ""
    axes: tuple[Axis, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A published statement: a sentence, or a row of a table; what either is made of are `Measured.entries`.

    Attributes:
        id: short, unique, stable; reports of two dates are compared by it.
        statement: what was published, a sentence. source: where. published: its value as printed.
        kind: whose word it is, one of `KINDS`.
        recomputed: how the value is recomputed, a sentence.
        studies: that it reads, the one to run first at the front.
        rule: how the verdict follows, in words; better fixed before the runs are looked at.
        measure: the same in code.
        replaces: ids of earlier reports' claims that are entries of this one now.
    """

    id: str
    statement: str
    source: str
    published: str
    recomputed: str
    studies: tuple[str, ...]
    rule: str
    measure: Callable[[Sources], Measured]
    kind: str = field(kw_only=True)
    replaces: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class Answer:
    """What the runs say to a question: as `Measured`, without a verdict."""

    text: str
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    note: str = ""
    run_ids: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Question:
    """Something that nobody has published an answer to; it is answered, not judged.

    Attributes:
        id: short, unique, stable. question: a sentence. studies: that it reads, the one to run first at the front.
        answered: how it is answered, in words. measure: the same in code. source: who asks.
    """

    id: str
    question: str
    studies: tuple[str, ...]
    answered: str
    measure: Callable[[Sources], Answer]
    source: str = "ours"


@dataclass(frozen=True)
class Answered:
    """A question put to a store.

    Attributes:
        question: as asked. text: the answer, empty if it cannot be given yet.
        estimates, note, n, run_ids, command, entries: as in `Result`.
    """

    question: Question
    text: str
    estimates: Mapping[str, Estimate]
    note: str
    n: int
    run_ids: tuple[str, ...]
    command: str
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Replicate:
    """A claim on the runs of one rounding.

    Attributes:
        rounding: its name. verdict, measured: as of a result. replaced: runs of it, in place of as many of the default; 0 of
            the default. made_by: as of a result.
    """

    rounding: str
    verdict: str
    measured: str
    replaced: int = 0
    made_by: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A claim held against a store: a row of the report.

    Attributes:
        claim: the statement. measured: in words and numbers, empty if not testable.
        estimates: by name. verdict: one of `VERDICTS`. note: what a reader must know besides.
        n: runs used. run_ids: of them. command: that makes the data. entries: as in `Measured`.
        replicates: the same by other roundings, the default first; empty if it was judged on one. rounding: that in words.
        made_by: runs by code version, protocol, rounding and device, where recorded.
        p: of the decision, the largest over roundings; NaN without a test. adjusted: after the false-discovery control.
        samples, short, axes: as in `Measured`. why: likewise; empty where another verdict than the claim's own was given.
    """

    claim: Claim
    measured: str
    estimates: Mapping[str, Estimate]
    verdict: str
    note: str
    n: int
    run_ids: tuple[str, ...]
    command: str
    entries: tuple[Entry, ...] = ()
    replicates: tuple[Replicate, ...] = ()
    rounding: str = ""
    made_by: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    p: float = math.nan
    adjusted: float = math.nan
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    short: str = ""
    why: str = ""
    axes: tuple[Axis, ...] = ()


@dataclass(frozen=True)
class Erratum:
    """A chapter of the errata.

    Attributes:
        id: short, stable. title: a sentence. text: paragraphs, plain.
        table: the demonstration; empty where its runs are absent.
        figure: id of the report's figure that shows it, if any.
        run_ids: of the runs used. command: that makes them. data_name: of the table's file. section: of the report.
        brief: the table as a page shows it, if less than all. first: paragraphs that stand open; the others are folded; 0: all.
    """

    id: str
    title: str
    text: str
    table: pd.DataFrame
    figure: str | None
    run_ids: tuple[str, ...]
    command: str
    data_name: str
    section: str = ERRATA
    brief: pd.DataFrame | None = None
    first: int = 0

    @property
    def printed(self) -> pd.DataFrame:
        """The table as a page shows it."""
        return self.table if self.brief is None else self.brief


@dataclass(frozen=True)
class Chapter:
    """How a chapter is made: `build` gives what was measured, in words, and the table; `why` stands before it.

    `section` is the heading that it stands under; errata by default. `brief` makes of a table what a page shows of it, and of
    the text, `why` with it, `first` paragraphs stand open; 0: all.
    """

    id: str
    title: str
    studies: tuple[str, ...]
    figure: str | None
    why: str
    build: Callable[[Sources], tuple[str, pd.DataFrame]]
    section: str = ERRATA
    brief: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    first: int = 0
