"""Signals of the weights themselves, such as an effective rank: a block's matrices stand for the layers that a signal reads.

Shapes: a matrix is (inputs, outputs), as the project's layers are; torch's Linear has (outputs, inputs) and is turned round.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from grok.monitor.selection import Selection, is_sharded
from grok.monitor.tail import Tail
from grok.spec.fields import refuse

if TYPE_CHECKING:
    from grok.signals.base import Signal
else:
    Signal = Any  # for who reads hints as the program runs: the module comes with the first monitor

CHAIN = ("w", "v")
"""Layers that any block may have: one matrix, or two of which the second takes what the first gives."""


def layers_of(name: str, signal: Signal, block: str, parameters: Mapping[str, Tensor]) -> dict[str, str]:
    """The parameter that stands for each layer of a signal; of one that names no layers, each by its own name.

    Raises:
        ConfigError: if the block has not the matrices that it reads, or they are sharded or complex.
    """
    matrices = [one for one, parameter in parameters.items() if parameter.dim() >= 2]
    for one in matrices:
        if is_sharded(parameters[one]) or parameters[one].is_complex():
            kind = "sharded" if is_sharded(parameters[one]) else "complex"
            refuse(f"signal {name}", "read whole real matrices", f"{one} ({kind})", "Leave it out of signals")
    if not signal.layers:
        return {one: one for one in parameters}
    for wanted in signal.layers:
        if set(wanted) <= set(CHAIN) and len(wanted) == len(matrices) and _chained([parameters[one] for one in matrices]):
            return dict(zip(wanted, matrices, strict=True))
    two = any(len(set(wanted) & set(CHAIN)) == 2 for wanted in signal.layers)
    refuse(
        f"signal {name}",
        "find two matrices in a chain in each block" if two else "find one matrix in each block",
        f"{len(matrices)} in {block}",
        "Choose blocks by regular expressions",
    )


def _chained(matrices: list[Tensor]) -> bool:
    shapes = [matrix.flatten(1).shape for matrix in matrices]
    return all(before[0] == after[1] for before, after in itertools.pairwise(shapes))


def check(signals: Mapping[str, tuple[Signal, str]], selection: Selection) -> int:
    """Refuse signals of the weights that a block cannot feed; bytes that they keep of the weights.

    Raises:
        ConfigError: as `layers_of`.
    """
    kept = 0
    for block, names in selection.blocks.items():
        parameters = {name: selection.parameters[name] for name in names}
        copied: set[str] = set()
        for signal, _ in signals.values():
            if signal.per_epoch:
                found = layers_of(signal.name, signal, block, parameters)
                copied |= set(found.values()) if "moved" in signal.needs else set()
        kept += sum(parameters[name].numel() * parameters[name].element_size() for name in copied)
    return kept


class Matrices:
    """The values of such signals, of one block, at each update.

    Args:
        block: its name. parameters: by name; the tensors are held and read.
        signals: by column; those of a history are not looked at. history: values kept for a signal that reads them again.
    """

    def __init__(
        self, block: str, parameters: Mapping[str, Tensor], signals: Mapping[str, tuple[Signal, str]], history: int
    ) -> None:
        self.parameters, self.history = parameters, history
        self.signals = {column: one for column, one in signals.items() if one[0].per_epoch}
        self._layers = {
            column: layers_of(signal.name, signal, block, parameters) for column, (signal, _) in self.signals.items()
        }
        self._moves = any("moved" in signal.needs for signal, _ in self.signals.values())
        self._before: dict[str, Tensor] = {}
        self._values: dict[str, Tail] = {}  # of signals with `over`

    def read(self) -> dict[str, float]:
        """Each signal of the weights as they are; NaN while one of them is not finite."""
        if not self.signals:
            return {}
        used = dict.fromkeys(name for layers in self._layers.values() for name in layers.values())
        now = {name: self.parameters[name].detach() for name in used}
        whole = all(bool(torch.isfinite(weights).all()) for weights in now.values())
        out = {column: self._one(column, now, whole) for column in self.signals}
        if self._moves:
            self._before = {name: weights.clone() for name, weights in now.items()}
        return out

    def remember(self) -> None:
        """Take the weights as those before the next update, without a value of their own."""
        self._before = {name: self.parameters[name].detach().clone() for name in self._before}

    def _one(self, column: str, now: Mapping[str, Tensor], whole: bool) -> float:
        signal, variant = self.signals[column]
        layers = self._layers[column]
        turned = bool(signal.layers)
        value: Any = float("nan")
        if whole:
            given: dict[str, Any] = {"weights": {layer: _matrix(now[one], turned) for layer, one in layers.items()}}
            moved = {
                layer: _matrix(now[one] - self._before[one], turned) for layer, one in layers.items() if one in self._before
            }
            value = signal.at(given | {"moved": moved or None}, variant)
        if signal.over is None:
            return float(value)
        shape = np.asarray(value).shape
        if column not in self._values:
            if not whole:
                return float("nan")
            self._values[column] = Tail(self.history, shape)
        kept = self._values[column]
        kept.append(value)
        return float(signal.over_history(kept.values, variant)[-1])

    def state(self) -> dict[str, Any]:
        """What `load` goes on from, bit for bit."""
        return {
            "before": {name: weights.to("cpu", copy=True) for name, weights in self._before.items()},
            "values": {column: tail.state() for column, tail in self._values.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state` of the same parameters and signals."""
        self._before = {name: weights.to(self.parameters[name].device, copy=True) for name, weights in state["before"].items()}
        self._values = {}
        for column, saved in state["values"].items():
            self._values[column] = Tail(self.history, tuple(saved["rows"].shape[1:]))
            self._values[column].load(saved)


def _matrix(weights: Tensor, turned: bool) -> Tensor:
    """(inputs, outputs) of a layer; a kernel's other axes are inputs too."""
    return weights.flatten(1).T if turned else weights
