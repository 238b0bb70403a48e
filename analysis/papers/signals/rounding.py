"""Whether an alarm depends on the order of summation, in runs that were repeated by others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.papers.signals.study import GROK, Known
from analysis.statistics.alarm_words import Split

FAR = 40
"""Epochs by which an alarm may move and be the same."""


def another(epochs: Sequence[float], every: float = 0) -> bool:
    """Whether alarms of one run are not one: given in some and not in others, or farther apart than `FAR` and a cadence."""
    given = [epoch for epoch in epochs if not math.isnan(epoch)]
    return 0 < len(given) < len(epochs) or (len(given) > 1 and max(given) - min(given) > max(FAR, every))


def split(about: Mapping[str, Known], epochs: Mapping[str, float], every: float = 0) -> Split:
    """Of how many repeated runs the alarm is another in one order of summation than in another.

    Args:
        about: the runs. epochs: of the alarm by run id, NaN for none; of replicates too. every: epochs between its values.
    """
    groups: dict[tuple[Any, ...], list[float]] = {}
    repeated = {one.twin for one in about.values() if one.replicate}
    for run_id, epoch in epochs.items():
        if about[run_id].twin in repeated:
            groups.setdefault(about[run_id].twin, []).append(epoch)
    tried = [group for group in groups.values() if len(group) > 1]
    return Split(sum(another(group, every) for group in tried), len(tried))


def untried(about: Iterable[Known]) -> list[str]:
    """Sets of which no run was repeated, in the order of the runs."""
    every = list(about)
    names = dict.fromkeys(one.run.control or GROK for one in every)
    tried = {one.run.control or GROK for one in every if one.replicate}
    return [name for name in names if name not in tried]
