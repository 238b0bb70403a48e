"""Optimisers of one's own that are wrong in one way each are refused before a run; a good one resumes to the same bits."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from grok.runs.trial import check_own
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.fields import ConfigError
from grok.spec.plugins import own_code
from grok.training.loop import Training
from grok.training.parts import sources
from tests.contracts.own import CONFIG

pytestmark = pytest.mark.faults
GOOD = """
import torch

class Own(torch.optim.Optimizer):
    def __init__(self, parameters, lr, weight_decay):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["sum"] = torch.zeros_like(p)
                state["sum"].mul_(0.9).add_(p.grad + group["weight_decay"] * p)
                p.sub_(state["sum"], alpha=group["lr"])
"""
WRONG = {
    "no optimiser": ("class Own(torch.optim.Optimizer):", "class Own(dict):", "optimizer must work on a first try, got {}"),
    "replaces": (
        'p.sub_(state["sum"], alpha=group["lr"])',
        "p.data = p - group['lr'] * state['sum']",
        "write weights in place",
    ),
    "drops gradients": ('p.sub_(state["sum"]', 'p.grad = None; p.sub_(state["sum"]', "write weights in place and keep"),
    "divides": ('alpha=group["lr"])', 'alpha=group["lr"] / 0.0)', "work on a first try"),
    "not a number": ('state["sum"] = torch.zeros_like(p)', 'state["sum"] = p * float("inf")', "give finite weights"),
    "stands still": (
        'p.sub_(state["sum"], alpha=group["lr"])',
        'p.dim() and p.shape[0] == 3 or p.sub_(state["sum"])',
        "move every layer",
    ),
    "forgets": (
        'state["sum"] = torch.zeros_like(p)',
        'self.kept = getattr(self, "kept", {}); state["sum"] = torch.zeros_like(p)',
        "",
    ),
    "keeps numbers": (
        'p.sub_(state["sum"], alpha=group["lr"])',
        'state["n"] = state.get("n", 0) + 1; p.sub_(state["sum"], alpha=group["lr"] / state["n"])',
        "go on from its state to the same bits",
    ),
    "mixes seeds": (
        'p.sub_(state["sum"], alpha=group["lr"])',
        'p.sub_(state["sum"], alpha=group["lr"] / sum(q.grad.norm() for q in group["params"]).item())',
        "step each seed by its own gradient",
    ),
    "two groups": (
        'super().__init__(parameters, {"lr"',
        'super().__init__([{"params": parameters[:1]}, {"params": parameters[1:]}], {"lr"',
        "have one group",
    ),
    "no decay": ('{"lr": lr, "weight_decay": weight_decay}', '{"lr": lr}', "keep weight_decay in its group"),
    "wants a closure": ("def step(self, closure=None):", "def step(self, closure):", "work on a first try"),
}


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of one's own beside which nothing stands."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "own_optimizer_file.py"
    sys.modules.pop("own_optimizer_file", None)


def config(**changes: object) -> ResolvedConfig:
    return replace(CONFIG, optimizer="own_optimizer_file:Own", learning_rate=0.01, **changes)


@pytest.mark.parametrize("what", WRONG)
def test_an_optimiser_that_is_wrong_in_one_way_is_refused(what: str, named: Path) -> None:
    old, new, said = WRONG[what]
    assert GOOD.count(old) == 1
    named.write_text(GOOD.replace(old, new), encoding="utf-8")
    if not said:  # a change that harms nothing
        return check_own(config())
    with pytest.raises(ConfigError, match=r"^optimizer must .*own_optimizer_file:Own.*docs/howto/optimizer.md") as caught:
        check_own(config())
    assert said.format("own_optimizer_file:Own") in str(caught.value)
    assert "\n" not in str(caught.value)
    return None


def test_one_that_is_not_there_is_refused(named: Path) -> None:
    with pytest.raises(ConfigError, match=r"^optimizer must be importable, got own_optimizer_file:Own"):
        check_own(config())
    named.write_text("Own = 3\n", encoding="utf-8")
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match=r"^optimizer must be called, got own_optimizer_file:Own \(int\)"):
        check_own(config())
    with pytest.raises(ConfigError, match="optimizer must be one of adam, adamw, sgd, muon or module:NAME, got lion"):
        RunConfig(optimizer="lion")


def test_a_good_one_is_part_of_the_identity_and_goes_on_to_the_same_bits(named: Path) -> None:
    named.write_text(GOOD, encoding="utf-8")
    check_own(config())
    assert own_code(config()) == ["optimizer own_optimizer_file:Own"]
    assert sources(config()) == (named,)
    first = config().hash
    named.write_text(GOOD + "# another\n", encoding="utf-8")
    assert config().hash != first
    straight, stopped = Training(config()), Training(config())
    ends = [step.weights["w"].clone() for step in straight][-1]
    for step in stopped:
        if step.epoch == 11:
            break
    kept = {name: value.clone() for name, value in stopped.state(0).items()}
    again = Training(config())
    again.load([kept])
    assert torch.equal([step.weights["w"].clone() for step in again][-1], ends)
