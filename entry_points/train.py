"""Train one network and track it: `python -m entry_points.train --activation relu`.

The same command goes on with an interrupted run of the same config, or says that it is complete.
"""

from __future__ import annotations

import sys
from pathlib import Path

from entry_points.cli import INTERRUPTED, OneLineParser, StopRequest, run_main
from entry_points.generate import add_config_flags, config_from
from entry_points.words import result_line
from grok.spec.config import ResolvedConfig, RunConfig


def parser() -> OneLineParser:
    """Config flags, and what to do with a run that exists."""
    out = OneLineParser(prog="python -m entry_points.train", description=__doc__)
    add_config_flags(out, RunConfig)
    group = out.add_argument_group("existing runs")
    how = group.add_mutually_exclusive_group()
    how.add_argument("--resume", metavar="RUN_ID", help="go on with this interrupted run, whatever the other flags say")
    how.add_argument("--force", action="store_true", help="train a new run even if one of this config exists")
    how.add_argument(
        "--replay", metavar="RUN_ID", help="train this run's config again, untracked, and compare with its checkpoint"
    )
    how.add_argument(
        "--branch-from",
        metavar="RUN_ID",
        help="go on from a stored state of this run, with another weight_decay or switch_... from there on",
    )
    group.add_argument("--at", metavar="STEP", type=int, help="step of that state; see keep_states")
    group.add_argument(
        "--until", metavar="EPOCH", type=int, help="checkpoint epoch at which --replay compares; default: the last"
    )
    group.add_argument("--out", metavar="FILE", type=Path, help="where --replay writes the rebuilt weights (safetensors)")
    return out


def main(arguments: list[str]) -> int:
    """Parse, train or resume or replay, print one line."""
    flags = parser().parse_args(arguments)
    if (flags.until is not None or flags.out is not None) and not flags.replay:
        parser().error("--until and --out must come with --replay RUN_ID")
    if (flags.at is not None) != bool(flags.branch_from):
        parser().error("--branch-from RUN_ID and --at STEP must come together")
    config = config_from(flags, RunConfig if flags.branch_from else ResolvedConfig).resolved()

    from analysis.figures import run_figures
    from entry_points.progress import EpochBar
    from grok.runs.branch import branch
    from grok.runs.replay import replay
    from grok.runs.train import train_tracked
    from grok.store.prior import find_prior, named_prior, run_config
    from grok.store.store import open_store, point_to
    from grok.training.devices import check_device

    check_device(config)
    store = open_store()
    if flags.replay:
        result = replay(store, flags.replay, flags.until, flags.out)
        print(result.line())
        return 0 if result.identical else 1
    prior = start = None
    if flags.branch_from:
        given = {name: text for name in config.values() if (text := getattr(flags, name)) is not None}
        start = branch(store, flags.branch_from, flags.at, given)
        config = start.config
    if flags.resume:
        prior = named_prior(store, flags.resume)
        config = run_config(prior)
    elif not flags.force:
        prior = find_prior(store, config)
    if prior is not None:
        point_to(store, prior)
        if prior.done:
            print(result_line(prior.run_id, prior.state, True, prior.metrics))
            return 0
        print(f"going on with run {prior.run_id}", file=sys.stderr)
    stop = StopRequest()
    with EpochBar(config) as bar:
        (outcome,) = train_tracked(
            [config], store, resume=[prior], figures=run_figures, progress=bar.update, should_stop=stop, branch=start
        )
    print(result_line(outcome.run_id, outcome.state, False, outcome.summary))
    return INTERRUPTED if outcome.state == "interrupted" else 0


if __name__ == "__main__":
    run_main(main)
