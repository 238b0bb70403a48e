"""What is told of two machines, on made-up runs of which it is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.papers.signals.board import Board
from analysis.papers.signals.rows import Row
from analysis.papers.signals.study import Known
from analysis.statistics.alarms import Watched
from benchmarks.machines import apart, swapped, within


def row(**changes: Any) -> Row:
    told = {
        "signal": "fourier_dominance",
        "variant": "",
        "rule": "calibrated",
        "every": 10,
        "verdict": "alarm",
        "published": True,
    }
    told |= {"lead_t50": 40.0, "tpr": 0.5, "tpr_n": 8, "fpr": 0.25, "fpr_n": 4}
    return Row(told | changes, {"a": 90.0, "b": 120.0, "c": math.nan, "d": 500.0}, {"a": 10.0, "b": 10.0, "c": 10.0, "d": 10.0})


def test_another_word_another_lead_and_another_count_are_told() -> None:
    base = Board(pd.DataFrame(), [row(), row(every=40, verdict="rank only")], {})
    assert swapped(base, base) == {
        "rows": 2,
        "rows_of_one_only": 0,
        "other_words": {},
        "most_detections": 0,
        "most_false_alarms": 0,
        "alarms_with_another_lead": [],
    }
    other = Board(pd.DataFrame(), [row(lead_t50=30.0, tpr=0.75), row(every=40, verdict="alarm", fpr=0.5), row(every=80)], {})
    assert swapped(base, other) == {
        "rows": 2,
        "rows_of_one_only": 1,
        "other_words": {"fourier_dominance  calibrated 40": ["rank only", "alarm"]},
        "most_detections": 2,
        "most_false_alarms": 1,
        "alarms_with_another_lead": ["fourier_dominance  calibrated 10"],
    }


def known(*, positive: bool, t50: float = math.nan) -> Known:
    blank = np.array([])
    return Known(Watched(300, positive, "", True, t50 - 20, t50, t50 + 50, blank, blank), 30.0, (), False)


def test_alarms_are_counted_by_machine_and_one_after_t50_is_no_detection() -> None:
    about = {"a": known(positive=True, t50=100.0), "b": known(positive=True, t50=100.0)}
    about |= {"c": known(positive=False), "d": known(positive=False)}
    made = Board(pd.DataFrame(), [row()], about)
    assert within(made, {"a": "one", "b": "one", "c": "one", "d": "two"}) == {
        "one": {"grok": [1, 2], "negative": [0, 1]},
        "two": {"grok": [0, 0], "negative": [1, 1]},
    }


def test_series_are_close_by_their_median_relative_difference() -> None:
    values = {"lar": [1.0, 2.0, 4.0], "gap": [1.0, 1.0, 2.0], "zero": [0.0, 0.0, 0.0]}
    others = {"lar": [1.0, 2.0, 5.0], "gap": [2.0, 4.0, 2.0], "zero": [0.0, 0.0, 0.0]}
    tables = [
        pd.DataFrame(
            [(e, name, "", v) for name, row in one.items() for e, v in enumerate(row)],
            columns=["epoch", "signal", "variant", "value"],
        )
        for one in (values, others)
    ]
    found = apart((known(positive=True, t50=100.0), tables[0]), (known(positive=False), tables[1]))
    assert found == {
        "times": [[80.0, 100.0, 150.0], [None, None, None]],
        "series": 2,
        "close": 1,
        "farthest": {"lar": 0.0, "gap": 0.5},
    }
