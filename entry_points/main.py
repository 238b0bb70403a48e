"""The first thing to run: the study `quick`, two seeds of each condition, with its summary.

It takes the flags of `study`, so a larger study is one flag away.
"""

from __future__ import annotations

from entry_points import study
from entry_points.cli import OneLineParser, run_main


def parser() -> OneLineParser:
    """The flags of `study`."""
    out = study.parser()
    out.prog, out.description = "python -m entry_points.main", __doc__
    return out


def main(arguments: list[str]) -> int:
    """Run a study, `quick` unless said otherwise."""
    return study.run(parser().parse_args(arguments))


if __name__ == "__main__":
    run_main(main)
