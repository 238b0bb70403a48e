"""The table of a run: a row per epoch with its scores and whatever the other recorders find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from grok.numerics.series import first_crossing
from grok.recorders.base import File, Moment, Recorder, Recording
from grok.spec.artifacts import HISTORY

STEPS = "steps.parquet"
"""A row per epoch of a run that is not evaluated at every one."""


class History(Recording):
    """The rows of the run, which all recordings share, and the first epochs of the task's targets."""

    def summary(self) -> dict[str, float]:
        """The first epoch at which each target of the task is reached."""
        count = self.run.complete
        out = {}
        for name, target in self.run.task.targets.items():
            series = np.array([row.get(target.metric, np.nan) for row in self.run.rows[:count]])
            epoch = first_crossing(series, target.level, strict=False)
            if epoch is not None:
                out[name] = float(epoch)
        return out

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The rows as one tensor, NaN where a metric was not observed, and its columns."""
        rows = pd.DataFrame(self.run.rows)
        return {"history": torch.tensor(rows.to_numpy(dtype=np.float64))}, {"columns": list(rows.columns)}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take the rows back."""
        self.run.rows[:] = [
            {name: float(x) for name, x in zip(facts["columns"], row, strict=True) if not np.isnan(x)}
            for row in tensors["history"].numpy()
        ]

    def files(self, moment: Moment) -> Iterable[File]:
        """The table, at the end."""
        if moment.when == "end":
            yield File(HISTORY, self.run.history())
            if self.config.evaluate_every > 1:
                yield File(STEPS, self.run.frame())


RECORDER = Recorder(
    title="Loss, accuracy and norms of every epoch, and the table of all metrics",
    source="Xu (arXiv 2605.08119) §2",
    cost="none: the loop scores each epoch",
    start=History,
    artifacts=(HISTORY, STEPS),
    own_state=False,
)
