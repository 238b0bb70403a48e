"""The files of a report's figures, saved by several processes where there are many of them."""

from __future__ import annotations

import math
import signal
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from analysis.exhibits.panels import Drawn
from analysis.report.content import Over
from grok.runs.fanout import Fanout

MANY = 12
"""Figures for each process: of a second each, where a process takes two or three to start and import."""
MOST = 8
"""Processes at most. All studies have some sixty figures, a minute of work, of which an eighth takes as long as the start of a
process on a busy machine: more processes win no time, and each is an interpreter with the analysis in its memory."""


class _Figure(NamedTuple):
    """A figure to be saved, by this process or another.

    Attributes:
        name: of its files. figure: as it was drawn. title: for who cannot see it. picture: whether a page holds it as pixels.
        folder: of the report.
    """

    name: str
    figure: Any
    title: str
    picture: bool
    folder: Path


def _saved(one: _Figure) -> tuple[str, str, list[str]]:
    """Write the files of a figure: its name, what a page holds of it, and the files by their paths in the report."""
    from analysis.figures.hover import places
    from analysis.figures.inline import inline_picture, inline_svg
    from analysis.figures.save import save

    paths = save(one.figure, one.folder / "figures", one.name)
    text = inline_picture(paths[2], one.title) if one.picture else inline_svg(paths[0], one.title, places(one.figure))
    return one.name, text, [path.relative_to(one.folder).as_posix() for path in paths]


def _workers(figures: int) -> int:
    """How many processes save so many figures; 1 for this process."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where a worker cannot be made deaf to Ctrl-C
        return 1
    return max(1, min(MOST, math.ceil(figures / MANY), Fanout().local_workers))


def save_all(drawn: Sequence[Drawn], folder: Path, over: Over) -> dict[str, tuple[str, list[str]]]:
    """Save all figures, a second each: by processes of their own where there are many, else one after the other.

    A figure whose process died is saved by this one. The files are the same bytes in any case.

    Args:
        drawn: the figures. folder: of the report. over: as `build` has it.

    Returns:
        By name what a page holds of a figure, and its files.
    """
    todo = [
        _Figure(
            one.panel.id,
            one.figure,
            f"{one.panel.title}: {one.panel.caption.partition(':')[0]}" if one.panel.page else one.panel.title,
            bool(one.panel.page),
            folder,
        )
        for one in drawn
        if one.figure is not None
    ]
    workers = _workers(len(todo))
    fanout = Fanout(workers=workers) if workers > 1 else Fanout("sequential")
    found: dict[str, tuple[str, list[str]]] = {}
    with closing(fanout.map(_saved, todo)) as results:
        for _ in over("files of figures", todo):
            if (one := next(results, None)) is not None:
                found[one[0]] = one[1:]
    for name, text, files in map(_saved, [one for one in todo if one.name not in found]):  # of a process that died
        found[name] = text, files
    return found
