"""Train one network and track it: `python -m entry_points.train --activation relu`.

The same command goes on with an interrupted run of the same config, or says that it is complete.
"""

from __future__ import annotations

import sys
from pathlib import Path

from entry_points.cli import INTERRUPTED, OneLineParser, StopRequest, run_main
from entry_points.generate import add_config_flags, config_from
from grok.spec.config import RunConfig


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
    config = config_from(flags, RunConfig).resolved()

    from analysis.figures import run_figures
    from entry_points.progress import EpochBar
    from grok.runs import replay
    from grok.runs import train as runner
    from grok.store import prior as existing
    from grok.store import store as tracking

    runner.check_device(config)
    store = tracking.open_store()
    if flags.replay:
        result = replay.replay(store, flags.replay, flags.until, flags.out)
        print(result.line())
        return 0 if result.identical else 1
    prior = None
    if flags.resume:
        config, prior = existing.run_config(store, flags.resume).resolved(), existing.named_prior(store, flags.resume)
    elif not flags.force:
        prior = existing.find_prior(store, config)
    if prior is not None:
        tracking.point_to(store, prior[1])
        if prior[0] != existing.RESUMABLE:
            print(f"run={prior[1]} state={prior[0]} reused=yes {existing.summary_line(store, prior[1])}")
            return 0
        print(f"going on with run {prior[1]}", file=sys.stderr)
    stop = StopRequest()
    with EpochBar(config) as bar:
        (outcome,) = runner.train_tracked(
            [config], store, resume=[prior[1] if prior else None], figures=run_figures, progress=bar.update, should_stop=stop
        )
    print(f"run={outcome.run_id} state={outcome.state} reused=no {existing.facts_line(outcome.summary)}".rstrip())
    return INTERRUPTED if outcome.state == "interrupted" else 0


if __name__ == "__main__":
    run_main(main)
