"""Where code for a GPU parts from code for a CPU: one question, so that a test can answer it and run both on a CPU.

`tests/numerics/test_placement.py` names what else asks for a device, and which test runs it.
"""

from __future__ import annotations

import torch


def on_gpu(device: torch.device) -> bool:
    """Whether what is on this device goes the way of a GPU. To be called through the module: tests put another in its place.

    Example:
        >>> on_gpu(torch.zeros(2).device), on_gpu(torch.device("cuda", 1))
        (False, True)
    """
    return device.type == "cuda"
