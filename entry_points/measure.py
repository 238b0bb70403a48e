"""Measure finished runs from the files that they left, without training them again: `python -m entry_points.measure`.

Each run gets small tables that claims read: repulsion at epoch 0 and the checkpoints beside its nulls, what ranks are told
from, the answers on unseen pairs, ρ at every epoch of the start, and grad% of the edge in every window. What is there already
stays.
"""

from __future__ import annotations

import argparse
import sys
import time

from entry_points.cli import OneLineParser, run_main
from entry_points.found import add_trust_flag

FIRST = "Train a study first: python -m entry_points.study --study headline"


def parser() -> OneLineParser:
    """Which runs, and what of them."""
    out = OneLineParser(prog="python -m entry_points.measure", description=__doc__)
    out.add_argument(
        "--study",
        default="headline",
        metavar="NAMES",
        help="of studies, or your file.yaml:name; separated by commas. Default headline.",
    )
    out.add_argument(
        "--what",
        default="all",
        metavar="KINDS",
        help="of repulsion, ranks, answers, onset, edge. Default all.",
    )
    out.add_argument(
        "--force", action=argparse.BooleanOptionalAction, default=False, help="measure anew what is there already."
    )
    add_trust_flag(out)
    return out


def main(arguments: list[str]) -> int:
    """Parse, measure, print one line."""
    flags = parser().parse_args(arguments)
    from analysis.reading.asked import run_ids as of_studies
    from analysis.reading.asked import unusable
    from analysis.reading.evidence import Evidence
    from grok.runs.measure import KINDS, OF_ONE_RUN, check_kinds, measure, why
    from grok.store.store import adopted_run_id, open_store
    from grok.store.tags import KIND

    kinds = tuple(KINDS) if flags.what == "all" else tuple(dict.fromkeys(word.strip() for word in flags.what.split(",")))
    check_kinds(kinds)
    store, started = open_store(existing=FIRST), time.perf_counter()
    evidence = Evidence(store)
    broken = unusable(evidence, flags.study)
    for run_id, reason in broken.items():
        print(f"failed: {run_id}: {reason}", file=sys.stderr)
    run_ids = of_studies(evidence, flags.study)
    written, failed = 0, len(broken)
    for number, run_id in enumerate(run_ids, start=1):
        try:
            paths = measure(store, store.get(run_id), kinds, force=flags.force, trust_code=flags.trust_code)
        except OF_ONE_RUN as error:
            failed += 1
            print(f"failed: {run_id}: {why(error)}", file=sys.stderr)
            continue
        written += len(paths)
        if paths and sys.stderr.isatty():
            print(f"{number}/{len(run_ids)} {run_id} {' '.join(paths)}", file=sys.stderr)
    if adopted_run_id() is not None:  # the run that `mlflow run` made; the tables are in the runs measured
        store.create(f"measure {flags.study}", {KIND: "measure"}).end("failed" if failed else "complete")
    seconds = time.perf_counter() - started
    print(f"study={flags.study} runs={len(run_ids) + len(broken)} tables={written} failed={failed} seconds={seconds:.0f}")
    return 1 if failed else 0


if __name__ == "__main__":
    run_main(main)
