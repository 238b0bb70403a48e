"""Where near the published setting its conclusion holds: a seeded sample of settings, told with intervals over settings and
seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import qmc

from analysis.sensitivity.cells import Cells
from analysis.sensitivity.judge import Judge
from analysis.sensitivity.objectives import enough, few
from analysis.sensitivity.settings import SensitivityConfig
from analysis.sensitivity.space import COMMON, PUBLISHED, Space, Values, from_unit
from analysis.sensitivity.tried import Tried, try_all
from analysis.statistics.estimates import Estimate
from analysis.statistics.rates import wilson
from grok.detectors.base import Range, find

RANGES = {
    "window": Range(10, 40, whole=True),
    "slope_threshold": Range(0.02, 0.06),
    "slope_lag": Range(15, 40, whole=True),
    "first_epoch": Range(50, 150, whole=True),
}
"""What counts as near the published setting."""
RESAMPLES = 2000


class Neighbourhood(NamedTuple):
    """The sample and what it did.

    Attributes:
        table: of `neighbourhood`. tried: by activation, the same settings on its runs. first: the activation that decides.
    """

    table: pd.DataFrame
    tried: dict[str, Tried]
    first: str


def space(max_window: int) -> Space:
    """The published setting with only the neighbourhood's parameters free; `max_window` cuts the window's range off."""
    free: dict[str, Values] = dict(RANGES)
    low, high = (min(end, max_window) for end in (10, 40))
    free["window"] = Range(low, high, whole=True) if low < high else (low,)
    values: dict[str, Values] = {name: free.get(name, (value,)) for name, value in PUBLISHED.items()}
    return Space({name: values[name] for name in COMMON}, {"slope": {name: values[name] for name in find("slope").parameters}})


def designed(chosen: Space, rule: str, samples: int, seed: int) -> list[dict[str, Any]]:
    """Settings of one rule, spread evenly over a space: a scrambled Sobol sequence, seeded.

    Args:
        chosen: the space. rule: one of its rules. samples: a power of two. seed: of the scramble.
    """
    free = chosen.dimensions(rule)
    if not free:
        return [chosen.setting(rule, {})]
    points = qmc.Sobol(len(free), scramble=True, rng=np.random.default_rng(seed)).random(samples)
    return [
        chosen.setting(rule, {name: from_unit(values, share) for (name, values), share in zip(free, point, strict=True)})
        for point in points
    ]


def sample(cells: Cells, config: SensitivityConfig, report: Callable[[int], None] = lambda count: None) -> Neighbourhood:
    """Try the neighbourhood of the published setting on every activation's runs, all seeds.

    Args:
        cells: the runs. config: how many settings, and the seed of their sample. report: told how many were tried.
    """
    settings = designed(space(cells.largest_window()), "slope", config.samples, config.seed)
    tried = {a: try_all(Judge(cells, a, cells.controls(a), config), settings, report) for a in cells.activations}
    first = cells.activations[0]
    columns: dict[str, Any] = {name: [setting[name] for setting in settings] for name in RANGES}
    for activation, found in tried.items():
        for condition, fired in found.fired.items():
            columns[f"{activation}_{condition}_fires"] = fired.sum(axis=1)
            columns[f"{activation}_{condition}_n"] = fired.shape[1]
            if condition == "grok":
                columns[f"{activation}_grok_detected"] = found.detected["grok"].sum(axis=1)
        if activation == first:
            columns |= {f"holds_{name}": held for name, held in found.holds().items()}
    return Neighbourhood(pd.DataFrame(columns), tried, first)


def neighbourhood(cells: Cells, config: SensitivityConfig) -> pd.DataFrame:
    """Where in the neighbourhood of the published setting its conclusion holds, as `Tried.holds` has it; all seeds.

    Returns:
        window, slope_threshold, slope_lag, first_epoch; `<activation>_<condition>_fires` and `_n`,
        `<activation>_grok_detected`;
        `holds_<control set>` and `holds_every` of square, or of the first activation where there is no square.
    """
    return sample(cells, config).table


def shares(table: pd.DataFrame, activation: str) -> dict[str, Estimate]:
    """Shares of the neighbourhood: by control set and on every one of them (`every`) where the conclusion holds, `tpr` where at
    least 14/15 grokking runs are detected, `relu_silent` where at most 1/15 of ReLU's fire.

    Intervals: Wilson, the Monte-Carlo error over settings with the runs fixed (of independent settings, which is cautious for a
    Sobol sample); they say nothing of other seeds, which `over_seeds` does.
    """
    n = len(table)
    names = [str(name) for name in table if str(name).startswith("holds_")]
    out = {name.removeprefix("holds_"): wilson(int(table[name].sum()), n) for name in names}
    detected = zip(table[f"{activation}_grok_detected"], table[f"{activation}_grok_n"], strict=True)
    out["tpr"] = wilson(sum(enough(f, m) for f, m in detected), n)
    if "relu_grok_fires" in table:
        silent = zip(table["relu_grok_fires"], table["relu_grok_n"], strict=True)
        out["relu_silent"] = wilson(sum(few(f, m) for f, m in silent), n)
    return out


def over_seeds(found: Neighbourhood, config: SensitivityConfig) -> dict[str, Estimate]:
    """The same shares by control set, with the percentiles of `Tried.resampled` for their intervals; n is of seeds."""
    tried = found.tried[found.first]
    resampled = tried.resampled(RESAMPLES, config.seed)
    seeds = len({int(one) for own in tried.seeds.values() for one in own})
    out = {}
    for name, held in tried.holds().items():
        low, high = np.percentile(resampled[name], [2.5, 97.5])
        out[name] = Estimate(float(held.mean()), float(low), float(high), seeds)
    return out
