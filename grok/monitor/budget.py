"""How much memory a monitor takes, said before it starts, and which blocks are sketched to keep within a limit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NoReturn

import torch

from grok.monitor.pieces import GPU_CHUNK, MARKED, kept_dtype
from grok.monitor.selection import Selection, local
from grok.numerics.band import BATCH
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
        moment: bytes beside those while an update is read: of a sketch that is made, or of exact copies on a GPU.
        sketched: blocks of which a sketch is kept.
    """

    bytes: int
    moment: int
    sketched: frozenset[str]


def plan(
    selection: Selection, lags: int, batch: int, history: int, columns: int, memory_gb: float, sketch: str, width: int
) -> Plan:
    """Keep updates as they are while they fit, else sketch the largest blocks first.

    What is taken for the moment of an update counts too, as one block comes after the other: that of the largest.

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
    if width <= lags:
        refuse("sketch_width", f"be > {lags} (the lags)", width, "Raise it")
    slots = -(-(lags + batch) // batch) * batch
    rows = 8 * 2 * (history * (EIGENVALUES + 4 + columns) + (history + lags) * (lags + 1))
    exact, small, moments, copies = {}, {}, {}, {}
    places: dict[str, set[torch.device]] = {}
    for block, names in selection.blocks.items():
        parts = [
            (local(selection.parameters[name]).numel(), kept_dtype(selection.parameters[name].dtype).itemsize) for name in names
        ]
        exact[block] = rows + slots * sum(size * item for size, item in parts)
        kinds = Counter[tuple[torch.dtype, torch.device]]()
        places[block] = {selection.parameters[n].device for n in names}
        for n, (size, _) in zip(names, parts, strict=True):
            kinds[selection.parameters[n].dtype, selection.parameters[n].device] += size
        copies[block] = max(doubles(size, slots, at) for (_, at), size in kinds.items())
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
        """What one block takes at a time: a sketch that is made, with the products of sketches, or exact copies of updates."""
        of_sketches = (max(moments[b], *(doubles(width, slots, at) for at in places[b])) for b in sketched)
        return max(0, *(copies[b] for b in exact if b not in sketched), *of_sketches)

    if sketch == "auto":
        for block in sorted(able, key=lambda block: -exact[block]):
            if total() + moment() <= limit:
                break
            sketched = sketched | {block}
    if total() + moment() > limit:
        told = f"{slots} updates of {len(selection.parameters)} parameters"
        told += f", {moment() / GIB:.2f} of it for the moment of an update" if moment() else ""
        _refuse(f"{memory_gb:g} for {(total() + moment()) / GIB:.2f} GiB ({told})", sketch)
    return Plan(total(), moment(), frozenset(sketched))


def doubles(size: int, slots: int, device: torch.device) -> int:
    """Bytes that are taken while P numbers of each update are brought to float64; on the CPU they stay in the cache.

    Some chunks of the ring are at a time, and as many weights where it is looked whether they are others.
    """
    if device.type == "cpu":
        return 0
    return 8 * max(min(BATCH * GPU_CHUNK, -(-size // GPU_CHUNK) * min(size, GPU_CHUNK)) * slots, min(size, MARKED))


def _refuse(needed: str, sketch: str) -> NoReturn:
    step = "Raise it" if sketch == "never" else "Raise it, lower window or history, or choose fewer blocks"
    step += ", or leave sketch=auto" if sketch == "never" else ", or take sketch=count" if sketch == "srht" else ""
    refuse("memory_gb", "hold the updates of the window", needed, step)
