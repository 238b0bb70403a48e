"""Everything that a sensitivity study found, and `sensitivity.json` of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.sensitivity import verdict, words
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.importance import Importance
from analysis.sensitivity.neighbourhood import Neighbourhood
from analysis.sensitivity.nested import Told
from analysis.sensitivity.search import Found
from analysis.sensitivity.settings import SPACE_FIELDS, SensitivityConfig

SCHEMA = 3


@dataclass
class Results:
    """Everything that a study found.

    Attributes:
        tables: by name, as they are stored. data: `sensitivity.json`. searches: the Optuna studies.
        near: the neighbourhood that was tried, None if it was not. told: the nested cross-validations, by what they are of.
        stopped: whether a search was stopped before its last trial.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    searches: list[Found] = field(default_factory=list)
    near: Neighbourhood | None = None
    told: dict[str, list[Told]] = field(default_factory=dict)
    stopped: bool = False


def trial_table(searches: list[Found]) -> pd.DataFrame:
    """A row per trial of every search: what it is of, its values, the setting, rates and lead on both sets of seeds."""
    rows = []
    for found in searches:
        for trial in found.trials:
            setting = verdict.setting_of(trial)
            row: dict[str, Any] = {"study": found.task.part, "number": trial.number, "state": trial.state.name}
            row["value"] = trial.values[0]
            row |= {"value_2": trial.values[1] if len(trial.values) > 1 else None} | setting
            row["published"] = bool(trial.user_attrs.get("published"))
            for side, suffix in (("calibration", ""), ("held_out", "_held")):
                counts = trial.user_attrs[side]
                tpr, fpr = counts["fires"] / max(counts["n"], 1), counts["false"] / max(counts["controls"], 1)
                row |= {f"j{suffix}": tpr - fpr, f"tpr{suffix}": tpr, f"fpr{suffix}": fpr, f"lead{suffix}": counts["lead"]}
            rows.append(row)
    own = [name for found in searches for rule in found.task.space.rules.values() for name in rule.parameters]
    columns = ["study", "number", "state", "value", "value_2", *dict.fromkeys((*SPACE_FIELDS, *own))]
    columns += [f"{name}{suffix}" for suffix in ("", "_held") for name in ("j", "tpr", "fpr", "lead")]
    columns.append("published")
    table = pd.DataFrame(rows).reindex(columns=columns)
    return table.astype({"value_2": float, "lead": float, "lead_held": float})


def data_of(
    cells: Cells,
    config: SensitivityConfig,
    results: Results,
    found: list[Importance],
    spectra_s: float,
    rebuttal: dict[str, Any] | None,
    by_window: dict[int, dict[str, Any]],
) -> dict[str, Any]:
    """`sensitivity.json`; the tables of trials and of the nested cross-validations are put beside the others.

    Args:
        cells, config: of the study. results: its tables and searches. found: the importances. spectra_s: of making spectra.
        rebuttal, by_window: what a paper's own rules say of the grid and, by window, of its table.
    """
    tables, searches = results.tables, results.searches
    if searches:
        tables["trials"] = trial_table(searches)
    main = next((one for one in searches if one.task.part == "search"), None)
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "settings": config.to_strings(),
        "data": describe(cells, config, searches),
        "published": verdict.published(cells, config),
        "neighbourhood": None,
        "rebuttal": rebuttal,
        "relu": verdict.counterexamples(searches, cells, "relu_best_"),
        "square_worst": verdict.counterexamples(searches, cells, "square_worst_"),
        "search": verdict.searched(main, cells) if main else None,
        "nested": {name: [verdict.nested(one) for one in told] for name, told in results.told.items()} or None,
        "importance": verdict.importances(found) or None,
        "window_table": None,
        "speed": speed(searches, spectra_s, config),
    }
    if results.told:
        tables["nested"] = verdict.nested_table(results.told)
    if results.near is not None:
        data["neighbourhood"] = verdict.neighbourhood(results.near, config, cells.largest_window())
        word = words.window_word(tables["window_table"], by_window)
        rounding = words.rounding_word(tables["rounding"]) if "rounding" in tables else None
        rows = verdict.records(tables["window_table"])
        data["window_table"] = {"rows": rows, "verdicts": by_window, "word": word, "rounding": rounding}
    data["answer"] = list(words.answer(data))
    data["verdict"] = [*data["answer"], *words.sentences(data)]
    return data


def describe(cells: Cells, config: SensitivityConfig, searches: list[Found]) -> dict[str, Any]:
    """Which runs were compared, which seeds chose, what was searched, and what was not there."""
    runs: dict[str, dict[str, int]] = {}
    studies: dict[str, dict[str, str]] = {}
    for (activation, condition), cell in cells.cells.items():
        runs.setdefault(activation, {})[condition] = len(cell.table)
        studies.setdefault(activation, {})[condition] = cell.study
    seeds = sorted({int(seed) for cell in cells.cells.values() for seed in cell.seeds})
    every = {id(cell): cell for cell in (*cells.cells.values(), *cells.raw.values())}.values()
    return {
        "fingerprint": cells.fingerprint,
        "runs": runs,
        "studies": studies,
        "methods": {a: sorted(cell.methods()) for (a, condition), cell in cells.raw.items() if condition == "grok"},
        "missing": list(cells.missing),
        "run_ids": sorted({run_id for cell in every for run_id in cell.table["run_id"]}),
        "left_out": len(cells.left_out),
        "calibration_seeds": [s for s in seeds if not config.is_held_out(s)],
        "held_out_seeds": [s for s in seeds if config.is_held_out(s)],
        "max_window": cells.largest_window(),
        "searches": {one.task.part: len(one.trials) for one in searches},
    }


def speed(searches: list[Found], spectra_s: float, config: SensitivityConfig) -> dict[str, Any]:
    """What this command's own trials took; null where it made none."""
    trials = sum(one.times.trials for one in searches)
    wall = sum(one.times.wall for one in searches)
    parts: Mapping[str, float] = {
        "detectors": sum(one.times.detectors for one in searches),
        "sampler": sum(one.times.sampler for one in searches),
        "storage": sum(one.times.storage for one in searches),
    }
    total = sum(parts.values())
    shares = {f"share_{name}": seconds / total if total else None for name, seconds in parts.items()}
    optuna_share = (parts["sampler"] + parts["storage"]) / total if total else None
    return {
        "trials": trials,
        "trials_per_s": trials / wall if trials else None,
        "workers": config.workers,
        **shares,
        "share_optuna": optuna_share,
        "spectra_s": spectra_s,
    }
