"""The spectral edge of a network's first layer: every interval's exact split into decay and Adam, and the inner products that
windows of other intervals and lengths are read from.

Shapes: p weights of the layer in G segments, T intervals of N steps, L lags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from grok.networks.base import View
from grok.numerics.edge import Edge, edge
from grok.numerics.ledger import Keeper, Ledger
from grok.recorders.base import File, Moment, Recorder, Recording, Run, Step
from grok.spec.config import RunConfig
from grok.spec.fields import refuse

WINDOW = 5
"""Rows of the window of the metrics (Xu, arXiv 2604.07380)."""
ROWS = 20
"""Rows of the longest window that can be read later, unless an option says other."""
LEDGER = "edge/ledger-{:04d}.npz"
"""Of the intervals of N steps: the arrays of `Ledger`, and `segments`, their names."""
OTHERS = "rest"
"""Segment of all other layers, which are kept beside the first where `edge_layers` is all; the metrics leave it out."""
RING = ".ring"
"""How the names of the raw rows end in a state; a branch leaves them behind."""


class Plan(NamedTuple):
    """What is kept.

    Attributes:
        intervals: each N, ascending, multiples of the first. rows: of the longest window. published: N of the metrics.
        whole: whether all parameters are kept, not only the first layer's.
    """

    intervals: tuple[int, ...]
    rows: int
    published: int
    whole: bool


def plan(config: RunConfig) -> Plan:
    """From the options `edge_intervals` (such as 25+50+100), `edge_rows` and `edge_layers` (first or all), or as published.

    Raises:
        ConfigError: if an option is not good.
    """
    options = config.option_values
    published = config.evaluate_every
    fine = (25, 50, 100, 200) if published == 100 and config.network == "transformer" else (published,)
    text = options.get("edge_intervals", "+".join(map(str, fine)))
    try:
        intervals = tuple(sorted({int(part) for part in text.split("+")}))
        rows = int(options.get("edge_rows", ROWS if published == 100 else WINDOW))
    except ValueError:
        refuse("options", "have whole numbers in edge_intervals (25+50+100) and edge_rows", config.options, "Correct them")
    if intervals[0] < 1 or any(one % intervals[0] for one in intervals) or published not in intervals:
        rule = f"have edge_intervals that are multiples of the smallest, with evaluate_every ({published}) among them"
        refuse("options", rule, text, "Correct them")
    if rows < WINDOW:
        refuse("options", f"have edge_rows ≥ {WINDOW}", rows, "Raise it")
    layers = options.get("edge_layers", "first")
    if layers not in ("first", "all"):
        refuse("options", "have edge_layers first or all", layers, "Pick one of these")
    return Plan(intervals, rows, published, layers == "all")


def metrics(found: Edge) -> dict[str, float]:
    """The metrics of a window by name."""
    out = {
        "grad_share": found.exact.share,
        "grad_share_last": found.exact.last,
        "grad_share_trapezoid": found.trapezoid.share,
        "energy_gradient": found.exact.gradient,
        "energy_decay": found.exact.decay,
        "cross": found.exact.cross,
        "cos2_theta": found.cos2_theta,
        "cos2_theta_0": found.cos2_theta_0,
    }
    out |= {f"lambda_{k}": float(value) for k, value in enumerate(found.lambdas, start=1)}
    return {f"edge/{name}": value for name, value in out.items() if np.isfinite(value)}


class EdgeRecording(Recording):
    """Sums the decay of each step, and at the end of an interval takes its inner products.

    Attributes:
        plan: what is kept. keepers: by N; made at the first step. decay: by N, −Σ η ω θ since its last interval, float64.
        rates: by N, Σ η ω likewise.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.plan = plan(run.config)
        sizes = run.task.sizes(run.config)
        self.named = dict(run.network.segments(run.config, sizes))
        self.unused = run.network.unused(run.config, sizes)
        self.keepers: dict[int, Keeper] = {}
        self.decay: dict[int, Tensor] = {}
        self.fine = torch.empty(0)
        self.rates: dict[int, float] = dict.fromkeys(self.plan.intervals, 0.0)
        self.fine_rate = 0.0

    def due(self, epoch: int) -> bool:
        """At every one: decay acts at every step."""
        return True

    def see(self, step: Step, view: View) -> dict[str, float]:
        """End what intervals end here, measure at a snapshot, and add this step's decay."""
        weights, t = view.weights, step.epoch
        theta = self._theta(weights)
        if not self.keepers:
            self._begin(theta)
        switched = t == self.config.switch_at > 0
        if switched:
            self._restart()  # a branch has no rows of before: neither has the interval that ends here
        if t and t % self.plan.intervals[0] == 0:
            self._close(t, theta)
        if switched:
            self._restart()
        found: dict[str, float] = {}
        if self.config.evaluated(t):
            squares = {layer: float(value.double().square().sum()) for layer, value in weights.items()}
            found["norm/all"] = sum(squares.values()) ** 0.5
            idle = [weights[layer].flatten()[part] for layer, parts in self.unused.items() for part in parts]
            if idle:
                found["norm/used"] = (sum(squares.values()) - sum(float(x.double().square().sum()) for x in idle)) ** 0.5
            if t % self.plan.published == 0:
                found |= self._measure(t // self.plan.published)
        rate = self.config.learning_rate * self.config.decay_at(t)
        self.fine.add_(theta, alpha=-rate)
        self.fine_rate += rate
        return found

    def _restart(self) -> None:
        for keeper in self.keepers.values():
            keeper.restart()

    def _theta(self, weights: Mapping[str, Tensor]) -> Tensor:
        first = weights[self.run.layers[0]].flatten()
        if not self.plan.whole:
            return first
        return torch.cat([first, *(weights[layer].flatten() for layer in self.run.layers[1:])])

    def _begin(self, theta: Tensor) -> None:
        parts = self.named or {self.run.layers[0]: slice(0, len(theta))}
        end = max(part.stop for part in parts.values())
        if end < len(theta):
            parts = parts | {OTHERS: slice(end, len(theta))}
        self.named = parts
        for every in self.plan.intervals:
            self.keepers[every] = Keeper(theta, list(parts.values()), self.plan.rows + 1)
            self.decay[every] = torch.zeros(len(theta), dtype=torch.float64, device=theta.device)
        self.fine = torch.zeros_like(self.decay[self.plan.intervals[0]])

    def _close(self, t: int, theta: Tensor) -> None:
        for every in self.plan.intervals:
            self.decay[every] += self.fine
            self.rates[every] += self.fine_rate
            if t % every == 0:
                self.keepers[every].take(theta, self.decay[every], self.rates[every])
                self.decay[every].zero_()
                self.rates[every] = 0.0
        self.fine.zero_()
        self.fine_rate = 0.0

    def _measure(self, end: int) -> dict[str, float]:
        """The published window that ends here, once there is one."""
        keeper = self.keepers[self.plan.published]
        if end == 0 or keeper.count == keeper.first:
            return {}
        first = [place for place, name in enumerate(self.named) if name != OTHERS]
        found = edge(keeper.tail(WINDOW, first), min(keeper.count - keeper.first, WINDOW), WINDOW)
        return {} if found is None else metrics(found)

    def ledger(self, every: int) -> Ledger:
        """The inner products of the intervals of N steps."""
        return self.keepers[every].ledger()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Rows, sums and inner products: live tensors, which who asks copies; the rows alone are 88 MB for Dyck-1."""
        if not self.keepers:
            return {}, {}
        out = {"fine": self.fine}
        for every, keeper in self.keepers.items():
            out[f"{every}.decay"] = self.decay[every]
            out |= {f"{every}.{name}": value for name, value in keeper.state().items()}
        rates = [self.fine_rate, *(self.rates[every] for every in self.plan.intervals)]
        return out, {"rates": rates}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take them back."""
        if not tensors:
            return
        self._begin(tensors[f"{self.plan.published}.zero"])
        self.fine.copy_(tensors["fine"])
        self.fine_rate, *rates = facts["rates"]
        self.rates = dict(zip(self.plan.intervals, rates, strict=True))
        for every, keeper in self.keepers.items():
            self.decay[every].copy_(tensors[f"{every}.decay"])
            prefix = f"{every}."
            keeper.load({n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)})

    def truncate(self, epochs: int) -> None:
        """Forget the intervals that end at that step or later."""
        for every, keeper in self.keepers.items():
            keeper.truncate(max(epochs - 1, 0) // every)

    def files(self, moment: Moment) -> Iterable[File]:
        """The inner products of each N, at the end."""
        if moment.when == "end":
            for every in self.keepers:
                names = np.array(list(self.named))
                yield File(LEDGER.format(every), self.ledger(every)._asdict() | {"segments": names})


RECORDER = Recorder(
    title="Exact split of the change over an interval into decay and Adam, along the top direction of a window",
    source="Xu (arXiv 2604.07380) for the window and its measures; the exact split is ours",
    needs=("weights",),
    cost="a sum over the first layer's weights a step, and a product of 2 L p at each interval; 8 L p bytes for each N",
    options=("edge_intervals", "edge_rows", "edge_layers"),
    start=EdgeRecording,
    artifacts=("edge/ledger-*.npz",),
    check=plan,
)
