"""What the edge does to a network: at every snapshot what is quick, and at a few steps sweeps, curvature, probes and nulls.

Shapes: p weights of the attention, W changes between snapshots, n test samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor

from grok.networks._flat import ATTENTION, FlatNetwork
from grok.networks.base import View
from grok.numerics import ablation
from grok.recorders import _measures as measures
from grok.recorders import _targets
from grok.recorders._instrument import Instrument
from grok.recorders.base import File, Moment, Recorder, Recording, Run, Step
from grok.spec.config import RunConfig
from grok.spec.fields import refuse
from grok.spec.published import TRANSFORMERS

WINDOW, DIRECTIONS, FLOWING = 5, 4, 3
"""Changes of a window, its directions that are measured, and those of the gap flow equation."""
STEPS: dict[str, tuple[int, ...]] = {
    "dyck": (200, 500, 600, 1400, 2000, 3900),
    "scan": (1000, 2500, 4500, 5000, 9500, 10000),
    "seq2seq_mini": (500, 1000, 2000, 4000),
    "modular": (500, 1000, 2000, 4000),
}
"""Of the whole anatomy: those of the paper's tables, and ηωt = 0.5, 1, 2 and 4 where it has none."""
DRAWS, FEW = 20, 2
"""Of each random control: as published, and at every other snapshot."""
TABLE = "anatomy.parquet"
"""Columns step, kind, name, x, value: a row per number; x is a displacement where there is one."""
Row = tuple[int, str, str, float, float]


def steps_of(config: RunConfig) -> tuple[int, ...]:
    """From the option `anatomy_steps` (such as 200+600), or as published, as far as the run goes.

    Raises:
        ConfigError: if the option is not good, or the task and network are not of the paper.
    """
    run = config.resolved()
    if run.network not in TRANSFORMERS or run.task not in STEPS:
        told = f"{run.task}, {run.network}"
        refuse("recorders", f"have anatomy only with {', '.join(TRANSFORMERS)} and a task of theirs", told, "Drop it")
    known = STEPS.get(run.network, STEPS[run.task])
    text = run.option_values.get("anatomy_steps", "+".join(str(step) for step in known))
    every = run.evaluate_every
    if not all(part.isdecimal() and len(part) < 10 for part in text.split("+")):
        refuse("options", "have whole numbers in anatomy_steps", text, "Write 200+600")
    found = tuple(sorted({int(part) for part in text.split("+")}))
    if "anatomy_steps" in run.option_values and any(step % every or step > run.epochs for step in found):
        rule = f"have anatomy_steps that are multiples of evaluate_every ({every}) up to epochs ({run.epochs})"
        refuse("options", rule, text, "Write 200+600")
    return found


class Anatomy(Recording):
    """Measures at every snapshot, and more at `steps`.

    Attributes:
        steps: of the whole anatomy. snapshots: the last θ at evaluations, oldest first. rows: of the table.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.steps = set(steps_of(run.config))
        self.snapshots: list[Tensor] = []
        self.rows: list[Row] = []
        self.first: dict[str, Tensor] = {}
        problem = run.task.problem(run.config)
        self.sizes = run.task.sizes(run.config)
        self.test, self.train, self.curved = _targets.parts(run.config.task, problem)
        self.asked = _targets.targets(run.config.task, *self.test)

    def due(self, epoch: int) -> bool:
        """At evaluations: the window is made of snapshots."""
        return epoch % self.config.evaluate_every == 0

    def see(self, step: Step, view: View) -> dict[str, float]:
        """Keep the snapshot and measure; before a switch a branch is its parent, which has been measured."""
        theta = view.weights[ATTENTION].detach().cpu()
        if step.epoch == 0:
            self.first = {layer: value.detach().cpu().clone() for layer, value in view.weights.items()}
        if step.epoch == self.config.switch_at > 0:
            self.snapshots.clear()
        self.snapshots = [*self.snapshots[-WINDOW:], theta.clone()]
        if step.epoch >= self.config.switch_at:
            self.rows += [(step.epoch, *row) for row in self._measure(view.weights, step.epoch in self.steps)]
        return {}

    def _of(self, weights: Mapping[str, Tensor], dtype: torch.dtype, part: tuple[Tensor, Tensor]) -> Instrument:
        return Instrument(cast(FlatNetwork, self.run.network), self.sizes, weights, dtype, *part)

    def _measure(self, weights: Mapping[str, Tensor], whole: bool) -> Iterator[measures.Row]:
        single = self._of(weights, torch.float32, self.test)
        states = single.states()
        yield from measures.read(states, self.asked)
        yield from measures.attended(single)
        if whole:
            yield from measures.battery(states, self.asked, self.config.seed)
            yield from measures.positions(single, states)
            if self.first and not any(kind == "untrained" for _, kind, *_ in self.rows):
                blank = self._of(self.first, torch.float32, self.test)
                yield from measures.untrained(blank.states(), self.asked)
        if len(self.snapshots) < 3:
            return
        changes = torch.stack([b.double() - a.double() for a, b in zip(self.snapshots, self.snapshots[1:], strict=False)])
        directions, sigma = ablation.top_directions(changes, min(DIRECTIONS, len(changes)))
        exact = self._of(weights, torch.float64, self.train)
        yield from measures.flow(exact, directions[:FLOWING], sigma)
        yield from measures.ablated(single, directions, self.config.seed, DRAWS if whole else FEW)
        yield from measures.responded(single, states, directions[0], self.asked)
        if whole:
            yield from measures.swept(single, directions[0])
            few = self.test[0][: self.curved], self.test[1][: self.curved]
            parts = {"test": self._of(weights, torch.float64, few), "train": exact}
            yield from measures.curved(single, parts, directions, sigma, self._of(weights, torch.float32, few))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Snapshots, the first weights, and the rows."""
        kept = {f"snapshot{i}": snapshot for i, snapshot in enumerate(self.snapshots)}
        return kept | {f"first/{layer}": value for layer, value in self.first.items()}, {"rows": list(self.rows)}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take them back; of a parent what it measured before the switch stays with the parent."""
        if not facts:
            return
        self.snapshots = [tensors[f"snapshot{i}"] for i in range(sum(name.startswith("snapshot") for name in tensors))]
        self.first = {name.removeprefix("first/"): value for name, value in tensors.items() if name.startswith("first/")}
        rows = [(int(step), kind, name, float(x), float(value)) for step, kind, name, x, value in facts["rows"]]
        self.rows = [row for row in rows if row[0] >= self.config.switch_at]

    def truncate(self, epochs: int) -> None:
        """Forget what was measured from that step on."""
        self.rows = [row for row in self.rows if row[0] < epochs]

    def files(self, moment: Moment) -> Iterable[File]:
        """The table, at the end, if something was measured."""
        if moment.when == "end" and self.rows:
            yield File(TABLE, pd.DataFrame(self.rows, columns=["step", "kind", "name", "x", "value"]))


RECORDER = Recorder(
    title="What the edge does to the network: ablation and its controls, a sweep, curvature, probes and their nulls, attention",
    source="Xu (arXiv 2604.07380); the controls and nulls are ours",
    needs=("weights",),
    cost="some 2 s at each snapshot of Dyck-1, and 20 s more at each of its steps, most of it probes",
    options=("anatomy_steps",),
    start=Anatomy,
    artifacts=(TABLE,),
    check=steps_of,
)
