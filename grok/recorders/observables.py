"""Scalars of the features and of the gradient that reaches them, now and then.

Another one is a function of the needs it names and a row in `OBSERVABLES`; its metrics go wherever the others go.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from grok.networks.base import View
from grok.numerics import features
from grok.recorders.base import Recorder, Recording, Step, due


class Observable(NamedTuple):
    """A measurement of one network.

    Attributes:
        measure: from the needs, in their order, to metrics by name.
        needs: names among the attributes of `View`; a network that does not give them is not measured.
        cadence: config field with the epochs between two measurements; None: at checkpoint epochs only.
    """

    measure: Callable[..., dict[str, float]]
    needs: tuple[str, ...]
    cadence: str | None


OBSERVABLES: tuple[Observable, ...] = (
    Observable(features.feature_observables, ("features",), "observe_every"),
    Observable(features.gradient_observables, ("features", "readout", "labels", "seed"), "observe_every"),
    Observable(features.kernel_observables, ("features",), None),
)


class Observables(Recording):
    """The observables that are due at an epoch."""

    def _scheduled(self, epoch: int) -> list[Observable]:
        gives = self.run.network.gives
        return [o for o in OBSERVABLES if due(self.config, epoch, o.cadence) and set(o.needs) <= set(gives)]

    def due(self, epoch: int) -> bool:
        """Where one of them is."""
        return bool(self._scheduled(epoch))

    def see(self, step: Step, view: View) -> dict[str, float]:
        """Measure each."""
        found: dict[str, float] = {}
        for observable in self._scheduled(step.epoch):
            measured = observable.measure(*(getattr(view, need) for need in observable.needs))
            found |= {name: value for name, value in measured.items() if not math.isnan(value)}  # of a collapsed network
        return found


RECORDER = Recorder(
    title="Similarity of features, dead features, size and alignment of the gradient that reaches them",
    source="Tian (arXiv 2509.21519) Fig. 3",
    needs=("features", "readout", "labels"),
    cost="a symmetric product of n K² every observe_every epochs, and one of n² K at checkpoints",
    start=Observables,
    own_state=False,
)
