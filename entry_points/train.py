"""Train one network and track it: `python -m entry_points.train --activation relu`.

The same command goes on with an interrupted run of the same config, or says that it is complete.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entry_points import found
from entry_points.cli import INTERRUPTED, OneLineParser, StopRequest, integer, run_main
from entry_points.generate import add_config_flags, config_from
from entry_points.words import result_line
from grok.spec.config import ResolvedConfig, RunConfig
from grok.spec.plugins import own_code

if TYPE_CHECKING:
    from grok.store.glance import Seen
    from grok.store.store import Store


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
    group.add_argument("--at", metavar="STEP", type=integer("at"), help="step of that state; see keep_states")
    group.add_argument(
        "--trust-code",
        action="store_true",
        help="with --resume, --replay or --branch-from: import code of somebody's own that the run names",
    )
    group.add_argument(
        "--until", metavar="EPOCH", type=integer("until"), help="checkpoint epoch at which --replay compares; default: the last"
    )
    found.add_store_flags(out.add_argument_group("store"))
    group.add_argument("--out", metavar="FILE", type=Path, help="where --replay writes the rebuilt weights (safetensors)")
    return out


def main(arguments: list[str]) -> int:
    """Parse, train or resume or replay, print one line."""
    flags = parser().parse_args(arguments)
    _check(flags)
    found.check_store_flags(flags)
    config = config_from(flags, RunConfig if flags.branch_from else ResolvedConfig).resolved()
    return 0 if _is_there(flags, config) else _train(flags, config)


def _train(flags: argparse.Namespace, config: ResolvedConfig) -> int:
    """Train or resume or replay, print one line."""
    from analysis.figures import run_figures
    from entry_points.progress import EpochBar
    from grok.runs.branch import branch
    from grok.runs.replay import replay
    from grok.runs.stopping import Holder
    from grok.runs.train import check_trainable, train_tracked
    from grok.store import lease
    from grok.store.prior import named_prior, run_config
    from grok.store.store import open_store, point_to

    store = open_store()
    if flags.replay:
        result = replay(store, flags.replay, flags.until, flags.out, flags.trust_code)
        print(result.line())
        return 0 if result.identical else 1
    start = None
    if flags.branch_from:
        given = {name: text for name in config.values() if (text := getattr(flags, name)) is not None}
        start = branch(store, flags.branch_from, flags.at, given, flags.trust_code)
        config = start.config
    if flags.resume:
        config = run_config(named_prior(store, flags.resume), flags.trust_code)
    check_trainable(config)
    if flags.resume:
        one, config = lease.take_named(store, flags.resume, flags.trust_code)
    else:
        one = lease.make(store, config) if flags.force else lease.take(store, config)
    if not one.made:
        point_to(store, one.run)
    if one.done:
        _register(store, flags.register, one.run_id)
        _say(store, config, one.run.experiment_id, one.run_id, one.run.metrics)
        print(result_line(one.run_id, one.run.state, True, one.run.metrics))
        return 0
    lease.hold_or_refuse(store, one)
    if not one.made:
        print(f"going on with run {one.run_id}", file=sys.stderr)
    stop = StopRequest()
    holder = Holder(store, [one], stop)
    with EpochBar(config) as bar:
        (outcome,) = train_tracked(
            [config],
            store,
            resume=[one.run],
            figures=run_figures,
            progress=bar.update,
            should_stop=holder,
            confirm=holder.confirm,
            branch=start,
        )
    if outcome.state == "interrupted":
        found.say(found.AGAIN)
    else:
        _register(store, flags.register, outcome.run_id)
        _say(store, config, one.run.experiment_id, outcome.run_id, bar.newest | outcome.summary)
    print(result_line(outcome.run_id, outcome.state, False, outcome.summary))
    return INTERRUPTED if outcome.state == "interrupted" else 0


def _is_there(flags: argparse.Namespace, config: ResolvedConfig) -> bool:
    """Whether a local store has a finished run of the config; told then, without what it takes to train."""
    asked = flags.force or flags.resume or flags.replay or flags.branch_from or flags.register != "none" or flags.system_metrics
    if asked or config.device not in found.ANYWHERE or config.rounding != "auto" or own_code(config):
        return False
    from grok.store import glance, views

    there = glance.done(config, views.EXPERIMENT)
    if there is None:
        return False
    store, run = there
    _say(store, config, run.experiment_id, run.run_id, run.metrics)
    print(result_line(run.run_id, run.state, True, run.metrics))
    return True


def _check(flags: argparse.Namespace) -> None:
    """Refuse flags without those that they come with."""
    if (flags.until is not None or flags.out is not None) and not flags.replay:
        parser().error("--until and --out must come with --replay RUN_ID")
    if (flags.at is not None) != bool(flags.branch_from):
        parser().error("--branch-from RUN_ID and --at STEP must come together")
    if flags.trust_code and not (flags.resume or flags.replay or flags.branch_from):
        parser().error(
            "--trust-code must come with --resume, --replay or --branch-from: what you name yourself is loaded anyway"
        )


def _register(store: Store, name: str, run_id: str) -> None:
    """Put the run's network into the registry of models, if that was asked for; its aliases are its conditions in studies."""
    if name == "none":
        return
    from grok.store.register import register

    run = store.get(run_id)
    register(store, name, {run_id: run.name}, dict.fromkeys(run.studies.values(), run_id))


def _say(store: Store | Seen, config: ResolvedConfig, experiment_id: str, run_id: str, summary: Mapping[str, float]) -> None:
    """What was found, and what to look at next."""
    further = f"python -m entry_points.study --study quick{found.minutes(config, summary.get('elapsed_s', 0), 'quick')}"
    found.say(found.of_run(summary), found.look(store, experiment_id, run_id, further))


if __name__ == "__main__":
    run_main(main)
