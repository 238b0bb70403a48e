"""Where rows and events go as training goes on: JSON lines, Parquet, a function. MLflow's is `grok.store.sink.MlflowSink`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from grok.monitor.events import Event

BATCH = 256
"""Rows that are written at a time."""
ROWS = re.compile(r"rows-(\d{1,9})\.parquet")
"""Files of the sink `Parquet`."""


class Sink(Protocol):
    """What a sink of one's own has to have.

    With a method `flush` that is called where a state is saved, and `close` is not: for one whose `close` may take long.
    """

    def row(self, values: Mapping[str, Any]) -> None:
        """Take one update of one block: `block`, `update`, `step` and the columns; NaN where one is not known."""

    def event(self, event: Event) -> None:
        """Take an event."""

    def close(self) -> None:
        """Write what is left. Rows may come again after it."""


class JsonLines:
    """A line per row, and a line per event, which has the key `event`.

    Args:
        path: of the file, which is appended to, so that a resumed run goes on.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lines: list[str] = []

    def row(self, values: Mapping[str, Any]) -> None:
        """Take a row; what is not finite becomes null, as JSON has no NaN."""
        clean = {n: None if isinstance(v, float) and not math.isfinite(v) else v for n, v in values.items()}
        self._add(json.dumps(clean, ensure_ascii=False))

    def event(self, event: Event) -> None:
        """Take an event, and write at once."""
        told = {"event": event.kind, "block": event.block, "update": event.update, "step": event.step, "rule": event.rule}
        self._add(json.dumps(told | {"worth": event.words}, ensure_ascii=False))
        self.close()

    def _add(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) >= BATCH:
            self.close()

    def close(self) -> None:
        """Write what is left."""
        if self._lines:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n".join(self._lines) + "\n")
            self._lines.clear()


class Parquet:
    """A table of rows, in numbered files of a folder; needs pyarrow. Events are in the file `events.jsonl` beside them.

    Args:
        folder: is made; `pyarrow.parquet.read_table(list(folder.glob("rows-*")))` reads the rows of all files.
    """

    def __init__(self, folder: str | Path) -> None:
        import pyarrow.parquet  # noqa: F401 - where it is not installed this is told now, not after hours

        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rows: list[dict[str, Any]] = []
        self._events = JsonLines(self.folder / "events.jsonl")

    def row(self, values: Mapping[str, Any]) -> None:
        """Take a row."""
        self._rows.append(dict(values))
        if len(self._rows) >= 16 * BATCH:
            self._write()

    def event(self, event: Event) -> None:
        """Take an event."""
        self._events.event(event)

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = max((int(found[1]) for path in self.folder.iterdir() if (found := ROWS.fullmatch(path.name))), default=-1) + 1
        table = pa.Table.from_pylist(self._rows)
        pq.write_table(table, self.folder / f"rows-{number:05d}.parquet", write_page_checksum=True)
        self._rows.clear()

    def close(self) -> None:
        """Write what is left."""
        if self._rows:
            self._write()


class Call:
    """A function that is called with each row.

    Args:
        function: takes a dict.
    """

    def __init__(self, function: Callable[[dict[str, Any]], Any]) -> None:
        self.function = function

    def row(self, values: Mapping[str, Any]) -> None:
        """Take a row."""
        self.function(dict(values))

    def event(self, event: Event) -> None:
        """Events go to `on_event`."""

    def close(self) -> None:
        """There is nothing to write."""
