"""What came of a run, in one sentence: the first line of its description, and the last of its command."""

from __future__ import annotations

import math
from collections.abc import Mapping


def of_run(summary: Mapping[str, float]) -> str:
    """When the detector fired and how the network generalised; empty where nothing of it is known.

    Args:
        summary: metrics of the run by name.
    """
    parts = []
    if "diverged_epoch" in summary:
        parts.append(f"the loss is not finite from epoch {summary['diverged_epoch']:.0f} on, where the run ends")
    if "fired" in summary:
        when = summary.get("fire_epoch", math.nan)
        parts.append(f"the detector fires at epoch {when:.0f}" if summary["fired"] else "the detector does not fire")
    reached = summary.get("test_50_epoch", math.nan)
    if not math.isnan(reached):
        parts.append(f"test accuracy reaches 0.5 at epoch {reached:.0f}")
    ended = summary.get("accuracy/test", math.nan)
    if not math.isnan(ended):
        parts.append(f"test accuracy ends at {ended:.3f}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
