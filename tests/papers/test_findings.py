"""What stands first in a caption is made of the figure's own tables: of other tables another sentence."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis import papers
from analysis.exhibits.panels import Tables
from analysis.figures.rounding import order
from analysis.papers.lifecycle import findings as lifecycle
from analysis.papers.xu import findings as xu
from tests.conftest import PROJECT

NUMBER = re.compile(r"\d+(?:\.\d+)?")
DATA = PROJECT / "docs" / "report" / "data"
TABLES = {panel.id: panel for panel in papers.PANELS if panel.finding is not None}


def test_the_examples_of_the_docstrings_are_so() -> None:
    assert doctest.testmod(lifecycle).failed == 0


def test_every_figure_but_the_signals_has_a_finding() -> None:
    assert [panel.id for panel in papers.PANELS if panel.finding is None and not panel.id.startswith("signal")] == []


def table(text: str) -> pd.DataFrame:
    head, *rows = (line.split() for line in text.strip().splitlines())
    return pd.DataFrame(rows, columns=head).apply(_numbers)


def _numbers(column: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(column.replace("-", np.nan))
    except (ValueError, TypeError):
        return column


FIRES = table("""
condition seed fire_epoch
grok 0 173
grok 1 175
eta0 0 -
eta0 1 -
""")
SHARES = table("""
activation condition fired runs share generalised
square grok 15 15 1 1
square eta0 2 15 0.13 0
square data_starved 14 15 0.93 0
relu grok 0 15 0 1
""")
CASES: tuple[tuple[Callable[[Tables], str], Tables, str], ...] = (
    (
        xu.headline,
        {"fires": FIRES},
        "The detector fires in 2 of 2 runs with weight decay, at epoch 174 and in 0 of 2 runs without weight decay.",
    ),
    (
        xu.detector,
        {"shares": SHARES},
        "It fires in 15/15 (x², weight decay); it fires in 0/15 (ReLU, weight decay); of kinds that never generalise most in "
        "14/15 (x², too few pairs).",
    ),
    (
        xu.detector,
        {"shares": SHARES.assign(generalised=1.0).head(1)},
        "It fires in 15/15 (x², weight decay).",
    ),
    (
        xu.windows,
        {"shares": table("condition window fired runs\ngrok 5 15 15\neta0 5 3 15\ngrok 20 15 15\neta0 20 0 15")},
        "It fires in every run with weight decay and in none without at 1 of 2 windows: 20.",
    ),
    (
        xu.precision,
        {"shares": table("condition window fired\ngrok 5 3\ngrok 5 3\ngrok 9 3\ngrok 9 2")},
        "All methods give the same number of fires in 1 of 2 conditions and windows.",
    ),
    (
        xu.rounding,
        {"runs": table("activation condition variant fired\nrelu eta0 a 1\nrelu eta0 b 0\nsquare grok a 1\nsquare grok b 1")},
        "By order of summation 0 to 1 of 1 runs fire, where that is most apart (ReLU, without weight decay).",
    ),
    (
        xu.rounding,
        {"runs": table("activation condition variant fired\nsquare grok a 1\nsquare grok b 1")},
        "Every order of summation gives the same number of fires.",
    ),
    (
        xu.ranks,
        {
            "ratios": table(
                "layer activation condition ratio drift\nW square grok 10 2\nW square grok 2 2\n"
                "W relu grok 3 9\nW relu grok 1 9"
            )
        },
        "A rank stands out by both lines in 1 of 2 kinds of runs and layers.",
    ),
    (
        xu.scaling,
        {"cells": table("grokked runs rho_epoch\n5 5 13\n0 5 11\n5 5 -")},
        "Every run groks in 2 of 3 cells; ρ crosses its level in 2, grokking or not.",
    ),
    (
        lifecycle.flip,
        {"curves": table("run_id step grad_share\na 0 0.9\na 1 0.1\na 2 0.8\nb 0 0.9\nb 1 0.2\nc 0 0.9")},
        "grad% falls below one half in 2 of 3 runs of all conditions, and rises again in 1.",
    ),
    (
        lifecycle.grid,
        {"grid": table("condition falls leaves every\ngrok 600 600 100\ngrok 900 600 100\nprefix 650 600 100")},
        "grad% falls within one interval of (W + 1)·N in 1 of 2 with true labels and 1 of 1 with the others, over runs and "
        "windows.",
    ),
    (
        lifecycle.phases,
        {"phases": table("level offset grad_share\n0.95 -1 0.2\n0.95 1 0.9\n0.95 2 0.1\n0.98 1 0.1")},
        "grad% is below one half in 1 of 1 windows before accuracy 0.95 and in 1 of 2 after it.",
    ),
    (
        lifecycle.intervention,
        {
            "branches": pd.DataFrame(
                {
                    "condition": ["post"] * 2,
                    "weight_decay": [0.0, 1.0],
                    "linear R², start": [0.98, 0.98],
                    "linear R², end": [0.99, 0.7],
                }
            )
        },
        "After grokking linear R² changes by +0.01 at ω = 0, -0.28 at ω = 1 in the median.",
    ),
)


@pytest.mark.parametrize(("finding", "tables", "said"), CASES)
def test_a_finding_says_what_its_tables_hold(finding: Callable[[Tables], str], tables: Tables, said: str) -> None:
    assert finding(tables) == said


@pytest.mark.parametrize("id", sorted(TABLES))
def test_the_committed_caption_begins_with_what_the_committed_tables_say(id: str) -> None:
    panel = TABLES[id]
    tables = {path.stem.removeprefix(f"{id}-"): pd.read_csv(path) for path in DATA.glob(f"{id}-*.csv")}
    assert panel.finding is not None
    said = panel.finding(tables)
    assert said.endswith(".")
    page = (PROJECT / "docs" / "report" / "report.md").read_text(encoding="utf-8").replace("\\", "")
    (found,) = re.findall(NUMBER.sub(lambda _: NUMBER.pattern, re.escape(said)), page)[:1] or [""]
    told, there = ([float(one) for one in NUMBER.findall(text)] for text in (said, found))
    assert there == pytest.approx(told, rel=2e-3)  # the files have ten digits, half a unit of the third rounds either way


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("onednn-256-1", "oneDNN, blocks of 256"),
        ("mkl-256-1-reversed", "MKL, blocks of 256, last to first"),
        ("onednn-512-2", "oneDNN, blocks of 512, 2 threads"),
        ("float64 mkl-256-1", "MKL, blocks of 256, float64"),
        ("default", "default"),
    ],
)
def test_orders_of_summation_are_said_as_people_do(name: str, said: str) -> None:
    assert order(name) == said
