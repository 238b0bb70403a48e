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
    from analysis.reading.evidence import Evidence
    from grok.runs.measure import KINDS, measure
    from grok.store.store import adopted_run_id, open_store
    from grok.store.tags import KIND

    kinds = tuple(KINDS) if flags.what == "all" else tuple(dict.fromkeys(word.strip() for word in flags.what.split(",")))
    store, started = open_store(existing=FIRST), time.perf_counter()
    run_ids = of_studies(Evidence(store), flags.study)
    written = 0
    for number, run_id in enumerate(run_ids, start=1):
        paths = measure(store, store.get(run_id), kinds, force=flags.force, trust_code=flags.trust_code)
        written += len(paths)
        if paths and sys.stderr.isatty():
            print(f"{number}/{len(run_ids)} {run_id} {' '.join(paths)}", file=sys.stderr)
    if adopted_run_id() is not None:  # the run that `mlflow run` made; the tables are in the runs measured
        store.create(f"measure {flags.study}", {KIND: "measure"}).end("complete")
    print(f"study={flags.study} runs={len(run_ids)} tables={written} seconds={time.perf_counter() - started:.0f}")
    return 0


if __name__ == "__main__":
    run_main(main)
