"""What a bundle is on disk: names, checksums, versions; and how one is looked at before a byte of it is believed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from grok.spec.fields import ConfigError, shown
from grok.spec.limited import BrokenFileError, free_memory, load_json

FORMAT: Final = "grok-bundle"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
RUNS: Final = "runs.json"
METRICS: Final = "metrics.parquet"
CRATE: Final = "ro-crate-metadata.json"
TABLES: Final = "tables"
"""Folder of the tables, each of many runs: `tables/history.parquet`."""
FILES: Final = "files"
"""Folder of files that are of one run and kept as they are: `files/RUN_ID/PATH`."""
PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*")
"""A part of a path in a bundle."""
JSON_SHARE: Final = 2
"""A JSON file may take one part of so many of the free memory; 1,605 runs have 8.3 MB, for which 128 MiB are counted."""
CHUNK: Final = 2**20


class BundleError(ConfigError):
    """A bundle cannot be used; one line with the rule, the value and the next step."""


def is_plain(path: str) -> bool:
    """Whether a path stays in its folder, on every system, and hides nothing."""
    return len(path) < 250 and all(PART.fullmatch(part) and not part.endswith(".") for part in path.split("/"))


def write_json(path: Path, value: Any) -> None:
    """A value as JSON, the same bytes for the same value."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def sha256(path: Path) -> str:
    """Of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    """`bytes` and `sha256` of every file under a folder but the manifest, by name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for name, path in names.items() if name != MANIFEST}


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json`, last: a folder without one is no bundle.

    Args:
        folder: with all other files. facts: what the bundle has and has not, for people.
    """
    write_json(folder / MANIFEST, {"format": f"{FORMAT}/{VERSION}", "files": entries(folder), **facts})


def read_json(path: Path) -> Any:
    """A JSON file of a bundle.

    Raises:
        BundleError: if it is too large, or no JSON.
    """
    try:
        return load_json(path, free_memory() // JSON_SHARE)
    except (OSError, BrokenFileError) as error:
        why = " ".join(str(error).split())[:120]
        raise BundleError(f"{path.name} must be JSON that fits into memory, got {why}. Export the bundle anew.") from error


def verified(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle whose every file is there, is a plain file and has the size and SHA-256 that it says.

    Raises:
        BundleError: naming what is not so.
    """
    if os.path.islink(folder) or not os.path.isdir(folder):  # a name that no folder can have is none
        raise BundleError(
            f"bundle must be a folder, got {shown(folder)}. Make one: python -m entry_points.export --out {shown(folder)}."
        )
    if not _is_file(folder / MANIFEST):
        raise BundleError(
            f"bundle must have {MANIFEST}, got none in {folder}. Make it anew: python -m entry_points.export --out {folder}."
        )
    manifest = read_json(folder / MANIFEST)
    files = manifest.get("files") if isinstance(manifest, dict) else None
    _check_version(manifest.get("format") if isinstance(manifest, dict) else None)
    if not isinstance(files, dict) or not {RUNS, METRICS} <= set(files):
        raise BundleError(f"{MANIFEST} must list {RUNS} and {METRICS}, got a list without. Export the bundle anew.")
    for name, entry in files.items():
        _check_entry(folder, name, entry)
    return dict(manifest)


def _check_version(text: Any) -> None:
    known = re.fullmatch(rf"{FORMAT}/(\d{{1,6}})", text) if isinstance(text, str) else None
    if known is None:
        raise BundleError(f"bundle must be of format {FORMAT}/{VERSION}, got {str(text)[:40]}. Export it anew.")
    if int(known[1]) > VERSION:
        raise BundleError(f"bundle must be of format {FORMAT}/{VERSION} or older, got {text}. Import it with a newer version.")
    if int(known[1]) < VERSION:
        raise BundleError(f"bundle must be of format {FORMAT}/{VERSION}, got {text}, which never was. Export it anew.")


def _check_entry(folder: Path, name: str, entry: Any) -> None:
    if not is_plain(name) or name == MANIFEST:
        raise BundleError(f"files of a bundle must have plain names that stay in it, got {name[:100]!r}. Export it anew.")
    if not (isinstance(entry, dict) and isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str)):
        raise BundleError(f"{MANIFEST} must give bytes and sha256 of {name}, got {str(entry)[:60]}. Export the bundle anew.")
    path = folder / name
    if any(part.is_symlink() for part in (path, *path.parents) if folder in part.parents) or not _is_file(path):
        raise BundleError(f"files of a bundle must be plain files, got {name}, which is missing or a link. Copy it again.")
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise BundleError(f"{name} must have {entry['bytes']} bytes, got {size}. Copy the bundle again.")
    if sha256(path) != entry["sha256"]:
        raise BundleError(f"{name} must have the SHA-256 {entry['sha256'][:16]}…, got another. Copy the bundle again.")


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


@contextmanager
def building(out: Path) -> Iterator[Path]:
    """A new folder that becomes `out` if all goes well; until then `out` is as it was.

    Raises:
        BundleError: if `out` is neither new, nor empty, nor a bundle alone, or cannot be written.
    """
    try:
        out = out.absolute()
        _check_out(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name[:100]}-", dir=out.parent))
    except BundleError:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise BundleError(f"out must be in a folder that can be written, got {shown(out)} ({why}). Name another.") from error
    try:
        made, old = folder / "new", folder / "old"
        made.mkdir()
        yield made
        if out.exists():
            os.replace(out, old)
        os.replace(made, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_out(out: Path) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not out.is_dir():
        raise BundleError(f"out must be a folder, got {out}. Name another.")
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir() or path.is_symlink()}
    if not there:
        return
    known = read_json(out / MANIFEST) if MANIFEST in there else None
    ours = isinstance(known, dict) and str(known.get("format")).startswith(FORMAT) and isinstance(known.get("files"), dict)
    strange = there - set(known["files"]) - {MANIFEST} if ours and known else there
    if strange:
        raise BundleError(f"out must be a new folder or hold a bundle alone, got {out} with {min(strange)}. Name another.")
