"""What a run needs of memory, told before anything is allocated."""

from __future__ import annotations

import contextlib
import math

import psutil
import torch

from grok.numerics.methods import BLOCK
from grok.spec.config import ResolvedConfig
from grok.spec.fields import refuse
from grok.spec.limited import CGROUP
from grok.training.devices import resolve_device
from grok.training.parts import network_of, task_of

COPIES = 5
"""Of the weights: themselves, gradient, two moments of Adam, and the ones before the step."""
ROW_BYTES = 4096
"""Of an epoch's row of metrics: forty floats in a dict; ours."""


def tensor_bytes(config: ResolvedConfig, seeds: int = 1) -> int:
    """Bytes on the training device of S lockstep runs: weights, optimiser, raw updates kept, samples, scores, features.

    An estimate from below: what a step needs for a moment is left out.
    """
    item = 8 if config.precision == "float64" else 4
    network, sizes = network_of(config), task_of(config).sizes(config)
    parameters = {layer: math.prod(shape) for layer, shape in network.shapes(config, sizes).items()}
    slots = -(-(network.lags(config) + BLOCK) // BLOCK) * BLOCK
    kept = item * (COPIES * sum(parameters.values()) + slots * sum(parameters[layer] for layer in network.watched))
    tested = min(config.eval_sequences or sizes.test, sizes.test)
    out = kept + (sizes.train + tested) * 8 * (sizes.places + max(sizes.outputs, 1))
    if not config.batch_size and not sizes.outputs:  # else samples are scored some at a time
        out += (sizes.train + tested) * item * sizes.classes
    if "features" in network.gives:
        out += item * sizes.train * config.width + 8 * config.width**2
    return out * seeds


def row_bytes(config: ResolvedConfig, seeds: int = 1) -> int:
    """Bytes in the machine's memory of the table and the bands, which grow with each epoch."""
    network, rows = network_of(config), config.epochs // config.evaluate_every + 1
    return seeds * (rows * ROW_BYTES + (config.epochs + 1) * 8 * len(network.watched) * network.lags(config))


def memory(device: torch.device) -> int:
    """Bytes that a device has in all; of a container's share of the machine, where it has one."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):  # no such file, or `max`
        total = min(total, int(CGROUP.read_text(encoding="ascii")))
    return total


def check_size(config: ResolvedConfig, seeds: int = 1) -> None:
    """Refuse, before a run is made, what cannot fit in memory.

    Args:
        config: of the runs. seeds: that are trained in lockstep.

    Raises:
        ConfigError: if so, with the bytes that it would need and those that there are.
    """
    device, host = resolve_device(config.device), torch.device("cpu")
    needed = {device: tensor_bytes(config, seeds)}
    needed[host] = needed.get(host, 0) + row_bytes(config, seeds)
    for place, count in needed.items():
        if count > memory(place):
            sizes = f"width {config.width}, modulus {config.modulus}, epochs {config.epochs}, max_window {config.max_window}"
            refuse(
                "config",
                f"fit in the memory of {place} ({shown(memory(place))})",
                f"{sizes}, which take {shown(count)} at least",
                "Lower them",
            )


def shown(count: int) -> str:
    """Bytes for people: `3.2 GiB`."""
    for power, unit in ((5, "PiB"), (4, "TiB"), (3, "GiB"), (2, "MiB")):
        if count >= 1024**power:
            whole = count // 1024**power
            return f"{count / 1024**power:.3g} {unit}" if whole < 10**6 else f"10^{len(str(whole)) - 1} {unit}"
    return f"{count} bytes"
