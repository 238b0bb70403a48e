"""What a figure of the report is made of, and what holding it against a store gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.reading.evidence import Evidence

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Prepared:
    """What a figure draws.

    Attributes:
        tables: by name; the figure is not drawn if one is empty.
        run_ids: of the runs that are in the tables, and of no others.
        note: what the data adds to the caption; may be empty. details: terms and what is said of each, for a fold.
    """

    tables: Tables
    run_ids: tuple[str, ...] = ()
    note: str = ""
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Panel:
    """What a figure is made of.

    Attributes:
        id: of the figure and its files. title: a few words. caption: what is drawn, with its intervals.
        studies: that it reads; one of them must have runs.
        prepare: evidence to tables, written as `data/<id>-<name>.csv`, and the runs that they hold.
        draw: tables to a matplotlib figure.
        page: name of the page beside the report that it stands on, with others that say the same; empty: the report's own.
        finding: tables to what they show, a sentence that stands first in the caption; None for none.
    """

    id: str
    title: str
    caption: str
    studies: tuple[str, ...]
    prepare: Callable[[Evidence], Prepared]
    draw: Callable[[Tables], Any]
    page: str = ""
    finding: Callable[[Tables], str] | None = None


@dataclass(frozen=True)
class Drawn:
    """A panel held against a store.

    Attributes:
        panel: its definition. tables: by name; empty if it is not drawn.
        figure: None if it is not drawn. caption: with what the data adds. run_ids: of the runs that are drawn.
        commands: that make its data, of the studies whose runs are drawn. missing: commands of those that have no run.
        partial: `relu: 4 of 30 runs` for each study that is not all there.
        problem: why nothing is drawn although a study has runs; empty otherwise. details: of `Prepared`.
    """

    panel: Panel
    tables: Tables = field(default_factory=dict)
    figure: Any = None
    caption: str = ""
    run_ids: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    problem: str = ""
    details: tuple[tuple[str, str], ...] = ()


def drawer(name: str) -> Callable[..., Any]:
    """A function of `analysis.figures.report` by name, imported when the first figure is drawn, in the style of all."""

    def draw(*arguments: Any) -> Any:
        from analysis.figures import report

        return report.drawn(name, *arguments)

    return draw
