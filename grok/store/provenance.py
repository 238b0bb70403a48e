"""Where the code is, which commit it is, and what it is to the last byte."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from grok import _beside
from grok.store.tags import CODE_DIRTY, CODE_VERSION

PROJECT = Path(__file__).resolve().parent.parent.parent
"""The clone; where the package is installed, the folder that it is in."""
GIVEN_VERSION = "GROK_CODE_VERSION"
"""Environment variable with the commit of a copy of the code that is no checkout, in a container for example."""
LIBRARIES = ("matplotlib", "mlflow", "numpy", "pandas", "pyarrow", "scipy", "torch")
"""What makes numbers, tables and figures beside the project."""
INSTALLED = re.compile(rf"({'|'.join(LIBRARIES)})-[^-]+\.(dist|egg)-info")
"""The folder that an installer leaves of one, named with its version; to ask `importlib.metadata` takes 80 ms in place of 1."""


def home() -> Path:
    """Where results go by default: the clone, or the current folder where the package is installed."""
    return PROJECT if (PROJECT / "MLproject").is_file() else Path.cwd()


def code_tags() -> dict[str, str]:
    """Git commit of the project and whether the tree differs from it.

    Outside a checkout the commit is what `GROK_CODE_VERSION` says, `unknown` without it, and whether the tree differs is
    `unknown`.
    """

    def git(*words: str) -> str:
        try:
            out = subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "unknown"
        return out.stdout.strip() if out.returncode == 0 else "unknown"

    inside = git("rev-parse", "--show-toplevel")
    if inside != str(PROJECT):
        return {CODE_VERSION: os.environ.get(GIVEN_VERSION, "").strip() or "unknown", CODE_DIRTY: "unknown"}
    commit = git("rev-parse", "HEAD")
    dirty = "unknown" if commit == "unknown" else str(bool(git("status", "--porcelain", "--untracked-files=no"))).lower()
    return {CODE_VERSION: commit, CODE_DIRTY: dirty}


def code_digest() -> str:
    """SHA-256 of what makes results: each file of `grok`, `analysis` and `entry_points`, Python, and versions of `LIBRARIES`.

    Whether a file is committed makes no difference, nor whether there is git. Nothing is imported.

    Returns:
        64 hex digits; empty where a file cannot be read or a library's version not be told.
    """
    versions = [*dict.fromkeys(name for place in sys.path for name in _installed(place))]
    if {name.partition("-")[0] for name in versions} != {*LIBRARIES}:
        return ""
    out = hashlib.sha256("\0".join([sys.version, *versions]).encode())
    try:
        for package in (_beside.PACKAGE, *(_beside.folder() / name for name in _beside.NAMES)):
            for path in _sources(package):
                content = Path(path).read_bytes()
                out.update(os.fsencode(f"\0{os.path.relpath(path, package.parent)}\0{len(content)}\0") + content)
    except OSError:
        return ""
    return out.hexdigest()


def _installed(place: str) -> list[str]:
    """What installers have left of `LIBRARIES` in a folder of Python's path; nothing where it is none."""
    try:
        return sorted(filter(INSTALLED.fullmatch, os.listdir(place or ".")))
    except OSError:
        return []


def _sources(folder: str | Path) -> Iterator[str]:
    """The files below a package, in one order; not those that Python or an editor keeps there for itself."""
    with os.scandir(folder) as entries:
        found = {entry.name: entry for entry in entries if entry.name[0] != "." and entry.name != "__pycache__"}
    for _, entry in sorted(found.items()):
        if entry.is_dir():
            yield from _sources(entry.path)
        else:
            yield entry.path
