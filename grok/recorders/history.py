"""The history of one run: a row per epoch, the spectra that the band gives, what the detector says. Pure numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from grok.numerics.series import fire_epoch, first_crossing, late_median, slope
from grok.numerics.spectra import EIGENVALUES, gap, rolling_eigenvalues
from grok.spec.config import RunConfig

SCORES = ("loss/train", "loss/test", "accuracy/train", "accuracy/test", "norm/w", "norm/v")
"""Metrics that every epoch has."""


class History:
    """Collects one run's epochs and derives its spectra, gaps, slopes and summary.

    Args:
        config: of the run, for its window and detector.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config.resolved()
        self.rows: list[dict[str, float]] = []
        self.eigenvalues: dict[str, np.ndarray] = {layer: np.empty((0, EIGENVALUES)) for layer in ("w", "v")}
        self.cosines: dict[str, np.ndarray] = {layer: np.empty(0) for layer in ("w", "v")}

    def append(self, metrics: dict[str, float]) -> None:
        """Add the next epoch's metrics; what was not observed is absent."""
        self.rows.append(metrics)

    def extend_spectra(self, layer: str, band: np.ndarray) -> None:
        """Take the spectra of the epochs that a longer band covers and that are not known yet.

        Args:
            layer: `w` or `v`.
            band: (T, L) float64 from the first update on.
        """
        known = len(self.eigenvalues[layer])
        if known > len(band):
            return
        new = rolling_eigenvalues(band, self.config.window, start=known)
        self.eigenvalues[layer] = np.concatenate((self.eigenvalues[layer], new))
        self.cosines[layer] = np.concatenate((self.cosines[layer], cosine_distance(band)[known:]))

    @property
    def complete(self) -> int:
        """Epochs, from 0 on, of which every metric is known."""
        return min(len(self.rows), *(len(values) for values in self.eigenvalues.values()))

    def truncate(self, epochs: int) -> None:
        """Forget all but the first `epochs` epochs (a run that diverged there)."""
        del self.rows[epochs:]
        for values in (self.eigenvalues, self.cosines):
            for layer in values:
                values[layer] = values[layer][:epochs]

    def gap_23(self) -> np.ndarray:
        """(complete,) float64: λ₂/λ₃ of ΔW over the run's window, entry t at epoch t."""
        return gap(self.eigenvalues["w"][: self.complete], 2, self.config.window)

    def fire_epoch(self) -> int | None:
        """Epoch at which the slope detector fires on the epochs that are complete, or None."""
        return fire_epoch(self.gap_23(), self.config.slope_lag, self.config.slope_threshold, self.config.first_epoch)

    def frame(self) -> pd.DataFrame:
        """A row per complete epoch: `epoch`, then a column per metric, NaN where it was not observed."""
        count = self.complete
        observed = pd.DataFrame(self.rows[:count], columns=None if count else list(SCORES))
        columns: dict[str, np.ndarray] = {"epoch": np.arange(count)}
        columns |= {name: observed[name].to_numpy(dtype=np.float64) for name in observed.columns}
        for layer in self.eigenvalues:
            columns |= self._spectrum_columns(f"delta_{layer}", self.eigenvalues[layer][:count])
            columns[f"delta_{layer}/cosine_distance"] = self.cosines[layer][:count]
            for method in self.config.spectrum_methods[1:]:
                name = f"delta_{layer}_{method}"
                blank = np.full(count, np.nan)
                values = [columns.get(f"{name}/lambda_{k}", blank) for k in range(1, EIGENVALUES + 1)]
                columns |= self._spectrum_columns(name, np.stack(values, axis=1))
        frame = pd.DataFrame(columns)
        return frame.dropna(axis="columns", how="all") if count else frame

    def _spectrum_columns(self, name: str, eigenvalues: np.ndarray) -> dict[str, np.ndarray]:
        window = self.config.window
        gap_23 = gap(eigenvalues, 2, window)
        lambdas = {f"{name}/lambda_{k + 1}": eigenvalues[:, k] for k in range(EIGENVALUES)}
        gaps = {f"{name}/gap_12": gap(eigenvalues, 1, window), f"{name}/gap_23": gap_23}
        return lambdas | gaps | {f"{name}/slope_23": slope(gap_23, self.config.slope_lag)}

    def points(self, first: int, last: int) -> Iterator[tuple[int, str, float]]:
        """(epoch, metric, value) of every finite value in epochs first … last − 1."""
        frame = self.frame().iloc[first:last]
        names = [name for name in frame.columns if name != "epoch"]
        values = frame[names].to_numpy()
        for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
            yield int(frame["epoch"].iloc[row]), names[column], float(values[row, column])

    def summary(self) -> dict[str, float]:
        """The run in a few numbers; what never happened is absent.

        `fired` (0 or 1), `fire_epoch`, `test_50_epoch`, `test_99_epoch`, `train_99_epoch` (first epochs at which the
        accuracy is ≥ that), `late_gap_23` (median of λ₂/λ₃ over epochs 200 … 400, of runs that reach 400).
        """
        frame = self.frame()
        fire = self.fire_epoch()
        out: dict[str, float] = {"fired": float(fire is not None)}
        epochs = {
            "fire_epoch": fire,
            "test_50_epoch": first_crossing(frame["accuracy/test"].to_numpy(), 0.5, strict=False),
            "test_99_epoch": first_crossing(frame["accuracy/test"].to_numpy(), 0.99, strict=False),
            "train_99_epoch": first_crossing(frame["accuracy/train"].to_numpy(), 0.99, strict=False),
        }
        out |= {name: float(epoch) for name, epoch in epochs.items() if epoch is not None}
        if not np.isnan(late := late_median(self.gap_23())):
            out["late_gap_23"] = late
        return out


def cosine_distance(band: np.ndarray) -> np.ndarray:
    """1 − cos(Δ_t, Δ_{t−1}) at every epoch, from two lags of the band.

    Args:
        band: (T, L ≥ 2) float64.

    Returns:
        (T + 1,) float64 in [0, 2]; NaN for t < 2 or where an update is zero.
    """
    out = np.full(len(band) + 1, np.nan)
    if len(band) > 1:
        scale = np.sqrt(band[1:, 0] * band[:-1, 0])
        with np.errstate(invalid="ignore", divide="ignore"):
            out[2:] = np.where(scale > 0, 1 - band[1:, 1] / scale, np.nan)
    return out
