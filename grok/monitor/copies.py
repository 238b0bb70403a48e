"""torch's optimiser inside others, and a notice of one that is deep-copied while it is attached: copies have no hooks."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from grok.spec.fields import refuse


def unwrapped(optimizer: Any) -> Optimizer:
    """Torch's optimiser inside those of Accelerate, Lightning and the like.

    Raises:
        ConfigError: if there is none.
    """
    inner = optimizer
    while not _hooked(inner) and getattr(inner, "optimizer", None) is not None:
        inner = inner.optimizer
    if not _hooked(inner):
        refuse(
            "optimizer",
            "be a torch.optim.Optimizer, or wrap one",
            type(optimizer).__name__,
            "Call monitor.update() after each step",
        )
    found: Optimizer = inner
    return found


def _hooked(optimizer: Any) -> bool:
    """Whether it is torch's own: a wrapper that inherits from it has not run its constructor, and has no hooks."""
    return isinstance(optimizer, Optimizer) and "_optimizer_step_post_hooks" in vars(optimizer)


class _Marked(dict[str, Any]):
    """An attached optimiser's `defaults`, the one thing that a deep copy takes along and a state dict does not.

    Pickled, it is a plain dict: what is stored needs no monitor to be read.
    """

    copied = False
    monitors = 1

    def __deepcopy__(self, memo: dict[int, Any]) -> _Marked:
        other = _Marked(copy.deepcopy(dict(self), memo))
        other.copied = True
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


_HANDLES: dict[int, Any] = {}
"""torch's global hook, one for all that are attached, and the numbers of those."""


def mark(optimizer: Optimizer) -> None:
    """An optimiser is attached, by one monitor more: a deep copy that steps without one is told from now on."""
    known = optimizer.defaults
    if isinstance(known, _Marked) and not known.copied:
        known.monitors += 1
        return
    optimizer.defaults = _Marked(known)
    if not _HANDLES:
        _HANDLES[0] = register_optimizer_step_post_hook(_stepped)
    _HANDLES[id(optimizer)] = None


def monitors(optimizer: Optimizer) -> int:
    """How many monitors it is attached to."""
    known = optimizer.defaults
    return known.monitors if isinstance(known, _Marked) and not known.copied else 0


def unmark(optimizer: Optimizer) -> None:
    """One monitor of it is gone; after the last it is not attached any more."""
    known = optimizer.defaults
    if isinstance(known, _Marked) and known.monitors > 1:
        known.monitors -= 1
        return
    optimizer.defaults = dict(optimizer.defaults)
    _HANDLES.pop(id(optimizer), None)
    if set(_HANDLES) == {0}:
        _HANDLES.pop(0).remove()


def _stepped(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    """The global hook: tell of a copy that no monitor sees."""
    if getattr(optimizer.defaults, "copied", False):
        from grok.monitor.guard import MonitorWarning

        optimizer.defaults = dict(optimizer.defaults)  # so it is told once
        warnings.warn(
            f"A deep copy of a monitored {type(optimizer).__name__} steps, and the copy has no hooks. "
            "Attach it, to the copy of the monitor, if it is to be seen.",
            MonitorWarning,
            stacklevel=2,
        )


_stepped._torchdynamo_disable = True  # type: ignore[attr-defined]
