"""What a rule's alarms are worth: the rule on stored runs in which there was nothing to find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from grok.monitor.events import Calibration
from grok.monitor.negatives import Tables, tables_of
from grok.monitor.rules import Watch, alarms
from grok.monitor.track import Settings
from grok.spec.fields import ConfigError, refuse


def calibrations(
    watches: tuple[Watch, ...],
    blocks: Mapping[str, str],
    negatives: list[Any],
    label: str,
    settings: Settings,
    attached: bool = True,
) -> dict[tuple[str, str], Calibration]:
    """Each rule's false alarms, by its words and block, and in how many negatives it fired in any of several blocks.

    A negative with one block of another name stands for a monitor's only block, and the label says so. A rule that comes after
    another event is judged on those negatives alone in which that event was told; where there are none it stays uncalibrated.

    Args:
        watches: rules. blocks: names, each with its name without that of its optimiser, by which a rule names it.
        negatives: as `tables_of` takes them. label: which they are. settings: of the monitor.
        attached: whether the optimisers are known; before, blocks are those of the negatives' optimisers.

    Raises:
        ConfigError: if there are no negatives, or one lacks the block or the signal that a rule reads, is shorter than the
            rule's `first`, knows the signal too seldom, is there twice, has no updates, or is a monitor of another window or
            `every`.
    """
    if not negatives:
        refuse("negatives", "be at least one run", "none", "Pass runs in which there was nothing to find")
    for i, one in enumerate(negatives, 1):
        _alike(one, settings, i)
    tables = [tables_of(one, settings) for one in negatives]
    found: dict[tuple[str, str], Calibration] = {}
    judged: dict[tuple[str, str], dict[int, bool]] = {}  # by rule and block: the negatives, and whether it fired
    named = blocks if attached else _foreseen(blocks, tables)
    for block, raw in named.items():
        mine = tuple(watch for watch in watches if watch.block in (None, raw))
        if not mine:
            continue
        chosen = [_name(table, block, raw, len(set(blocks.values())) == 1, i) for i, table in enumerate(tables, 1)]
        runs = [
            _one(table[name], mine, settings.window, i) for i, (table, name) in enumerate(zip(tables, chosen, strict=True), 1)
        ]
        others = sorted({name for name in chosen if name not in (block, raw) and not name.endswith(f"/{raw}")})
        fired = [alarms(mine, run) for run in runs]
        for watch in mine:
            which = {i: one[watch.words] is not None for i, one in enumerate(fired) if watch.words in one}
            if which:
                median = int(np.median([np.flatnonzero(np.isfinite(runs[i][watch.signal]))[-1] for i in which]))
                told = f"{label}, their block {', '.join(others)}" if others else label
                found[watch.words, block] = Calibration(told, len(which), sum(which.values()), median)
                judged[watch.words, block] = which
    _distinct(tables)
    return {key: replace(one, anywhere=_anywhere(key[0], judged)) for key, one in found.items()}


def _anywhere(rule: str, judged: Mapping[tuple[str, str], Mapping[int, bool]]) -> tuple[int, int, int] | None:
    """Of a rule in several blocks: how many blocks, negatives with an alarm in any of them, and negatives."""
    mine = [which for (words, _), which in judged.items() if words == rule]
    runs = {i for which in mine for i in which}
    alarmed = {i for which in mine for i, fired in which.items() if fired}
    return (len(mine), len(alarmed), len(runs)) if len(mine) > 1 else None


def _distinct(tables: list[Tables]) -> None:
    """Refuse a run that is there twice.

    Raises:
        ConfigError: if two negatives have the same numbers in all their columns.
    """
    seen: dict[Any, int] = {}
    for number, table in enumerate(tables, 1):
        whole = [(b, n, np.asarray(c, dtype=np.float64).tobytes()) for b, columns in table.items() for n, c in columns.items()]
        first = seen.setdefault(tuple(sorted(whole)), number)
        if first != number:
            refuse("negatives", "be runs of their own", f"number {first} again as number {number}", "Pass each run once")


def _alike(negative: Any, settings: Settings, number: int) -> None:
    """Refuse a monitor whose rows mean something else, or that has none; of columns and files nobody can tell.

    Raises:
        ConfigError: if it is one.
    """
    known = getattr(negative, "settings", None)
    if not isinstance(known, Settings):
        return
    if (known.window, known.every) != (settings.window, settings.every):
        rule = f"have the window and every of this monitor, {settings.window} and {settings.every}"
        refuse("negatives", rule, f"{known.window} and {known.every} in number {number}", "Make both monitors alike")
    if not any(negative.updates.values()):
        refuse("negatives", "have updates", f"0 in number {number}", "Train that run first")


def _foreseen(blocks: Mapping[str, str], tables: list[Tables]) -> dict[str, str]:
    """Blocks of a monitor without optimisers; where negatives have one for each of several optimisers, under those names."""
    out: dict[str, str] = {}
    for block, raw in blocks.items():
        named = {name: raw for name in tables[0] if name.endswith(f"/{raw}") and all(name in table for table in tables)}
        out |= named if len(named) > 1 and not all(block in table for table in tables) else {block: raw}
    return out


def _name(tables: Tables, block: str, raw: str, only: bool, number: int) -> str:
    """The block of a negative that stands for one: that of its name, with an optimiser's or not; its only one for an only one.

    Raises:
        ConfigError: if there is none.
    """
    same = [name for name in tables if name.endswith(f"/{raw}")]
    names = [*(name for name in (block, raw) if name in tables), *(same if len(same) == 1 else ())]
    if not names and not (only and len(tables) == 1):
        step = "Pass runs with the same blocks"
        refuse("negatives", f"have block {block}", f"{', '.join(tables) or 'none'} in number {number}", step)
    return names[0] if names else next(iter(tables))


def _one(columns: dict[str, np.ndarray], watches: tuple[Watch, ...], window: int, number: int) -> dict[str, np.ndarray]:
    """The columns of a negative's block, of which each rule can be asked.

    Raises:
        ConfigError: if they lack a signal, or are too short for a rule or know its signal too seldom.
    """
    lacking = [watch.signal for watch in watches if watch.signal not in columns]
    if lacking:
        raise ConfigError(
            f"negatives must have the signal {lacking[0]}, got {', '.join(list(columns)[:6]) or 'none'} in number {number}. "
            "Record it there."
        )
    for watch in watches:
        least, updates = max(1, 0 if watch.after else watch.first), len(columns[watch.signal]) - 1
        if updates < least:
            rule = f"have at least {least} updates, at which {watch.detector} on {watch.signal} is first looked at"
            refuse("negatives", rule, f"{max(updates, 0)} in number {number}", "Pass longer runs, or lower its first")
        known = np.isfinite(np.asarray(columns[watch.signal], dtype=np.float64))
        enough = max(1, least - window)  # spectra are not known before the window is filled
        if known.sum() < enough or not known[0 if watch.after else watch.first :].any():
            rule = f"know {watch.signal} at {enough} updates or more, one of them from {least} on"
            step = "Pass runs in which it is known; of a gap, with weights in more digits"
            refuse("negatives", rule, f"{known.sum()} of {updates} in number {number}", step)
    return columns
