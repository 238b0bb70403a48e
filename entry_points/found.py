"""What a command found, in a sentence, and what to look at next: for a person, on standard error."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from grok.runs.told import of_run
from grok.spec.fields import shown

if TYPE_CHECKING:
    from grok.spec.config import ResolvedConfig
    from grok.spec.studies import Study
    from grok.store.glance import Seen
    from grok.store.store import Store

__all__ = [
    "AGAIN",
    "ANYWHERE",
    "add_store_flags",
    "check_store_flags",
    "look",
    "minutes",
    "of_run",
    "of_study",
    "plan_line",
    "reused",
    "say",
]

MADE = {"kind": "train", "state": "complete"}
TELLING = 0.1
"""Share of the default run's work that a run must have for the time of others to be told from it; ours."""
BESIDE = {"train": "All curves", "study": "All studies", "analysis": "All reports", "sensitivity": "All sensitivity studies"}
"""What the list beside a run of a kind has."""
ANYWHERE = ("auto", "cpu")
"""Devices that are there on every machine."""
AGAIN = "Repeat the command to go on."
"""What is said of whatever was stopped."""


def add_store_flags(parser: argparse._ActionsContainer) -> None:
    """The flags of `train` and `study` on what else the store is to have."""
    parser.add_argument(
        "--register",
        default="none",
        metavar="NAME",
        help="also put the final networks into MLflow's registry of models, as versions of this model. Default none.",
    )
    parser.add_argument(
        "--system-metrics", action="store_true", help="also log processor, memory, disk and network of the machine"
    )


def add_trust_flag(parser: argparse._ActionsContainer) -> None:
    """The flag of commands that use what the runs of a store name; it takes a value too, as MLproject must give one."""
    told = "import code of somebody's own that the runs name; read it first, a copy is under code/ of each. Default false."
    add_truth_flag(parser, "trust-code", told)


def add_truth_flag(parser: argparse._ActionsContainer, name: str, told: str) -> None:
    """A flag that is off unless given, and that takes a value too, as MLproject must give one."""

    def truth(text: str) -> bool:
        if text not in ("true", "false"):
            raise argparse.ArgumentTypeError(f"{name} must be true or false, got {shown(text)}")
        return text == "true"

    parser.add_argument(f"--{name}", nargs="?", type=truth, const=True, default="false", metavar="true", help=told)


def check_store_flags(flags: argparse.Namespace) -> None:
    """Refuse a name that no model can have; ask for system metrics.

    Raises:
        ConfigError: if the name is none.
    """
    if flags.register != "none" or flags.system_metrics:
        from grok.store import register, system

        register.check_name(flags.register)
        if flags.system_metrics:
            system.ask()


def say(*lines: str) -> None:
    """Print what is to be said on standard error, where progress is; empty lines are left out."""
    for line in lines:
        if line:
            print(line, file=sys.stderr, flush=True)


def reused(count: int) -> str:
    """How many runs of a study were there already."""
    return f"{'1 run was' if count == 1 else f'{count} runs were'} complete already and reused"


def of_strangers(store: Store) -> str:
    """How many runs of other tools were passed over; empty where there are none."""
    count = store.strangers()
    return f"Passed over: {count} run{'s' * (count != 1)} of other tools, which have no tag grok.kind." if count else ""


def of_study(conditions: Any) -> str:
    """What a study found, as its page begins: of the edge when its share falls, else how often the detector fires."""
    from analysis.studies import headline

    return str(conditions.attrs.get(headline.FOUND) or headline.sentence(conditions))


def look(store: Store | Seen, experiment_id: str, run_id: str, *further: str, kind: str = "train") -> str:
    """Where the run is to be seen and its like beside it, and what to do next; a line each.

    Args:
        store: that has the run. experiment_id: of its experiment. run_id: of the run.
        further: commands, each perhaps with its minutes. kind: of the runs beside it; training runs are shown as curves.
    """
    from grok.store import views

    ui, (view,) = views.address(store.uri), [view for view in views.VIEWS if view.kind == kind]
    first = f"Look: {'' if ui != views.UI else 'mlflow ui, then '}{ui}/{views.run_page(experiment_id, run_id)}"
    shown = view if views.known() and experiment_id == store.home(kind) else None
    page = views.run_list(experiment_id, shown, charts=kind == "train")
    return "\n".join([first, f"{BESIDE[kind]}: {ui}/{page}", *(f"Next: {one}" for one in further)])


def minutes(config: ResolvedConfig, elapsed_s: float, name: str) -> str:
    """About how long a study of the registry takes by the time of a run just done, for the end of a line with its command.

    Args:
        config: of the run; nothing is said of one so small that training did not fill its time.
        elapsed_s: that it took. name: of the study.
    """
    from grok.spec.config import default_config
    from grok.spec.studies import load_study, training_flops

    own = training_flops(config)
    if not elapsed_s or own < TELLING * training_flops(default_config()):
        return ""
    work = sum(training_flops(cell.config) for cell in load_study(name).cells)
    return f"  # about {max(1, round(work * elapsed_s / own / 60))} min of one worker"


def plan_line(store: Store | None, study: Study, measure: bool = False) -> str:
    """How many cells of a study are in the store already, and about how many minutes the others take, one after the other.

    The time is that of this study's runs that are there, by their work; else, if asked for, of a few epochs that are trained
    for it now.

    Args:
        store: None where there is none yet. study: its grid. measure: whether to train some epochs where no run tells the time.
    """
    from grok.spec.studies import training_flops

    runs = [] if store is None else store.find(MADE)
    there = {run.get("config_hash") for run in runs}
    work = {cell.config.hash: training_flops(cell.config) for cell in study.cells}
    todo = [cell for cell in study.cells if cell.config.hash not in there]
    text = f"{len(todo)} to train, {len(work) - len(todo)} there already"
    if not todo:
        return f"{text}."
    seconds = {run.get("config_hash"): run.metrics.get("elapsed_s", 0) for run in runs}
    own = [seconds[hash] / work[hash] for hash in work if seconds.get(hash, 0) > 0]
    rates, source = sorted(own), "by the runs of this study that are there"
    if not rates and measure:
        from grok.runs.timing import seconds_per_flop

        rates, source = [seconds_per_flop(todo[0].config)], "at least, by a few epochs just trained"
    if rates:
        needed = sum(work[cell.config.hash] for cell in todo) * rates[len(rates) // 2] / 60
        text += f", about {max(1, round(needed))} min of one worker, {source}"
    return f"{text}."
