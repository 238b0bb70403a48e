"""How long a run takes here, from a few epochs that are trained for it and not kept."""

from __future__ import annotations

import time

from grok.spec.config import RunConfig
from grok.spec.studies import training_flops
from grok.training.loop import Training

MEASURED_S = 2.0
"""Seconds that are trained; the least that tells an epoch of the default size."""


def seconds_per_flop(config: RunConfig, measured_s: float = MEASURED_S) -> float:
    """Wall time of a run by its work, `training_flops`: a lower bound, since nothing is observed or stored meanwhile.

    Args:
        config: of a run that can be trained here. measured_s: to train for, in s; two epochs at least.
    """
    resolved = config.resolved()
    steps = iter(Training(resolved))
    next(steps)  # with what is made once
    started, epochs = time.perf_counter(), 0
    for _ in steps:
        epochs += 1
        if time.perf_counter() - started >= measured_s and epochs > 1:
            break
    return (time.perf_counter() - started) / max(epochs, 1) * resolved.epochs / training_flops(resolved)
