"""Write `docs/licences.md` anew: `python -m docs.licences`. The licence of every locked package, as `pip-licenses` reads it.

It runs in the environment that has the locked packages, with `pip-licenses` beside them; those that this machine does not
install (another system's, CUDA's) are named without one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "licences.md"
HEAD = """\
# Licences

The project is under the MIT licence ([LICENSE](../LICENSE)); every file of it, unless the file says otherwise. It contains no
code of the packages below and is handed out without them: each is installed from its own source, under its own licence.
The list is of `requirements.lock`, written by `python -m docs.licences` with `pip-licenses`.

| package | version | licence |
|---|---|---|
"""
LONG = {"Copyright 2018 Databricks": "Apache-2.0"}
"""Texts that a package has in place of a name, by how they begin."""
READ = {"huey": "MIT", "skops": "MIT"}
"""Of packages whose metadata have none, as their licence files say."""


def locked() -> dict[str, str]:
    """Version by name of every package of the lock file."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][\w.-]*)==([^\s;\\\\]+)", text, re.MULTILINE))


def rows(found: list[dict[str, str]]) -> list[str]:
    """A line of the table for each locked package."""
    known = {re.sub(r"[-_.]+", "-", one["Name"]).lower(): one["License"] for one in found}
    out = []
    for name, version in locked().items():
        licence = " ".join(known.get(name, "not installed on the machine that wrote this").split())
        licence = next((short for begin, short in LONG.items() if licence.startswith(begin)), licence)
        licence = READ.get(name, licence) if licence == "UNKNOWN" else licence
        out.append(f"| {name} | {version} | {licence.replace('|', '/')[:120]} |")
    return out


def main(python: str = sys.executable) -> None:
    """Ask pip-licenses about an environment, and write."""
    words = [sys.executable, "-m", "piplicenses", "--python", python, "--format=json", "--from=mixed"]
    found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    OUT.write_text(HEAD + "\n".join(rows(found)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
