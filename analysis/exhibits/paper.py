"""What a paper is for the report: its name and address, what it asks, and what of the answers surprises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from analysis.exhibits.model import Answered


@dataclass(frozen=True)
class Paper:
    """A paper whose statements are held against the runs, or a part of the report that has one each of many.

    Attributes:
        name: its author. short: what sentences of the report call the paper. title: as printed.
        address: where it is to read; empty of many papers.
        asks: what the report asks of it, a sentence for someone who has read the abstract only.
        surprise: answers by id of their question to a sentence; empty where the runs behind it are absent.
        figure: id of the figure that shows it.
        says: what its abstract says, in its order: id of the claim to the same in at most eight words.
    """

    name: str
    short: str
    title: str
    address: str
    asks: str
    surprise: Callable[[Mapping[str, Answered]], str]
    figure: str
    says: Mapping[str, str]
