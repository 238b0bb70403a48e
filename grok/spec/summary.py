"""What a run is in a few numbers, and in which order they are told."""

from __future__ import annotations

from collections.abc import Mapping

SUMMARY = (
    "fired",
    "fire_epoch",
    "test_50_epoch",
    "test_99_epoch",
    "train_99_epoch",
    "late_gap_23",
    "diverged_epoch",
    "elapsed_s",
)
"""Summary metrics of a run in the order in which they are told; those of one's own plug-ins follow."""


def in_order(summary: Mapping[str, float]) -> dict[str, float]:
    """Summary metrics in the order of `SUMMARY`, others after them."""
    return {name: summary[name] for name in dict.fromkeys((*SUMMARY, *summary)) if name in summary}
