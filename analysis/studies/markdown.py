"""A study's tables as Markdown for people. Tables in, text out; what was not measured is a dash."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import pandas as pd

from analysis import words
from analysis.studies.summary import label
from grok.store.markdown import inert

LISTED_RUNS = 5
"""Up to so many runs, a table lists each fire epoch instead of quartiles."""
MEASURES = {
    "fire_epoch": "fires at",
    "late_gap_23": "late λ₂/λ₃",
    "test_50_epoch": "test ≥ 0.5 at",
    "test_99_epoch": "test ≥ 0.99 at",
    "accuracy/test": "test accuracy, last",
    "rho_epoch": "ρ ≥ 0.075 at",
    "lead": "ρ is earlier than test ≥ 0.5 by",
}
REPULSION = {"rate": "rate", "null_rate": "rate, random pairs", "median_cos": "median |cos|", "theorem6": "Theorem 6"}
DERIVED = ("epochs", "checkpoint_epochs")
"""Settings left out of a table where the columns before them say the same."""


def conditions(table: pd.DataFrame) -> str:
    """`summary.conditions` as a table: `median [q1, q3]` a cell.

    Args:
        table: a row per condition and setting.
    """
    names = {name: title for name, title in MEASURES.items() if table[name].notna().any()}
    keys = _keys(table)
    rows = []
    for row in table.to_dict("records"):
        cells = [_text(row[key]) for key in keys]
        cells += [str(row["runs"]), f"{row['fired']}/{row['runs']}"]
        spreads = {name: _spread(row, name) for name in names}
        if row["runs"] <= LISTED_RUNS and row["fired"]:
            spreads["fire_epoch"] = row["fire_epochs"].replace(" ", ", ")
        cells += spreads.values()
        cells.append(f"{row['diverged']} (epoch {row['diverged_epoch']:.0f})" if row["diverged"] else "–")
        rows.append(cells)
    return _table([*keys, "runs", "fired", *names.values(), "diverged"], rows)


def by_window(table: pd.DataFrame) -> str:
    """The detector's verdict and the late gap with the windows side by side: two tables.

    Args:
        table: `summary.conditions` of a table that `by_setting` made; with a column `window`.
    """
    keys = [key for key in _keys(table) if key != "window"]
    windows = list(dict.fromkeys(table["window"]))
    texts: dict[str, Callable[[dict[Hashable, Any]], str]]
    texts = {"Fires": _verdict, "Late λ₂/λ₃": lambda row: _spread(row, "late_gap_23")}
    parts = []
    for title, text in texts.items():
        rows = [
            [*map(_text, values), *(text(group[window]) if window in group else "–" for window in windows)]
            for values, group in _grouped(table, keys, "window")
        ]
        parts.append(f"{title}, by window:\n\n" + _table([*keys, *(f"w = {window}" for window in windows)], rows))
    return "\n\n".join(parts)


def repulsion(table: pd.DataFrame, fields: Sequence[str]) -> str:
    """`summary.repulsion` with the epochs side by side, each rate above that of random pairs.

    Args:
        table: a row per condition, setting and epoch. fields: `summary.label_fields` of the runs.
    """
    epochs = sorted(set(table["epoch"]))
    rows = []
    for values, group in _grouped(table, list(fields), "epoch"):
        named = label(dict(zip(fields, values, strict=True)), fields)
        for number, (name, title) in enumerate(REPULSION.items()):
            head = inert(", ".join(named)) if number == 0 else ""
            cells = [_spread(group[epoch], name) if epoch in group else "–" for epoch in epochs]
            rows.append([head, title, *cells])
    return _table(["", "epoch", *(f"{epoch:.0f}" for epoch in epochs)], rows)


def _grouped(
    table: pd.DataFrame, keys: list[str], column: str
) -> Iterable[tuple[tuple[Any, ...], dict[Any, dict[Hashable, Any]]]]:
    """Per combination of `keys`: its values, and its rows by their value of `column`."""
    for values, group in table.groupby(keys, sort=False):
        yield values, {row[column]: row for row in group.to_dict("records")}


def _keys(table: pd.DataFrame) -> list[str]:
    """The columns that say which runs a row is about."""
    keys: list[str] = []
    for name in table.columns[: list(table.columns).index("runs")]:
        if name not in DERIVED or table.groupby(keys)[name].nunique().max() > 1:
            keys.append(name)
    return keys


def _text(value: Any) -> str:
    """A setting, such as a condition, which a run of the store has named."""
    return f"{value:g}" if isinstance(value, float) else inert(str(value))


def _verdict(row: dict[Hashable, Any]) -> str:
    if row["runs"] <= LISTED_RUNS:
        return str(row["fire_epochs"]).replace(" ", ", ")
    return f"{row['fired']}/{row['runs']}" + (f" at {_spread(row, 'fire_epoch', counted=False)}" if row["fired"] else "")


def _spread(row: dict[Hashable, Any], name: str, *, counted: bool = True) -> str:
    """`median [q1, q3]`, and over how many runs where not all have the value."""
    if not row[f"{name}_n"]:
        return "–"
    low, middle, high = (words.number(row[key]) for key in (f"{name}_q1", name, f"{name}_q3"))
    some = f" ({row[f'{name}_n']} of {row['runs']})" if counted and row[f"{name}_n"] < row["runs"] else ""
    return (middle if low == middle == high else f"{middle} [{low}, {high}]") + some


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, in which a bar is no end of a cell."""
    return words.table(_escaped(head), [_escaped(row) for row in rows])


def _escaped(line: Sequence[str]) -> list[str]:
    return [re.sub(r"(?<!\\)\|", r"\|", text) for text in line]  # what is escaped already has no bare bar
