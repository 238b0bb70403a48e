"""Whether the files of a finished run are whole. One whose files are not does not stand for its config any more.

What is known from sizes and checksums is looked at, without importing torch, pandas or mlflow; whether the numbers are those
of a run is for the report.
"""

from __future__ import annotations

import errno
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from grok.spec.artifacts import SLACK, bounds, needed
from grok.spec.fields import ConfigError, shown
from grok.spec.limited import MOST_BYTES, BrokenFileError, plain_file, tensors_header, untrusted
from grok.spec.limited_tables import PLACE, check_table
from grok.spec.plugins import own_code
from grok.store.errors import StoreError
from grok.store.moved import local_path
from grok.store.tags import StoredRun

CHUNK = 1 << 20
"""Bytes that are read at a time."""
COLUMNS = 512
"""Columns of a history at most, where it is so long that they are more than `MOST_BYTES`; ours."""
NAMES = "EACCES EPERM EIO ENOMEM EMFILE ENFILE ESTALE ETIMEDOUT EREMOTEIO ENODEV ENXIO EBUSY EAGAIN EINTR ENOBUFS EUCLEAN"
OF_THE_MACHINE = frozenset(number for name in NAMES.split() if (number := getattr(errno, name, None)) is not None)
"""Errors that say nothing of a file: no right to it, no memory, no handle left, a disk or a server that fails."""
ASKED = re.compile(r"of size (\d+)")
"""How Arrow says what memory it did not get."""


def flaw(run: StoredRun) -> str:
    """What is wrong with the files of a finished run, in words; empty if nothing is, or if they are not on a disk here.

    Raises:
        StoreError: if the files of all runs of its experiment are away, as those of a disk that is not mounted, or if a file
            cannot be read for want of a right, of memory or of a sound disk: that says nothing of the run.
    """
    root = local_path(run.artifact_uri)
    if root is None:
        return ""
    if why := _gone(root, run.run_id):
        return why
    try:
        config = run.config
        names, most = needed(config, run.state == "complete"), bounds(config)
    except ConfigError:
        return ""  # `StoredRun.edited` says so
    if own_code(config, ("network",)):  # how many layers it has is not known
        most |= {name: max(count, MOST_BYTES) for name, count in most.items() if name.endswith(".npz")}
    left_out = frozenset(run.files_left_out)
    for name in names:
        try:
            _check(root / name, most.get(name, 0)) if name not in left_out else None
        except FileNotFoundError:
            return f"its file {name} is gone"
        except (BrokenFileError, OSError) as error:
            cause = error.__cause__ or error
            if _of_the_machine(cause, most.get(name, 0)):
                raise StoreError(
                    f"files of finished runs must be readable, got {root / name} ({type(cause).__name__} {cause!s:.100}). "
                    "Mend that, or train anew with --force."
                ) from error
            return f"its file {name} is not whole ({error!s:.100})"
    return ""


def _gone(root: Path, run_id: str) -> str:
    """That a run's folder of files is not there, in words; empty if it is.

    Raises:
        StoreError: if no folder of its experiment is.
    """
    home = root.parent.parent
    try:
        away, there = not home.is_dir(), root.is_dir() and not root.is_symlink()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return f"no folder can have the name of its folder of files: {shown(root)}"
    if away:
        raise StoreError(
            f"files of finished runs must be there, got no folder {home}. Bring it back, or train anew with --force."
        )
    return "" if there and root.parts[-2:] == (run_id, "artifacts") else f"its folder of files is gone: {root}"


def _of_the_machine(error: BaseException, most: int) -> bool:
    """Whether an error says nothing of a file. Want of memory does where it is less than a whole file would ask for."""
    if isinstance(error, MemoryError):
        asked = ASKED.search(str(error))
        return asked is None or int(asked[1]) <= PLACE * most + SLACK
    return isinstance(error, OSError) and error.errno in OF_THE_MACHINE


def _check(path: Path, most: int) -> None:
    """Raises BrokenFileError if a file is not what was written or is more than `bounds` says, FileNotFoundError if it is not
    there.
    """
    plain_file(path)
    path.open("rb").close()
    with untrusted():
        CHECKS[path.suffix](path, most)


def _table(path: Path, most_rows: int) -> None:
    import pyarrow.parquet as pq

    check_table(path, max(MOST_BYTES, 8 * COLUMNS * most_rows), most_rows)
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for _ in file.iter_batches():
            pass


def _archive(path: Path, most_bytes: int) -> None:
    with zipfile.ZipFile(path) as archive:
        if (size := sum(entry.file_size for entry in archive.infolist())) > most_bytes:
            raise BrokenFileError(f"{size} bytes of arrays, at most {most_bytes} are expected")
        if strange := {entry.compress_type for entry in archive.infolist()} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise BrokenFileError(f"arrays packed by method {min(strange)}")  # whose header may ask for any memory
        for entry in archive.infolist():
            with archive.open(entry) as member:
                while member.read(CHUNK):  # to the end, where its checksum is held against what was read
                    pass


def _tensors(path: Path, _: int) -> None:
    content, rest = tensors_header(path)
    header = json.loads(content)
    end = max((one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"), default=0)
    if rest != end:
        raise BrokenFileError(f"{rest} bytes of tensors in place of {end}")


CHECKS: dict[str, Callable[[Path, int], None]] = {".parquet": _table, ".npz": _archive, ".safetensors": _tensors}
"""By the ending of a file. Weights have a checksum too, which whoever reads them looks at."""
