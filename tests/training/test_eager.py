"""Optimisers without torch's compiler: the same bits, torch as it was, and nothing imported that takes seconds."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from grok.training import eager
from grok.training.optimizers import make_optimizer
from tests.conftest import PROJECT

FRESH = """\
import sys
from tests.conftest import TINY
from grok.training.loop import Training
training = Training(TINY)
for step in training:
    step.see()
    if step.epoch == 2:
        break
again = Training(TINY)
again.load([training.state(0)])
print("torch._dynamo" in sys.modules)
"""


def test_a_run_does_not_import_the_compiler() -> None:
    told = subprocess.run([sys.executable, "-c", FRESH], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "False\n"), told.stderr


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "muon"])
def test_a_step_is_that_of_torch(optimizer: str, tiny: Any) -> None:
    class Net:
        def __init__(self) -> None:
            torch.manual_seed(0)
            self.layers = [torch.randn(6, 5), torch.randn(5, 3)]

        def parameters(self) -> list[torch.Tensor]:
            return self.layers

    one, other = Net(), Net()
    with eager.without_compiler():
        ours, theirs = (make_optimizer(tiny(optimizer=optimizer), net) for net in (one, other))  # type: ignore[arg-type]
    step = eager.step_of(ours)
    assert (step == ours.step) == (optimizer == "muon")  # whose step asks for no compiler
    for number in range(3):
        for net in (one, other):
            for layer in net.layers:
                layer.grad = torch.sin(layer * (number + 1))
        step()
        theirs.step()
    assert all(torch.equal(a, b) for a, b in zip(one.layers, other.layers, strict=True))


def test_torch_is_left_as_it_was_and_an_optimiser_of_ones_own_takes_its_own_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, eager.COMPILER, raising=False)
    plain = torch.optim.Optimizer.add_param_group.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.delattr(plain, eager.KNOWN, raising=False)
    with eager.without_compiler():
        assert getattr(plain, eager.KNOWN) is plain
    assert not hasattr(plain, eager.KNOWN)

    class Own(torch.optim.SGD):
        pass

    own = Own([torch.zeros(1)], lr=0.1)
    assert eager.step_of(own) == own.step


def test_a_step_is_without_hooks_as_it_says_and_one_of_ones_own_has_them() -> None:
    class Own(torch.optim.SGD):
        pass

    called: list[str] = []
    for kind in (torch.optim.SGD, Own):
        one = kind([torch.zeros(1, requires_grad=True)], lr=0.1)
        one.register_step_pre_hook(lambda *_: called.append("before"))
        one.register_step_post_hook(lambda *_: called.append("after"))
        eager.step_of(one)()
        assert called == ([] if kind is torch.optim.SGD else ["before", "after"])
