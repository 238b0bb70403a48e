"""The code of a GPU on a CPU's tensors: what it calls of torch is there too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from grok.numerics import placement


@contextlib.contextmanager
def gpu_path() -> Iterator[None]:
    """Within it the library takes every tensor for one on a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement, "on_gpu", lambda x: True)
        yield
