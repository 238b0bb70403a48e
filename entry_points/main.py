"""The first thing to run: the study `quick`, two seeds of each condition, then what the project has to say about the store:
the sensitivity of its findings and the report.

It takes the flags of `study`, so a larger study is one flag away.
"""

from __future__ import annotations

import importlib
import importlib.util
import signal
import sys

from entry_points import study
from entry_points.cli import OneLineParser, run_main
from grok.store.errors import one_line

SEEDS = 5
"""Of condition grok, that a sensitivity analysis needs to tell the settings from chance; ours."""


def parser() -> OneLineParser:
    """The flags of `study`."""
    out = study.parser()
    out.prog, out.description = "python -m entry_points.main", __doc__
    return out


def main(arguments: list[str]) -> int:
    """Run a study, `quick` unless said otherwise, then `sensitivity` and `analyze`."""
    flags = parser().parse_args(arguments)
    status = study.run(flags)
    if status != 0 or flags.plan:
        return status
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what follows has no state to save first
    from grok.spec.studies import load_study

    chosen = load_study(flags.study)  # whose name in the store is not that of its file
    seeds = len({cell.config.seed for cell in chosen.cells if cell.condition == "grok"})
    if seeds < SEEDS:
        more = "To have it: python -m entry_points.main --study headline"
        _say(f"sensitivity: skipped, it needs {SEEDS} seeds of condition grok and {chosen.name} has {seeds}. {more}")
    else:
        status = _follow("sensitivity", "--study", chosen.name)
    return max(status, _follow("analyze", "--out", "report"))


def _follow(name: str, *words: str) -> int:
    """Run another entry point in this process; a failure is one line, and the study stays done."""
    if importlib.util.find_spec(f"entry_points.{name}") is None:
        _say(f"{name}: skipped, this version has none")
        return 0
    reason: object = ""
    try:
        status = int(importlib.import_module(f"entry_points.{name}").main(list(words)))
    except (Exception, SystemExit) as error:
        status, reason = getattr(error, "exit_status", 1), f"{type(error).__name__}: {one_line(error)}"
    if status:
        _say(
            f"{name}: exit status {status} {reason}".rstrip() + f". Repeat it: python -m entry_points.{name} {' '.join(words)}"
        )
    return status


def _say(text: str) -> None:
    print(" ".join(text.split()), file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_main(main)
