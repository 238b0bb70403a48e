"""Series of runs in files: one of each run, matrix, spectrum method and window, so that a new run costs its own series alone.

Those of earlier versions, of a whole cell in a file, are left where they are and not read.
"""

from __future__ import annotations

import hashlib
import io
import math
from pathlib import Path

import numpy as np

from grok.spec.limited import array_header
from grok.store import files

DIGEST_BYTES = 32


def place(folder: Path, run_id: str, key: tuple[str, str, int], source: str) -> Path:
    """The file of a series.

    Args:
        folder: of all. run_id: of the run. key: matrix, method, window. source: digest of what it is computed from.
    """
    matrix, method, window = key
    return folder / run_id / f"{matrix}-{method}-{window}-{source}.npy"


def digest(array: np.ndarray, seed: int | None = None) -> str:
    """(16 hex digits) of an array, and of the seed of what is drawn where something is."""
    content = hashlib.sha256(f"{array.shape} {array.dtype} {seed} ".encode())
    content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()[:16]


def read(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """A float64 series of that shape as `write` kept it; None where it is not there, or not as it was written."""
    try:
        content = path.read_bytes()
        body, checksum = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != checksum:
            return None
        stream = io.BytesIO(body)
        there, dtype = array_header(stream, path.name)
        if there != shape or dtype != np.float64 or 8 * math.prod(shape) > len(body):
            return None
        found: np.ndarray = np.load(io.BytesIO(body), allow_pickle=False)
        return found
    except Exception:  # its header is untrusted too: the tokenizer's errors
        return None


def write(path: Path, array: np.ndarray) -> None:
    """Whole or not at all, as another process may be at it; a SHA-256 at the end."""
    made = io.BytesIO()
    np.save(made, array)
    with files.whole(path) as partial:
        partial.write_bytes(made.getvalue() + hashlib.sha256(made.getvalue()).digest())
