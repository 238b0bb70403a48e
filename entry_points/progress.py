"""The progress bar: on standard error, silent when that is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from tqdm import tqdm

from grok.runs.cells import Result
from grok.spec.config import ResolvedConfig

T = TypeVar("T")


class EpochBar:
    """A tqdm bar over epochs with accuracy and gap."""

    def __init__(self, config: ResolvedConfig) -> None:
        self._bar = tqdm(
            total=config.epochs,
            desc=config.display_name(),
            unit="epoch",
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def update(self, epoch: int, metrics: dict[str, float]) -> None:
        """Move to `epoch` and show what is new."""
        names = {"accuracy/train": "train", "accuracy/test": "test"} | {n: "λ₂/λ₃" for n in metrics if n.endswith("/gap_23")}
        self._bar.set_postfix({label: f"{metrics[key]:.3g}" for key, label in names.items() if key in metrics}, refresh=False)
        self._bar.update(epoch - self._bar.n)

    def __enter__(self) -> EpochBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()


def counted(items: Sequence[T], name: str) -> Iterable[T]:
    """The same items, with a tqdm bar over them."""
    silent = not sys.stderr.isatty()
    bar: Iterable[T] = tqdm(items, desc=name, unit="run", file=sys.stderr, disable=silent, dynamic_ncols=True)
    return bar


class CellBar:
    """A tqdm bar over a study's cells; each cell that ends is named on standard error."""

    def __init__(self, name: str, cells: int) -> None:
        self._bar = tqdm(
            total=cells, desc=name, unit="run", file=sys.stderr, disable=not sys.stderr.isatty(), dynamic_ncols=True
        )
        self._reused = 0

    def update(self, result: Result) -> None:
        """Count a cell and say how it ended."""
        self._reused += result.reused
        self._bar.set_postfix({"reused": self._reused}, refresh=False)
        self._bar.update(result.done)
        if not result.reused:
            self._bar.write(f"{result.state}: {result.cell.condition}: {result.cell.config.display_name()}", file=sys.stderr)

    def __enter__(self) -> CellBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()
        if self._reused:
            print(f"{self._reused} runs were complete already and are reused", file=sys.stderr)


class StageBar:
    """A tqdm bar for each stage of a longer command, one after the other."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def update(self, stage: str, done: int, total: int) -> None:
        """Move the bar of a stage; a new stage begins a new bar."""
        if stage != self._stage or self._bar is None:
            self.close()
            self._stage = stage
            self._bar = tqdm(total=total, desc=stage, file=sys.stderr, disable=not sys.stderr.isatty(), dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the bar at hand."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> StageBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
