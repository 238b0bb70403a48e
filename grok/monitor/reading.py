"""What a monitor has seen, as arrays, as a table and as a picture. Shapes: T updates, k eigenvalues."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from grok.monitor.checks import whole
from grok.monitor.clock import Clock
from grok.monitor.events import Event
from grok.monitor.floor import resolved
from grok.monitor.selection import Selection
from grok.monitor.track import Settings, Track
from grok.numerics.spectra import EIGENVALUES, check_window, gap
from grok.spec.fields import refuse

if TYPE_CHECKING:
    from pandas import DataFrame
else:
    DataFrame = Any  # for who reads hints as the program runs: a monitor needs no pandas


class Reading:
    """The part of a monitor that is read.

    Attributes:
        selection: what it reads. settings: how.
        events: what happened. sketched: the relative error of the eigenvalues, by block of which a sketch is kept.
        memory: bytes that are kept. moment: bytes beside those while an update is read.
        off: why the monitor is off; None while it is on.
    """

    selection: Selection
    settings: Settings
    events: deque[Event]
    sketched: dict[str, float]
    memory: int
    moment: int
    off: str | None
    _clocks: dict[str, Clock]

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks, with those of their optimisers before them."""
        return tuple(self._tracks()) or tuple(self.selection.blocks)

    @property
    def updates(self) -> dict[str, int]:
        """Updates in the series, by block."""
        return {block: track.series.updates for block, track in self._tracks().items()}

    @property
    def skipped(self) -> int:
        """Steps that are not in the window: those that GradScaler skips of a fused optimiser, and by hand what changed nothing.

        An optimiser that is not fused is not stepped at all where GradScaler skips, so that nobody sees or counts it.
        """
        return sum(clock.skipped for clock in self._clocks.values())

    def eigenvalues(self, block: str | None = None, count: int = EIGENVALUES, window: int | None = None) -> np.ndarray:
        """Eigenvalues of the Gram of the last updates, at every update that is kept.

        Args:
            block: by name; None for the first. count: k. window: up to max_window; None for the monitor's.

        Returns:
            (T + 1, k) float64, descending, as `RollingSpectrum` has them: row 0 is before the first update, and NaN stands
            where the window is too short. Of a longer run, the last `history` rows; `columns()["update"]` numbers them.

        Raises:
            ConfigError: if there is no such block.
            ValueError: if window is not in [1, max_window].
        """
        size = self.settings.window if window is None else window
        check_window(size, self.settings.lags)
        count = whole("count", count, 1)
        tracks = self._tracks()
        if not tracks and (block is None or block in self.selection.blocks):
            return np.full((1, count), np.nan)
        series = tracks[self._block(block)].series
        if size == self.settings.window and count <= EIGENVALUES and series.eigenvalues.count:
            return series.eigenvalues.values[:, :count].copy()
        return series.rolling(size, count)

    def gap(self, k: int = 2, block: str | None = None, window: int | None = None) -> np.ndarray:
        """(T + 1,) float64: λ_k / λ_{k+1}, as `eigenvalues` has its rows.

        NaN where λ_{k+1} is below what the weights' digits resolve, the column `lambda_floor`, or what a float64 Gram does.
        """
        k, size = whole("k", k, 1), self.settings.window if window is None else window
        values = self.eigenvalues(block, k + 1, size)
        tracks = self._tracks()
        floor = tracks[self._block(block)].series.floors(size) if tracks else np.empty(0)
        return gap(resolved(values, floor if len(floor) else np.zeros(len(values)), size), k, size)

    def columns(self, block: str | None = None) -> dict[str, np.ndarray]:
        """The rows that are kept of a block: `update`, `step`, `lambda_1` … `lambda_5`, `lambda_floor`, signals, by name."""
        tracks = self._tracks()
        return tracks[self._block(block)].series.table() if tracks else {}

    def frame(self, block: str | None = None) -> DataFrame:
        """`columns` as a pandas table; pandas must be installed."""
        import pandas as pd

        return pd.DataFrame(self.columns(block))

    def plot(self, block: str | None = None) -> Any:
        """A figure of spectrum, gap and events of a block; matplotlib must be installed."""
        from grok.monitor.plot import figure

        name = self._block(block) if self._tracks() else ""
        return figure(self.columns(block), [event for event in self.events if event.block == name], name)

    def __repr__(self) -> str:
        parameters = sum(p.numel() for p in self.selection.parameters.values())
        blocks = len(self.selection.blocks)
        kept = f"SpectralMonitor of {parameters:,} parameters in {blocks} block(s), window {self.settings.window}"
        kept += f": keeps {self.memory / 2**20:.1f} MiB"
        if self.sketched:
            error = next(iter(self.sketched.values()))
            kept += f", {len(self.sketched)} block(s) as sketches of {self.settings.width:,} numbers (λ to about ±{error:.1%})"
        if self.moment:
            kept += f", takes {self.moment / 2**20:.1f} MiB more while it reads an update"
        return kept + (f"; off: {self.off}" if self.off else "")

    def _raw(self) -> dict[str, str]:
        """Each of `blocks`, with its name without that of the optimiser."""
        tracks = self._tracks()
        return {name: track.block for name, track in tracks.items()} or {block: block for block in self.selection.blocks}

    def _tracks(self) -> dict[str, Track]:
        return {block: track for clock in self._clocks.values() for block, track in clock.tracks.items()}

    def _block(self, block: str | None) -> str:
        names = self.blocks
        if block is not None and block not in names:
            refuse("block", f"be one of {', '.join(names)}", block, "Name it so")
        return names[0] if block is None else block
