"""A function of somebody's own, tried on small tensors before a run is made: elementwise, deterministic, finite, of the same
dtype.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from grok.spec.fields import ConfigError
from grok.spec.plugins import said

SHAPES = ((2, 3), (1, 4, 5))
"""Of the tensors that it is tried on: rows alone, and seeds too."""
CLOSE = {torch.float32: 1e-4, torch.float64: 1e-9}
"""Relative difference between the value in a large and in a small tensor: kernels treat the rest of a row by other
instructions, which may round otherwise; a function that looks at other entries is off by far more."""
Elementwise = Callable[[Tensor], Tensor]


def check(name: str, value: Elementwise, derivative: Elementwise) -> None:
    """Refuse a function that a training could not use.

    Args:
        name: as the user gave it. value: σ. derivative: σ′, by autograd.

    Raises:
        ConfigError: naming it and what is wrong.
    """
    with torch.random.fork_rng(devices=[]):  # one that draws is found out, and leaves torch's generator as it was
        for dtype in CLOSE:
            for shape in SHAPES:
                torch.manual_seed(0)
                _check(name, value, derivative, torch.linspace(-2, 2, 20, dtype=dtype)[torch.randperm(20)], shape)


def _check(name: str, value: Elementwise, derivative: Elementwise, pool: Tensor, shape: tuple[int, ...]) -> None:
    probe = pool[: torch.Size(shape).numel()].reshape(shape)
    kept = probe.clone()
    try:
        first, again, slope = value(probe), value(kept.clone()), derivative(kept.clone())
        flat = probe.flatten()
        part = value(flat[1:].flip(0).clone()).flip(0)
    except BaseException as error:  # whatever a function of somebody else raises, `SystemExit` too, a person needs one line
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ConfigError(
            f"activation must act on tensors, got {name} ({said(error)}). Write it with torch functions."
        ) from error
    results = (first, again, slope, part)
    if not all(isinstance(found, Tensor) for found in results):
        _refuse(name, "return a tensor", f"{type(first).__name__}", "Return a tensor shaped like its input")
    if first.shape != probe.shape or slope.shape != probe.shape or part.shape != flat[1:].shape:
        _refuse(name, "act elementwise", "which changes the shape", "Return a tensor shaped like its input")
    if first.dtype != probe.dtype or slope.dtype != probe.dtype:
        _refuse(name, f"keep the dtype, here {probe.dtype}", f"which returns {first.dtype}", "Drop the conversion")
    if not (torch.isfinite(first).all() and torch.isfinite(slope).all()):
        _refuse(
            name, "be finite and have a finite slope from -2 to 2", "which is not", "Keep it from dividing by 0 and the like"
        )
    if not torch.equal(probe, kept):
        _refuse(name, "leave its input as it is", "which writes over it", "Work on a copy")
    if not torch.equal(first, again):
        _refuse(name, "give the same values each time", "which draws at random", "Drop what is random")
    if not torch.allclose(first.flatten()[1:], part, rtol=CLOSE[probe.dtype], atol=CLOSE[probe.dtype]):
        _refuse(name, "act elementwise", "whose values depend on the other entries", "Use each entry alone")


def _refuse(name: str, rule: str, what: str, step: str) -> None:
    raise ConfigError(f"activation must {rule}, got {name}, {what}. {step}.")
