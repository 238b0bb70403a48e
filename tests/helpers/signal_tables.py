"""Made-up tables that the figures of signals draw: every signal of a page, every control set of the board."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from analysis.papers.signals import panels
from grok.spec.plugins import SIGNALS

CONDITIONS = ("grok", *panels.SETS)
PAIRS = tuple(
    f"{network}, {task}" for network in ("shared_mlp", "one_layer_transformer") for task in ("modular", "multiplication")
)


def tables_of(panel: str) -> dict[str, pd.DataFrame]:
    """By the name that the figure gives them.

    Args:
        panel: id of the figure, `signals-board…` or `signals-NAME`.
    """
    if panel.startswith("signals-board"):
        row = {"variant": "", "information": "T", "verdict": "alarm", "tpr": 0.9, "rule": "printed", "lead_t50": 40.0}
        row |= {"tpr_later": 0.9, "published": True}
        row |= {"lead_t50_low": 1.0, "lead_t50_high": 99.0}
        row |= {f"fpr {name}{end}": 0.1 for name in panels.SETS for end in ("", "_low", "_high")}
        return {"board": panels.board_table(pd.DataFrame([row | {"signal": name} for name in SIGNALS.names]))}
    since, arms = np.linspace(-240, 240, panels.POINTS), {"signals": ("square", "relu", "gelu"), "signals-ce": PAIRS}
    parts = [
        pd.DataFrame(
            {"study": study, "column": column, "condition": condition, "since": since, "n": 5, "threshold": 1.5}
            | {"median": 1 + since / 400, "q1": 0.9 + since / 400, "q3": 1.1 + since / 400}
            | {"t10": -12.0, "t50": 102.0, "t99": 48.0}
        )
        for study, columns in arms.items()
        for column, condition in itertools.product(columns, CONDITIONS)
    ]
    return {"series": pd.concat(parts, ignore_index=True)}
