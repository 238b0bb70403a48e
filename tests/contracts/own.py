"""Plug-ins of one's own, written to a file as a user would, and configs that name them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grok.spec.config import RunConfig

CONFIG = RunConfig(
    modulus=7,
    width=16,
    n_train=25,
    epochs=24,
    window=5,
    max_window=8,
    top_pairs=12,
    checkpoint_epochs=(6, 24),
    observe_every=5,
    repulsion_every=4,
    save_every=0,
    device="cpu",
    threads=1,
    precision="float64",
).resolved()
SOURCE = '''
"""Three symbols a, b, c: is a + b + c even? A two-layer network whose output is halved, and the mean loss so far."""
from dataclasses import dataclass

import torch

from grok.networks.two_layer import NETWORK as TWO_LAYER, TwoLayer, TwoLayerNetwork
from grok.recorders.base import File, Recorder, Recording
from grok.tasks.base import Dataset, Problem, Sizes, Target, Task


@dataclass(frozen=True, kw_only=True)
class Parity(Task):
    def problem(self, config):
        inputs = torch.cartesian_prod(*[torch.arange(5)] * 3)
        order = torch.randperm(125, generator=torch.Generator().manual_seed(config.seed))
        train, test = order[:80], order[80:]
        labels = inputs.sum(dim=1) % 2
        return Problem(inputs[train], labels[train], inputs[test], labels[test], 5, 2)

    def sizes(self, config):
        return Sizes(train=80, test=45, places=3, symbols=5, classes=2)

    def sentence(self, config):
        return "parity of three symbols: 80 of 125 train"

    def dataset(self, config):
        return Dataset("parity of three", f"own parity, seed={config.seed}")


TASK = Parity(title="Parity of a sum of three", targets={"test_60_epoch": Target("accuracy/test", 0.0)})


class Halved(TwoLayerNetwork):
    """Its layers have names of their own, and its features are halved where others read them."""

    @property
    def layers(self):
        return {"into": self.w, "out": self.v}

    @property
    def gradients(self):
        return {"into": self.grad_w, "out": self.grad_v}


@dataclass(frozen=True, kw_only=True)
class HalvedNetwork(TwoLayer):
    def build(self, config, sizes, seeds, device, dtype):
        whole = TwoLayerNetwork.initialised(
            sizes.symbols, config.width, seeds, config.activation, device, dtype, sizes.places, sizes.classes
        )
        return Halved(whole.w / 2, whole.v, config.activation)

    def sentence(self, config):
        return f"A halved network (K = {config.width})"


NETWORK = HalvedNetwork(
    title="Half the first layer", layers=("into", "out"), gives=TWO_LAYER.gives, model_type="halved network"
)


class MeanLoss(Recording):
    """The mean of the training loss over the even epochs, and what every block brought."""

    def __init__(self, run):
        super().__init__(run)
        self.total, self.count, self.blocks = torch.zeros((), dtype=torch.float64), 0, []

    def due(self, epoch):
        return epoch % 2 == 0

    def see(self, step, view):
        self.total = self.total + step.scores[self.run.index, 0].cpu()
        self.count += 1
        size = sum(float(gradient.abs().sum()) for gradient in view.gradients.values())
        return {"own/mean_loss": float(self.total) / self.count, "own/gradient": size}

    def extend(self, updates):
        self.blocks.append(updates.end)
        return {updates.end: {"own/block": float(updates.end)}} if updates.end < len(self.run.rows) else {}

    def summary(self):
        return {"own_count": float(self.count)}

    def state(self):
        return {"total": self.total}, {"count": self.count, "blocks": list(self.blocks)}

    def load(self, tensors, facts):
        self.total, self.count, self.blocks = tensors["total"], facts["count"], facts["blocks"]

    def files(self, moment):
        if moment.when != "block":
            path = f"own/{moment.when}-{moment.epoch:05d}.safetensors"
            yield File(path, {"total": self.total.clone()}, {"count": self.count})


RECORDER = Recorder(title="Mean loss", start=MeanLoss, artifacts=("own/*.safetensors",))
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module outside the package that has a task, a network and a recorder."""
    name = "plug_ins_of_my_own"
    (tmp_path / f"{name}.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)
