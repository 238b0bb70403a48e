"""Does the detector's setting make the result? `python -m entry_points.sensitivity --study headline --n-trials 500`.

Settings are tried on the finished runs of a study, nothing is trained. The same command goes on with an interrupted search.
A part of the setting is fixed (--window 20), listed (--window 5,10,20) or ranged (--window 5..40).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analysis.sensitivity.settings import SensitivityConfig
from entry_points import found
from entry_points.cli import INTERRUPTED, OneLineParser, StopRequest, run_main
from entry_points.generate import add_config_flags, config_from

if TYPE_CHECKING:
    from analysis.sensitivity.results import Results

FURTHER = "python -m entry_points.analyze --out report"


def parser() -> OneLineParser:
    """One flag for each field of `SensitivityConfig`."""
    out = OneLineParser(prog="python -m entry_points.sensitivity", description=__doc__)
    add_config_flags(out, SensitivityConfig)
    out.add_argument(
        "--force", action=argparse.BooleanOptionalAction, default=False, help="write a new run even if one is complete"
    )
    return out


def main(arguments: list[str]) -> int:
    """Parse, load, try settings, write, print the answer and one line."""
    flags = parser().parse_args(arguments)
    config = config_from(flags, SensitivityConfig)
    stop = StopRequest()
    from analysis.papers.xu.rebuttal_grid import of_grid
    from analysis.papers.xu.windows import of_runs
    from analysis.reading.evidence import Evidence
    from analysis.reading.files import RunFiles
    from analysis.sensitivity import loading as runs
    from analysis.sensitivity import planning, study, tracked
    from analysis.sensitivity.signal_cells import with_signal
    from entry_points.progress import StageBar
    from grok.store.store import open_store, point_to

    started = time.perf_counter()
    config = runs.as_stored(config)
    store = open_store()
    folder = store.folder / "sensitivity"
    cells = runs.load(store, config, folder / "gaps")
    if config.signal != "none":
        cells = with_signal(cells, Evidence(store), config.signal)
    done = None if flags.force else tracked.finished(store, config, cells)
    if done is not None:
        point_to(store, done)
        _say(RunFiles(store).json(done, "sensitivity.json"))
        print(f"run={done} study={config.study} state=complete reused=yes")
        return 0
    tasks = planning.plan(cells, config, folder)
    for line in cells.missing:
        print(f"missing: {line}", file=sys.stderr)
    parent = tracked.open_run(store, config, cells)
    try:
        with StageBar() as bar:
            results = study.run(cells, config, tasks, rebuttal=of_grid, windows=of_runs, report=bar.update, should_stop=stop)
        if not results.stopped:
            tracked.write(store, parent, config, results)
    except BaseException as error:
        parent.end_by(error)
        raise
    state = "interrupted" if results.stopped else "complete"
    parent.end(state)
    if results.stopped:
        found.say(found.AGAIN)
    else:
        _say(results.data)
        links = found.look(store, parent.stored.experiment_id, parent.run_id, FURTHER, kind="sensitivity")
        found.say(links)
    print(_line(parent.run_id, config, results, state, time.perf_counter() - started))
    return INTERRUPTED if results.stopped else 0


def _say(data: Mapping[str, Any]) -> None:
    """The answer in sentences, and on standard error what stands in its way."""
    from analysis.sensitivity import words

    for line in words.warnings(data):
        print(f"warning: {line}", file=sys.stderr)
    for line in data["answer"]:
        print(line)


def _line(run_id: str, config: SensitivityConfig, results: Results, state: str, seconds: float) -> str:
    trials = sum(len(found.trials) for found in results.searches)
    new = sum(found.times.trials for found in results.searches)
    searches = f"searches={len(results.searches)} each={config.n_trials}"
    return f"run={run_id} study={config.study} state={state} {searches} trials={trials} new={new} seconds={seconds:.0f}"


if __name__ == "__main__":
    run_main(main)
