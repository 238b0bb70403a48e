"""Feature repulsion on the most similar pairs of features, and which pairs these are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from torch import Tensor

from grok.networks.base import View
from grok.numerics import repulsion
from grok.numerics.nulls import decay_ridge
from grok.recorders.base import File, Moment, Recorder, Recording, Run, Step, due
from grok.spec.config import RANKING_EPOCH


class Pairs(Recording):
    """A measurement at each epoch that is due, on pairs ranked then or once at epoch 150.

    Attributes:
        rows: (epoch, j, l, cos) of every pair measured.
        ranked: the pairs chosen once, where the config asks for that, (p, 2) int64; None before.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.rows: list[tuple[int, int, int, float]] = []
        self.ranked: Tensor | None = None

    def due(self, epoch: int) -> bool:
        """At the cadence `repulsion_every` and at checkpoints; not before pairs are ranked that are to stay."""
        if "features" not in self.run.network.gives:
            return False
        now = due(self.config, epoch, "repulsion_every")
        if self.config.pair_ranking == "epoch_150":
            return epoch == RANKING_EPOCH or (now and epoch > RANKING_EPOCH)
        return now

    def see(self, step: Step, view: View) -> dict[str, float]:
        """Measure; nothing for a dead network, which `features/dead` counts, or one that is about to diverge."""
        c, once = self.config, self.config.pair_ranking == "epoch_150"
        fixed = self.ranked if once and step.epoch > RANKING_EPOCH else None
        try:
            ridge = decay_ridge(c.weight_decay, c.optimizer)
            measured = repulsion.measure_repulsion(view.features, ridge, c.top_pairs, view.seed, fixed)
        except repulsion.PairError:
            return {}
        if once and fixed is None:
            self.ranked = measured.pairs
        found = zip(measured.pairs.tolist(), measured.cos.tolist(), strict=True)
        self.rows += [(step.epoch, j, l, cos) for (j, l), cos in found]
        return measured.metrics()

    def table(self) -> pd.DataFrame:
        """Top pairs at each measurement: columns epoch, j, l, cos."""
        return pd.DataFrame(self.rows, columns=["epoch", "j", "l", "cos"])

    def truncate(self, epochs: int) -> None:
        """Forget measurements from that epoch on."""
        self.rows = [row for row in self.rows if row[0] < epochs]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The measurements so far, and the pairs that stay."""
        return ({} if self.ranked is None else {"ranked_pairs": self.ranked}), {"pairs": list(self.rows)}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take them back."""
        self.ranked = tensors.get("ranked_pairs")
        self.rows = [(int(e), int(j), int(l), float(c)) for e, j, l, c in facts["pairs"]]

    def files(self, moment: Moment) -> Iterable[File]:
        """The table, at the end, if something was measured."""
        if moment.when == "end" and self.rows:
            yield File("repulsion_pairs.parquet", self.table())


RECORDER = Recorder(
    title="Repulsion rate of the most similar feature pairs, its null, and Theorem 6",
    source="Xu (arXiv 2605.08119) §4; the null is ours",
    needs=("features",),
    cost="two products of n K² in float64 and two Cholesky factors",
    start=Pairs,
    artifacts=("repulsion_pairs.parquet",),
    own_state=False,
)
