"""Where code for a GPU parts from code for a CPU: one question, so that a test can answer it and run both on a CPU.

`tests/numerics/test_placement.py` names what else asks for a device, and which test runs it.
"""

from __future__ import annotations

from torch import Tensor


def on_gpu(x: Tensor) -> bool:
    """Whether what is done with this tensor goes the way of a GPU. To be called through the module: tests replace it.

    Example:
        >>> import torch
        >>> on_gpu(torch.zeros(2))
        False
    """
    return x.is_cuda
