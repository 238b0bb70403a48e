"""The finished runs that settings are tried on, and their gap series: loaded once, cached, in memory.

Shapes: R runs, T updates, L lags.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.printed.xu import WINDOW_SEEDS
from analysis.reading.evidence import Evidence
from analysis.reading.files import in_parallel
from analysis.reading.runs import LEFT_OUT, grid, stored_name
from analysis.sensitivity.settings import CONTROLS, SensitivityConfig
from grok.detectors.base import Detector, fire_epochs
from grok.numerics import gaps
from grok.numerics.methods import factor_kind
from grok.numerics.spectra import gap, rolling_eigenvalues
from grok.recorders.spectrum import BAND, FACTORS
from grok.spec.config import EXECUTION_FIELDS, RunConfig
from grok.spec.fields import ConfigError, did_you_mean
from grok.spec.studies import load_study
from grok.store.store import Store

CONDITIONS = ("grok", *CONTROLS)
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
            self._series[key] = _read(path) if path and path.exists() else self._compute(key, path)
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


def _read(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path)
    return array


def _write(path: Path, array: np.ndarray) -> None:
    """Whole or not at all: another process may be at it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.save(file, array)
    os.replace(file.name, path)


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


def as_stored(config: SensitivityConfig) -> SensitivityConfig:
    """The same question with every study by the name that the store has for it: `my/tiny` for `my.yaml:tiny`.

    Raises:
        ConfigError: if a file does not have the study.
    """
    companions = config.companions
    if companions != "none":
        companions = ",".join(stored_name(name.strip()) for name in companions.split(","))
    return replace(config, study=stored_name(config.study), companions=companions)


def load(store: Store, config: SensitivityConfig, cache: Path | None = None) -> Cells:
    """The runs that a sensitivity study compares; one whose files are not whole is left out, with the reason.

    Each activation and condition is taken from the first of the named study and its companions that has runs of it;
    runs with raw spectra likewise.

    Args:
        store: an open store. config: what is asked.
        cache: folder for gap series, which are then computed once for all commands.

    Raises:
        ConfigError: if nothing can be compared.
    """
    companions = [] if config.companions == "none" else [name.strip() for name in config.companions.split(",")]
    names = list(dict.fromkeys([config.study, *companions]))
    cells: dict[tuple[str, str], Group] = {}
    raw: dict[tuple[str, str], Group] = {}
    left_out, empty = [], []
    evidence = Evidence(store)
    for name in names:
        table, out = _banded(evidence, name)
        left_out.append(out.assign(study=name))
        if not len(table):
            empty.append(name)
            continue
        for (activation, condition), group in table.groupby(["activation", "condition"]):
            key = (str(activation), str(condition))
            has_raw = group["spectrum_methods"].map(len).min() > 1
            wanted = condition in CONDITIONS and (key not in cells or (has_raw and key not in raw))
            if not wanted:
                continue
            _check_group(key, name, group)
            cell = _cell(evidence, key, name, group, has_raw)
            cells.setdefault(key, cell)
            if has_raw:
                raw.setdefault(key, cell)
    if config.study in empty:
        if any(WITHOUT in set(out["reason"]) for out in left_out[:1]):
            raise ConfigError(
                f"study must have runs with their bands, got {config.study} without: {WITHOUT}. "
                "Export it anew with --bands all and --files all."
            )
        if "/" not in config.study:
            load_study(config.study)  # or says which there are
        raise ConfigError(
            f"study must have finished runs in {store.shown}, got {config.study} with none. "
            f"Run it first: python -m entry_points.study --study {config.study.replace('/', '.yaml:', 1)}."
        )
    _check(cells, config)
    _place(cells, raw, config, cache)
    variants = _roundings(evidence) if config.mode in ("all", "grid") else {}
    found = Cells(cells, raw, (), pd.concat(left_out, ignore_index=True), variants)
    return replace(found, missing=tuple(_missing(found, empty, config)))


def _banded(evidence: Evidence, study: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The finished runs of a study that have their bands, and its others with a reason each: some came here without."""
    table, out = evidence.select(study)
    if not len(table):
        return table, out
    lacks = np.array([bool({BAND, FACTORS} & set(evidence.files.left_out.get(run_id, ()))) for run_id in table["run_id"]])
    reasons = table[lacks].reindex(columns=LEFT_OUT).assign(study=study, reason=WITHOUT)
    return table[~lacks].reset_index(drop=True), pd.concat([out, reasons], ignore_index=True)


def _roundings(evidence: Evidence) -> dict[tuple[str, str], Group]:
    """Seeds 0–2 of the study `rounding`, square, by variant and condition: what the published window table is held against."""
    table, _ = _banded(evidence, ROUNDING)
    if "rounding" not in table:
        return {}
    table = table[
        (table["activation"] == "square") & table["seed"].isin(WINDOW_SEEDS) & table["condition"].isin(CONDITIONS[:2])
    ]
    out = {}
    for (variant, precision, condition), group in table.groupby(["rounding", "precision", "condition"]):
        name = str(variant) if precision == "float32" else f"{variant}, {precision}"
        key = ("square", str(condition))
        _check_group(key, f"{ROUNDING} ({name})", group)
        out[name, str(condition)] = _cell(evidence, key, ROUNDING, group, group["spectrum_methods"].map(len).min() > 1)
    return out


def _check_group(key: tuple[str, str], study: str, group: pd.DataFrame) -> None:
    """Refuse runs that are of several experiments, or several of one seed: they are no sample of one condition."""
    what = f"{' '.join(key)} of study {study}"
    for name in RunConfig().to_strings():
        if name in ("seed", *EXECUTION_FIELDS) or name not in group:
            continue
        values = sorted({str(value) for value in group[name]})
        if len(values) > 1:
            raise ConfigError(
                f"study must have one experiment a condition, got {what} with {name} {', '.join(values)}. Name another study."
            )
    twice = sorted(int(seed) for seed in group["seed"][group["seed"].duplicated()].unique())
    if twice:
        raise ConfigError(
            f"study must have one run a seed, got {what} with several of seed {', '.join(map(str, twice))}. Name another study."
        )


def _cell(evidence: Evidence, key: tuple[str, str], study: str, group: pd.DataFrame, has_raw: bool) -> Group:
    group = group.sort_values(["seed", "run_id"], ignore_index=True)
    ids = list(group["run_id"])
    bands = in_parallel(evidence.band, ids)
    factors = in_parallel(evidence.factors, ids) if has_raw else {}
    test_50 = group["test_50_epoch"] if "test_50_epoch" in group else pd.Series(np.nan, group.index)
    table = pd.DataFrame(
        {
            "run_id": ids,
            "seed": group["seed"],
            "epochs": [len(bands[i]["w"]) for i in ids],
            "test_50": test_50,
            "methods": group["spectrum_methods"],
        }
    )
    return Group(*key, study, table, [bands[i] for i in ids], [factors.get(i, {}) for i in ids])


def _check(cells: dict[tuple[str, str], Group], config: SensitivityConfig) -> None:
    """Refuse what cannot be compared."""
    if cells and all(cell.study != config.study for cell in cells.values()):
        raise ConfigError(
            f"study must have runs of a condition among {', '.join(CONDITIONS)}, got {config.study} with none. "
            "Name another study: this would compare its companions only."
        )
    activations = {activation for activation, condition in cells if condition == "grok"}
    if not activations:
        raise ConfigError(f"study must have runs of condition grok, got {config.study} with none. Name another study.")
    chosen = chosen_activation(activations, config)
    wanted = CONTROLS if config.controls == "all" else (config.controls,)
    if not any((chosen, name) in cells for name in wanted):
        raise ConfigError(
            f"controls must name a condition that {chosen} has runs of, got {config.controls} with none. "
            "Run the study that has them, headline or controls, or name other controls."
        )
    seeds = np.concatenate([cell.seeds for key, cell in cells.items() if key[0] == chosen])
    sides = {config.is_held_out(int(seed)) for seed in seeds}
    if len(sides) < 2:
        raise ConfigError(
            f"held_out must leave seeds on both sides, got {config.held_out} of {sorted(set(seeds.tolist()))}. Split them."
        )


def chosen_activation(activations: Iterable[str], config: SensitivityConfig) -> str:
    """The activation that the search is on.

    Raises:
        ConfigError: if there are no grokking runs of it.
    """
    known = sorted(activations, key=lambda a: (a != "square", a))
    if config.activation == "auto":
        return known[0]
    if config.activation not in known:
        raise ConfigError(
            f"activation must be one of {', '.join(known)} (of the runs there are), got {config.activation}. "
            f"{did_you_mean(config.activation, known, 'Pick one.')}"
        )
    return config.activation


def _place(
    cells: dict[tuple[str, str], Group], raw: dict[tuple[str, str], Group], config: SensitivityConfig, cache: Path | None
) -> None:
    """Give every cell its horizon and its folder."""
    for cell in {id(c): c for c in (*cells.values(), *raw.values())}.values():
        if config.horizon == "common":
            same = [c for (activation, _), c in cells.items() if activation == cell.activation]
            cell.horizon = int(min(c.table["epochs"].min() for c in same))
        if cache is not None:
            cell.folder = (
                cache / f"{cell.activation.replace(':', '.')}-{cell.condition}-{cell.fingerprint}-{cell.horizon or 'full'}"
            )


def _missing(cells: Cells, empty: list[str], config: SensitivityConfig) -> Iterable[str]:
    """What a full comparison would have and this one lacks."""
    for name in empty:
        given = {(cell.config.activation, cell.condition, len(cell.config.spectrum_methods) > 1) for cell in grid(name)}
        if not given or any((a, c) not in (cells.raw if raw else cells.cells) for a, c, raw in given if c in CONDITIONS):
            yield f"no finished runs of study {name}"
    for activation in dict.fromkeys(("square", "relu", *(a for a, _ in cells.cells))):
        for condition in CONDITIONS:
            if (activation, condition) not in cells.cells:
                yield f"no runs of {activation} {condition}"
            elif lacking := [m for m in config.methods if not cells.serves(activation, condition, m)]:
                yield f"no runs of {activation} {condition} with spectrum method {', '.join(lacking)}: not in the searches"
    most = cells.largest_window()
    for activation in cells.activations if "auto" in config.window else ():
        if cells.serves(activation, "grok", *config.methods):
            least = cells.largest_window_of(activation, *config.methods)
            if least < most:
                yield f"windows {least + 1} … {most} of {activation} are not searched: {config.method} serves up to {least}"
