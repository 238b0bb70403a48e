"""How numbers, spreads, tables and conditions are written: once, for the report, summaries, claims and figures."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Sequence

CONDITIONS = {
    "grok": "weight decay",
    "eta0": "without weight decay",
    "random_labels": "random labels",
    "data_starved": "too few pairs",
    "all": "all controls",
}
"""What conditions of the registry, and all controls together, are called."""


def said(condition: str) -> str:
    """A condition in words; one of a study's own as it is, without underscores."""
    return CONDITIONS.get(condition, condition.replace("_", " "))


def number(value: float, digits: int = 3, decimals: int | None = None) -> str:
    """A number, whole where it has more digits than asked for; a dash where nothing is known.

    Args:
        value: any. digits: significant ones. decimals: as many after the point instead.
    """
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.0f}" if 10 ** (digits - 1) <= abs(value) < 1e6 else f"{value:.{digits}g}"


def spread(value: float, low: float, high: float, digits: int = 3, decimals: int | None = None) -> str:
    """`value [low, high]`, the value alone where no interval is known."""
    middle, *ends = (number(one, digits, decimals) for one in (value, low, high))
    return middle if math.isnan(low) or math.isnan(high) else f"{middle} [{', '.join(ends)}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str] = ()) -> str:
    """A Markdown table of texts that break out of no cell; the columns of `numbers` to the right."""
    lines = ["| " + " | ".join(line) + " |" for line in (head, *rows)]
    rule = "|" + "|".join("---:" if name in numbers else "---" for name in head) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def watched(columns: Iterable[Hashable]) -> str:
    """`delta_<layer>` of the layer that the detector watches, the first of a history with a gap; empty if none has one."""
    gaps = (str(name) for name in columns if str(name).startswith("delta_") and str(name).endswith("/gap_23"))
    return next(gaps, "").removesuffix("/gap_23")
