"""One run of a lockstep group while it trains: its history, what it keeps, and its resumable state. No I/O."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from grok.numerics.band import BandedGram
from grok.numerics.factors import window_factors
from grok.numerics.methods import factor_kind
from grok.numerics.spectra import factor_eigenvalues, top_directions
from grok.recorders.history import SCORES, History
from grok.spec.config import RunConfig
from grok.training.loop import Record, Training


class Member:
    """One seed of a `Training`: takes its records and knows what of it is already logged."""

    def __init__(self, config: RunConfig, index: int) -> None:
        self.config, self.index = config.resolved(), index
        self.history = History(config)
        self.pairs: list[tuple[int, int, int, float]] = []
        self.modes: dict[str, Tensor] = {}
        self.factors: dict[str, dict[int, np.ndarray]] = {}
        self.fire_epoch: int | None = None
        self.logged = 0
        self.elapsed_s = 0.0
        self.diverged: int | None = None

    def add(self, record: Record, scores: np.ndarray) -> None:
        """Take one epoch's numbers, unless the run diverged before."""
        if self.diverged is not None:
            return
        if not np.isfinite(scores[0]):
            self.diverged = record.epoch
            return
        self.history.append(dict(zip(SCORES, scores.tolist(), strict=True)) | record.found[self.index].metrics)
        measured = record.found[self.index].repulsion
        if measured is not None:
            rows = zip(measured.pairs.tolist(), measured.cos.tolist(), strict=True)
            self.pairs += [(record.epoch, j, l, cos) for (j, l), cos in rows]

    def extend(self, training: Training) -> None:
        """Spectra of the block that has just been completed; the window's top directions where the detector fires."""
        partial = self.diverged is not None or training.epoch == training.config.epochs
        last = None if self.diverged is None else max(self.diverged - 1, 0)
        for layer, updates in training.updates.items():
            band = updates.band() if partial else updates.band_rows(0)
            self._extend_raw(layer, updates, updates.count if partial else updates.complete)
            self.history.extend_spectra(layer, band[self.index, :last])
        if self.fire_epoch is None and self.diverged is None:
            self.fire_epoch = self.history.fire_epoch()
            if self.fire_epoch is not None:
                self.add_modes("fire", training, self.fire_epoch)

    def _extend_raw(self, layer: str, recorder: BandedGram, end: int) -> None:
        """Factors of the raw windows that end at updates not seen yet, up to `end`, and the eigenvalues by each raw method."""
        window, methods = self.config.window, self.config.spectrum_methods[1:]
        last = len(self.history.rows) - 1
        if end > last and self.diverged is None:
            return  # resumed at the end of a block, whose last epoch has no row yet: it comes with that
        end = min(end, last)
        for kind in dict.fromkeys(factor_kind(method) for method in methods):
            known = self.factors.setdefault(f"{kind}_{layer}", {})
            first = max(known, default=1) + 1
            if first > end:
                continue
            updates = recorder.window(min(end, end - first + window), end)[self.index]
            new = dict(zip(range(first, end + 1), window_factors(updates, window, end - first + 1, kind), strict=True))
            known |= new
            for method in (method for method in methods if factor_kind(method) == kind):
                for epoch, factor in new.items():
                    values = factor_eigenvalues(factor, method, min(window, epoch), seed=self.config.seed)
                    found = {f"delta_{layer}_{method}/lambda_{k}": float(v) for k, v in enumerate(values, 1) if np.isfinite(v)}
                    self.history.rows[epoch] |= found

    def add_modes(self, when: str, training: Training, epoch: int) -> None:
        """Keep the top directions of the window that ends at `epoch`."""
        for layer, updates in training.updates.items():
            shape = training.weights[layer].shape[1:]
            window = updates.window(min(self.config.window, epoch), epoch)[self.index]
            directions, eigenvalues = top_directions(window)
            self.modes[f"{when}/{layer}"] = directions.view(-1, *shape).cpu()
            self.modes[f"{when}/{layer}_eigenvalues"] = eigenvalues.cpu()

    def state(self, training: Training) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors (cloned) and facts that `restore` goes on from."""
        rows = pd.DataFrame(self.history.rows)
        tensors = {name: tensor.detach().clone().cpu() for name, tensor in training.state(self.index).items()}
        tensors["history"] = torch.tensor(rows.to_numpy(dtype=np.float64))
        tensors |= {f"modes/{name}": value for name, value in self.modes.items()}
        tensors |= {f"factors/{name}": torch.from_numpy(value) for name, value in self.factor_arrays(training.epoch).items()}
        facts = {
            "config_hash": self.config.hash,
            "epoch": training.epoch,
            "columns": list(rows.columns),
            "pairs": list(self.pairs),
            "fire_epoch": self.fire_epoch,
            "elapsed_s": self.elapsed_s,
        }
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> dict[str, Tensor]:
        """Take history and modes back; returns the tensors of the training itself."""
        values = tensors.pop("history").numpy()
        self.history.rows = [
            {name: float(x) for name, x in zip(facts["columns"], row, strict=True) if not np.isnan(x)} for row in values
        ]
        self.modes = {name.removeprefix("modes/"): tensors.pop(name) for name in list(tensors) if name.startswith("modes/")}
        for name in [name for name in tensors if name.startswith("factors/")]:
            known = {epoch: value for epoch, value in enumerate(tensors.pop(name).numpy()) if not np.isnan(value[0, 0])}
            self.factors[name.removeprefix("factors/")] = known
        self.pairs = [(int(e), int(j), int(l), float(c)) for e, j, l, c in facts["pairs"]]
        self.fire_epoch, self.elapsed_s = facts["fire_epoch"], facts["elapsed_s"]
        return tensors

    def new_points(self) -> list[tuple[int, str, float]]:
        """(epoch, metric, value) of the epochs completed since the last call."""
        first, self.logged = self.logged, self.history.complete
        return list(self.history.points(first, self.logged))

    def newest(self) -> dict[str, float]:
        """Accuracy and gap of the last epoch, for a progress bar."""
        gap_23 = self.history.gap_23()
        row = self.history.rows[-1] if self.history.rows else {}
        out = {name: row[name] for name in ("accuracy/train", "accuracy/test") if name in row}
        return out | ({"delta_w/gap_23": float(gap_23[-1])} if len(gap_23) else {})

    def summary(self) -> dict[str, float]:
        """`History.summary`, and `diverged_epoch` where the loss stopped being finite."""
        out = self.history.summary()
        return out if self.diverged is None else out | {"diverged_epoch": float(self.diverged)}

    def final(self) -> dict[str, float]:
        """The last known value of every metric."""
        return {name: value for row in self.history.rows for name, value in row.items()}

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

    def pair_table(self) -> pd.DataFrame:
        """Top pairs at each measurement: columns epoch, j, l, cos."""
        return pd.DataFrame(self.pairs, columns=["epoch", "j", "l", "cos"])
