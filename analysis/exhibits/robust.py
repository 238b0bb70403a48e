"""What makes a verdict robust: the same over roundings, runs of one make, and few wrong ones among all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from analysis.exhibits.model import FAILED, HELD, IMPRECISE, NOT_TESTABLE, UNDECIDABLE, Result, weakest
from analysis.exhibits.sources import MADE_BY
from analysis.statistics.estimates import LEVEL

RATE = 1 - LEVEL
"""Share of wrong decisions among those made, at most, on average."""
DEFAULT, ONE = "default", "Judged on one rounding."
"""What the runs that a claim asks for are called beside their replicates; what is said where there are none."""


def over_roundings(own: str, others: Sequence[str], repeated: tuple[int, int] | None = None) -> tuple[str, str]:
    """The verdict over roundings, and how they agree, in words.

    The same side in all (held, failed, or open) gives that side's weakest verdict; otherwise none can be given.

    Args:
        own: verdict on the default runs. others: on those of each other rounding. repeated: how many of how many runs have one
            of the other roundings, where it is not all.
    """
    if own == NOT_TESTABLE or not others:
        return own, "" if own == NOT_TESTABLE else ONE
    every = [own, *others]
    counts = Counter(every)
    part = f" of {repeated[0]} of the {repeated[1]} runs" if repeated and repeated[0] < repeated[1] else ""
    told = f"Over {len(every)} roundings{part}: {', '.join(f'{one} in {n}' for one, n in counts.items())}."
    for side in (HELD, FAILED, (IMPRECISE,)):
        if all(one in side for one in every):
            return weakest(every), told
    return UNDECIDABLE, told


def provenance(made_by: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, dict[str, int]], str]:
    """Runs by code version, protocol, rounding and device, and a sentence that names a mixture; empty if there is none."""
    found = {}
    for place, name in enumerate(MADE_BY):
        counts = Counter(one[place] for one in made_by.values())
        if set(counts) - {""}:
            found[name] = {value or "not recorded": counts[value] for value in sorted(counts)}
    mixed = [
        f"{name.replace('_', ' ')} " + ", ".join(f"{value} ({n})" for value, n in counts.items())
        for name, counts in found.items()
        if len(counts) > 1
    ]
    return found, f"The runs are a mixture: {'; '.join(mixed)}." if mixed else ""


def control(results: Sequence[Result]) -> list[Result]:
    """Control the false-discovery rate over all decisions that a test made, by Benjamini and Hochberg at 5 %.

    Of each claim's two hypotheses, inside and outside its margin, exactly one is true, so that controlling over the claims
    controls the share of wrong decisions. A decision that does not survive is not precise enough to tell.

    Source: Benjamini and Hochberg, JRSS B 57 (1995).
    """
    family = [place for place, result in enumerate(results) if not math.isnan(result.p)]
    out = list(results)
    if not family:
        return out
    for place, q in zip(family, adjusted([results[place].p for place in family]), strict=True):
        result = replace(results[place], adjusted=q)
        if q > RATE and result.verdict != IMPRECISE:
            note = f"Alone it would be {result.verdict} (p = {result.p:.2g}), but not among {len(family)} claims ({q:.2g})."
            result = replace(result, verdict=IMPRECISE, note=f"{result.note} {note}".strip(), why=note)
        out[place] = result
    return out


def adjusted(ps: Sequence[float], method: str = "bh") -> list[float]:
    """p-values adjusted for their number, `bh` under positive dependence, `by` under any."""
    return [float(q) for q in stats.false_discovery_control(np.asarray(ps), method=method)]


def discoveries(results: Sequence[Result]) -> tuple[int, int, int]:
    """Claims that a test decides or could, those decided at 5 % under positive dependence, and under any."""
    ps = [result.p for result in results if not math.isnan(result.p)]
    counts = (sum(q <= RATE for q in adjusted(ps, method)) if ps else 0 for method in ("bh", "by"))
    return len(ps), *counts  # type: ignore[return-value]
