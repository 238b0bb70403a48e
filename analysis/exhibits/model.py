"""What a claim is, and what holding it against runs gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from analysis.statistics.estimates import Estimate

if TYPE_CHECKING:
    from analysis.exhibits.sources import Sources

REPRODUCED, CAVEAT, NOT_REPRODUCED, CONTRADICTED, NOT_TESTABLE = VERDICTS = (
    "reproduced",
    "reproduced with a caveat",
    "not reproduced",
    "contradicted",
    "not testable yet",
)


@dataclass(frozen=True)
class Measured:
    """What the runs say about a claim.

    Attributes:
        text: the measured value in words and numbers.
        verdict: one of `VERDICTS`, by the claim's rule.
        estimates: the numbers in `text`, by name.
        note: what a reader must know besides; may be empty.
        run_ids: runs that were used, in order; those that the claim took from `Sources` are added by `evaluate`.
    """

    text: str
    verdict: str
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    note: str = ""
    run_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A published statement.

    Attributes:
        id: short, unique, stable; reports of two dates are compared by it.
        statement: what was published, a sentence. source: where. published: its value as printed.
        recomputed: how the value is recomputed, a sentence.
        studies: that it reads, the one to run first at the front.
        rule: how the verdict follows, in words; better fixed before the runs are looked at.
        measure: the same in code.
    """

    id: str
    statement: str
    source: str
    published: str
    recomputed: str
    studies: tuple[str, ...]
    rule: str
    measure: Callable[[Sources], Measured]


@dataclass(frozen=True)
class Result:
    """A claim held against a store: a row of the report.

    Attributes:
        claim: the statement. measured: in words and numbers, empty if not testable.
        estimates: by name. verdict: one of `VERDICTS`. note: what a reader must know besides.
        n: runs used. run_ids: of them. command: that makes the data.
    """

    claim: Claim
    measured: str
    estimates: Mapping[str, Estimate]
    verdict: str
    note: str
    n: int
    run_ids: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class Erratum:
    """A chapter of the errata.

    Attributes:
        id: short, stable. title: a sentence. text: paragraphs, plain.
        table: the demonstration; empty where its runs are absent.
        figure: id of the report's figure that shows it, if any.
        run_ids: of the runs used. command: that makes them. data_name: of the table's file.
    """

    id: str
    title: str
    text: str
    table: pd.DataFrame
    figure: str | None
    run_ids: tuple[str, ...]
    command: str
    data_name: str


@dataclass(frozen=True)
class Chapter:
    """How an erratum is made: `build` gives what was measured, in words, and the table; `why` stands before it."""

    id: str
    title: str
    studies: tuple[str, ...]
    figure: str | None
    why: str
    build: Callable[[Sources], tuple[str, pd.DataFrame]]
