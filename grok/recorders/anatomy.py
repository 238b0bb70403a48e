"""What the edge does to a network, at a few steps: ablation and its controls, a sweep, curvature, probes, attention.

Shapes: p weights of the attention, W changes between snapshots, n test sequences of T places, d features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from grok.networks._flat import ATTENTION, FlatNetwork, split_keys
from grok.networks.base import View
from grok.networks.transformer import Encoder
from grok.numerics import ablation, fourier, probes
from grok.recorders.base import File, Moment, Recorder, Recording, Run, Step
from grok.spec.fields import refuse
from grok.tasks.base import IGNORED

WINDOW, SEQUENCES = 5, 300
"""Changes of a window, and test sequences that everything is measured on (Xu, arXiv 2604.07380, its code)."""
STEPS = (200, 500, 600, 1400, 3900)
"""Before, at and after the grok step, and late: the paper's ablation and, at 600, its decomposition."""
SWEEP, HESSIAN = 0.005, 0.001
"""The paper's steps along v in its perturbations and its curvature, in units of ‖θ‖."""
TABLE = "anatomy.parquet"
"""Columns step, kind, name, x, value: a row per number; x is a displacement where there is one."""
Row = tuple[int, str, str, float, float]


class Instrument:
    """A copy of one seed's network whose attention weights can be put to any value.

    Args:
        network: of the run. sizes: of the task. weights: by layer. dtype: of the copy.
        tokens, labels: (n, T) int64.
    """

    def __init__(
        self,
        network: FlatNetwork,
        sizes: Any,
        weights: Mapping[str, Tensor],
        dtype: torch.dtype,
        tokens: Tensor,
        labels: Tensor,
    ) -> None:
        copies = {layer: value.detach().cpu().to(dtype) for layer, value in weights.items()}
        self.module = cast(Encoder, network.module(sizes, copies).requires_grad_(False))
        self.theta, self.tokens, self.labels = copies[ATTENTION].clone(), tokens.cpu(), labels.cpu()
        self.shapes = {key: dict(self.module.named_parameters())[key].shape for key in split_keys(self.module)[ATTENTION]}

    def scores(self, theta: Tensor) -> Tensor:
        """Logits with these attention weights, differentiable: (n, T, C)."""
        parts = torch.split(theta, [shape.numel() for shape in self.shapes.values()])
        named = {key: part.view(shape) for (key, shape), part in zip(self.shapes.items(), parts, strict=True)}
        return cast(Tensor, torch.func.functional_call(self.module, named, (self.tokens, self.tokens.shape[1])))

    def loss(self, theta: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return functional.cross_entropy(self.scores(theta).flatten(0, 1), self.labels.flatten(), ignore_index=IGNORED)

    @torch.no_grad()
    def accuracy(self, theta: Tensor) -> float:
        """Over tokens."""
        scores = self.scores(theta.to(self.theta))
        counted = self.labels != IGNORED
        return float((scores.argmax(dim=-1) == self.labels)[counted].double().mean())

    @torch.no_grad()
    def divergence(self, theta: Tensor) -> float:
        """KL(as it is ‖ with these weights), mean over tokens, nats."""
        base, other = (self.scores(one.to(self.theta)).log_softmax(dim=-1) for one in (self.theta, theta))
        return float((base.exp() * (base - other)).sum(dim=-1)[self.labels != IGNORED].double().mean())

    @torch.no_grad()
    def hidden(self, theta: Tensor | None = None) -> list[np.ndarray]:
        """After each layer and after the norm, at tokens that count: (tokens, d) each."""
        self._put(self.theta if theta is None else theta.to(self.theta))
        found = [state[self.labels != IGNORED].numpy() for state in self.module.hidden(self.tokens)]
        self._put(self.theta)
        return found

    def _put(self, theta: Tensor) -> None:
        named, at = dict(self.module.named_parameters()), 0
        for key, shape in self.shapes.items():
            named[key].data = theta[at : at + shape.numel()].view(shape)
            at += shape.numel()


class Anatomy(Recording):
    """Measures at the steps of the option `anatomy_steps` (such as 200+600), or as published.

    Attributes:
        steps: ascending. snapshots: the last θ at evaluations, oldest first. rows: of the table.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        text = run.config.option_values.get("anatomy_steps", "+".join(map(str, STEPS)))
        every = run.config.evaluate_every
        if not all(part.isdecimal() and int(part) % every == 0 for part in text.split("+")):
            refuse("options", f"have anatomy_steps that are multiples of evaluate_every ({every})", text, "Write 200+600")
        if run.config.task != "dyck" or run.config.network != "transformer":
            refuse("recorders", "have anatomy only with task dyck and its transformer", run.config.task, "Drop it")
        self.steps = {int(part) for part in text.split("+")}
        self.snapshots: list[Tensor] = []
        self.rows: list[Row] = []
        self.first: dict[str, Tensor] = {}

    def due(self, epoch: int) -> bool:
        """At evaluations: the window is made of snapshots."""
        return epoch % self.config.evaluate_every == 0

    def see(self, step: Step, view: View) -> dict[str, float]:
        """Keep the snapshot, and measure where it is time."""
        theta = view.weights[ATTENTION].detach().cpu()
        if step.epoch == 0:
            self.first = {layer: value.detach().cpu().clone() for layer, value in view.weights.items()}
        if step.epoch == self.config.switch_at > 0:
            self.snapshots.clear()
        self.snapshots = [*self.snapshots[-WINDOW:], theta.clone()]
        self.rows += [(step.epoch, *row) for row in self._flow(view)]
        if step.epoch in self.steps:
            self.rows += [(step.epoch, *row) for row in self._measure(view)]
        return {}

    def _flow(self, view: View) -> Iterator[tuple[str, str, float, float]]:
        """What the gap flow equation needs of the first two directions, on the training samples, at every snapshot."""
        if len(self.snapshots) < 3:
            return
        directions, sigma = ablation.top_directions(self._changes(), 2)
        sizes, problem = self.run.task.sizes(self.config), self.run.task.problem(self.config)
        network, data = cast(FlatNetwork, self.run.network), (problem.train_inputs, problem.train_labels)
        exact = Instrument(network, sizes, view.weights, torch.float64, *data)
        slope = ablation.gradient_of(exact.loss, exact.theta)
        for k, v in enumerate(directions, start=1):
            yield "flow", f"d{k}", 0.0, float(sigma[k - 1])
            yield "flow", f"h{k}", 0.0, ablation.curvature(exact.loss, exact.theta, v)
            yield "flow", f"g{k}", 0.0, float(slope @ v)

    def _changes(self) -> Tensor:
        return torch.stack([b.double() - a.double() for a, b in zip(self.snapshots, self.snapshots[1:], strict=False)])

    def _measure(self, view: View) -> Iterator[tuple[str, str, float, float]]:
        network = cast(FlatNetwork, self.run.network)
        sizes = self.run.task.sizes(self.config)
        test = view.test.inputs[view.index][:SEQUENCES], view.test.labels[view.index][:SEQUENCES]
        single = Instrument(network, sizes, view.weights, torch.float32, *test)
        yield from self._probed(single, network, sizes, test)
        yield from self._attended(single)
        if len(self.snapshots) < 3:
            return
        changes = self._changes()
        directions, sigma = ablation.top_directions(changes, min(4, len(changes)))
        yield from self._ablated(single, directions)
        yield from self._swept(single, directions[0], sigma)
        train = self.run.task.problem(self.config)
        double = (
            ("test", Instrument(network, sizes, view.weights, torch.float64, *test)),
            ("train", Instrument(network, sizes, view.weights, torch.float64, train.train_inputs, train.train_labels)),
        )
        for part, exact in double:
            for k, v in enumerate(directions, start=1):
                yield "curvature", f"{part}/v{k}", 0.0, ablation.curvature(exact.loss, exact.theta, v)
        step = HESSIAN * float(single.theta.norm())
        for k, v in enumerate(directions, start=1):
            value = ablation.finite_difference(single.loss, single.theta, v.float(), step)
            yield "curvature", f"published/v{k}", step, value
            moved = single.theta + step * v.float()
            with torch.no_grad():
                yield "curvature", f"change/v{k}", step, abs(float(single.loss(moved) - single.loss(single.theta)))
            yield "curvature", f"sigma/v{k}", 0.0, float(sigma[k - 1])

    def _ablated(self, single: Instrument, directions: Tensor) -> Iterator[tuple[str, str, float, float]]:
        theta, base = single.theta.double(), single.accuracy(single.theta)
        yield "ablation", "base", 0.0, base
        found: dict[str, list[tuple[float, float, float]]] = {}
        for one in ablation.removals(theta, directions[:2], seed=self.config.seed):
            found.setdefault(one.name, []).append((single.accuracy(one.theta) - base, one.share, one.residual))
        if len(directions) > 2:
            bulk = ablation.project_out(theta, directions[2:])
            share = float((theta - bulk).norm() / theta.norm())
            found["bulk"] = [(single.accuracy(bulk) - base, share, float(bulk.norm() / theta.norm()))]
        for name, values in found.items():
            change, share, residual = np.array(values).T
            yield "ablation", f"{name}/change", 0.0, float(change.mean())
            yield "ablation", f"{name}/worst", 0.0, float(change.min())
            yield "ablation", f"{name}/share", 0.0, float(share.mean())
            yield "ablation", f"{name}/residual", 0.0, float(residual.mean())

    def _swept(self, single: Instrument, v: Tensor, sigma: Tensor) -> Iterator[tuple[str, str, float, float]]:
        theta, projection = single.theta.double(), float(single.theta.double() @ v)
        published = SWEEP * float(theta.norm())
        ends = [float(x) for x in ablation.displacements(theta, v)]
        for x in sorted({*ends, published, -published, 0.0}):
            moved = theta + x * v
            yield "sweep", "accuracy", x, single.accuracy(moved)
            yield "sweep", "divergence", x, single.divergence(moved)
        yield "sweep", "projection", 0.0, projection
        yield "sweep", "published", published, single.accuracy(theta + published * v)
        response = single.hidden(theta + published * v)[-1] - single.hidden()[-1]
        depths = single.labels[single.labels != IGNORED].numpy()
        split = probes.by_token(len(depths), 0)
        yield from (
            ("functional", name, published, value)
            for name, value in probes.battery(response, depths, {"token": split}, ("linear_raw", "linear_standardised"))
        )
        profile = fourier.by_depth((response.astype(np.float64) ** 2).sum(axis=1), depths)
        yield "fourier", "elevation", published, fourier.elevation(profile)
        yield "fourier", "ramp", 0.0, fourier.elevation(np.arange(float(len(profile))))
        yield "functional", "sigma", 0.0, float(sigma[0])

    def _probed(
        self, single: Instrument, network: FlatNetwork, sizes: Any, test: tuple[Tensor, Tensor]
    ) -> Iterator[tuple[str, str, float, float]]:
        from grok.tasks.dyck import PAD, prefixes

        tokens = test[0].cpu()
        depths = single.labels[single.labels != IGNORED].numpy()
        rows = [tuple(row[row != PAD].tolist()) for row in tokens]
        place = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        apart = probes.by_sequence(rows, prefixes(tokens), place, 0)
        token = probes.by_token(len(depths), 0)
        states = single.hidden()
        before, after = states[-2], states[-1]
        slow = ("linear_raw", "linear_raw_ols", "linear_standardised", "linear_standardised_ols", "quadratic_raw", "mlp_raw")
        for name, value in probes.battery(before, depths, {"token": token}, slow):
            yield "probe", f"before/{name}", 0.0, value
        fair = ("linear_raw", "linear_standardised", "linear_standardised_ols", "mlp_standardised")
        for name, value in probes.battery(before, depths, {"sequence": apart}, fair):
            yield "probe", f"before/{name}", 0.0, value
        read = ("linear_standardised", "logistic_standardised")
        for name, value in probes.battery(after, depths, {"token": token, "sequence": apart}, read):
            yield "probe", f"after/{name}", 0.0, value
        for seed in range(1, 5):
            other = {f"token{seed}": probes.by_token(len(depths), seed)}
            for name, value in probes.battery(before, depths, other, ("linear_raw",)):
                yield "probe", f"before/{name}", 0.0, value
        shuffled = np.random.default_rng(self.config.seed).permutation(depths)
        for name, value in probes.battery(before, shuffled, {"token": token}, ("linear_raw", "linear_standardised")):
            yield "probe", f"shuffled/{name}", 0.0, value
        yield "probe", "scale", 0.0, float(before.std())
        if self.first and not any(kind == "untrained" for _, kind, *_ in self.rows):
            blank = Instrument(network, sizes, self.first, torch.float32, *test).hidden()[-2]
            both = {"token": token, "sequence": apart}
            yield from (("untrained", *row) for row in _at_0(probes.battery(blank, depths, both, fair[:2])))
            yield from (("untrained", *row) for row in _at_0(probes.battery(blank, depths, {"token": token}, ("mlp_raw",))))

    @torch.no_grad()
    def _attended(self, single: Instrument) -> Iterator[tuple[str, str, float, float]]:
        real = single.labels != IGNORED
        for layer, weights in enumerate(single.module.attention(single.tokens)):
            found = fourier.entropy(weights)
            yield "attention", f"entropy/layer{layer}", 0.0, float(found.double().mean())
            yield "attention", f"entropy_tokens/layer{layer}", 0.0, float(found.mean(dim=1)[real].double().mean())
        yield "attention", "uniform", 0.0, fourier.uniform_entropy(single.tokens.shape[1])

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Snapshots, the first weights, and the rows."""
        kept = {f"snapshot{i}": snapshot for i, snapshot in enumerate(self.snapshots)}
        return kept | {f"first/{layer}": value for layer, value in self.first.items()}, {"rows": list(self.rows)}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take them back."""
        self.snapshots = [tensors[f"snapshot{i}"] for i in range(sum(name.startswith("snapshot") for name in tensors))]
        self.first = {name.removeprefix("first/"): value for name, value in tensors.items() if name.startswith("first/")}
        self.rows = [(int(step), kind, name, float(x), float(value)) for step, kind, name, x, value in facts["rows"]]

    def truncate(self, epochs: int) -> None:
        """Forget what was measured from that step on."""
        self.rows = [row for row in self.rows if row[0] < epochs]

    def files(self, moment: Moment) -> Iterable[File]:
        """The table, at the end, if something was measured."""
        if moment.when == "end" and self.rows:
            yield File(TABLE, pd.DataFrame(self.rows, columns=["step", "kind", "name", "x", "value"]))


def _at_0(scores: Iterable[tuple[str, float]]) -> Iterator[tuple[str, float, float]]:
    """Name, displacement 0, value."""
    return ((name, 0.0, value) for name, value in scores)


RECORDER = Recorder(
    title="What the edge does to the network: ablation and its controls, a sweep, curvature, probes and their nulls, attention",
    source="Xu (arXiv 2604.07380); the controls and nulls are ours",
    needs=("weights",),
    cost="some 30 s at each of its steps, most of it probes, and two Hessian-vector products at each snapshot",
    options=("anatomy_steps",),
    start=Anatomy,
    artifacts=(TABLE,),
)
