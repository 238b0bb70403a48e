"""The plug-ins that a config names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grok.detectors._chosen import option_names
from grok.networks.base import Network
from grok.recorders.base import Recorder
from grok.recorders.signals import signals_of
from grok.spec.config import RunConfig
from grok.spec.fields import refuse
from grok.spec.plugins import EVERY, NETWORKS, RECORDERS, TASKS, USUAL_RECORDERS, About, own_source
from grok.spec.roundings import AUTO
from grok.tasks.base import Task

DEFAULT_NETWORK = "two_layer"
"""Of stored weights beside which no name stands."""


def names(config: RunConfig) -> tuple[str, str, tuple[str, ...]]:
    """Names of task, network and recorders; the recorders of every run come first, in their order, then that of signals."""
    shown = ["signals"] if config.signals not in ((), (EVERY,)) else []
    usual = (*USUAL_RECORDERS, *shown, *(["signal_table"] if config.signals and config.signal_every else []))
    return config.task, config.resolved().network, tuple(dict.fromkeys((*usual, *config.recorders)))


def task_of(config: RunConfig) -> Task:
    """The task of a config.

    Raises:
        ConfigError: if it is not there.
    """
    found: Task = TASKS.find(names(config)[0])
    return found


def network_of(config: RunConfig) -> Network:
    """The network of a config.

    Raises:
        ConfigError: if it is not there.
    """
    found: Network = NETWORKS.find(names(config)[1])
    return found


def recorders_of(config: RunConfig) -> dict[str, Recorder]:
    """The recorders of a config by name, in the order in which they see a step.

    Raises:
        ConfigError: if one is not there.
    """
    wanted = dict.fromkeys((*names(config)[2], *network_of(config).recorders))
    return {name: RECORDERS.find(name) for name in wanted}


def check_parts(config: RunConfig) -> None:
    """Refuse what a config names and is not there, signals that the network cannot feed, and options that nothing takes.

    Raises:
        ConfigError: if so.
    """
    network = network_of(config)
    network.check(config)
    for recorder in recorders_of(config).values():
        if recorder.check is not None:
            recorder.check(config.resolved())
    if config.rounding != AUTO and not network.takes_rounding:
        name = names(config)[1]
        refuse("rounding", f"be auto with the network {name}", config.rounding, "It cannot name its order of summation")
    task_of(config).check(config.resolved())
    parts: list[About] = [task_of(config), network, *recorders_of(config).values(), *signals_of(config, network).values()]
    known = {name: None for part in parts for name in part.options} | dict.fromkeys(option_names(config))
    if unknown := [name for name in config.option_values if name not in known]:
        taken = f"be names of {', '.join(known)}" if known else "be none, as nothing that the config names takes any"
        refuse("options", taken, ", ".join(unknown), "Drop them or name the plug-in that takes them")


def network_facts(config: RunConfig) -> dict[str, Any]:
    """What goes beside stored weights so that they can be used: the network's facts, and its name where it is another."""
    name = names(config)[1]
    return network_of(config).facts(config) | ({} if name == DEFAULT_NETWORK else {"network": name})


def network_sources(config: RunConfig) -> tuple[Path, ...]:
    """Files of the user's own that stored weights need: of the network and of what it names."""
    own = own_source(names(config)[1])
    return (*network_of(config).sources(config), *((own,) if own else ()))


def sources(config: RunConfig) -> tuple[Path, ...]:
    """Every file of the user's own that the config names, each once."""
    task, _, recorders = names(config)
    own = [own_source(name) for name in (task, *recorders, *config.signals, config.detector, config.optimizer or "")]
    return tuple(dict.fromkeys([*network_sources(config), *(path for path in own if path)]))
