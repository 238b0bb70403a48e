"""One parser by Atheris, where it is installed: `python -m tests.fuzz.by_atheris --only baseline --inputs 100000`.

It chooses inputs by the branches of the project's code that they take. What it finds ends the process, with the input.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Hand a parser to Atheris, which ends the process."""
    import atheris

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.by_atheris", description=__doc__)
    parser.add_argument("--only", required=True, help="name of the parser, as python -m tests.fuzz lists it")
    parser.add_argument("--inputs", type=int, default=100_000)
    flags = parser.parse_args(arguments)
    with atheris.instrument_imports(include=["grok", "analysis"]):
        known = importlib.import_module("tests.fuzz.targets")
    from tests.fuzz.__main__ import limited

    def one(content: bytes) -> None:
        with limited():
            known.attempt(flags.only, content)

    folder = Path(tempfile.mkdtemp(prefix="corpus-"))
    target = known.targets()[flags.only]
    for i, content in enumerate((*target.seeds, *target.odd, *target.greedy)):
        (folder / f"seed-{i}").write_bytes(content)
    atheris.Setup([sys.argv[0], f"-runs={flags.inputs}", "-rss_limit_mb=4096", "-max_len=65536", str(folder)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
