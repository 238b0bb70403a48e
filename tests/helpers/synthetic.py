"""Evidence made up: a world in which every published number holds, and one in which none does."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd

from analysis.papers.xu.sweeps import LONG
from analysis.printed.xu import EIGENVALUES, ETA_ROWS, FIVE_SEEDS, RELU_0, SCALING, SEED_0, WINDOW_TABLE
from analysis.reading.evidence import Evidence
from analysis.reading.runs import grid
from grok.spec.studies import Cell

FIRES = (173, 173, 174, 173, 173, *[174] * 10)
TESTS = (101, 98, 99, 99, 99, 100, 101, 102, 102, 102, 102, 102, 102, 103, 104)
LATE = (300, 150, 160, 165, 168, 200, 250, 290, 305, 310, 315, 320, 325, 330, 340)
CONTROL_LATE = tuple(np.linspace(1.19, 1.43, 15))
RATES = {
    50: (0.83, 0.865, 0.865, 0.875, 0.875),
    100: (0.91, 0.88, 0.895, 0.895, 0.90),
    175: (0.975, 0.94, 0.955, 0.955, 0.96),
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

    def _runs(self, study: str) -> pd.DataFrame:
        """The study's grid with its results."""
        rows = []
        ours = not study.startswith("lifecycle")  # tests/helpers/lifecycle_world.py has those
        for cell in grid(study) if ours and (self.studies is None or study in self.studies) else ():
            if (study, cell.condition, cell.config.seed) in self.missing:
                continue
            run_id = f"{study}-{cell.config.hash}"
            self.cells[run_id] = study, cell
            fields = {name: getattr(cell.config, name) for name in cell.config.to_strings()}
            metrics = self._metrics(study, cell)
            state = "diverged" if metrics.pop("diverged", 0.0) or self._cut(study, cell) else "complete"
            rows.append(
                {"run_id": run_id, "condition": cell.condition, "state": state, "config_hash": cell.config.hash}
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
        return out

    def _history(self, run_id: str) -> pd.DataFrame:
        """Epoch by epoch: accuracies, eigenvalues, ρ, repulsion."""
        study, cell = self.cells[run_id]
        epochs, seed, square = np.arange((cell.config.epochs or 0) + 1), cell.config.seed, cell.config.activation == "square"
        grok = cell.condition == "grok"
        lambdas = np.tile(RANK_2 if square != self.broken else RANK_1, (len(epochs), 1))
        if study == "headline" and seed == 0:
            for condition, epoch, printed in EIGENVALUES:
                if condition == cell.condition:
                    lambdas[epoch, :3] = [float(text) * (3 if self.broken else 1) for text in printed]
        columns: dict[str, Any] = {"epoch": epochs, "accuracy/train": np.where(epochs >= 25, 1.0, 0.5), "accuracy/test": 0.5}
        columns |= {f"delta_w/lambda_{k + 1}": lambdas[:, k] for k in range(5)}
        gap_12 = np.where(epochs >= 2, 26.0, np.nan)
        if grok:
            gap_12[139], gap_12[160:191], gap_12[191:] = 71.5, 150.0, 250.0
        rho = np.full(len(epochs), 0.065 if square else 0.1)
        if square and grok:
            rho = np.interp(epochs, [0, 14, 15, 17, 22, 28], [0.05, 0.0699, 0.0701, 0.0751, 0.0851, 0.1001])
        columns |= {"delta_w/gap_12": gap_12, "features/rho": rho}
        if self.broken:
            columns |= {"accuracy/train": 0.4, "delta_w/gap_12": 1.0, "features/rho": 0.2 if square and not grok else 0.0}
        return pd.DataFrame(columns | self._repulsion(epochs, cell)).iloc[: self._rows(study, cell)]

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
            rate = np.where(np.isfinite(rate), 0.5 + cell.config.seed / 1000, np.nan)
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

    def _gap(self, run_id: str, *, window: int = 20, k: int = 2, method: str = "gram", seed: int = 0) -> np.ndarray:
        """λ₂/λ₃ of the paper's window table, or of the rebuttal."""
        study, cell = self.cells[run_id]
        grok, square = cell.condition == "grok", cell.config.activation == "square"
        out = np.ones((cell.config.epochs or 0) + 1)
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


def _published(study: str, cell: Cell) -> dict[str, float]:
    seed, grok = cell.config.seed, cell.condition == "grok"
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
        return {"late_gap_23": CONTROL_LATE[seed] * (1.4 if grok else 1.0), "accuracy/test": 1.0 if grok else 0.01}
    if study == "eta":
        if cell.condition == LONG:
            return {"test_50_epoch": 1527.0, "rho_epoch": 527.0}
        (row,) = [row for row in ETA_ROWS if row.condition == cell.condition]
        out = {"fire_epoch": float(row.fire), "fired": 1.0}
        if row.grok == 0:
            return out | ({"rho_epoch": float(row.rho)} if seed == 0 else {})
        return out | {"rho_epoch": float(row.rho), "test_50_epoch": float(row.test or 0), "lead": float(row.lead or 0)}
    if study == "scaling":
        (found,) = [c for c in SCALING if (c.modulus, c.n_train) == (cell.config.modulus, cell.config.n_train)]
        out = {} if found.rho is None else {"rho_epoch": float(found.rho)}
        out |= {} if found.test is None else {"test_99_epoch": float(found.test), "lead": float(found.lead or 0)}
        return out | {"diverged": float(found.rho is None)}
    return {}


assert SEED_0.keys() == FIVE_SEEDS.keys() == RATES.keys()
