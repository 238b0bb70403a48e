"""Parameters that are not those of the start: an optimiser's, a model's. What is trained then is not read, and is told."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from grok.monitor.guard import MonitorWarning


def grown(optimizer: Optimizer, read: Mapping[str, Tensor], frozen: Mapping[str, Tensor]) -> Callable[..., None]:
    """A hook that tells of parameters that an optimiser gets, or loses, or begins to train after it was attached.

    Args:
        optimizer: that is attached. read: what is read of it, by name. frozen: what is left out as it was frozen.
    """
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    waiting = dict(frozen)
    kind = type(optimizer).__name__

    def called(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        nonlocal known
        now = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if now != known:
            gone = [name for name, p in read.items() if id(p) in known - now]
            more, known = len(now - known), now
            if gone:
                _tell(f"{kind} has {len(gone)} of the parameters read no more, such as {gone[0]}. A new monitor is due.")
            elif more:
                _tell(f"{kind} has {more} more parameters than when it was attached. A new monitor reads them.")
        thawed = [name for name, p in waiting.items() if p.requires_grad and id(p) in now]
        if thawed:
            for name in thawed:
                del waiting[name]
            line = f"{len(thawed)} parameters are trained that were frozen and are not read, such as {thawed[0]}."
            _tell(f"{line} A new monitor reads them.")

    called._torchdynamo_disable = True  # type: ignore[attr-defined]
    return called


class Model:
    """The model, to see whether it still has the parameters that are read; it is not kept alive.

    Args:
        model: an nn.Module; of anything else nothing is seen.
    """

    def __init__(self, model: Any) -> None:
        self._model = weakref.ref(model) if isinstance(model, nn.Module) else None
        self._told = False

    def look(self, read: Mapping[str, Tensor]) -> None:
        """Tell, once, if the model has other tensors in place of those that are read."""
        model = None if self._model is None or self._told else self._model()
        if model is None:
            return
        now = {id(p) for p in model.parameters()}
        gone = [name for name, p in read.items() if id(p) not in now]
        if gone:
            self._told = True
            _tell(
                f"The model has {len(gone)} of the parameters that are read no more, such as {gone[0]}: they were replaced, as "
                "load_state_dict(assign=True) does. A new optimizer and a new monitor are due."
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy of the monitor knows no model."""
        return Model, (None,)


def _tell(line: str) -> None:
    warnings.warn(line, MonitorWarning, stacklevel=3)
