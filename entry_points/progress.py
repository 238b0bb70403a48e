"""Progress: a bar on standard error where that is a terminal, elsewhere a line a minute, the first at once if it takes long."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from entry_points import found
from grok.spec.published import DEFAULT_NETWORK
from grok.spec.studies import training_flops

if TYPE_CHECKING:
    from grok.runs.cells import Result
    from grok.spec.config import ResolvedConfig
    from grok.spec.studies import Cell, Study

T = TypeVar("T")
TICK_S = 1.0
"""Seconds between two looks at the runs at work."""
SHOWN_AT_WORK = 3
"""Runs at work that a bar has room for."""


LINE_S = float(os.environ.get("GROK_LOG_EVERY_S", "60"))
"""Seconds between the lines of a log file: where standard error is no terminal, bars are silent and these tell the state."""


EARLY_S = 2.0
"""Seconds of work that tell how long it takes; a log file has that line at once where it is longer than `LINE_S`."""


def told_time(seconds: float) -> str:
    """A time that is left, in words."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (90 if unit == "min" else 3 * length):
            return f"about {max(1, round(seconds / length))} {unit} left"
    return "about a minute left"


class Log:
    """A line now and then on a standard error that is no terminal.

    Args:
        name: that each line begins with. every_s: seconds between lines.
    """

    def __init__(self, name: str, every_s: float | None = None) -> None:
        self.name, self.every_s = name, LINE_S if every_s is None else every_s
        self.silent = sys.stderr.isatty()
        self._last: float | None = None
        self._told = False

    def due(self) -> bool:
        """Whether it is time for a line; the clock begins with the first time that this is asked."""
        if self._last is None:
            self._last = time.monotonic()
        return not self.silent and time.monotonic() - self._last >= self.every_s

    def early(self, left_s: float) -> bool:
        """Whether it is time for the first line, of how long it takes: once some work is done, where longer than the next line.

        Args:
            left_s: seconds that it takes still; 0 where that is not known.
        """
        new = not self.silent and not self._told and self._last is not None
        return new and left_s > self.every_s and time.monotonic() - (self._last or 0.0) >= EARLY_S

    def line(self, text: str) -> None:
        """Print one."""
        self._last, self._told = time.monotonic(), True
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)


class EpochBar:
    """A tqdm bar over epochs with accuracy and gap; in a log file, a line a minute.

    Attributes:
        newest: metrics by name.
    """

    def __init__(self, config: ResolvedConfig) -> None:
        self._bar = tqdm(
            total=config.epochs,
            desc=config.display_name(),
            unit="epoch",
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )
        self._log, self._epochs = Log(config.display_name()), config.epochs
        self._first: tuple[float, int] | None = None
        self.newest: dict[str, float] = {}

    def update(self, epoch: int, metrics: dict[str, float]) -> None:
        """Move to `epoch` and show what is new."""
        self.newest = metrics
        names = {"accuracy/train": "train", "accuracy/test": "test"} | {n: "λ₂/λ₃" for n in metrics if n.endswith("/gap_23")}
        shown = {label: f"{metrics[key]:.3g}" for key, label in names.items() if key in metrics}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(epoch - self._bar.n)
        now = time.monotonic()
        self._first = self._first or (now, epoch)
        began, first = self._first
        left = (now - began) / max(epoch - first, 1) * (self._epochs - epoch)
        if self._log.due() or self._log.early(left):
            told = [f"{label} {text}" for label, text in shown.items() if text != "nan"]
            told += [told_time(left)] if first < epoch < self._epochs else []
            self._log.line(", ".join([f"epoch {epoch} of {self._epochs}", *told]))

    def __enter__(self) -> EpochBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()


def counted(items: Sequence[T], name: str) -> Iterable[T]:
    """The same items, with a tqdm bar over them."""
    silent = not sys.stderr.isatty()
    bar: Iterable[T] = tqdm(items, desc=name, unit="run", file=sys.stderr, disable=silent, dynamic_ncols=True)
    return bar


def name_of(cell: Cell) -> str:
    """What tells a cell from others while it is at work: its activation, or its condition where the network has its own."""
    return cell.config.activation if cell.config.network == DEFAULT_NETWORK else cell.condition


class CellBar:
    """A tqdm bar over a study's cells that ticks, with the epochs of the runs at work and an estimate; each cell that ends is
    named on standard error. In a log file, a line a minute.

    Args:
        study: whose cells are trained.
        watch: folder into which local workers write how far they are, as `grok.runs.watch` has it; None where none do.
    """

    def __init__(self, study: Study, watch: Path | None = None) -> None:
        silent = not sys.stderr.isatty()
        form = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} runs [{elapsed}{postfix}]"
        self._bar = tqdm(
            total=len(study.cells), desc=study.name, bar_format=form, file=sys.stderr, disable=silent, dynamic_ncols=True
        )
        self._left = {cell.config.hash: cell for cell in study.cells}
        self._work = {cell.config.hash: training_flops(cell.config) for cell in study.cells}
        self._watch, self._log = watch, Log(study.name)
        self._began, self._trained, self._reused, self._done = time.monotonic(), 0.0, 0, 0
        self._first: tuple[float, float] | None = None
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def update(self, result: Result) -> None:
        """Count a cell and say how it ended."""
        with self._lock:
            self._reused += result.reused
            self._done += result.done
            self._bar.update(result.done)
            hash = result.cell.config.hash
            if result.done and self._left.pop(hash, None) is not None and not result.reused:
                self._trained += self._work[hash]
            if not result.reused:
                self._bar.write(
                    f"{result.state}: {result.cell.condition}: {result.cell.config.display_name()}", file=sys.stderr
                )
            self._bar.set_postfix_str(self._state(), refresh=True)

    def _state(self) -> str:
        """How many are reused, who is at work, and how long it takes still."""
        now = self._at_work()
        parts = [f"{self._reused} reused"] if self._reused else []
        for hash, epoch in list(now.items())[:SHOWN_AT_WORK]:
            cell = self._left[hash]
            parts.append(f"{name_of(cell)} {cell.config.seed}: {epoch}/{cell.config.epochs}")
        if len(now) > SHOWN_AT_WORK:
            parts.append(f"{len(now) - SHOWN_AT_WORK} more at work")
        if (seconds := self._left_s(now)) > 0:
            parts.append(told_time(seconds))
        return ", ".join(parts)

    def _left_s(self, now: Mapping[str, int]) -> float:
        """Seconds that it takes still, by what is done since work was first seen, and until then since the command began, which
        counts what it takes to begin; 0 where that is not known.

        Args:
            now: epochs of the runs at work, by hash.
        """
        under_way = sum(self._work[hash] * epoch / self._left[hash].config.epochs for hash, epoch in now.items())
        done, moment = self._trained + under_way, time.monotonic()
        left = sum(self._work[hash] for hash in self._left) - under_way
        if done <= 0 or left <= 0:
            return 0.0
        self._first = self._first or (moment, done)
        began, before = self._first if self._worked() and done > self._first[1] else (self._began, 0.0)
        return (moment - began) / (done - before) * left

    def _worked(self) -> bool:
        """Whether work was seen for as long as tells its rate."""
        return self._first is not None and time.monotonic() - self._first[0] >= EARLY_S

    def _at_work(self) -> dict[str, int]:
        """Epochs of the runs at work, by hash."""
        from grok.runs.watch import epochs_in

        return {hash: epoch for hash, epoch in epochs_in(self._watch).items() if hash in self._left}

    def _tick(self) -> None:
        while not self._ended.wait(TICK_S):
            with self._lock, contextlib.suppress(Exception):  # how far it is may be unknown for a moment
                self._bar.set_postfix_str(self._state(), refresh=True)
                left = self._left_s(self._at_work())
                if self._log.due() or (self._worked() and self._log.early(left)):
                    state = self._state()
                    self._log.line(f"{self._done} of {self._bar.total or len(self._work)} runs{', ' if state else ''}{state}")

    def __enter__(self) -> CellBar:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._bar.close()
        if self._reused:
            found.say(found.reused(self._reused))


class StageBar:
    """A tqdm bar for each stage of a longer command, one after the other; in a log file, a line a minute."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._log = Log("at work")
        self._stage = ""

    def update(self, stage: str, done: int, total: int) -> None:
        """Move the bar of a stage; a new stage begins a new bar."""
        if stage != self._stage or self._bar is None:
            self.close()
            self._stage = stage
            self._bar = tqdm(total=total, desc=stage, file=sys.stderr, disable=not sys.stderr.isatty(), dynamic_ncols=True)
        self._bar.update(done - self._bar.n)
        if self._log.due():
            self._log.line(f"{stage}, {done} of {total}")

    def over(self, stage: str, items: Sequence[T]) -> Iterator[T]:
        """The same items, with the bar of a stage that moves behind each."""
        self.update(stage, 0, len(items))
        for done, item in enumerate(items, 1):
            yield item
            self.update(stage, done, len(items))

    def close(self) -> None:
        """End the bar at hand."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> StageBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
