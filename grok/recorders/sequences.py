"""What an accuracy over sequences hides: tokens whose prefix was trained on, and single tokens of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from grok.networks.base import View
from grok.recorders.base import Recorder, Recording, Run, Step
from grok.tasks.base import IGNORED
from grok.tasks.dyck import unseen_prefix


class Sequences(Recording):
    """Token accuracies of the test at each evaluation, from the forward pass that the evaluation has made.

    Attributes:
        unseen: (m, T) bool, test tokens whose whole prefix is in no training sequence; None where that says nothing.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.unseen: Tensor | None = None
        self.tokens = run.task.sizes(run.config).outputs > 0

    def due(self, epoch: int) -> bool:
        """At evaluations, of tasks with a label at each place."""
        return self.tokens and self.config.evaluated(epoch)

    def see(self, step: Step, view: View) -> dict[str, float]:
        """Accuracy over test tokens; for Dyck-1, whose accuracy is that, over tokens with an unseen prefix."""
        right, labels = view.test.right[view.index], view.test.labels[view.index]
        if self.config.task != "dyck":
            return {"accuracy/test_token": float(right.sum() / (labels != IGNORED).sum())}
        else:
            if self.unseen is None:
                problem = self.run.task.problem(self.config)
                self.unseen = unseen_prefix(problem.test_inputs[: len(right)], problem.train_inputs).to(right.device)
            return {"accuracy/test_unseen_prefix": float(torch.masked_select(right, self.unseen).double().mean())}


RECORDER = Recorder(
    title="Accuracy over test tokens, and over those whose prefix was never trained on",
    source="ours: half of the test tokens of Dyck-1 can be answered by memory",
    needs=("weights",),
    cost="none: the evaluation has found which tokens are right",
    start=Sequences,
)
