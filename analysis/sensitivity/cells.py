"""The finished runs that settings are tried on, and their gap series: loaded once, cached, in memory.

Shapes: R runs, T updates, L lags.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.sensitivity.settings import CONTROLS
from grok.detectors.base import Detector, fire_epochs
from grok.numerics import gaps
from grok.numerics.methods import factor_kind
from grok.numerics.spectra import gap, rolling_eigenvalues
from grok.spec.limited import MOST_BYTES, array_header, plain_file
from grok.store import files

CONDITIONS = ("grok", *CONTROLS)
DIGEST_BYTES = 32
RATIOS = 3
"""λ₁/λ₂, λ₂/λ₃, λ₃/λ₄."""
ROUNDING = "rounding"
"""The study whose runs differ in rounding alone."""
WITHOUT = "it came here without its band"
"""Why a run that was imported is left out."""
GAP_INDEX = {"12": 0, "23": 1, "34": 2}


@dataclass
class Group:
    """The runs of one activation and one condition, and their gap series.

    Attributes:
        activation, condition: of all runs. study: where they are from.
        table: a row per run, by seed: run_id, seed, epochs, test_50 (NaN if never), methods.
        bands: `w` and `v` of each run, (T, L) float64.
        factors: of each run with raw spectra, else empty.
        folder: of series computed earlier, or None to keep them in memory only.
        horizon: epochs that are compared, or None for each run's own.
    """

    activation: str
    condition: str
    study: str
    table: pd.DataFrame
    bands: list[dict[str, np.ndarray]]
    factors: list[dict[str, np.ndarray]]
    folder: Path | None = None
    horizon: int | None = None
    _series: dict[tuple[str, str, int], np.ndarray] = field(default_factory=dict, repr=False)
    spectra_s: float = 0.0

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.activation} {self.condition}"

    @property
    def seeds(self) -> np.ndarray:
        """(R,) int64."""
        return self.table["seed"].to_numpy()

    @property
    def fingerprint(self) -> str:
        """(16 hex digits) of the runs' ids and of all that is computed from."""
        digest = hashlib.sha256()
        for run_id, band, factors in zip(self.table["run_id"], self.bands, self.factors, strict=True):
            digest.update(run_id.encode())
            for name, array in (*sorted(band.items()), *sorted(factors.items())):
                digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        digest.update(np.asarray(self.table["test_50"], dtype=np.float64).tobytes())
        return digest.hexdigest()[:16]

    @property
    def epochs(self) -> np.ndarray:
        """(R,) float64: the last epoch of each run that is compared."""
        out: np.ndarray = np.minimum(self.table["epochs"].to_numpy(dtype=np.float64), self.horizon or np.inf)
        return out

    @property
    def test_50(self) -> np.ndarray:
        """(R,) float64: first compared epoch with test accuracy ≥ 0.5, NaN if there is none."""
        epochs = self.table["test_50"].to_numpy(dtype=np.float64)
        out: np.ndarray = np.where(epochs <= self.epochs, epochs, np.nan)
        return out

    def methods(self) -> set[str]:
        """The spectrum methods that every run recorded."""
        return set.intersection(*(set(methods) for methods in self.table["methods"]))

    def largest_window(self, method: str) -> int:
        """That every run serves: lags of its band, or the size of its raw factors."""
        if method == "gram":
            return min(int(band["w"].shape[1]) for band in self.bands)
        return min(int(factor.shape[1]) for factors in self.factors for factor in factors.values())

    def log_gaps(self, matrix: str, method: str, window: int) -> np.ndarray:
        """(3, R, T + 1) float64: log λ₁/λ₂, log λ₂/λ₃, log λ₃/λ₄ at every epoch; NaN where unknown or after a run's end."""
        key = (matrix, method, window)
        if key not in self._series:
            path = self.folder / f"{matrix}-{method}-{window}.npy" if self.folder else None
            kept = _read(path, len(self.table)) if path else None
            self._series[key] = self._compute(key, path) if kept is None else kept
        return self._series[key]

    def _compute(self, key: tuple[str, str, int], path: Path | None) -> np.ndarray:
        matrix, method, window = key
        series = [self._run_gaps(number, matrix, method, window) for number in range(len(self.table))]
        out = np.full((RATIOS, len(series), max(one.shape[1] for one in series)), np.nan)
        for number, one in enumerate(series):
            out[:, number, : one.shape[1]] = one
        out = out[:, :, : self.horizon + 1] if self.horizon else out
        if path:
            _write(path, out)
        return out

    def _run_gaps(self, number: int, matrix: str, method: str, window: int) -> np.ndarray:
        if method == "gram":
            values = rolling_eigenvalues(self.bands[number][matrix], window, RATIOS + 1)
        else:
            name = f"{factor_kind(method)}_{matrix}"
            values = gaps.method_eigenvalues(self.factors[number][name], method, window, int(self.seeds[number]))
        with np.errstate(invalid="ignore"):
            ratios = [
                np.log(gap(values, k, window)) if k < window else np.full(len(values), np.nan) for k in range(1, RATIOS + 1)
            ]
        return np.stack(ratios)

    def fires(self, setting: dict[str, Any], rule: Detector) -> np.ndarray:
        """(R,) float64: the epoch at which a setting fires on each run, NaN if never."""
        series = self.log_gaps(setting["matrix"], setting["method"], setting["window"])[GAP_INDEX[setting["gap"]]]
        own = {name: setting[name] for name in rule.parameters}
        return fire_epochs(rule, series, setting["first_epoch"], setting["smoothing"], **own)

    def earliest(self, setting: dict[str, Any]) -> np.ndarray:
        """(R,) float64: the first epoch at which a setting may fire on each run.

        That is its first epoch; or, where that is later, the first at which its gap has been known for a slope's lag, or for as
        many epochs as it must hold.
        """
        series = self.log_gaps(setting["matrix"], setting["method"], setting["window"])[GAP_INDEX[setting["gap"]]]
        known = np.isfinite(series)
        begins = np.where(known.any(axis=1), known.argmax(axis=1), np.inf)
        begins = begins + setting.get("slope_lag", 0) + setting.get("hold", 1) - 1
        out: np.ndarray = np.maximum(begins, setting["first_epoch"])
        return out


def _read(path: Path, runs: int) -> np.ndarray | None:
    """Series as `_write` kept them, (3, runs, T + 1) float64; None where they are not there, or not as they were written.

    Those of earlier versions have no checksum: they are computed anew too.
    """
    try:
        plain_file(path, MOST_BYTES)
        content = path.read_bytes()
        body, checksum = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != checksum:
            return None
        stream = io.BytesIO(body)
        shape, dtype = array_header(stream, path.name)
        if shape[:2] != (RATIOS, runs) or len(shape) != 3 or dtype != np.float64 or 8 * math.prod(shape) > len(body):
            return None
        found: np.ndarray = np.load(io.BytesIO(body), allow_pickle=False)
        return found
    except Exception:  # its header is untrusted too: the tokenizer's errors
        return None


def _write(path: Path, array: np.ndarray) -> None:
    """Whole or not at all, as another process may be at it; a SHA-256 at the end."""
    made = io.BytesIO()
    np.save(made, array)
    with files.whole(path) as partial:
        partial.write_bytes(made.getvalue() + hashlib.sha256(made.getvalue()).digest())


@dataclass(frozen=True)
class Cells:
    """Every cell that was found, and what was not.

    Attributes:
        cells: by activation and condition; those of raw spectra apart.
        raw: the same for runs that recorded other spectrum methods.
        missing: what is not there, a sentence each.
        left_out: runs of the studies that were not used, and why.
        roundings: seeds 0–2 of the study `rounding`, square, by variant and condition.
    """

    cells: dict[tuple[str, str], Group]
    raw: dict[tuple[str, str], Group]
    missing: tuple[str, ...]
    left_out: pd.DataFrame
    roundings: dict[tuple[str, str], Group] = field(default_factory=dict)

    @property
    def activations(self) -> list[str]:
        """Those with grokking runs, square first."""
        return sorted({a for a, condition in self.cells if condition == "grok"}, key=lambda a: (a != "square", a))

    @property
    def fingerprint(self) -> str:
        """(16 hex digits) of every run."""
        every = (self.cells, self.raw, self.roundings)
        parts = [f"{key}{cell.fingerprint}" for cells in every for key, cell in sorted(cells.items())]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    def cell(self, activation: str, condition: str, method: str = "gram") -> Group | None:
        """The cell whose runs recorded a spectrum method, if there is one."""
        found = (self.cells if method == "gram" else self.raw).get((activation, condition))
        return found if found is not None and (method == "gram" or method in found.methods()) else None

    def control_sets(self, activation: str, *methods: str) -> dict[str, list[str]]:
        """The conditions of each control set whose runs serve every method; `all` last, where it is more than one of them."""
        there = self.controls(activation, *methods)
        return {name: [name] for name in there} | ({"all": there} if len(there) > 1 else {})

    def controls(self, activation: str, *methods: str) -> list[str]:
        """The control conditions that there are runs of and that recorded every one of the methods (none given: gram)."""
        return [name for name in CONTROLS if self.serves(activation, name, *methods)]

    def serves(self, activation: str, condition: str, *methods: str) -> bool:
        """Whether there are runs of a condition that recorded every one of the methods (none given: gram)."""
        return all(self.cell(activation, condition, method) is not None for method in methods or ("gram",))

    def largest_window(self) -> int:
        """That every run's band serves."""
        return min(cell.largest_window("gram") for cell in self.cells.values())

    def largest_window_of(self, activation: str, *methods: str) -> int:
        """That every method serves on the grokking runs and on the controls which recorded it."""
        served = [(name, method) for method in methods for name in ("grok", *self.controls(activation, *methods))]
        own = [(self.cell(activation, name, method), method) for name, method in served]
        return min(cell.largest_window(method) for cell, method in own if cell is not None)

    def prepare(self, keys: Iterable[tuple[str, str, int]], activations: Sequence[str], report: Callable[[], None]) -> None:
        """Compute series ahead, on all cores; `report` is told of each."""
        jobs = [
            (cell, key)
            for key in keys
            for (activation, _), cell in (self.cells if key[1] == "gram" else self.raw).items()
            if activation in activations and (key[1] == "gram" or key[1] in cell.methods())
        ]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            for _ in pool.map(lambda job: job[0].log_gaps(*job[1]), jobs):
                report()
