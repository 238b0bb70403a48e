"""The rolling spectrum of each layer's updates: eigenvalues, gaps, slopes, the band they come from, and raw factors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grok.detectors._chosen import chosen
from grok.numerics.methods import factor_kind
from grok.numerics.series import cosine_distance, late_median, slope
from grok.numerics.spectra import EIGENVALUES, factor_eigenvalues, gap, rolling_eigenvalues, window_factors
from grok.recorders.base import File, Moment, Recorder, Recording, Run, Updates
from grok.spec.artifacts import BAND, FACTORS

IN_STATE = "factors/"


class Spectrum(Recording):
    """Eigenvalues from the band as it grows, and from raw windows by each other method of the config.

    Attributes:
        eigenvalues: by layer, (epochs, 5) float64. cosines: by layer, (epochs,) float64.
        detector: of the config.
        factors: by `<kind>_<layer>`, epoch to the factor of the window that ends there.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.detector = chosen(run.config)
        self.eigenvalues: dict[str, np.ndarray] = {layer: np.empty((0, EIGENVALUES)) for layer in run.watched}
        self.cosines: dict[str, np.ndarray] = {layer: np.empty(0) for layer in run.watched}
        self.factors: dict[str, dict[int, np.ndarray]] = {}

    def extend(self, updates: Updates) -> dict[int, dict[str, float]]:
        """Spectra of the updates that are new; the raw methods' eigenvalues go to rows that are there."""
        found: dict[int, dict[str, float]] = {}
        for layer in self.run.watched:
            band = updates.band(layer)
            self._extend_raw(layer, updates, found)
            self.extend_band(layer, band)
        return found

    def resume(self, updates: Updates) -> None:
        """Spectra from the band."""
        for layer in self.run.watched:
            self.extend_band(layer, updates.band(layer))

    def extend_band(self, layer: str, band: np.ndarray) -> None:
        """Take the spectra of the epochs that a longer band covers and that are not known yet.

        Args:
            layer: by name.
            band: (T, L) float64 from the first update on.
        """
        known = len(self.eigenvalues[layer])
        if known > len(band):
            return
        new = rolling_eigenvalues(band, self.config.window, start=known)
        self.eigenvalues[layer] = np.concatenate((self.eigenvalues[layer], new))
        self.cosines[layer] = np.concatenate((self.cosines[layer], cosine_distance(band)[known:]))

    def _extend_raw(self, layer: str, updates: Updates, found: dict[int, dict[str, float]]) -> None:
        """Factors of the raw windows that end at updates not seen yet, and the eigenvalues by each raw method."""
        window, methods, end = self.config.window, self.config.spectrum_methods[1:], updates.end
        last = len(self.run.rows) - 1
        if end > last and updates.usable is None:
            return  # resumed at the end of a block, whose last epoch has no row yet: it comes with that
        end = min(end, last)
        for kind in dict.fromkeys(factor_kind(method) for method in methods):
            known = self.factors.setdefault(f"{kind}_{layer}", {})
            first = max(known, default=1) + 1
            if first > end:
                continue
            raw = updates.window(layer, min(end, end - first + window), end)
            new = dict(zip(range(first, end + 1), window_factors(raw, window, end - first + 1, kind), strict=True))
            known |= new
            for method in (method for method in methods if factor_kind(method) == kind):
                for epoch, factor in new.items():
                    values = factor_eigenvalues(factor, method, min(window, epoch), seed=self.config.seed)
                    named = {f"delta_{layer}_{method}/lambda_{k}": float(v) for k, v in enumerate(values, 1) if np.isfinite(v)}
                    found[epoch] = found.get(epoch, {}) | named

    def known(self, rows: int) -> int:
        """Epochs that the band of every layer covers."""
        return min(rows, *(len(values) for values in self.eigenvalues.values()))

    def columns(self, known: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        """λ₁ … λ₅, two gaps and a slope of each layer and method, and how each update turns."""
        out: dict[str, np.ndarray] = {}
        blank = np.full(count, np.nan)
        for layer in self.run.watched:
            out |= self._columns(f"delta_{layer}", self.eigenvalues[layer][:count])
            out[f"delta_{layer}/cosine_distance"] = self.cosines[layer][:count]
            for method in self.config.spectrum_methods[1:]:
                name = f"delta_{layer}_{method}"
                values = [known.get(f"{name}/lambda_{k}", blank) for k in range(1, EIGENVALUES + 1)]
                out |= self._columns(name, np.stack(values, axis=1))
        return out

    def _columns(self, name: str, eigenvalues: np.ndarray) -> dict[str, np.ndarray]:
        window = self.config.window
        gap_23 = gap(eigenvalues, 2, window)
        lambdas = {f"{name}/lambda_{k + 1}": eigenvalues[:, k] for k in range(EIGENVALUES)}
        gaps = {f"{name}/gap_12": gap(eigenvalues, 1, window), f"{name}/gap_23": gap_23}
        return lambdas | gaps | {f"{name}/slope_23": slope(gap_23, self.config.slope_lag)}

    def series(self, name: str, count: int) -> np.ndarray | None:
        """λ₂/λ₃ of a layer over the run's window."""
        for layer, values in self.eigenvalues.items():
            if name == f"delta_{layer}/gap_23":
                return gap(values[:count], 2, self.config.window)
        return None

    def summary(self) -> dict[str, float]:
        """`fired` (0 or 1), `fire_epoch`, and `late_gap_23`, the median of λ₂/λ₃ over epochs 200 … 400."""
        gap_23 = self.run.series(self.run.gap_name)
        fire = self.detector.fire_epoch(gap_23)
        late = late_median(gap_23)
        out = {"fired": float(fire is not None)}
        out |= {} if fire is None else {"fire_epoch": float(fire)}
        return out if np.isnan(late) else out | {"late_gap_23": late}

    def truncate(self, epochs: int) -> None:
        """Forget spectra from that epoch on."""
        for values in (self.eigenvalues, self.cosines):
            for layer in values:
                values[layer] = values[layer][:epochs]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The factors; spectra come from the band, which the training keeps."""
        return {f"{IN_STATE}{n}": torch.from_numpy(v) for n, v in self.factor_arrays(len(self.run.rows)).items()}, {}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take the factors back."""
        for name in (name for name in tensors if name.startswith(IN_STATE)):
            known = {epoch: value for epoch, value in enumerate(tensors[name].numpy()) if not np.isnan(value[0, 0])}
            self.factors[name.removeprefix(IN_STATE)] = known

    def factor_arrays(self, epochs: int) -> dict[str, np.ndarray]:
        """Window factors by `<kind>_<layer>`: (epochs, w, w), row t that of epoch t, NaN where the window is shorter."""
        size = self.config.window
        out = {}
        for name, known in self.factors.items():
            values = np.full((epochs, size, size), np.nan, dtype=np.float32 if name.startswith("gram32") else np.float64)
            for epoch, factor in known.items():
                if epoch < epochs:
                    values[epoch] = factor
            out[name] = values
        return out

    def files(self, moment: Moment) -> Iterable[File]:
        """The band and the factors, at the end."""
        if moment.when != "end":
            return
        count = self.run.complete
        kept = max(count - 1, 0) if moment.diverged is not None else None
        yield File(BAND, {layer: moment.updates.band(layer)[:kept] for layer in self.run.watched})
        if self.factors:
            yield File(FACTORS, self.factor_arrays(count))


RECORDER = Recorder(
    title="Eigenvalues, gaps and slopes of the Gram of the last updates",
    source="Xu (arXiv 2605.08119) §2, eq. 3",
    needs=("updates",),
    cost="one pass over the updates of a block, and an eigensolve of w × w an epoch; raw methods take a factor an epoch",
    start=Spectrum,
    artifacts=(BAND, FACTORS),
    own_state=False,
)
