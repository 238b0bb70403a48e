"""What is measured on a network now and then: each observable declares what it needs and when it is due.

Another one is a function of the needs it names and a row in `OBSERVABLES`; its metrics go wherever the others go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, cast

import torch
from torch import Tensor

from grok.networks.two_layer import Batch, TwoLayerNetwork
from grok.numerics import features as observables
from grok.numerics import repulsion
from grok.spec.config import RANKING_EPOCH, RunConfig


class Observable(NamedTuple):
    """A measurement of one network.

    Attributes:
        measure: from the needs, in their order, to metrics by name.
        needs: names among the attributes of `View`.
        cadence: config field with the epochs between two measurements; None: at checkpoint epochs only.
    """

    measure: Callable[..., dict[str, float]]
    needs: tuple[str, ...]
    cadence: str | None


OBSERVABLES: tuple[Observable, ...] = (
    Observable(observables.feature_observables, ("features",), "observe_every"),
    Observable(observables.gradient_observables, ("features", "v", "labels", "seed"), "observe_every"),
    Observable(observables.kernel_observables, ("features",), None),
)


@dataclass(frozen=True)
class View:
    """One seed's network at one epoch, computed as far as somebody asks."""

    network: TwoLayerNetwork
    batch: Batch
    index: int
    seed: int
    shared: dict[str, Tensor]

    @cached_property
    def features(self) -> Tensor:
        """F on the training pairs: (n, K)."""
        if "features" not in self.shared:
            self.shared["features"] = self.network.features(self.batch)
        return self.shared["features"][self.index]

    @property
    def w(self) -> Tensor:
        """(2M, K)."""
        return self.network.w[self.index]

    @property
    def v(self) -> Tensor:
        """(K, M)."""
        return self.network.v[self.index]

    @property
    def labels(self) -> Tensor:
        """(n,) int64."""
        return self.batch.labels[self.index]


@dataclass
class Found:
    """What one epoch showed of one seed.

    Attributes:
        metrics: by name.
        repulsion: the measurement behind `repulsion/…`, with its pairs.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    repulsion: repulsion.Repulsion | None = None


class Observer:
    """Takes the observables that are due at an epoch.

    Args:
        config: of the run, resolved.
        seeds: S seeds.

    Attributes:
        ranked_pairs: per seed, the pairs chosen once at epoch 150 where the config asks for that.
    """

    def __init__(self, config: RunConfig, seeds: Sequence[int]) -> None:
        self.config, self.seeds = config, seeds
        self.ranked_pairs: list[Tensor | None] = [None] * len(seeds)

    def due(self, epoch: int, cadence: str | None) -> bool:
        """Whether something of this cadence is taken at this epoch: every so many, and at checkpoints."""
        every = getattr(self.config, cadence) if cadence else 0
        return epoch in cast(tuple[int, ...], self.config.checkpoint_epochs) or (every > 0 and epoch % every == 0)

    def observe(self, epoch: int, loss: Tensor, network: TwoLayerNetwork, batch: Batch) -> list[Found]:
        """Measure what is due, per seed; a network whose loss is not finite shows nothing.

        Args:
            epoch: t. loss: (S,) training loss. network, batch: the networks and their training samples.
        """
        found = [Found() for _ in self.seeds]
        scheduled = [observable for observable in OBSERVABLES if self.due(epoch, observable.cadence)]
        repels = self.due(epoch, "repulsion_every")
        if self.config.pair_ranking == "epoch_150":
            repels = epoch == RANKING_EPOCH or (repels and epoch > RANKING_EPOCH)
        if not (scheduled or repels):
            return found
        finite = torch.isfinite(loss).tolist()
        shared: dict[str, Tensor] = {}
        for s in (s for s in range(len(self.seeds)) if finite[s]):
            view = View(network, batch, s, self.seeds[s], shared)
            for observable in scheduled:
                found[s].metrics |= observable.measure(*(getattr(view, need) for need in observable.needs))
            if repels:
                self._repulsion(s, view, found[s], epoch > RANKING_EPOCH)
        return found

    def _repulsion(self, s: int, view: View, found: Found, ranked: bool) -> None:
        config = self.config
        fixed = self.ranked_pairs[s] if config.pair_ranking == "epoch_150" and ranked else None
        try:
            measured = repulsion.measure_repulsion(view.features, config.weight_decay, config.top_pairs, view.seed, fixed)
        except repulsion.PairError:
            return  # a dead network (`features/dead` counts it) or one that is about to diverge
        if config.pair_ranking == "epoch_150" and fixed is None:
            self.ranked_pairs[s] = measured.pairs
        found.repulsion = measured
        found.metrics |= measured.metrics()
