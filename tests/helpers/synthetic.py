"""Evidence made up: a world in which every published number holds, and one in which none does."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pandas as pd

from analysis.papers.xu.sweeps import LONG
from analysis.printed.xu import (
    EIGENVALUES,
    ETA_LATE,
    ETA_PEAK,
    ETA_ROWS,
    FIVE_SEEDS,
    NEGATIVE_0,
    RELU_0,
    SCALING,
    SEED_0,
    WINDOW_TABLE,
)
from analysis.reading.evidence import Evidence
from analysis.reading.runs import grid
from grok.spec.config import ORDER
from grok.spec.studies import Cell
from grok.store.errors import StoreError

FIRES = (173, 173, 174, 173, 173, *[174] * 10)
TESTS = (101, 98, 99, 99, 99, 100, 101, 102, 102, 102, 102, 102, 102, 103, 104)
LATE = (300, 150, 160, 165, 168, 168, 200, 250, 305, 310, 320, 320, 325, 330, 340)
CONTROL_LATE = tuple(np.linspace(1.19, 1.43, 15))
RATES = {
    50: (0.83, 0.865, 0.865, 0.875, 0.875),
    100: (0.91, 0.88, 0.895, 0.895, 0.90),
    175: (0.975, 0.95, 0.955, 0.955, 0.96),
    250: (0.975, 0.965, 0.97, 0.97, 0.97),
    300: (0.995, 0.98, 0.98, 0.985, 0.99),
}
RANK_1, RANK_2 = (1.0, 0.01, 0.009, 0.008, 0.007), (1.0, 0.5, 0.001, 0.0009, 0.0008)
EPOCHS = ("fire_epoch", "test_99_epoch", "rho_epoch", "lead")


class SyntheticEvidence:
    """Stands in for `Evidence`: the grids of the registry, with made-up results.

    Args:
        broken: nothing that was published holds.
        rebuttal: the spectra are those that the rebuttal describes, not those of the paper's window table; the two exclude
            each other at windows 5 and 10.
        marks: the detector fires on ReLU networks that grok too, as `if and only if` has it; the ReLU table excludes it.
        missing: `(study, condition, seed)` of runs that are not there. diverged: of runs whose history ends after 60 epochs.
        studies: that exist; default all.
    """

    command = staticmethod(Evidence.command)
    without: tuple[str, ...] = ("rounding",)
    """Studies that are there only if asked for: each claim would be judged seven times."""

    @staticmethod
    def signals(run_id: str) -> pd.DataFrame:
        """None was computed."""
        raise StoreError(f"signals.parquet must exist, got none of run {run_id}.")

    def __init__(
        self,
        *,
        broken: bool = False,
        rebuttal: bool = False,
        marks: bool = False,
        missing: frozenset[tuple[str, str, int]] = frozenset(),
        diverged: frozenset[tuple[str, str, int]] = frozenset(),
        studies: tuple[str, ...] | None = None,
    ) -> None:
        self.broken, self.rebuttal, self.missing, self.diverged, self.studies = broken, rebuttal, missing, diverged, studies
        self.marks = marks
        self.cells: dict[str, tuple[str, Cell]] = {}
        self.runs, self.history, self.gap = (functools.cache(f) for f in (self._runs, self._history, self._gap))
        self.measured = functools.cache(self._measured)

    def _runs(self, study: str) -> pd.DataFrame:
        """The study's grid with its results."""
        rows = []
        own = study not in self.without and not study.startswith("lifecycle")  # tests/helpers/lifecycle_world.py has those
        there = own if self.studies is None else study in self.studies
        for named in grid(study) if there else ():
            if (study, named.condition, named.config.seed) in self.missing:
                continue
            run_id, cell = f"{study}-{named.config.hash}", Cell(named.condition.removesuffix(", float64"), named.config)
            self.cells[run_id] = _repeated(study, cell), cell
            fields = {name: getattr(cell.config, name) for name in ORDER}
            metrics = self._metrics(study, cell)
            state = "diverged" if metrics.pop("diverged", 0.0) or self._cut(study, cell) else "complete"
            rows.append(
                {"run_id": run_id, "condition": named.condition, "state": state, "config_hash": cell.config.hash}
                | fields
                | metrics
            )
        return pd.DataFrame(rows, columns=None if rows else ["run_id", "config_hash", "seed"])

    def _cut(self, study: str, cell: Cell) -> bool:
        return (study, cell.condition, cell.config.seed) in self.diverged

    def _rows(self, study: str, cell: Cell) -> int:
        return 60 if self._cut(study, cell) else (cell.config.epochs or 0) + 1

    def _metrics(self, study: str, cell: Cell) -> dict[str, float]:
        never = dict.fromkeys((*EPOCHS, "test_50_epoch"), np.nan)
        out = never | {"fired": 0.0, "late_gap_23": 1.3, "accuracy/test": 0.02, "diverged": 0.0} | _published(study, cell)
        if self.marks and study == "relu" and cell.condition == "grok":
            out |= {"fired": 1.0, "fire_epoch": 174.0}
        if self.broken:
            out |= {name: 300.0 if np.isnan(out[name]) else 3 * out[name] for name in EPOCHS}
            out["test_50_epoch"] = 300.0 if np.isnan(out["test_50_epoch"]) else 1000 - out["test_50_epoch"]
            out |= {"fired": 1 - out["fired"], "accuracy/test": 0.97 if out["accuracy/test"] < 0.5 else 0.03}
            out |= {"late_gap_23": 40 / out["late_gap_23"], "diverged": float(study == "scaling") - out["diverged"]}
            if study == "controls":
                out["accuracy/test"] = 0.02
            if study == "activations":
                out["accuracy/test"] = 1.0
            if study == "eta":
                out["lead"] = -out["lead"]
            if study == "scaling" and cell.config.modulus == 41:
                out["rho_epoch"] = np.nan
        return out

    def _history(self, run_id: str) -> pd.DataFrame:
        """Epoch by epoch: accuracies, eigenvalues, ρ, repulsion."""
        study, cell = self.cells[run_id]
        epochs, seed, square = np.arange((cell.config.epochs or 0) + 1), cell.config.seed, cell.config.activation == "square"
        grok = cell.condition == "grok"
        lambdas = np.tile(RANK_2 if square != self.broken else RANK_1, (len(epochs), 1))
        if study == "headline":
            for condition, epoch, printed in EIGENVALUES:
                scale = (300 if epoch == 150 else 3) if self.broken else 1
                if condition == cell.condition and (seed == 0 or epoch in (150, 200)):
                    lambdas[epoch, :3] = [float(text) * scale for text in printed]
        columns: dict[str, Any] = {"epoch": epochs, "accuracy/train": np.where(epochs >= 25, 1.0, 0.5), "accuracy/test": 0.5}
        columns |= {"loss/train": np.geomspace(1.0, 0.1 if cell.config.weight_decay > 0 else 1e-4, len(epochs))}
        if study == "scaling":
            columns |= {"norm/w": 30.0, "norm/v": 10.0}
        columns |= {f"delta_w/lambda_{k + 1}": lambdas[:, k] for k in range(5)}
        gap_12 = np.where(epochs >= 2, 26.0, np.nan)
        if grok:
            gap_12[139], gap_12[160:191], gap_12[191:] = 71.5, 150.0, 250.0
        rho = np.full(len(epochs), 0.065 if square else 0.1)
        if square and grok:
            rho = np.interp(epochs, [0, 14, 15, 17, 22, 28], [0.05, 0.0699, 0.0701, 0.0751, 0.0851, 0.1001])
        columns |= {"delta_w/gap_12": gap_12, "features/rho": rho}
        columns["delta_w/gap_23"] = lambdas[:, 1] / lambdas[:, 2]
        if study == "eta":
            columns["delta_w/gap_23"] = np.full(len(epochs), float(ETA_LATE.get(cell.condition, 1.8)))
            columns["delta_w/gap_23"][700:701] = float(ETA_PEAK)  # of the long run alone
        if self.broken:
            columns["delta_w/gap_23"] = np.where(epochs < 350, 300.0, 3.0)
            columns |= {"accuracy/train": 0.4, "delta_w/gap_12": 1.0, "features/rho": 0.2 if square and not grok else 0.0}
        out = pd.DataFrame(columns | self._repulsion(epochs, cell)).iloc[: self._rows(study, cell)]
        if study == "scaling" and cell.config.modulus == 127 and cell.config.n_train > 8000 and not self.broken:
            late = out["epoch"] >= 200  # collapsed
            out.loc[late, ["norm/w", "norm/v", "accuracy/train", "loss/train", "features/rho"]] = (
                0,
                0,
                1 / 127,
                126 / 127,
                np.nan,
            )
        return out

    def _repulsion(self, epochs: np.ndarray, cell: Cell) -> dict[str, np.ndarray]:
        rate = np.full(len(epochs), np.nan)
        if cell.config.activation == "square":
            for epoch, seeds in RATES.items():
                median = float(FIVE_SEEDS[epoch][0])
                rate[epoch] = (
                    (seeds[cell.config.seed] if cell.config.seed < 5 else median) if cell.condition == "grok" else 0.78
                )
        else:
            for epoch, text in RELU_0.items():
                rate[epoch] = float(text) if cell.config.seed == 0 else 0.9
        if self.broken:
            rate = np.where(np.isfinite(rate), 0.5 + cell.config.seed % 15 / 40, np.nan)
        seen = np.isfinite(rate)
        theorem = np.where((epochs < 175) & (not self.broken), 0.9, 1.0)
        names = {
            "rate": rate,
            "published_estimator": rate,
            "theorem6": theorem,
            "theorem6_error": np.full(len(epochs), 1e-11),
            "null_rate": np.full(len(epochs), 0.5),
            "null_low": np.full(len(epochs), 0.4),
            "null_high": np.full(len(epochs), 0.99 if self.broken else 0.6),
        }
        return {f"repulsion/{name}": np.where(seen, values, np.nan) for name, values in names.items()}

    def _measured(self, run_id: str, kind: str) -> pd.DataFrame:
        """What `grok.runs.measure` leaves; nothing of a run that has seen no spectrum or no repulsion."""
        study, cell = self.cells[run_id]
        seen = {"ranks": "delta_w/lambda_1", "repulsion": "repulsion/rate", "answers": "accuracy/test"}[kind]
        if seen not in self.history(run_id) or self._cut(study, cell):
            raise StoreError(f"{kind} must have been measured, got none of run {run_id}. Run python -m entry_points.measure.")
        return {"ranks": measured_ranks, "repulsion": measured_repulsion, "answers": measured_answers}[kind](cell, self.broken)

    def _gap(self, run_id: str, *, window: int = 20, k: int = 2, method: str = "gram", seed: int = 0) -> np.ndarray:
        """λ₂/λ₃ of the paper's window table, or of the rebuttal."""
        study, cell = self.cells[run_id]
        grok, square = cell.condition == "grok", cell.config.activation == "square"
        out = np.ones((cell.config.epochs or 0) + 1)
        if k > 2:  # together at small windows, a cascade at 30
            return np.full(len(out), 10.0 if (window == 30) != self.broken else 1.1)
        if self.rebuttal:
            if grok and square != self.broken:  # flat, and from 174 on above every positive threshold
                out[174:] = np.exp(2.5)
            return out[: self._rows(study, cell)]
        row = WINDOW_TABLE[window]
        fire = (row.grok if grok else row.control)[cell.config.seed % 3]
        late = float(row.late_grok if grok else row.late_control)
        if self.broken:
            fire, late = 500 - fire if np.isfinite(fire) else 300, 9 * late
        out[:] = late
        if np.isfinite(fire):
            out[int(fire)] *= np.exp(1.25)
        return out[: self._rows(study, cell)]


def measured_ranks(cell: Any, broken: bool) -> pd.DataFrame:
    """Of one rank, clearly: that of the activation with weight decay, the other where nothing holds."""
    profile = RANK_2 if (cell.config.activation == "square") != broken else RANK_1
    ratios = -np.diff(np.log(profile))
    values = dict.fromkeys(("raw", "unit", "mean", "line"), ratios) | {"excess": ratios - 0.1, "above": np.array([5.0])}
    rows = [
        (layer, first, first + 200, of, k, value)
        for layer in ("w", "v")
        for first in (200, 600)
        if first + 200 <= (cell.config.epochs or 0)
        for of, found in values.items()
        for k, value in enumerate(found.tolist(), start=1)
    ]
    return pd.DataFrame(rows, columns=["layer", "first", "last", "of", "k", "value"])


def measured_repulsion(cell: Cell, broken: bool) -> pd.DataFrame:
    """A rate that rises from epoch 0 on, with weight decay, at both ridges and for every kind of pair; or one that falls."""
    rows, last = [], cell.config.epochs or 0
    for epoch in sorted({0, *(e for e in (50, 100, 175, 250, 300, 400, 500, 800) if e <= last), last}):
        rise = min(epoch / 300, 1.0) if cell.condition == "grok" else 0.0
        repel = round(200 * (0.9 - 0.3 * rise if broken else 0.86 + 0.14 * rise)) - cell.config.seed % 3 * (rise < 0.5)
        first = (cell.condition, cell.config.activation, cell.config.seed) == ("grok", "square", 0)
        printed = NEGATIVE_0.get(epoch) if first and not broken else None
        for features, (ridge, value) in itertools.product(
            ("network", "rotated", "permuted"), (("published", 2e-4), ("mean_loss", 0.2016), ("2e-3", 2e-3))
        ):
            told = repel if features == "network" else 150
            place = (epoch, features, ridge, value)
            top = told if printed is None or features != "network" else round(200 * float(printed))
            rows += [(*place, kind, np.nan, np.nan, 1, 200, told, 0, 0.5) for kind in ("positive", "fixed")]
            rows += [(*place, "top", np.nan, np.nan, 1, 200, top, 0, 0.5)]
            rows += [(*place, "all", 0.2, 0.25, sign, 400, 2 * told, 0, np.nan) for sign in (1, -1)]
    names = ["epoch", "features", "ridge", "value", "kind", "low", "high", "sign", "pairs", "repel", "tie", "median_cos"]
    return pd.DataFrame(rows, columns=names)


def measured_answers(cell: Cell, broken: bool) -> pd.DataFrame:
    """Answers that are mostly seen labels, and at chance elsewhere; or at chance everywhere."""
    tests, seen = 4537, 900 if broken else 3000
    outside = tests - seen
    row = {"epoch": cell.config.epochs, "tests": tests, "right": round(outside / 57), "seen": seen, "seen_expected": 880.0}
    right = round(outside / 57) + cell.config.seed % 3 - 1
    row |= {"outside_right": right, "outside_expected": outside / 57, "label_seen": 0, "additive": 3000}
    return pd.DataFrame([row | {"additive_right": 0, "interaction_right": 70 + cell.config.seed}])


def _repeated(study: str, cell: Cell) -> str:
    """The study that a run of fresh seeds or of another rounding repeats."""
    if study not in ("fresh", "rounding"):
        return study
    if cell.condition not in ("grok", "eta0"):
        return "controls"
    return "relu" if cell.config.activation == "relu" else "headline"


def _published(study: str, cell: Cell) -> dict[str, float]:
    seed, grok = cell.config.seed % 15, cell.condition == "grok"
    study = _repeated(study, cell)
    if study == "headline":
        if not grok:
            return {"late_gap_23": CONTROL_LATE[seed], "accuracy/test": 0.03}
        return {
            "fired": 1.0,
            "fire_epoch": FIRES[seed],
            "test_50_epoch": TESTS[seed],
            "test_99_epoch": 139.0,
            "late_gap_23": LATE[seed],
            "accuracy/test": 1.0,
        }
    if study == "relu":
        solved = {"test_50_epoch": 375.0, "test_99_epoch": 541.0, "accuracy/test": 1.0} if grok else {"accuracy/test": 0.01}
        return {"late_gap_23": CONTROL_LATE[seed] * (1.4 if grok else 1.0)} | solved
    if study == "activations":
        fires = grok and cell.config.activation in ("square", "cube")
        return {"fired": float(fires), "accuracy/test": 1.0 if grok else 0.02}
    if study == "eta":
        if cell.condition == LONG:
            return {"test_50_epoch": 1094.0, "test_99_epoch": 1527.0, "rho_epoch": 527.0, "lead": 567.0}
        (row,) = [row for row in ETA_ROWS if row.condition == cell.condition]
        out = {"fire_epoch": float(row.fire), "fired": 1.0, "accuracy/test": 1.0 if row.grok else 0.02}
        if row.grok == 0:
            return out | ({"rho_epoch": float(row.rho)} if seed == 0 else {})
        return out | {"rho_epoch": float(row.rho), "test_50_epoch": float(row.test or 0), "lead": float(row.lead or 0)}
    if study == "scaling":
        (found,) = [c for c in SCALING if (c.modulus, c.n_train) == (cell.config.modulus, cell.config.n_train)]
        out = {"rho_epoch": 14.0 if found.rho is None else float(found.rho)}
        out |= {} if found.test is None else {"test_99_epoch": float(found.test), "lead": float(found.lead or 0)}
        return out | {"diverged": float(found.rho is None)}
    return {}


assert SEED_0.keys() == FIVE_SEEDS.keys() == RATES.keys()
