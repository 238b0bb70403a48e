"""What was last made of a tensor, for functions of which several are asked of the same one."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


class Kept(threading.local):
    """Results of functions of one tensor, or of it and others, as long as they live unchanged; each thread has its own.

    Those of the tensor before are forgotten.

    Example:
        >>> import torch
        >>> kept, x = Kept(), torch.ones(2)
        >>> kept.of(x, "sum", lambda: float(x.sum())), kept.of(x, "sum", lambda: 0.0)
        (2.0, 2.0)
        >>> _ = x.add_(1)
        >>> kept.of(x, "sum", lambda: float(x.sum()))
        4.0
    """

    def __init__(self) -> None:
        self._owner = _Same()
        self._found: dict[Hashable, tuple[_Same, Any]] = {}

    def of(self, tensor: Tensor, name: Hashable, make: Callable[[], T], *others: Tensor) -> T:
        """What `make` gave for this tensor, and the others, under this name, made now unless it was. Nobody may change it."""
        if not self._owner.holds(tensor):
            self._owner, self._found = _Same(tensor), {}
        there = self._found.get(name)
        if there is None or not there[0].holds(*others):
            there = self._found[name] = _Same(*others), make()
        found: T = there[1]
        return found


class _Same:
    """Tensors as they are now, without keeping them alive."""

    def __init__(self, *tensors: Tensor) -> None:
        self._known = [(weakref.ref(tensor), tensor._version) for tensor in tensors]

    def holds(self, *tensors: Tensor) -> bool:
        """Whether it is these, unchanged."""
        return len(tensors) == len(self._known) and all(
            owner() is tensor and version == tensor._version
            for (owner, version), tensor in zip(self._known, tensors, strict=True)
        )
