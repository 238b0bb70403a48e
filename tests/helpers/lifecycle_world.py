"""Runs of the lifecycle's studies, made up: grad% falls and rises where a test says; the anatomy has the numbers it says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from analysis.reading.evidence import Evidence
from analysis.reading.runs import _told, grid
from grok.numerics.ledger import Keeper, Ledger
from grok.recorders.anatomy import steps_of
from grok.recorders.base import File
from grok.recorders.edge import plan
from grok.spec.config import told_fields
from grok.spec.studies import Cell
from grok.store.errors import StoreError

Times = Callable[[Cell], tuple[float, float]]
"""Steps from which on the changes are decay's, and the gradient's again."""
NEVER = float("inf")


@functools.lru_cache(maxsize=512)
def ledger(every: int, steps: int, falls: float, rises: float, first: bool, lags: int = 21) -> Ledger:
    """Changes along one axis that are the gradient's, then larger ones along another that are decay's, then the gradient's.

    With `first` the first interval alone is the gradient's and is so large that a window that holds it shows nothing else.
    """
    start, generator = torch.full((9,), 5.0, dtype=torch.float64), torch.Generator().manual_seed(0)
    keeper, theta = Keeper(start, [slice(0, 9)], lags), start.clone()
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
        self.runs, self.history, self.file = (functools.cache(f) for f in (self._runs, self._history, self._file))

    def _runs(self, study: str) -> pd.DataFrame:
        rows, names = [], told_fields(cell.config for cell in grid(study))
        for cell in grid(study) if self.studies is None or study in self.studies else ():
            run_id = cell.config.hash
            self.cells[run_id] = cell
            fields = {name: _told(getattr(cell.config, name), name) for name in names}
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

    def measured(self, run_id: str, kind: str) -> pd.DataFrame:
        """Nothing was measured from the files: windows are read from the ledgers."""
        raise StoreError(f"{kind} must have been measured, got none of run {run_id}.")

    def arrays(self, run_id: str, path: str) -> dict[str, Any]:
        """What the recorder of edges keeps of this cell, and no other intervals."""
        every, cell = int(path[-8:-4]), self.cells[run_id]
        kept = plan(cell.config)
        if every not in kept.intervals:
            raise StoreError(f"{path} must exist, got none of {run_id}.")
        known = ledger(every, cell.config.epochs, *self.times(cell), self.window, kept.rows + 1)
        found = Ledger._make([np.repeat(part, 2, axis=-1) if part.ndim > 1 else part for part in known])
        parts = Ledger._make([part[..., :1] if part.ndim > 1 else part for part in known])
        if kept.whole:
            return found._asdict() | {"segments": np.array(["layers.0.q", "rest"])}
        return parts._asdict() | {"segments": np.array(["layers.0.q"])}

    def _file(self, run_id: str, path: str) -> File:
        """What the recorder of anatomies measures of this cell: what is quick at each snapshot, the rest at its steps."""
        cell = self.cells[run_id]
        config = cell.config
        if "anatomy" not in config.recorders:
            raise StoreError(f"{path} must exist, got none of {run_id}.")
        whole, rows = set(steps_of(config)), []
        for step in range(max(config.switch_at, 0), config.epochs + 1, config.evaluate_every):
            changes = min(5, (step - config.switch_at) // config.evaluate_every)
            windowed = changes >= 2
            kinds = [names_of(QUICK, config.task, changes)] + [names_of(SLOW, config.task, changes)] * (step in whole)
            if step in whole:
                rows += [(step, "untrained", name, 0.0, self.numbers(cell, "untrained", name, step)) for name in UNTRAINED]
            rows += [(step, kind, name, 0.0, self.numbers(cell, kind, name, step)) for names in kinds for kind, name in names]
            if step in whole and windowed:
                points = (-6.0, -3.0, -0.05, 0.0, 0.05, 3.0, 6.0)
                rows += [(step, "sweep", "accuracy", float(x), self.sweep(x)) for x in points]
                rows += [(step, "sweep", "projection", 0.0, 6.0), (step, "sweep", "published", 0.05, self.sweep(0.05))]
        table = pd.DataFrame(rows, columns=["step", "kind", "name", "x", "value"])
        return File(path, table.drop_duplicates(["step", "kind", "name", "x"], ignore_index=True))


def names_of(table: dict[str, tuple[str, ...]], task: str, changes: int) -> list[tuple[str, str]]:
    """Kind and name of what a task has: without a window what needs no direction, and no direction beyond its changes."""
    found = [(kind, name) for kind, names in table.items() if changes >= 2 or kind in UNWINDOWED for name in names]
    found = [one for one in found if one not in OF_TASK or task in OF_TASK[one]]
    numbered = ("flow", "curvature")
    found = [(kind, name) for kind, name in found if kind not in numbered or int(name[-1]) <= changes]
    return [(kind, name) for kind, name in found if changes > 2 or not name.startswith("bulk")]


LAYERS = ("embedding", "layer0", "layer1")
REMOVALS = ("edge", "bulk", "random_plane", "isotropic", "radial_displacement", "radial_residual", "angle_matched", "zero")
FAST = ("linear_raw", "linear_standardised", "linear_standardised_ols")
PLACES = tuple(f"{place}{i}" for place in ("layer", "encoder", "cross") for i in (0, 1, 2))
MAPS = tuple(f"{what}/{place}" for what in ("entropy", "entropy_least") for place in PLACES)
UNTRAINED = ("linear_raw/token", "linear_standardised_ols/sequence", "mlp_raw/token")
UNWINDOWED = ("probe", "attention")
QUICK: dict[str, tuple[str, ...]] = {
    "probe": (
        *(f"{layer}/linear_raw/token" for layer in LAYERS),
        *(f"before/{name}/{split}" for name in FAST for split in ("token", "sequence")),
        *(f"after/{name}/{split}" for name in FAST[1:] for split in ("token", "sequence")),
        *("scale", "centroid_step", "centroid_first", "sign/linear_raw/token"),
    ),
    "attention": (*MAPS, "counting_most/layer0", "counting_least/layer0", "uniform"),
    "flow": tuple(f"{letter}{k}" for letter in "dhg" for k in (1, 2, 3)),
    "ablation": ("base", *(f"{n}/{what}" for n in REMOVALS for what in ("change", "share", "residual", "change_token"))),
    "functional": ("linear_raw/token", "linear_standardised/token", "periodic/token", "periodic_shuffled/token"),
    "fourier": ("elevation", "ramp", "quadratic", "labels"),
}
"""At each snapshot."""
SLOW: dict[str, tuple[str, ...]] = {
    "probe": (
        *("before/linear_raw_ols/token", "before/quadratic_raw/token", "before/mlp_raw/token", "before/linear_raw/same"),
        *(f"before/mlp_standardised/{split}" for split in ("token", "sequence")),
        *(f"after/logistic_standardised/{split}" for split in ("token", "sequence")),
        *(f"shuffled/{name}/token" for name in ("linear_raw", "linear_standardised", "mlp_raw")),
        *(f"{what}/logistic_standardised/sample" for what in ("verb", "direction", "repetition")),
    ),
    "sweep": ("largest_divergence",),
    "curvature": tuple(f"{what}/v{k}" for what in ("published", "test", "train", "sigma", "change") for k in (1, 2, 3, 4)),
    "fourier": tuple(
        f"position/{one}/{what}" for one in ("layer1", "encoder", "padding") for what in ("frequency", "first", "three")
    ),
}
"""At the steps of the whole anatomy besides."""
SCAN_ONLY = {("attention", name) for name in MAPS if "encoder" in name or "cross" in name or name.endswith("2")}
SCAN_ONLY |= {("probe", name) for name in SLOW["probe"] if name.endswith("/sample")}
SCAN_ONLY |= {("fourier", name) for name in SLOW["fourier"] if "encoder" in name}
SCAN_ONLY |= {("ablation", name) for name in QUICK["ablation"] if name.endswith("change_token")}
OF_TASK: dict[tuple[str, str], tuple[str, ...]] = dict.fromkeys(SCAN_ONLY, ("scan",))
OF_TASK |= {("probe", "sign/linear_raw/token"): ("dyck",)}
OF_TASK |= dict.fromkeys([("functional", name) for name in QUICK["functional"] if "periodic" in name], ("modular",))
OF_TASK |= dict.fromkeys([("attention", f"counting_{one}/layer0") for one in ("most", "least")], ("dyck", "scan"))
OF_TASK |= dict.fromkeys([("fourier", name) for name in SLOW["fourier"] if "encoder" not in name], ("dyck", "scan"))
