"""Optimisers of torch without its compiler, which they import to tell it to stay away: seconds before the first step.

Where torch is otherwise than is known here, its own way is taken; the numbers are the same. Left out around a step of torch's
own optimisers is what no run here uses: its record in torch's profiler, and hooks (of `register_optimizer_step_pre_hook` and
`register_optimizer_step_post_hook`, and an optimiser's own).
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator

import torch
from torch.optim import Optimizer

COMPILER = "torch._dynamo"
WRAPPED = ("add_param_group", "load_state_dict", "state_dict")
"""Methods that torch wraps so that the compiler does not look into them."""
KNOWN = "__dynamo_disable"
"""Attribute by which the wrapper remembers what it found: the method as the compiler has marked it."""


@contextlib.contextmanager
def without_compiler() -> Iterator[None]:
    """Inside, optimisers are made, saved and loaded without the compiler being imported; afterwards torch is as it was."""
    plain = [getattr(getattr(Optimizer, name, None), "__wrapped__", None) for name in WRAPPED]
    marked = [one for one in plain if one is not None and not hasattr(one, KNOWN)] if COMPILER not in sys.modules else []
    for one in marked:
        setattr(one, KNOWN, one)
    try:
        yield
    finally:
        for one in marked:
            delattr(one, KNOWN)


def step_of(optimizer: Optimizer) -> Callable[[], object]:
    """What takes a step of an optimiser: of one of torch's own the plain step, without gradients."""
    kind = type(optimizer)
    plain = inspect.unwrap(kind.step)
    if not kind.__module__.startswith("torch.optim.") or plain is kind.step or optimizer.defaults.get("differentiable", False):
        return optimizer.step

    def step() -> None:
        with torch.no_grad():
            plain(optimizer)

    return step
