"""Where the code is and which commit it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from grok.store.tags import CODE_DIRTY, CODE_VERSION

PROJECT = Path(__file__).resolve().parent.parent.parent


def code_tags() -> dict[str, str]:
    """Git commit of the project and whether the tree differs from it; `unknown` outside a checkout."""

    def git(*words: str) -> str:
        try:
            out = subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "unknown"
        return out.stdout.strip() if out.returncode == 0 else "unknown"

    inside = git("rev-parse", "--show-toplevel")
    commit = git("rev-parse", "HEAD") if inside == str(PROJECT) else "unknown"
    dirty = "unknown" if commit == "unknown" else str(bool(git("status", "--porcelain", "--untracked-files=no"))).lower()
    return {CODE_VERSION: commit, CODE_DIRTY: dirty}
