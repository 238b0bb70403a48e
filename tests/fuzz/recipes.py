"""Small inputs that stand for large files: pieces that are repeated, and tables, arrays and tensors that are described in text.

An edit of the text gives another whole file, with checksums that hold, where an edit of the file gives a broken one.

    @1000000*[],@                 a piece so often
    @table / rows N / NAME KIND   a Parquet file: so many rows of columns of one value
    @arrays / NAME SHAPE DTYPE FILL   an npz archive, deflated: `w 12,8 <f8 band`
    @tensors / HEADER / DATA      a safetensors file of that header, whatever it says
"""

from __future__ import annotations

import decimal
import functools
import io
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PIECE = re.compile(rb"@(\d{1,9})\*([^@]{1,64})@")
MOST_INPUT = 32 << 20
"""Bytes that an input has once its pieces are repeated."""
MOST_CELLS, MOST_COLUMNS, BATCH = 12_000_000, 300, 100_000
"""Of a table that is made: 96 MB of numbers, of which no reader may make 512 MB. Rows that are made at a time."""
MOST_UNFOLDED, MOST_SIDE = 1 << 30, 10**8
"""Bytes of all arrays of an archive that is made; a side beside one of zero."""
CHUNK = 1 << 20
SHORT = 4096
"""Bytes of a description whose file is kept, as it is small too."""
LIST = pa.list_(pa.float64())
KINDS: dict[str, tuple[pa.DataType, Any]] = {
    "int": (pa.int64(), 1),
    "small": (pa.int8(), 1),
    "real": (pa.float64(), 0.5),
    "half": (pa.float16(), np.float16(0.5)),
    "bool": (pa.bool_(), True),
    "text": (pa.string(), "a"),
    "long": (pa.string(), "a" * 100),
    "bytes": (pa.binary(), b"\xff"),
    "null": (pa.null(), None),
    "time": (pa.timestamp("ns"), 1),
    "decimal": (pa.decimal128(9, 2), decimal.Decimal("0.25")),
    "wide": (pa.decimal256(60, 2), decimal.Decimal("0.25")),
    "list": (LIST, [0.5]),
    "empty": (LIST, []),
    "lists": (pa.list_(LIST), [[0.5]]),
    "fixed": (pa.list_(pa.int8(), 2), [1, 2]),
    "struct": (pa.struct({"a": pa.int32()}), {"a": 1}),
    "structs": (pa.list_(pa.struct({"a": pa.int32()})), [{"a": 1}]),
    "map": (pa.map_(pa.string(), pa.int32()), [("a", 1)]),
    "word": (pa.dictionary(pa.int32(), pa.string()), "a"),
}
"""Type and value of a column that is made; `epoch` counts its rows."""


def unfolded(content: bytes) -> bytes:
    """The input that a text stands for; itself where it is none of this."""
    if b"@" not in content:
        return content
    whole = PIECE.sub(lambda piece: _repeated(piece[2], piece[1]), content)[:MOST_INPUT]
    kind, _, rest = whole.partition(b"\n")
    if kind not in MAKERS:
        return whole
    return (_kept if len(rest) < SHORT else _made)(kind, rest) or whole


def _repeated(piece: bytes, count: bytes) -> bytes:
    return piece * min(int(count), MOST_INPUT // len(piece))


def _made(kind: bytes, recipe: bytes) -> bytes:
    """A file by its description; empty where it describes none."""
    try:
        return MAKERS[kind](recipe)
    except (ValueError, TypeError, KeyError, SyntaxError, OverflowError, pa.ArrowException, struct.error):
        return b""


_kept = functools.lru_cache(64)(_made)


def _words(recipe: bytes) -> list[list[str]]:
    return [line.split() for line in recipe.decode("utf-8", "replace").split("\n") if line.strip()]


def table(recipe: bytes) -> bytes:
    """A Parquet file: `rows 3000000`, then columns as `NAME KIND`."""
    (_, count), *columns = (words[:2] for words in _words(recipe))
    columns = columns[:MOST_COLUMNS]
    rows = max(0, min(int(count), MOST_CELLS // max(len(columns), 1)))
    schema = pa.schema([(name, pa.int64() if kind == "epoch" else KINDS[kind][0]) for name, kind in columns])
    made, size = io.BytesIO(), min(rows, BATCH)
    same = {kind: pa.array([KINDS[kind][1]], KINDS[kind][0]).take(_zeros(size)) for _, kind in columns if kind != "epoch"}
    with pq.ParquetWriter(made, schema, compression="zstd", write_page_checksum=True) as writer:
        for start in range(0, max(rows, 1), BATCH):
            length = min(size, rows - start)
            counted = pa.array(np.arange(start, start + length))
            parts = [counted if kind == "epoch" else same[kind].slice(0, length) for _, kind in columns]
            writer.write_table(pa.table(parts, schema=schema))
    return made.getvalue()


def _zeros(size: int) -> pa.Array:
    return pa.array(np.zeros(size, dtype=np.int64))


def arrays(recipe: bytes) -> bytes:
    """An npz archive: arrays as `NAME SHAPE DTYPE FILL`, filled with `zeros`, `ones`, or as a band is."""
    body, directory, left = b"", b"", MOST_UNFOLDED
    known = _words(recipe)
    for name, sides, kind, fill in known:
        shape, dtype = tuple(min(int(side), MOST_SIDE) for side in sides.split(",") if side), np.dtype(kind)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if not 0 <= size <= left:
            raise ValueError(f"{size} bytes")
        left -= size
        header = repr({"descr": dtype.str, "fortran_order": False, "shape": shape}).encode()
        header += b" " * (-(len(header) + 11) % 64) + b"\n"
        head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
        if fill == "band":
            band = np.tril(np.ones(shape, dtype))
            band[np.arange(shape[1])[None, :] >= np.arange(1, shape[0] + 1)[:, None]] = np.nan
            packed, crc = _deflated(head, band.tobytes(), 1, b"")
        else:
            one = bytes(dtype.itemsize) if fill == "zeros" else np.ones(1, dtype).tobytes()
            count, rest = divmod(size, CHUNK)
            packed, crc = _deflated(head, one * (CHUNK // max(len(one), 1)), count, (one * (rest // max(len(one), 1)))[:rest])
        entry = f"{name}.npy".encode()
        sizes = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, crc, len(packed), size + len(head), len(entry), 0)
        place = struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + sizes + place + entry
        body += b"PK\x03\x04" + sizes + entry + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(known), len(known), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def _deflated(head: bytes, piece: bytes, count: int, rest: bytes) -> tuple[bytes, int]:
    """Bytes, a piece so often, bytes, deflated, with their checksum; the piece is packed once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    often = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH) if count else b""
    crc = zlib.crc32(head)
    for _ in range(count):
        crc = zlib.crc32(piece, crc)
    return first + often * count + packer.compress(rest) + packer.flush(), zlib.crc32(rest, crc)


def tensors(recipe: bytes) -> bytes:
    """A safetensors file: a line that is its header, then its numbers."""
    header, _, numbers = recipe.partition(b"\n")
    return struct.pack("<Q", len(header)) + header + numbers


MAKERS: dict[bytes, Callable[[bytes], bytes]] = {b"@table": table, b"@arrays": arrays, b"@tensors": tensors}
