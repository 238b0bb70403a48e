"""Compute signals of finished runs from their stored states: `python -m entry_points.signals --run RUN_ID --signals ildr,lar`.

Each run gets a table `signals.parquet`: epoch, signal, variant, value. At checkpoint epochs nothing is trained; at others the
run is trained again and must meet its checkpoints bit for bit. What is there already stays, so the same command goes on.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from entry_points.cli import OneLineParser, integer, run_main
from entry_points.found import add_trust_flag, add_truth_flag
from grok.spec.fields import ConfigError, refuse, shown
from grok.spec.plugins import SIGNALS

if TYPE_CHECKING:
    from grok.store.store import Store

MOST_EPOCHS = 1_000_000
"""Epochs of a run that are asked for at once; published runs have 40,000 at most."""
LONGEST_NUMBER = 15
"""Digits of an epoch."""
FIRST = "Train a study first: python -m entry_points.study --study signals"


def parser() -> OneLineParser:
    """Which signals, of which runs, at which epochs."""
    out = OneLineParser(prog="python -m entry_points.signals", description=__doc__)
    out.add_argument("--run", default="none", metavar="RUN_IDS", help="runs, separated by commas. Default none.")
    out.add_argument(
        "--study", default="none", metavar="NAMES", help="studies, or your file.yaml:name, separated by commas. Default none."
    )
    out.add_argument(
        "--signals", default="all", metavar="NAMES", help=f"of {', '.join(SIGNALS.names)}, or module:NAME. Default all."
    )
    out.add_argument(
        "--epochs",
        default="checkpoints",
        metavar="EPOCHS",
        help="separated by commas, or first-last-step such as 0-400-10. Default checkpoints, and epoch 0.",
    )
    out.add_argument(
        "--costly-every",
        type=integer("costly-every"),
        default=1,
        metavar="N",
        help="of these epochs every so many for signals that cost more than a training step. Default 1.",
    )
    out.add_argument(
        "--released",
        default="none",
        metavar="FOLDER",
        help="score the norm, rank and Gini rules on curves that others released (ClevixLab/critical-norm-grokking) and that "
        "you have there; no run is read. Default none.",
    )
    out.add_argument(
        "--workers", type=integer("workers"), default=0, metavar="N", help="runs at once. Default 0: one per core."
    )
    add_truth_flag(out, "force", "compute anew what is there already. Default false; --no-force says so too.")
    out.add_argument("--no-force", dest="force", action="store_false", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add_trust_flag(out)
    return out


def epochs_of(text: str) -> tuple[int, ...]:
    """Epochs as the command line has them; none for `checkpoints`.

    Raises:
        ConfigError: if it is none of the forms.
    """
    if text == "checkpoints":
        return ()
    spans: list[range] = []
    try:
        for word in text.split(","):
            parts = [whole(part) for part in word.split("-")]
            first, last, step = (parts[0], parts[0], 1) if len(parts) == 1 else parts
            spans.append(range(first, last + 1, step))
    except ValueError:
        spans = []
    if not any(spans):
        refuse_epochs(text)
    if (count := sum(map(len, spans))) > MOST_EPOCHS:
        refuse("epochs", f"be at most {MOST_EPOCHS} in all", f"{count} in {text}", "Take a larger step")
    return tuple(sorted(set(itertools.chain(*spans))))


def whole(text: str) -> int:
    """A whole number of an epoch's length.

    Raises:
        ValueError: if it is none.
    """
    if len(text) > LONGEST_NUMBER:
        raise ValueError("more digits than an epoch has")
    return int(text)


def refuse_epochs(text: str) -> NoReturn:
    """Refuse what is no epochs.

    Raises:
        ConfigError: always.
    """
    refuse("epochs", "be whole numbers separated by commas, first-last-step, or checkpoints", text, "Write 0,40,100")


def main(arguments: list[str]) -> int:
    """Parse, compute, print one line."""
    flags = parser().parse_args(arguments)
    if flags.released != "none":
        return _released(flags.released)
    epochs = epochs_of(flags.epochs)
    if flags.costly_every < 1:
        raise ConfigError(f"costly-every must be a whole number ≥ 1, got {flags.costly_every}. 1 takes every epoch.")
    from grok.runs import signals as runs
    from grok.runs.fanout import Fanout
    from grok.signals.base import find
    from grok.store.store import adopted_run_id, open_store
    from grok.store.tags import KIND

    names = SIGNALS.names if flags.signals == "all" else tuple(dict.fromkeys(word.strip() for word in flags.signals.split(",")))
    for name in names:
        find(name)
    fanout = Fanout("sequential" if flags.workers == 1 else "loky", flags.workers)
    store, started = open_store(existing=FIRST), time.perf_counter()
    run_ids, broken = _runs(flags.run, flags.study, store, epochs, flags.trust_code)
    computed, failed = 0, list(broken)
    for run_id, reason in broken.items():
        print(f"failed: {run_id}: {reason}", file=sys.stderr)
    how = (flags.costly_every, flags.force, flags.trust_code)
    payloads = [(store.uri, store.experiment_id, run_id, names, epochs, *how) for run_id in run_ids]
    for number, (run_id, count, error) in enumerate(fanout.map(runs.task, payloads), start=1):
        computed += count
        if error:
            failed.append(run_id)
            print(f"failed: {run_id}: {error}", file=sys.stderr)
        elif sys.stderr.isatty():
            print(f"{number}/{len(run_ids)} {run_id} {count}", file=sys.stderr)
    if adopted_run_id() is not None:  # the run that `mlflow run` made; the tables are in the runs measured
        store.create("signals", {KIND: "measure"}).end("failed" if failed else "complete")
    seconds = time.perf_counter() - started
    print(f"runs={len(run_ids) + len(broken)} signals={computed} failed={len(failed)} seconds={seconds:.0f}")
    return 1 if failed else 0


def _released(folder: str) -> int:
    """The leaderboard of released curves, a line a signal, and the result line."""
    from pathlib import Path

    from analysis.papers.signals import released

    runs = released.load(Path(folder))
    rows = released.board(runs)
    print(rows.to_string(index=False, float_format=lambda value: f"{value:.3g}"), file=sys.stderr)
    print(f"runs={len(runs)} signals={len(rows)} alarms={int((rows['verdict'] == 'alarm').sum())}")
    return 0


def _runs(
    run: str, study: str, store: Store, epochs: Sequence[int] = (), trust_code: bool = False
) -> tuple[list[str], dict[str, str]]:
    """Run ids that the flags name, each once; and why others of the studies cannot be used, by run id.

    Raises:
        ConfigError: if neither or both are given, or a run that is named has fewer epochs. StoreError: if it cannot be used.
    """
    from analysis.reading.asked import run_ids as of_studies
    from analysis.reading.asked import unusable
    from analysis.reading.evidence import Evidence
    from grok.runs.finished import config_of_done

    if (run == "none") == (study == "none"):
        raise ConfigError(f"run or study must be given, one of them, got run {shown(run)} and study {shown(study)}. Name one.")
    if run != "none":
        run_ids = list(dict.fromkeys(word.strip() for word in run.split(",")))
        for run_id in run_ids:  # what cannot be used is refused before anything is computed
            last = config_of_done(store.get(run_id), trust_code).epochs
            if epochs and epochs[-1] > last:
                told = f"epochs must be whole numbers in [0, {last}] of run {run_id}, got {epochs[-1]}"
                raise ConfigError(f"{told}. Leave out those beyond.")
        return run_ids, {}
    evidence = Evidence(store)
    broken = unusable(evidence, study)
    return of_studies(evidence, study), broken


if __name__ == "__main__":
    run_main(main)
