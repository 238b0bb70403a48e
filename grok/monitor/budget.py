"""How much memory a monitor takes, said before it starts, and which blocks are sketched to keep within a limit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NoReturn

import torch

from grok.monitor.pieces import kept_dtype
from grok.monitor.selection import Selection, local
from grok.numerics.sketch import momentary
from grok.numerics.spectra import EIGENVALUES
from grok.spec.fields import refuse

GIB = 2**30
SUMS = 6
"""Times m float64 numbers that a sketch takes beside its ring, at most: signs and sums of up to 2 m, and two sketches."""


@dataclass(frozen=True)
class Plan:
    """What is kept.

    Attributes:
        bytes: in this process, the ring of updates and the rows of every block.
        moment: bytes beside those while a sketch is made.
        sketched: blocks of which a sketch is kept.
    """

    bytes: int
    moment: int
    sketched: frozenset[str]


def plan(
    selection: Selection, lags: int, batch: int, history: int, columns: int, memory_gb: float, sketch: str, width: int
) -> Plan:
    """Keep updates as they are while they fit, else sketch the largest blocks first.

    What a sketch takes while it is made counts too, as one is made after the other: that of the largest block.

    A block takes slots · P · bytes, slots = lags + batch up to a whole number of batches; of a sketch m takes the place of P.

    Args:
        selection: parameters and blocks. lags, batch, history: rows of the ring, and of the series.
        columns: of signals.
        memory_gb: limit, GiB. sketch: `auto`, `count`, `srht` or `never`. width: m.

    Raises:
        ConfigError: if it does not fit, with the number.
    """
    if sketch not in ("auto", "count", "srht", "never"):
        refuse("sketch", "be auto, count, srht or never", sketch, "Pick one of these")
    if memory_gb <= 0 or width <= lags:
        refuse("memory_gb and sketch_width", f"be > 0 and > {lags} (the lags)", f"{memory_gb:g} and {width}", "Raise them")
    slots = -(-(lags + batch) // batch) * batch
    rows = 8 * 2 * (history * (EIGENVALUES + 3 + columns) + (history + lags) * lags)
    exact, small, moments = {}, {}, {}
    for block, names in selection.blocks.items():
        parts = [
            (local(selection.parameters[name]).numel(), kept_dtype(selection.parameters[name].dtype).itemsize) for name in names
        ]
        exact[block] = rows + slots * sum(size * item for size, item in parts)
        kinds = Counter[tuple[torch.dtype, torch.device]]()
        for n, (size, _) in zip(names, parts, strict=True):
            kinds[selection.parameters[n].dtype, selection.parameters[n].device] += size
        item = max(item for _, item in parts)
        small[block] = rows + len(kinds) * (slots * width * item + SUMS * 8 * width)
        kind = "srht" if sketch == "srht" else "count"
        moments[block] = max((momentary(kind, size, width, at) for (_, at), size in kinds.items() if size > width), default=0)
        if sketch == "srht":
            small[block] += sum(size for size, _ in parts)  # a sign for each parameter
    able = {block for block in exact if sum(local(selection.parameters[n]).numel() for n in selection.blocks[block]) > width}
    sketched = able if sketch in ("count", "srht") else set()
    limit = memory_gb * GIB

    def total() -> int:
        return sum(small[block] if block in sketched else exact[block] for block in exact)

    def moment() -> int:
        return max((moments[block] for block in sketched), default=0)

    if sketch == "auto":
        for block in sorted(able, key=lambda block: -exact[block]):
            if total() + moment() <= limit:
                break
            sketched = sketched | {block}
    if total() + moment() > limit:
        told = f"{slots} updates of {len(selection.parameters)} parameters"
        told += f", {moment() / GIB:.2f} of it while a sketch is made" if moment() else ""
        _refuse(f"{memory_gb:g} for {(total() + moment()) / GIB:.2f} GiB ({told})", sketch)
    return Plan(total(), moment(), frozenset(sketched))


def _refuse(needed: str, sketch: str) -> NoReturn:
    step = "Raise it" if sketch == "never" else "Raise it, lower window or history, or choose fewer blocks"
    step += ", or leave sketch=auto" if sketch == "never" else ", or take sketch=count" if sketch == "srht" else ""
    refuse("memory_gb", "hold the updates of the window", needed, step)
