"""Optimisers that step while gradients are taken: the gradients, and most of the weights, have moved before a step is over."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from grok.spec.fields import refuse

STEP = "Call monitor.update() after backward"


def check(parameters: Mapping[str, Tensor]) -> None:
    """Refuse parameters that an optimiser steps in backward: by torch's own function, or by hooks that step one.

    A hook that finds its optimiser in another way is seen when it steps first.

    Raises:
        ConfigError: if there is such a parameter, with its name.
    """
    for name, parameter in parameters.items():
        hooks = getattr(parameter, "_post_accumulate_grad_hooks", None) or {}
        if hasattr(parameter, "_in_backward_optimizers") or any(steps(hook) for hook in hooks.values()):
            _refuse(name)


def check_now() -> None:
    """Refuse a step that is taken in backward.

    Raises:
        ConfigError: if gradients are being taken.
    """
    if torch._C._current_graph_task_id() != -1:  # as torch's own FSDP asks
        _refuse("seen at its first step")


def _refuse(where: str) -> None:
    refuse("optimizer", "step all its parameters at once to be attached", f"one that steps in backward ({where})", STEP)


def steps(hook: Any) -> bool:
    """Whether a hook's code calls `step` and it holds an optimiser, or several."""
    if isinstance(hook, functools.partial):
        return steps(hook.func) or (_calls(hook.func) and _any((*hook.args, *hook.keywords.values())))
    function = getattr(hook, "__func__", hook)
    if not hasattr(function, "__code__"):
        return False
    cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    named = [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    own = list(vars(hook.__self__).values()) if hasattr(hook, "__self__") and hasattr(hook.__self__, "__dict__") else []
    return _calls(function) and _any((*cells, *named, *defaults, *own))


def _calls(function: Any) -> bool:
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and "step" in code.co_names


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _any(values: Iterable[Any]) -> bool:
    for value in values:
        several = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else (value,)
        if any(isinstance(one, Optimizer) for one in several):
            return True
    return False
