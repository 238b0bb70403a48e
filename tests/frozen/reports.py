"""The report of the frozen store as `analyze` writes it: digests of its files, and the text of its Markdown.

Figures are replaced by an empty one before they are drawn, since how they look depends on the installed matplotlib and fonts;
their tables, captions and names are frozen. Nothing else is made equal: a report says neither when nor by which code nor where
it was made.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from matplotlib.figure import Figure

from analysis import papers
from entry_points import analyze, cli
from tests.frozen.frozen_store import Frozen

DRAWN = re.compile(r"<svg.*?</svg>", re.DOTALL)
PICTURES = (".svg", ".pdf", ".png")
PARTLY = "report.html"
"""Has drawings inside."""


def blank(_tables: Any) -> Figure:
    """Stands for a drawing."""
    return Figure(figsize=(1, 1))


def command(*arguments: str) -> str:
    """The command line in this process, with blank figures; its output.

    Raises:
        RuntimeError: if it failed.
    """
    out, err = io.StringIO(), io.StringIO()
    plain = mock.patch.object(papers, "PANELS", tuple(replace(panel, draw=blank) for panel in papers.PANELS))
    argv = mock.patch.object(sys, "argv", ["analyze", *arguments])
    status: Any = None
    with plain, argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.run_main(analyze.main)
        except SystemExit as left:
            status = left.code
    if status:
        raise RuntimeError(f"{status}: {err.getvalue()}")
    return out.getvalue()


def report(frozen: Frozen, folder: Path) -> dict[str, Any]:
    """The result line, the files with their digests, and what `claims.json` counts; the report is in `folder` then."""
    words = dict(word.split("=", 1) for word in command("--out", str(folder)).split())
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    counted = json.loads(files["claims.json"])
    return {
        "line": {name: value for name, value in words.items() if name not in ("run", "out")},
        "counts": {name: counted[name] for name in ("format", "verdicts", "runs", "left_out")},
        "files": {name: digest(name, content) for name, content in files.items()},
    }


def digest(name: str, content: bytes) -> str:
    """SHA-256 of what does not depend on how figures are drawn; empty for a picture and for the list of all files' digests."""
    if name.endswith(PICTURES):
        return ""
    if name == "files.json":
        return ", ".join(sorted(json.loads(content))) + f"; {len(json.loads(content)['files'])} files"
    if name == PARTLY:
        content = DRAWN.sub("<svg/>", content.decode("utf-8")).encode()
    return hashlib.sha256(content).hexdigest()
