"""Which finished runs of a store settings are tried on, and what of them there must be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.printed.xu import WINDOW_SEEDS
from analysis.reading.evidence import Evidence
from analysis.reading.files import in_parallel
from analysis.reading.runs import LEFT_OUT, grid, stored_name
from analysis.sensitivity.cells import CONDITIONS, ROUNDING, WITHOUT, Cells, Group
from analysis.sensitivity.settings import CONTROLS, SensitivityConfig
from grok.spec.artifacts import BAND, FACTORS
from grok.spec.config import EXECUTION_FIELDS, RunConfig
from grok.spec.fields import ConfigError, did_you_mean
from grok.spec.studies import load_study
from grok.store.store import Store


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
    for cell in variants.values():
        cell.folder = cache
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
            cell.folder = cache


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
