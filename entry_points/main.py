"""The first thing to run: the study `quick`, two seeds of each condition, with its summary.

It takes the flags of `study`, so a larger study is one flag away.
"""

from __future__ import annotations

from entry_points import study
from entry_points.cli import run_main


def main(arguments: list[str]) -> int:
    """Run a study, `quick` unless said otherwise."""
    parser = study.parser()
    parser.prog, parser.description = "main", __doc__
    return study.run(parser.parse_args(arguments))


if __name__ == "__main__":
    run_main(main)
