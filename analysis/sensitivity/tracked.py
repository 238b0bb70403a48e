"""A sensitivity study in the store: one run with its settings, tables, figures and verdict."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.figures import sensitivity as figures
from analysis.figures.surface import surfaces
from analysis.sensitivity import verdict
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.results import Results
from analysis.sensitivity.search import best
from analysis.sensitivity.settings import SensitivityConfig
from grok.store.alive import is_alive
from grok.store.markdown import inert
from grok.store.provenance import code_tags
from grok.store.run import TrackedRun
from grok.store.store import Store, point_to
from grok.store.tables import save_table

KIND = "sensitivity"
ASIDE = ("workers", "storage")
"""Fields of execution that leave the results as they are."""


def identity(config: SensitivityConfig, cells: Cells) -> str:
    """(16 hex digits) of what is asked, of how many trials and of which runs."""
    asked = {name: text for name, text in config.to_strings().items() if name not in ASIDE}
    if config.signal == "none":
        del asked["signal"]  # it came later
    return hashlib.sha256(f"{sorted(asked.items())} {cells.fingerprint}".encode()).hexdigest()[:16]


def finished(store: Store, config: SensitivityConfig, cells: Cells) -> str | None:
    """The run of the same question and runs that is complete, made by this very code; None if there is none."""
    code = code_tags()
    for run in store.find({"kind": KIND, "sensitivity_hash": identity(config, cells), "state": "complete"}):
        same = run.get("code_version") == code["code_version"]
        if same and code["code_version"] != "unknown" and code["code_dirty"] == "false":
            return run.run_id
    return None


def open_run(store: Store, config: SensitivityConfig, cells: Cells) -> TrackedRun:
    """The interrupted run of the same question if no living process holds it, else a new one; its settings are logged."""
    own = identity(config, cells)
    tags = {"kind": KIND, "sensitivity_study": config.study, "sensitivity_hash": own, **code_tags()}
    for run in store.find({"kind": KIND, "sensitivity_hash": own}):
        if run.state != "complete" and not is_alive(run):
            point_to(store, run.run_id)
            parent = store.reopen(run.run_id, tags)
            break
    else:
        parent = store.create(f"sensitivity: {config.study}, {config.rule}, {config.mode}", tags)
    parent.log_params(config.to_strings())
    return parent


def write(store: Store, parent: TrackedRun, config: SensitivityConfig, results: Results) -> None:
    """Put tables, figures, `sensitivity.json` and the description on the run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for table_name, table in results.tables.items():
            table.to_csv(folder / f"{table_name}.csv", index=False)
            parent.put_file(folder / f"{table_name}.csv")
            if table_name not in ("rebuttal", "window_table", "importance"):
                save_table(folder / f"{table_name}.parquet", table)
                parent.put_file(folder / f"{table_name}.parquet")
        for figure_name, figure in _figures(results).items():
            figure.savefig(folder / f"{figure_name}.png")
            parent.put_file(folder / f"{figure_name}.png", "figures")
    parent.put_json("sensitivity.json", results.data)
    parent.log_points([(0, name, value) for name, value in metrics(results.data).items()])
    _nested(store, parent, config, results)
    parent.set_tags({"mlflow.note.content": description(results.data)})


def metrics(data: dict[str, Any]) -> dict[str, float]:
    """The numbers that one compares sensitivity runs by in the MLflow UI."""
    out: dict[str, float | None] = {}
    for name, share in (data["neighbourhood"] or {"share": {}})["share"].items():
        out[f"neighbourhood/{name}"] = share["value"]
    for reading, one in (data["rebuttal"] or {"by_reading": {}})["by_reading"].items():
        out[f"rebuttal/holding/{reading}"] = one["holding"] / one["cells"]
    for part in ("relu", "square_worst"):
        for name, found in (data[part] or {"by_control": {}})["by_control"].items():
            out[f"{part}/j_held_out/{name}"] = found["held_out"]["j"]["value"]
    for of, told in (data["nested"] or {}).items():
        out[f"nested/{of}/worst_j"] = told[-1]["j"][told[-1]["worst"]]["value"]
    if data["search"]:
        first = data["search"]["best"][0]
        out |= {
            f"search/{key}_{side}": first[side][key]["value"] for key in ("j", "lead") for side in ("calibration", "held_out")
        }
    out["trials_per_s"] = data["speed"]["trials_per_s"]
    return {name: float(value) for name, value in out.items() if value is not None}


def description(data: dict[str, Any]) -> str:
    """The verdict in Markdown."""
    seeds = data["data"]
    return (
        "**Does the detector's setting make the result?**\n\n"
        + "\n\n".join(map(inert, data["answer"]))
        + "\n\n**In detail**\n\n"
        + "\n".join(f"- {inert(line)}" for line in data["verdict"][len(data["answer"]) :])
        + f"\n\nSearches choose on seeds {_listed(seeds['calibration_seeds'])} and show seeds "
        f"{_listed(seeds['held_out_seeds'])}; grids and shares choose nothing and use all. Intervals: 95 %, Newcombe for J, "
        "Wilson for shares and rates, order statistics for the median lead. λ are eigenvalues of the window's Gram ΔᵀΔ."
    )


def _listed(seeds: list[int]) -> str:
    return ", ".join(str(seed) for seed in seeds) or "none"


def _figures(results: Results) -> dict[str, Any]:
    tables, data = results.tables, results.data
    out: dict[str, Any] = {}
    if "surface" in tables and len(tables["surface"]):
        out |= {"surface": surfaces(tables["surface"]), "roc": figures.roc(tables["surface"])}
    if data["importance"]:
        out["importance"] = figures.importance(data["importance"])
    searched: pd.DataFrame = tables["trials"][tables["trials"]["study"] == "search"] if "trials" in tables else pd.DataFrame()
    if len(searched):
        values = ("j", "tpr", "fpr", "lead", "published")
        parameters = [name for name in searched.columns[5:] if not str(name).startswith(values)]
        out["slices"] = figures.slices(searched, parameters)
        if searched["lead"].notna().any():
            out["pareto"] = figures.pareto(searched, data["search"]["front"])
    return out


def _nested(store: Store, parent: TrackedRun, config: SensitivityConfig, results: Results) -> None:
    """The best trials of the search as nested runs, where that was asked for."""
    found = next((one for one in results.searches if one.task.part == "search"), None)
    if not config.nested_runs or found is None:
        return
    there = {
        run.get("trial")
        for run in store.find({"kind": "trial"})
        if run.tags.get("mlflow.parentRunId") == parent.run_id and run.state == "complete"
    }  # an interrupted command may have logged some
    wanted = best(found, config.nested_runs)[: config.nested_runs]
    for trial in (one for one in wanted if str(one.number) not in there):
        child = store.create(f"trial {trial.number}", {"kind": "trial", "trial": str(trial.number)}, parent=parent.run_id)
        child.log_params({name: str(value) for name, value in verdict.setting_of(trial).items()})
        values = {
            f"{side}/{key}": value for side in ("calibration", "held_out") for key, value in trial.user_attrs[side].items()
        }
        child.log_points([(0, name, float(value)) for name, value in values.items() if value is not None])
        child.end("complete")
