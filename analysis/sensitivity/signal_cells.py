"""Signals in the place of spectral gaps: the same searches of detectors, on a signal's series of the same runs.

Shapes: R runs, T updates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from analysis.reading.evidence import Evidence
from analysis.sensitivity.cells import RATIOS, Cells, Group
from grok.signals.base import Signal, find
from grok.spec.fields import ConfigError, refuse
from grok.spec.limited import MOST_BYTES
from grok.store.errors import StoreError

MOST_VALUES = MOST_BYTES // 8
"""Of a condition's series together."""


@dataclass
class SignalGroup(Group):
    """Runs whose series are a signal's.

    Attributes:
        values: (R, T + 1) float64, high where the signal announces; its logarithm where it is positive in every run.
    """

    values: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def log_gaps(self, matrix: str, method: str, window: int) -> np.ndarray:
        """(3, R, T + 1): the signal in the place of each ratio, whatever matrix, method and window."""
        found = self.values[:, : self.horizon + 1] if self.horizon else self.values
        return np.broadcast_to(found, (RATIOS, *found.shape))

    def ahead(self, *_: Any) -> None:
        """Nothing is to be computed."""

    @property
    def fingerprint(self) -> str:
        """(16 hex digits) of the runs and of the signal's values."""
        digest = hashlib.sha256(super().fingerprint.encode() + np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()[:16]


def named(text: str) -> tuple[Signal, str]:
    """Signal and variant of `NAME` or `NAME/VARIANT`.

    Raises:
        ConfigError: if there is no such signal or variant.
    """
    name, _, variant = text.partition("/")
    signal = find(name)
    chosen = variant or next(iter(signal.variants))
    if chosen not in signal.variants:
        known = ", ".join(f"{name}/{one}" for one in signal.variants if one)
        raise ConfigError(f"signal must be a variant that there is ({known or 'none'}), got {text}. Pick one of these.")
    return signal, chosen


def with_signal(cells: Cells, evidence: Evidence, text: str) -> Cells:
    """The same runs with a signal's series; those of raw spectra and of other roundings are left out.

    Between two epochs at which it was computed a signal keeps its last value.

    Args:
        cells: as `load` gives them. evidence: of the same store. text: `NAME` or `NAME/VARIANT` of a signal.

    Raises:
        ConfigError: if there is no such signal, or a run has not had it computed.
    """
    signal, variant = named(text)
    for group in cells.cells.values():
        longest = int(group.table["epochs"].max())  # as the runs say: one that diverged may have few rows for it
        if len(group.table) * (longest + 1) > MOST_VALUES:
            told = f"be at most {MOST_VALUES} times the runs of a condition, for a signal's series"
            refuse("epochs", told, f"{longest} in {len(group.table)} runs", "Leave the longest out of the study")
    series = {
        key: [_series(evidence, signal, variant, row) for row in group.table.to_dict("records")]
        for key, group in cells.cells.items()
    }
    positive = all((one[np.isfinite(one)] > 0).all() for rows in series.values() for one in rows)
    sign = -1.0 if signal.direction_of(variant) == "falling" else 1.0
    return replace(
        cells,
        cells={key: _group(group, series[key], sign, log=positive) for key, group in cells.cells.items()},
        raw={},
        roundings={},
    )


def _group(group: Group, rows: list[np.ndarray], sign: float, *, log: bool) -> SignalGroup:
    values = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in enumerate(rows):
        values[place, : len(row)] = sign * (np.log(row) if log else row)
    own = {one.name: getattr(group, one.name) for one in fields(Group) if one.init}
    return SignalGroup(**own | {"values": values, "folder": None, "_series": {}})


def _series(evidence: Evidence, signal: Signal, variant: str, run: Mapping[Any, Any]) -> np.ndarray:
    """(T + 1,) of one run: the last value known, NaN before the first."""
    try:
        table = evidence.signals(str(run["run_id"]))
    except StoreError as error:
        raise ConfigError(
            f"signal must have been computed of every run, got none of {run['run_id']}. "
            "Run python -m entry_points.signals --study NAME --epochs 0-400-10 for its study."
        ) from error
    asked = signal.spelt or signal.name  # a table has one of your own by its `module:NAME`
    mine = table[(table["signal"] == asked) & (table["variant"] == variant)].sort_values("epoch")
    if mine.empty:
        raise ConfigError(f"signal must have been computed of every run, got no {asked} of {run['run_id']}. Compute it.")
    out = np.full(int(run["epochs"]) + 1, np.nan)
    for epoch, value in zip(mine["epoch"].to_numpy(dtype=int), mine["value"].to_numpy(dtype=np.float64), strict=True):
        if epoch < len(out) and np.isfinite(value):
            out[epoch:] = value
    return out
