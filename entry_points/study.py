"""Train a named grid of runs: `python -m entry_points.study --study headline`.

Complete runs of the same config are reused, interrupted ones go on, the rest is trained on many workers. The same
command finishes what was stopped.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from entry_points import found
from entry_points.cli import INTERRUPTED, OneLineParser, StopRequest, integer, run_main
from grok.spec.fields import ConfigError
from grok.store.provenance import code_digest
from grok.store.tags import FOUND, LEFT

if TYPE_CHECKING:
    from grok.runs.cells import Result
    from grok.spec.studies import Study
    from grok.store.glance import Seen
    from grok.store.run import TrackedRun
    from grok.store.store import Store

LOCAL = ("loky", "sequential")
"""Backends that have no workers elsewhere."""


def parser() -> OneLineParser:
    """Which study, on what."""
    out = OneLineParser(prog="python -m entry_points.study", description=__doc__)
    out.add_argument(
        "--study", default="quick", metavar="NAME", help="a study of grok/spec/studies/, or your file.yaml:name. Default quick."
    )
    out.add_argument(
        "--backend", default="loky", metavar="VALUE", help="loky (local processes), dask or sequential. Default loky."
    )
    out.add_argument(
        "--scheduler", default="none", metavar="ADDRESS", help="of the Dask scheduler, tcp://host:port; with --backend dask"
    )
    out.add_argument(
        "--workers",
        type=integer("workers"),
        default=0,
        metavar="N",
        help="runs at once. Default 0: one per core, or per GPU where there is one, or all that Dask's workers take.",
    )
    out.add_argument(
        "--seeds-at-once",
        type=integer("seeds_at_once"),
        default=0,
        metavar="N",
        help="seeds of one condition trained in lockstep. Default 0: what is faster, 15 with a GPU and 1 without, since a "
        "processor is as busy with one seed, and with several sums whole gradients of each besides.",
    )
    out.add_argument("--force", action=argparse.BooleanOptionalAction, default=False, help="train every cell anew. Default no.")
    out.add_argument(
        "--plan", action=argparse.BooleanOptionalAction, default=False, help="print the grid and its cost, train nothing"
    )
    found.add_store_flags(out)
    return out


def main(arguments: list[str]) -> int:
    """Parse, run the study, print one line."""
    flags = parser().parse_args(arguments)
    return run(flags)


def run(flags: argparse.Namespace) -> int:
    """Run the study that the flags name."""
    code = "" if flags.plan else code_digest()  # before the rest of it is loaded
    from grok.spec.studies import load_study

    study = load_study(flags.study)
    if flags.plan:
        there = found.plan_line(_store_if_there(), study, measure=True)
        for cell in study.cells:
            print(f"{cell.condition}: {cell.config.display_name()}")
        print(f"study={study.name} cells={len(study.cells)} cost={study.cost():.1f} runs of the default config: {there}")
        return 0
    if flags.seeds_at_once < 0:
        raise ConfigError(f"seeds_at_once must be a whole number ≥ 0, got {flags.seeds_at_once}. 1 trains them one by one.")
    found.check_store_flags(flags)
    return 0 if _is_there(flags, study, code) else _train(flags, study, code)


def _is_there(flags: argparse.Namespace, study: Study, code: str) -> bool:
    """Whether a local store has the study as it was left complete; told then, without what it takes to train and to draw."""
    began, configs = time.perf_counter(), [cell.config for cell in study.cells]
    asked = flags.force or flags.register != "none" or flags.system_metrics or flags.scheduler != "none" or flags.workers < 0
    if asked or flags.backend not in LOCAL or any(c.device not in found.ANYWHERE or c.rounding != "auto" for c in configs):
        return False
    from grok.store import unchanged

    there = unchanged.done(study, code)
    if there is None:
        return False
    store, parent, runs = there
    found.say(found.reused(runs), parent.get(FOUND), _next(flags, store, parent.experiment_id, parent.run_id))
    print(_line(parent.run_id, study.name, "complete", len(configs), 0, len(configs), 0, time.perf_counter() - began))
    return True


def _next(flags: argparse.Namespace, store: Store | Seen, experiment_id: str, run_id: str) -> str:
    """What to look at next."""
    further = f"python -m entry_points.analyze --study {flags.study} --out report"
    return found.look(store, experiment_id, run_id, further, kind="study")


def _line(run_id: str, name: str, state: str, cells: int, trained: int, reused: int, left: int, seconds: float) -> str:
    """The result line."""
    counts = f"cells={cells} trained={trained} reused={reused} open={left}"
    return f"run={run_id} study={name} state={state} {counts} seconds={seconds:.0f}"


def _train(flags: argparse.Namespace, study: Study, code: str) -> int:
    """Train what is not there, write the tables, print one line."""
    stop = StopRequest()
    from analysis.figures import run_figures
    from analysis.studies import headline
    from analysis.studies import report as study_report
    from entry_points.progress import CellBar
    from grok.runs import study as runs
    from grok.runs.fanout import Fanout
    from grok.store import unchanged
    from grok.store.store import open_store

    fanout = Fanout(flags.backend, flags.workers, "" if flags.scheduler == "none" else flags.scheduler)
    fanout, seeds_at_once = runs.fit(study, fanout, flags.seeds_at_once)
    runs.check(study, fanout)
    started = time.perf_counter()
    store = open_store()
    parent = runs.open_parent(store, study, flags.force)
    try:
        with tempfile.TemporaryDirectory(prefix="grok-") as watch, CellBar(study, Path(watch)) as bar:
            results = runs.run_study(
                study,
                store,
                fanout,
                parent=parent,
                force=flags.force,
                seeds_at_once=seeds_at_once,
                figures=run_figures,
                report=bar.update,
                should_stop=stop,
                watch=watch,
            )
        before = unchanged.members(study)
        conditions = study_report.write(store, parent, study, results, time.perf_counter() - started)
        if all(result.done for result in results):
            told = str(conditions.attrs.get(headline.FOUND) or "")
            used = conditions.attrs[headline.COUNTED]  # empty where a cell is not counted, which is said each time
            mark = unchanged.left(study, told, parent.run_id, code=code, before=before, used=used) if used else ""
            parent.set_tags({LEFT: mark})
        _register(store, flags.register, results)
    except BaseException as error:
        parent.end_by(error)
        raise
    if all(result.done for result in results):
        found.say(found.of_study(conditions), _next(flags, store, parent.stored.experiment_id, parent.run_id))
    elif stop():
        found.say(found.AGAIN)
    return _end(parent, study.name, results, stop(), time.perf_counter() - started)


def _register(store: Store, name: str, results: list[Result]) -> None:
    """Put the networks of the finished cells into the registry of models, if that was asked for; an alias a condition."""
    if name == "none":
        return
    from grok.store.register import register

    done = [result for result in results if result.done and result.run_id]
    aliases: dict[str, str] = {}
    for result in done:  # the first of a condition is its first seed
        aliases.setdefault(result.cell.condition, result.run_id)
    register(store, name, {one.run_id: f"{one.cell.condition}: {one.cell.config.display_name()}" for one in done}, aliases)


def _store_if_there() -> Store | None:
    """The store, to read; None where there is none yet."""
    from grok.store.errors import StoreError
    from grok.store.store import open_store

    try:
        return open_store(existing="Train a study first")
    except StoreError:
        return None


def _end(parent: TrackedRun, name: str, results: list[Result], stopped: bool, seconds: float) -> int:
    """Close the parent run and print the result line."""
    failed = [result for result in results if result.failed]
    open_cells = sum(not result.done for result in results)
    state = "complete" if not open_cells else "failed" if failed and not stopped else "interrupted"
    parent.end(state, failed[0].error if failed else "")
    for result in failed:
        print(f"failed: {result.cell.config.display_name()}: {result.error}", file=sys.stderr)
    trained, reused = sum(r.done and not r.reused for r in results), sum(r.reused for r in results)
    print(_line(parent.run_id, name, state, len(results), trained, reused, open_cells, seconds))
    return {"complete": 0, "failed": 1, "interrupted": INTERRUPTED}[state]


if __name__ == "__main__":
    run_main(main)
