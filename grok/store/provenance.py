"""Where the code is and which commit it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from grok.store.tags import CODE_DIRTY, CODE_VERSION

PROJECT = Path(__file__).resolve().parent.parent.parent
"""The clone; where the package is installed, the folder that it is in."""
GIVEN_VERSION = "GROK_CODE_VERSION"
"""Environment variable with the commit of a copy of the code that is no checkout, in a container for example."""


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
