"""How much memory a monitor takes, said before it starts, and which blocks are sketched to keep within a limit."""

from __future__ import annotations

from dataclasses import dataclass

from grok.monitor.pieces import kept_dtype
from grok.monitor.selection import Selection, local
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
        sketched: blocks of which a sketch is kept.
    """

    bytes: int
    sketched: frozenset[str]


def plan(
    selection: Selection, lags: int, batch: int, history: int, columns: int, memory_gb: float, sketch: str, width: int
) -> Plan:
    """Keep updates as they are while they fit, else sketch the largest blocks first.

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
    exact, small = {}, {}
    for block, names in selection.blocks.items():
        parts = [
            (local(selection.parameters[name]).numel(), kept_dtype(selection.parameters[name].dtype).itemsize) for name in names
        ]
        exact[block] = rows + slots * sum(size * item for size, item in parts)
        kinds = len({(selection.parameters[n].dtype, selection.parameters[n].device) for n in names})
        item = max(item for _, item in parts)
        small[block] = rows + kinds * (slots * width * item + SUMS * 8 * width)
        if sketch == "srht":
            small[block] += sum(size for size, _ in parts)  # a sign for each parameter
    able = {block for block in exact if sum(local(selection.parameters[n]).numel() for n in selection.blocks[block]) > width}
    sketched = able if sketch in ("count", "srht") else set()
    limit = memory_gb * GIB

    def total() -> int:
        return sum(small[block] if block in sketched else exact[block] for block in exact)

    if sketch == "auto":
        for block in sorted(able, key=lambda block: -exact[block]):
            if total() <= limit:
                break
            sketched = sketched | {block}
    if total() > limit:
        step = "Raise it" if sketch == "never" else "Raise it, lower window or history, or choose fewer blocks"
        needed = f"{memory_gb:g} for {total() / GIB:.2f} GiB ({slots} updates of {len(selection.parameters)} parameters)"
        refuse(
            "memory_gb",
            "hold the updates of the window",
            needed,
            step + (", or leave sketch=auto" if sketch == "never" else ""),
        )
    return Plan(total(), frozenset(sketched))
