"""The weights at checkpoint epochs."""

from __future__ import annotations

from collections.abc import Iterable

from grok.recorders.base import File, Moment, Recorder, Recording
from grok.spec.artifacts import WEIGHTS


class Weights(Recording):
    """A file at each checkpoint epoch."""

    def files(self, moment: Moment) -> Iterable[File]:
        """The weights, copied."""
        if moment.when == "checkpoint":
            facts = {"epoch": moment.epoch, "config_hash": self.run.facts["config_hash"]}
            weights = {name: tensor.clone() for name, tensor in moment.weights.items()}
            yield File(WEIGHTS.format(moment.epoch), weights, facts)


RECORDER = Recorder(
    title="Weights at the checkpoint epochs",
    source="Xu (arXiv 2605.08119), table of Theorem 6, for the epochs",
    needs=("weights",),
    cost="a copy of the weights at each",
    start=Weights,
    artifacts=("checkpoints/epoch-*.safetensors",),
    own_state=False,
)
