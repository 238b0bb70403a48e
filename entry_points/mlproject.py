"""Write MLproject anew from the flags of the entry points: `python -m entry_points.mlproject`."""

from __future__ import annotations

from pathlib import Path

from entry_points.cli import OneLineParser, run_main
from entry_points.generate import mlproject

PATH = Path(__file__).parent.parent / "MLproject"


def main(arguments: list[str]) -> int:
    """Write, and print one line."""
    OneLineParser(prog="python -m entry_points.mlproject", description=__doc__).parse_args(arguments)
    text = mlproject()
    changed = not PATH.exists() or PATH.read_text(encoding="utf-8") != text
    PATH.write_text(text, encoding="utf-8")
    print(f"out={PATH.name} changed={'yes' if changed else 'no'}")
    return 0


if __name__ == "__main__":
    run_main(main)
