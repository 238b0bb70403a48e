"""Made-up tables that the figures of signals draw: every signal of a page, every control set of the board."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from analysis.papers.signals import panels
from grok.spec.plugins import SIGNALS

CONDITIONS = ("grok", *panels.SETS)


def tables_of(panel: str) -> dict[str, pd.DataFrame]:
    """By the name that the figure gives them.

    Args:
        panel: id of the figure, `signals-board` or `signals-page-N`.
    """
    if panel == "signals-board":
        row = {"variant": "", "information": "T", "verdict": "alarm", "tpr": 0.9, "rule": "printed", "lead_t50": 40.0}
        row |= {"lead_t50_low": 1.0, "lead_t50_high": 99.0}
        row |= {f"fpr {name}{end}": 0.1 for name in panels.SETS for end in ("", "_low", "_high")}
        return {"board": panels.board_table(pd.DataFrame([row | {"signal": name} for name in SIGNALS.names]))}
    names, epochs = panels.PAGES[int(panel.rpartition("-")[2]) - 1], np.arange(0, 801, 10)
    parts = [
        pd.DataFrame(
            {"signal": name, "activation": activation, "condition": condition, "epoch": epochs}
            | {"median": 1 + epochs / 400, "q1": 0.9 + epochs / 400, "q3": 1.1 + epochs / 400}
            | {"t50": 102.0 if condition == "grok" else np.nan, "n": 5}
        )
        for name, activation, condition in itertools.product(names, ("square", "relu", "gelu"), CONDITIONS)
    ]
    return {"series": pd.concat(parts, ignore_index=True)}
