"""A hundred faults: `python -m tests.faults.campaign --seed 0 --tries 100`.

Each try runs a small study, does something to it at a random moment, repeats the command, three times at most, until it says
that all is complete, and holds what is left against an undisturbed study: every cell one run, complete and finished, the same
files with the same content to the last bit, the same tables of the study, no step of any metric twice, no run that stays
RUNNING. The faults of disks need root and Linux (small file systems in memory); where these cannot be had they are counted as
not tried. `--only KIND` tries one kind, `--list` names them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.faults import served
from tests.faults.kinds import FAULTS, NEED_ROOT, NEW_STORE, ON_DASK, SERVED, faketime
from tests.faults.world import CELLS, EPOCHS, World, flaws, new, outcome, saved_epochs

REPEATS = 3
"""Times that the command may be repeated until it says that all is complete."""


@dataclass(frozen=True)
class Try:
    """One fault and what came of it.

    Attributes:
        kind: of the fault. survived: whether all is as it should be. why: what is not.
        again_s: seconds of the repeated command. undisturbed_s: of the command on an undisturbed study, in the same sitting.
        commands: that were given after the fault until one said that all is complete.
        kept: share of all epochs that had not to be trained again when the first of them was given; NaN if it is not known.
    """

    kind: str
    survived: bool
    why: str
    again_s: float
    undisturbed_s: float = 0.0
    commands: int = 0
    kept: float = math.nan


def attempt(kind: str, rng: random.Random, template: Path, folder: Path, expected: dict[str, dict[str, Any]]) -> Try:
    """One try in a new store."""
    try:
        world = new_for(kind, template, folder)
    except Exception as error:
        return Try(kind, False, f"no servers: {type(error).__name__}: {str(error)[-300:]}", 0.0)
    try:
        (SERVED | FAULTS)[kind](world, rng)  # type: ignore[operator]
        kept = saved_epochs(world) / (CELLS * EPOCHS) if (world.folder / "mlflow.db").exists() or kind in SERVED else 0.0
        began, status, commands = time.monotonic(), 1, 0
        while status != 0 and commands < REPEATS:
            (status,) = world.end(world.start())
            commands += 1
        again = time.monotonic() - began
        found = ([] if status == 0 else [f"exit status {status} after {REPEATS} repeats"]) + flaws(world, expected)
        return Try(kind, not found, "; ".join(found), again, commands=commands, kept=kept)
    except Exception as error:
        return Try(kind, False, f"{type(error).__name__}: {error}", 0.0)
    finally:
        for process in world.processes:
            world.kill(process)
            process.wait()
        world.close()


def new_for(kind: str, template: Path, folder: Path) -> World:
    """The store of a kind of fault: a file, or servers."""
    if kind in SERVED:
        return served.new("dask" if kind in ON_DASK else "loky")
    return new(None if kind in NEW_STORE else template, folder)


def possible(kind: str) -> bool:
    """Whether a kind of fault can be tried here: with root, PostgreSQL with psycopg2, or libfaketime, where it needs them."""
    if kind in SERVED:
        return served.machines.postgres_binaries() is not None and importlib.util.find_spec("psycopg2") is not None
    return (os.geteuid() == 0 or kind not in NEED_ROOT) and (faketime() is not None or kind != "clock moved back")


def table(tries: list[Try]) -> str:
    """Fault, tries, survived; commands until all was there, epochs that were kept, seconds against an undisturbed study."""
    head = "| fault | tries | survived | commands, most | epochs kept, least | their time, mean share of an undisturbed study |"
    lines = [head, "|---|---|---|---|---|---|"]
    for kind in sorted({one.kind for one in tries}):
        mine = [one for one in tries if one.kind == kind]
        mean = sum(one.again_s / one.undisturbed_s for one in mine) / len(mine)
        share = "–" if kind in SERVED else f"{mean:.2f}"  # the undisturbed study has no server
        told = f"{max(one.commands for one in mine)} | {min(one.kept for one in mine):.2f} | {share}"
        lines.append(f"| {kind} | {len(mine)} | {sum(one.survived for one in mine)} | {told} |")
    lines.append(f"| all | {len(tries)} | {sum(one.survived for one in tries)} | {max(one.commands for one in tries)} | | |")
    return "\n".join(lines)


def planned(seed: int, tries: int, kinds: list[str]) -> list[str]:
    """The kind of each try: each as often as another, in an order of the seed."""
    chosen = [kinds[i % len(kinds)] for i in range(tries)]
    random.Random(seed).shuffle(chosen)
    return chosen


def earlier(out: Path | None, chosen: list[str]) -> list[Try]:
    """The tries of a campaign that was stopped, from its file; none where there is no file.

    Raises:
        ValueError: if they are of another campaign.
    """
    if out is None or not out.exists():
        return []
    tries = [Try(**one) for one in json.loads(out.read_text(encoding="utf-8"))["tries"]]
    if [one.kind for one in tries] != chosen[: len(tries)]:
        raise ValueError(f"out must be of the same seed, tries and kinds, got {out} with other tries. Name another file.")
    return tries


def keep(out: Path | None, seed: int, count: int, tries: list[Try]) -> None:
    """Write the tries so far, with what made them; whole or not at all."""
    if out is None:
        return
    from benchmarks import record

    about = record.environment(f"python -m tests.faults.campaign --seed {seed} --tries {count}")
    content = about | {"survived": sum(one.survived for one in tries), "tries": [vars(one) for one in tries]}
    beside = out.with_name(f".{out.name}.partial")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    beside.replace(out)


def main(arguments: list[str]) -> int:
    """Try faults, print the table and what went wrong; exit status 1 if anything did."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the kinds and the moments")
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--only", choices=sorted(FAULTS | SERVED), action="append", help="this kind of fault; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the kinds of faults")
    parser.add_argument("--out", type=Path, help="file for the tries as JSON; a campaign that was stopped goes on from it")
    flags = parser.parse_args(arguments)
    if flags.list:
        print("\n".join([*FAULTS, *SERVED]))
        return 0
    wanted = flags.only or [*FAULTS, *SERVED]
    kinds = [kind for kind in wanted if possible(kind)]
    if left := [kind for kind in wanted if kind not in kinds]:
        print(f"not tried here, for want of root, PostgreSQL with psycopg2, or libfaketime: {', '.join(left)}", file=sys.stderr)
    chosen = planned(flags.seed, flags.tries, kinds)
    try:
        tries = earlier(flags.out, chosen)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, and its folders go
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        for one in campaign(Path(name), flags.seed, chosen, len(tries)):
            tries.append(one)
            keep(flags.out, flags.seed, flags.tries, tries)
    print(table(tries))
    return int(not all(one.survived for one in tries))


def campaign(folder: Path, seed: int, chosen: list[str], first: int) -> Iterator[Try]:
    """Each try from `first` on, told as it ends.

    Raises:
        RuntimeError: if the study is amiss undisturbed.
    """
    from grok.store import sqlite

    template = folder / "template" / "mlflow.db"
    template.parent.mkdir()
    sqlite.make(template)
    world = new(template, folder / "undisturbed")
    began = time.monotonic()
    world.end(world.start())
    undisturbed_s = time.monotonic() - began
    expected = outcome(world)
    if found := flaws(world, expected):
        raise RuntimeError("; ".join([*found, (folder / "undisturbed" / "log.txt").read_text()[-2000:]]))
    for number in range(first, len(chosen)):
        place = folder / f"try-{number}"
        rng = random.Random(f"{seed} {number}")
        one = replace(attempt(chosen[number], rng, template, place, expected), undisturbed_s=undisturbed_s)
        told = "survived" if one.survived else one.why
        print(f"{number + 1}/{len(chosen)} {one.kind}: {told}", file=sys.stderr, flush=True)
        if not one.survived and (place / "log.txt").exists():
            print((place / "log.txt").read_text()[-1500:], file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
        yield one


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
