"""Series of runs in files: one of each run, matrix, spectrum method and window, so that a new run costs its own series alone.

Those of earlier versions, of a whole cell in a file, are left where they are and not read.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np

from grok.spec.limited import BrokenFileError, plain_file
from grok.store import files

DIGEST_BYTES = 32


def place(folder: Path, run_id: str, key: tuple[str, str, int], source: str) -> Path:
    """The file of a series.

    Args:
        folder: of all. run_id: of the run. key: matrix, method, window. source: digest of what it is computed from.
    """
    matrix, method, window = key
    return folder / run_id / f"{matrix}-{method}-{window}-{source}.f64"


def digest(array: np.ndarray, seed: int | None = None) -> str:
    """(16 hex digits) of an array, and of the seed of what is drawn where something is."""
    content = hashlib.sha256(f"{array.shape} {array.dtype} {seed} ".encode())
    content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()[:16]


def read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """A float64 series of that shape as `write` kept it; None where it is not there, or not as it was written."""
    try:
        plain_file(path, 8 * math.prod(shape) + DIGEST_BYTES)
        content = path.read_bytes()
    except (OSError, BrokenFileError):
        return None
    body, checksum = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if len(body) != 8 * math.prod(shape) or hashlib.sha256(body).digest() != checksum:
        return None
    return np.frombuffer(body, dtype="<f8").astype(np.float64).reshape(shape)


def write(path: Path, array: np.ndarray) -> None:
    """Whole or not at all, as another process may be at it: the numbers and their SHA-256, and no header, whose reading would
    cost more than the numbers.
    """
    body = array.astype("<f8").tobytes()
    with files.whole(path) as partial:
        partial.write_bytes(body + hashlib.sha256(body).digest())
