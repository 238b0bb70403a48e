"""The words of a training run's result line."""

from __future__ import annotations

from collections.abc import Mapping

from grok.spec.summary import in_order


def result_line(run_id: str, state: str, reused: bool, summary: Mapping[str, float]) -> str:
    """What became of a run, as `name=value` words; whole numbers without a point.

    Args:
        run_id: of the run. state: that it is in. reused: whether it was done before.
        summary: its metrics; those by epoch, which have a slash in their names, are left out.
    """
    words = {"run": run_id, "state": state, "reused": "yes" if reused else "no"}
    words |= {name: f"{value:.6g}" for name, value in in_order(summary).items() if "/" not in name}
    return " ".join(f"{name}={value}" for name, value in words.items())
