"""Negatives, the stored runs in which there was nothing to find, as columns by block: of a monitor, a band, columns or a file.

Shapes: T updates, L lags.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from grok.monitor.sinks import ROWS
from grok.monitor.track import Settings
from grok.numerics.spectra import rolling_eigenvalues
from grok.signals.base import from_history, series
from grok.spec.fields import refuse, shown
from grok.spec.limited import BrokenFileError, load_arrays, plain_file, within_json
from grok.spec.limited_tables import check_table

MOST_BYTES, MOST_TEXT, MOST_COLUMNS = 1 << 29, 1 << 30, 10_000
"""Bytes of memory that a negative's file may ask for, that one of text may, and columns; ours."""
Tables = dict[str, dict[str, np.ndarray]]
"""By block, (T + 1,) float64 by column."""


def several(negatives: Any) -> list[Any]:
    """Negatives one by one; one that comes alone is a list of itself.

    Raises:
        ConfigError: if they are none.
    """
    alone = isinstance(negatives, str | Path | Mapping) or hasattr(negatives, "columns")
    if alone or (isinstance(negatives, np.ndarray) and negatives.ndim == 2):
        return [negatives]
    if not isinstance(negatives, Iterable):
        refuse("negatives", "be monitors, columns, bands or paths", type(negatives).__name__, "Pass a list of these")
    return list(negatives)


def tables_of(negative: Any, settings: Settings) -> Tables:
    """A negative as columns by block.

    Args:
        negative: a monitor; columns by name, with a column `block` if there are several; (T, L) float64, a band; or the path
            of a file.
        settings: for what has to be computed: window and signals.

    Raises:
        ConfigError: if it is none of these.
    """
    if isinstance(negative, str | Path):
        return _file(Path(negative), settings)
    if isinstance(negative, np.ndarray) and negative.ndim == 2:
        return {"all": _from_band(negative, settings)}
    if hasattr(negative, "blocks") and hasattr(negative, "columns") and callable(negative.columns):
        return {block: _from_zero(negative.columns(block)) for block in negative.blocks}
    if isinstance(negative, Mapping) or hasattr(negative, "columns"):
        return _split({str(name): np.asarray(negative[name]) for name in negative}, settings)
    refuse("negatives", "be monitors, columns, bands or paths", type(negative).__name__, "Pass one of these")


def _file(path: Path, settings: Settings) -> Tables:
    try:
        parts = sorted(one for one in path.glob("rows-*.parquet") if ROWS.fullmatch(one.name))  # of a folder of the sink
        there = bool(parts) or path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        parts, there = [], False
    if not there:
        refuse("negatives", "be files that are there", path, "Correct the path")
    if not parts and path.suffix not in (".jsonl", ".parquet", ".npz"):
        refuse("negatives", "end in .jsonl, .parquet or .npz", path.name, "Pass a file that a sink or a run has written")
    try:
        if not parts and path.suffix == ".npz":
            found = load_arrays(path, MOST_BYTES)
        else:
            found = _rows(path) if not parts and path.suffix == ".jsonl" else _table(parts or [path])
    except Exception as error:  # the file is untrusted: broken bytes end in errors of every kind
        told = str(error) if isinstance(error, BrokenFileError) else f"{type(error).__name__} {error}"
        why = " ".join(told.split())[:76]
        refuse("negatives", "be whole files", f"{shown(path.name, 40)} ({why})", "Write it anew")
    if path.suffix != ".npz" or parts:
        if not any(map(len, found.values())):
            refuse("negatives", "have rows", f"none in {shown(path, 60)}", "Train that run first")
        return _split(found, settings)
    if strange := [name for name, band in found.items() if band.ndim != 2 or band.dtype.kind != "f" or not band.size]:
        refuse("negatives", "be bands, updates by lags", f"{', '.join(strange)} in {shown(path, 60)}", "Pass a run's band.npz")
    return {name: _from_band(band, settings) for name, band in found.items()}


def _table(parts: list[Path]) -> dict[str, np.ndarray]:
    """Columns of the files of a table, one after the other.

    Raises:
        ValueError: if they ask for more memory than the bound.
    """
    import pyarrow.parquet as pq

    left = MOST_BYTES
    for part in parts:
        left -= check_table(part, left, objects=True)
    table = pq.read_table(parts, page_checksum_verification=True)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def _rows(path: Path) -> dict[str, np.ndarray]:
    """Columns of a file of rows, NaN where a row has none.

    Raises:
        ValueError: if a line is no row, or the file is larger than the bound.
    """
    plain_file(path)
    within_json(b"", MOST_TEXT, path.stat().st_size)
    content = path.read_bytes()
    within_json(content, MOST_TEXT)
    lines = [json.loads(line) for line in content.decode("utf-8").split("\n") if line.strip()]
    if strange := [line for line in lines if not isinstance(line, dict)]:
        raise ValueError(f"{shown(strange[0], 40)} for a row")
    rows = [line for line in lines if "event" not in line]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > MOST_COLUMNS:
        raise ValueError(f"{len(names)} columns, at most {MOST_COLUMNS} are read")
    out = {}
    for name in names:
        values = [math.nan if row.get(name) is None else row[name] for row in rows]
        kinds = {type(value) for value in values}
        if not (kinds <= {int, float, bool} or kinds <= {str}):
            raise ValueError(f"{name} is neither numbers nor texts")
        out[name] = np.array(values, dtype=None if kinds <= {str} else np.float64)
    return out


def _split(columns: dict[str, np.ndarray], settings: Settings) -> Tables:
    """Rows by block; of a run's history the layers are its blocks.

    Raises:
        ConfigError: if the columns are not of one length.
    """
    if len(shapes := {column.shape for column in columns.values()}) > 1 or any(len(shape) != 1 for shape in shapes):
        told = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        refuse("negatives", "have columns of one length", told, "Pass the rows of a sink or the history of a run")
    if "block" in columns:
        blocks = columns.pop("block")
        return {str(b): _from_zero({n: column[blocks == b] for n, column in columns.items()}) for b in dict.fromkeys(blocks)}
    layers = [
        n.removeprefix("delta_").removesuffix("/lambda_1") for n in columns if n.endswith("/lambda_1") and n.count("_") == 2
    ]
    if layers:
        return {layer: _signals(from_history(columns, layer), settings) for layer in layers}
    return {"all": _from_zero(columns)}


def _from_zero(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Entry t is made update t: rows of a sink begin at update 1, and a resumed run has written some of them twice.

    Raises:
        ConfigError: if updates are no whole numbers, or rows are missing, where an alarm may have been.
    """
    updates = columns.get("update")
    numbers = {n: c for n, c in columns.items() if np.asarray(c).dtype.kind in "iuf"}
    if updates is None or not len(updates):
        return numbers
    whole = np.asarray(numbers.get("update", [math.nan]), dtype=np.float64)
    if not (np.isfinite(whole).all() and (whole >= 0).all() and (whole % 1 == 0).all()):
        refuse("negatives", "have whole numbers ≥ 0 as updates", "others", "Pass the file or folder of a sink")
    last = {int(update): row for row, update in enumerate(updates)}
    order = sorted(last)
    missing = next((number for number, update in enumerate(order, min(order[0], 1)) if update != number), None)
    if missing is not None:
        step = "Pass the file or folder of a sink, or a monitor with a longer history"
        refuse("negatives", "have every update from the first", f"none at {missing}", step)
    rows = [last[update] for update in order]
    lead = np.full(order[0], np.nan)
    return {n: np.concatenate((lead, np.asarray(c, dtype=np.float64)[rows])) for n, c in numbers.items()}


def _from_band(band: np.ndarray, settings: Settings) -> dict[str, np.ndarray]:
    """Signals of a stored band, (T, L) float64."""
    if settings.window > band.shape[1]:
        refuse(
            "window", f"be at most {band.shape[1]} (a negative's band)", settings.window, "Lower it, or pass other negatives"
        )
    given = {
        "band": np.vstack((np.full((1, band.shape[1]), np.nan), band)),
        "eigenvalues": rolling_eigenvalues(band, settings.window),
        "epoch": np.arange(len(band) + 1),
    }
    return _signals(given, settings)


def _signals(given: Mapping[str, np.ndarray], settings: Settings) -> dict[str, np.ndarray]:
    whole = dict(given) | {"window": settings.window}
    out = {}
    for name, (signal, variant) in settings.signals.items():
        if all(need in whole for need in signal.needs):
            out[name] = series(signal, whole, variant)
    return out
