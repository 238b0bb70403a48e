"""The top directions of the window of updates at which the detector fires, and of the last one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from grok.detectors._chosen import chosen
from grok.numerics.spectra import top_directions
from grok.recorders.base import File, Moment, Recorder, Recording, Run, Updates

MODES = "modes/"


class Directions(Recording):
    """Leading left singular vectors of two windows of updates.

    Attributes:
        modes: `fire/LAYER`, `last/LAYER` to directions in the layer's shape, and `…_eigenvalues`.
        fire_epoch: at which the detector fired while the run trained, None before.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.detector = chosen(run.config)
        self.modes: dict[str, Tensor] = {}
        self.fire_epoch: int | None = None

    def extend(self, updates: Updates) -> dict[int, dict[str, float]]:
        """Look whether the detector has fired in this block."""
        if self.fire_epoch is None and updates.usable is None:
            self.fire_epoch = self.detector.fire_epoch(self.run.series(self.run.gap_name))
            if self.fire_epoch is not None:
                self._keep("fire", updates, self.fire_epoch)
        return {}

    def _keep(self, when: str, updates: Updates, epoch: int) -> None:
        """Keep the top directions of the window that ends at `epoch`."""
        for layer in self.run.watched:
            directions, eigenvalues = top_directions(updates.window(layer, min(self.config.window, epoch), epoch))
            self.modes[f"{when}/{layer}"] = directions.view(-1, *updates.shapes[layer]).cpu()
            self.modes[f"{when}/{layer}_eigenvalues"] = eigenvalues.cpu()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The directions so far, and the epoch."""
        return {f"{MODES}{name}": value for name, value in self.modes.items()}, {"fire_epoch": self.fire_epoch}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Take them back."""
        self.modes = {name.removeprefix(MODES): value for name, value in tensors.items() if name.startswith(MODES)}
        self.fire_epoch = facts["fire_epoch"]

    def files(self, moment: Moment) -> Iterable[File]:
        """The directions, at the end; those of the last window where the run got there."""
        if moment.when != "end":
            return
        if moment.diverged is None:
            self._keep("last", moment.updates, moment.epoch)
        if self.modes:
            yield File("delta_w/modes.safetensors", self.modes, {**self.run.facts, "fire_epoch": self.fire_epoch})


RECORDER = Recorder(
    title="Top three directions of the updates where the detector fires and at the end",
    source="ours: they are what the gap opens between",
    needs=("updates",),
    cost="an eigensolve of w × w and a product of 3 w P, twice a run",
    start=Directions,
    artifacts=("delta_w/modes.safetensors",),
    own_state=False,
)
