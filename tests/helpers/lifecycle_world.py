"""Runs of the lifecycle's studies, made up: grad% falls and rises where a test says; the anatomy has the numbers it says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from analysis.reading.evidence import Evidence
from analysis.reading.runs import grid
from grok.numerics.ledger import Keeper, Ledger
from grok.recorders.base import File
from grok.spec.studies import Cell

Times = Callable[[Cell], tuple[float, float]]
"""Steps from which on the changes are decay's, and the gradient's again."""
NEVER = float("inf")


@functools.lru_cache(maxsize=512)
def ledger(every: int, steps: int, falls: float, rises: float, first: bool) -> Ledger:
    """Changes along one axis that are the gradient's, then larger ones along another that are decay's, then the gradient's.

    With `first` the first interval alone is the gradient's and is so large that a window that holds it shows nothing else.
    """
    start, generator = torch.full((9,), 5.0, dtype=torch.float64), torch.Generator().manual_seed(0)
    keeper, theta = Keeper(start, [slice(0, 9)], lags=21), start.clone()
    for end in range(every, steps + 1, every):
        delta = 1e-3 * torch.randn(9, generator=generator, dtype=torch.float64)  # no eigenvalue is 0
        decay = torch.zeros(9, dtype=torch.float64)
        if first:
            delta[0 if end == every else 1] = 1000.0 if end == every else 1.0
            decay[1] = 0.0 if end == every else 1.0
        elif falls < end <= rises:
            delta[1] = decay[1] = 30.0
        else:
            delta[2 if end > rises else 0] = 900.0 if end > rises else 1.0
        theta = theta + delta
        keeper.take(theta, decay, 0.1)
    return keeper.ledger()


class LifecycleWorld:
    """Stands in for `Evidence` on the studies of the lifecycle.

    Args:
        times: of the changes. follows_window: the first interval decides instead.
        groks: step by seed at which test accuracy is .96; .985 comes 100 steps later, .995 200 steps later.
        share: (cell, step) to the column edge/grad_share. numbers: (cell, kind, name, step) to a value of the anatomy.
        studies: that have runs.
    """

    command = staticmethod(Evidence.command)

    def __init__(
        self,
        times: Times = lambda cell: (NEVER, NEVER),
        *,
        follows_window: bool = False,
        groks: dict[int, int] | None = None,
        share: Callable[[Cell, int], float] = lambda cell, step: 0.5,
        numbers: Callable[[Cell, str, str, int], float] = lambda cell, kind, name, step: 0.0,
        sweep: Callable[[float], float] = lambda x: 0.9,
        studies: tuple[str, ...] | None = None,
    ) -> None:
        self.times, self.window, self.groks, self.share = times, follows_window, groks or {}, share
        self.numbers, self.sweep, self.studies = numbers, sweep, studies
        self.cells: dict[str, Cell] = {}
        self.files = self
        self.runs, self.history = functools.cache(self._runs), functools.cache(self._history)

    def _runs(self, study: str) -> pd.DataFrame:
        rows = []
        for cell in grid(study) if self.studies is None or study in self.studies else ():
            run_id = cell.config.hash
            self.cells[run_id] = cell
            fields = {name: getattr(cell.config, name) for name in cell.config.to_strings()}
            rows.append({"run_id": run_id, "condition": cell.condition, "state": "complete", "config_hash": run_id} | fields)
        return pd.DataFrame(rows, columns=None if rows else ["run_id", "config_hash", "seed"])

    def _history(self, run_id: str) -> pd.DataFrame:
        cell = self.cells[run_id]
        steps = np.arange(0, cell.config.epochs + 1, cell.config.evaluate_every)
        grok = self.groks.get(cell.config.seed, NEVER)
        learns = cell.condition not in ("prefix", "random")
        levels = np.select([steps >= grok + 200, steps >= grok + 100, steps >= grok], [0.995, 0.985, 0.96], 0.9)
        shares = [self.share(cell, int(step)) for step in steps]
        return pd.DataFrame(
            {
                "epoch": steps,
                "step": steps,
                "accuracy/train": 1.0,
                "accuracy/test": levels if learns else 0.2,
                "edge/grad_share": shares,
                "edge/grad_share_trapezoid": shares,
                "edge/cos2_theta": 0.1,
                "edge/cos2_theta_0": 0.2,
                "norm/all": [self.numbers(cell, "norm", "all", int(step)) for step in steps],
                "norm/used": [self.numbers(cell, "norm", "used", int(step)) for step in steps],
            }
        )

    def arrays(self, run_id: str, path: str) -> dict[str, Any]:
        every = int(path[-8:-4])
        cell = self.cells[run_id]
        known = ledger(every, cell.config.epochs, *self.times(cell), self.window)
        found = Ledger._make([np.repeat(part, 2, axis=-1) if part.ndim > 1 else part for part in known])
        return found._asdict() | {"segments": np.array(["layers.0.q", "rest"])}

    def file(self, run_id: str, path: str) -> File:
        cell = self.cells[run_id]
        rows = [
            (step, kind, name, 0.0, self.numbers(cell, kind, name, step))
            for step in STEPS
            for kind, names in NAMES.items()
            for name in names
        ]
        for step in (600, 1400, 3900):
            rows += [(step, "sweep", "accuracy", float(x), self.sweep(x)) for x in (-6.0, -3.0, -0.05, 0.0, 0.05, 3.0, 6.0)]
            rows += [(step, "sweep", "projection", 0.0, 6.0), (step, "sweep", "published", 0.05, self.sweep(0.05))]
        rows += [(200, "untrained", name, 0.0, self.numbers(cell, "untrained", name, 200)) for name in UNTRAINED]
        for step in range(200, 4001, cell.config.evaluate_every):
            rows += [(step, "flow", name, 0.0, self.numbers(cell, "flow", name, step)) for name in FLOW]
        table = pd.DataFrame(rows, columns=["step", "kind", "name", "x", "value"])
        return File(path, table.drop_duplicates(["step", "kind", "name", "x"], ignore_index=True))


STEPS = (100, 200, 300, 400, 500, 600, 1000, 1400, 2000, 2500, 3400, 3900, 4000, 5000, 9500, 10000)
FLOW = tuple(f"{letter}{k}" for letter in "dhg" for k in (1, 2, 3))
UNTRAINED = ("linear_raw/token", "linear_standardised_ols/sequence", "mlp_raw/token")
REMOVALS = ("edge", "bulk", "random_plane", "isotropic", "radial_displacement", "radial_residual", "angle_matched", "zero")
READERS = ("linear_raw", "quadratic_raw", "mlp_raw", "linear_standardised", "linear_standardised_ols", "logistic_standardised")
READERS += ("mlp_standardised",)
OTHERS = ("before/linear_raw/same", "sign/linear_raw/token", "centroid_step", "centroid_first", "shuffled/linear_raw/token")
OTHERS += ("shuffled/mlp_raw/token", *(f"{layer}/linear_raw/token" for layer in ("embedding", "layer0", "layer1")))
OTHERS += tuple(f"{what}/logistic_standardised/sample" for what in ("verb", "direction", "repetition"))
POSITIONS = tuple(
    f"position/{layer}/{n}" for layer in ("layer1", "encoder", "padding") for n in ("frequency", "first", "three")
)
MAPS = tuple(f"entropy/{place}{i}" for place in ("layer", "encoder", "cross") for i in range(3))
NAMES: dict[str, tuple[str, ...]] = {
    "ablation": tuple(f"{name}/{what}" for name in REMOVALS for what in ("change", "share", "change_token")),
    "probe": tuple(f"{place}/{name}/{s}" for place in ("before", "after") for name in READERS for s in ("token", "sequence"))
    + OTHERS,
    "sweep": ("largest_divergence",),
    "curvature": tuple(f"{what}/v{k}" for what in ("published", "test", "sigma", "change") for k in (1, 2, 3, 4)),
    "attention": (*MAPS, "counting_most/layer0", "entropy_least/layer0", "uniform"),
    "fourier": ("elevation", "ramp", "quadratic", *POSITIONS),
    "functional": ("linear_raw/token", "linear_standardised/token"),
}
