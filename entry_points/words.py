"""The words of a training run's result line."""

from __future__ import annotations

from collections.abc import Mapping

ORDER = (
    "fired",
    "fire_epoch",
    "test_50_epoch",
    "test_99_epoch",
    "train_99_epoch",
    "late_gap_23",
    "diverged_epoch",
    "elapsed_s",
)
"""Metrics of a finished run that the line names, as they come in it."""


def result_line(run_id: str, state: str, reused: bool, summary: Mapping[str, float]) -> str:
    """What became of a run, as `name=value` words; whole numbers without a point.

    Args:
        run_id: of the run. state: that it is in. reused: whether it was done before.
        summary: its metrics; what is not known is left out.
    """
    words = {"run": run_id, "state": state, "reused": "yes" if reused else "no"}
    words |= {name: f"{summary[name]:.6g}" for name in ORDER if name in summary}
    return " ".join(f"{name}={value}" for name, value in words.items())
