"""The verdict: what the grids and searches found, as plain data and as sentences. Tries no setting but the published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from optuna.trial import FrozenTrial

from analysis.sensitivity import grid
from analysis.sensitivity import neighbourhood as nearby
from analysis.sensitivity.cells import Cells
from analysis.sensitivity.importance import Importance
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.neighbourhood import Neighbourhood
from analysis.sensitivity.nested import Told
from analysis.sensitivity.objectives import Outcome, enough, few, youden
from analysis.sensitivity.search import Found, best
from analysis.sensitivity.settings import SensitivityConfig, written_storage
from analysis.sensitivity.space import PUBLISHED, Values
from analysis.statistics.estimates import Estimate, median_interval
from analysis.statistics.rates import wilson
from grok.detectors.base import Range
from grok.spec.fields import shown
from grok.store.errors import StoreError

RULE = (
    "at least 14/15 of the runs that grok are detected, later than the first epoch at which the detector may fire, and at most "
    "1/15 of the controls set it off"
)


def estimate(found: Estimate) -> dict[str, float | int | None]:
    """An estimate as JSON has it, null where nothing is known."""
    return {name: plain(value) for name, value in found._asdict().items()}


def plain(value: Any) -> Any:
    """A number as JSON has it: no numpy, no NaN."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON has them."""
    return [{str(k): None if v is pd.NA else plain(v) for k, v in row.items()} for row in table.to_dict("records")]


def scores(found: Outcome) -> dict[str, Any]:
    """An outcome with its intervals."""
    return {
        "j": estimate(youden(found)),
        "tpr": estimate(wilson(found.fires, found.n)),
        "fpr": estimate(wilson(found.false, found.controls)),
        "lead": estimate(median_interval(found.leads)),
        "conclusion_holds": enough(found.fires, found.n) and few(found.false, found.controls),
    }


def published(cells: Cells, config: SensitivityConfig) -> dict[str, Any] | None:
    """The published setting on all seeds of every activation whose bands hold its window; None if there is none."""
    outcomes: dict[str, Any] = {}
    js: dict[str, Any] = {}
    served = {activation: cells.largest_window_of(activation, PUBLISHED["method"]) for activation in cells.activations}
    for activation in (name for name, most in served.items() if most >= PUBLISHED["window"]):
        sets = cells.control_sets(activation)
        fires = Judge(cells, activation, cells.controls(activation), config).fires(PUBLISHED)
        outcomes[activation] = {
            condition: {
                "fires": int(np.isfinite(epochs).sum()),
                "n": len(epochs),
                "median_epoch": plain(np.median(epochs[np.isfinite(epochs)])) if np.isfinite(epochs).any() else None,
                "epochs": [plain(epoch) for epoch in epochs],
            }
            for condition, epochs in fires.items()
        }
        js[activation] = {name: estimate(youden(grid.pooled(fires, own))) for name, own in sets.items()}
    return {"setting": PUBLISHED, "outcomes": outcomes, "j": js} if outcomes else None


def neighbourhood(found: Neighbourhood, config: SensitivityConfig, max_window: int) -> dict[str, Any]:
    """The shares of the neighbourhood that was tried, which the runs' bands may have cut.

    Args:
        found: what was tried. config: the seed of the resamples. max_window: that every run's band serves.
    """
    shares = {name: estimate(one) for name, one in nearby.shares(found.table, found.first).items()}
    space = nearby.space(max_window)
    ranges = {name: _ends({**space.common, **space.own["slope"]}[name]) for name in nearby.RANGES}
    asked = {name: _ends(values) for name, values in nearby.RANGES.items()}
    cut = [
        f"{name} to {_range(ranges[name])} of {_range(asked[name])}, as bands hold {max_window} lags"
        for name in asked
        if ranges[name] != asked[name]
    ]
    return {
        "ranges": ranges,
        "asked": asked,
        "cut": cut,
        "settings": len(found.table),
        "rule": RULE,
        "activation": found.first,
        "interval": "Wilson, 95 %: the Monte-Carlo error over settings, with the runs fixed",
        "share_tpr": shares.pop("tpr"),
        "relu_silent_share": shares.pop("relu_silent", None),
        "share": shares,
        "over_seeds": {name: estimate(one) for name, one in nearby.over_seeds(found, config).items()},
        "least_seeds": found.tried[found.first].least_seeds(),
    }


def nested(told: Told) -> dict[str, Any]:
    """A nested cross-validation as JSON has it."""
    return {
        "target": told.target,
        "worst_case": told.worst_case,
        "candidates": told.candidates,
        "folds": told.folds,
        "chosen": told.chosen,
        "j": {name: estimate(one) for name, one in told.by_set.items()},
        "worst": told.worst,
        "p": {name: plain(p) for name, p in told.p.items()},
        "separates": told.separates,
    }


def nested_table(told: dict[str, list[Told]]) -> pd.DataFrame:
    """A row per nested cross-validation and control set: J on held-out seeds with its interval, and the word."""
    rows = [
        {
            "of": of,
            "chosen_against": one.target,
            "chosen_for": "smallest J" if one.worst_case else "largest J",
            "control": name,
            "j": j.value,
            "j_low": j.low,
            "j_high": j.high,
            "runs": j.n,
            "p": one.p.get(name),
            "folds": len(one.folds),
            "candidates": one.candidates,
            "separates": "" if one.worst_case else {None: "cannot be decided", True: "yes", False: "no"}[one.separates],
        }
        for of, every in told.items()
        for one in every
        for name, j in one.by_set.items()
    ]
    return pd.DataFrame(rows)


def _ends(values: Values) -> list[float]:
    return [values.low, values.high] if isinstance(values, Range) else [min(values), max(values)]


def _range(ends: list[float]) -> str:
    return "–".join(f"{end:g}" for end in dict.fromkeys(ends))


def setting_of(trial: FrozenTrial) -> dict[str, Any]:
    """The setting that a trial tried."""
    return dict(trial.user_attrs["setting"])


def chosen(found: Found, cells: Cells, trial: FrozenTrial | None = None) -> dict[str, Any]:
    """A search's best trial (or another one) on calibration and on held-out seeds, told anew from the runs.

    Raises:
        StoreError: if the trial's rule is none of those that the search was asked for: a storage has no code loaded.
    """
    trial = trial or best(found, 1)[0]
    task, setting = found.task, setting_of(trial)
    if setting.get("rule") not in task.space.own:
        told = f"trial must be of a rule of its search ({', '.join(task.space.own)}), got {shown(setting.get('rule'))}"
        raise StoreError(f"{told} in trial {trial.number} of {task.name}. Give another --name.")
    calibration, held = Judge(cells, task.activation, task.controls, task.config).both(setting)
    return {
        "number": trial.number,
        "setting": setting,
        "trials": len(found.trials),
        "controls": list(task.controls),
        "calibration": scores(calibration),
        "held_out": scores(held),
    }


def counterexamples(found: Sequence[Found], cells: Cells, prefix: str) -> dict[str, Any] | None:
    """The chosen trial of each search of a kind, by control set."""
    own = [one for one in found if one.task.part.startswith(prefix)]
    if not own:
        return None
    return {"by_control": {one.task.part.removeprefix(prefix): chosen(one, cells) for one in own}}


def searched(found: Found, cells: Cells) -> dict[str, Any]:
    """The search: its best trials, and the front of lead against false-positive rate."""
    task = found.task
    trials = [chosen(found, cells, trial) for trial in best(found)]
    return {
        "study_name": task.name,
        "storage": written_storage(task.storage),
        "objective": task.objective,
        "activation": task.activation,
        "controls": list(task.controls),
        "sampler": task.config.sampler,
        "alpha": task.config.alpha,
        "trials": len(found.trials),
        "best": trials,
        "front": pareto(found.trials),
    }


def pareto(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """The longest lead at each false-positive rate of trials that fire on most grokking runs: chosen on calibration seeds,
    with what the same settings give on held-out seeds (`fpr_held`, `lead_held`), where the front need not be one.
    """
    rows = []
    for trial in trials:
        counts, held = trial.user_attrs["calibration"], trial.user_attrs["held_out"]
        if counts["lead"] is not None and 2 * counts["fires"] > counts["n"]:
            row = {"number": trial.number, "fpr": counts["false"] / counts["controls"], "lead": counts["lead"]}
            fpr_held = held["false"] / held["controls"] if held["controls"] else None
            rows.append(row | {"fpr_held": fpr_held, "lead_held": held["lead"]})
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row["fpr"], -row["lead"], row["number"])):
        if not kept or row["lead"] > kept[-1]["lead"]:
            kept.append(row)
    return kept


def importances(found: Sequence[Importance]) -> list[dict[str, Any]]:
    """Importances as JSON has them."""
    return [
        {
            "target": one.target,
            "evaluator": one.evaluator,
            "seed": one.seed,
            "n": one.n,
            "informative": one.informative,
            "values": [{"parameter": name} | estimate(value) for name, value in one.values.items()],
        }
        for one in found
    ]
