"""A hundred faults: `python -m tests.faults.campaign --seed 0 --tries 100`.

Each try runs a small study, does something to it at a random moment, repeats the command, three times at most, until it says
that all is complete, and holds what is left against an undisturbed study: every cell one run, complete and finished, with one
model that is ready; the same files with the same content to the last bit, the same points of each metric, none twice; the same
tables of the study; no run that stays RUNNING. A fault that comes when nothing is left to disturb is tried again at another
moment. A traceback, a command that hangs, and one that a fault does not concern and that ends with another status than 0 count
as faults of ours. The faults of disks need root and Linux; what cannot be tried here is named. `--only KIND` tries one kind,
`--list` names them. Tries are independent of each other: `--part 1/2 --out ONE` and `--part 2/2 --out TWO` can run side by
side, and `--join ONE TWO --out ALL` puts them together.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.record import code_version
from tests.faults import served
from tests.faults.kinds import FAULTS, GO_ON, NEED_ROOT, NEW_STORE, ON_DASK, SERVED, faketime
from tests.faults.outcome import flaws, outcome, saved_epochs
from tests.faults.tries import Try, earlier, joined, keep, planned, table
from tests.faults.world import CELLS, EPOCHS, Missed, Pace, World, new

REPEATS = 3
"""Times that the command may be repeated until it says that all is complete."""
MOMENTS = 6
"""That a fault is tried at until one comes while there is something to disturb."""


def attempt(kind: str, rng: random.Random, template: Path, folder: Path, expected: dict[str, Any], pace: Pace) -> Try:
    """One try, each moment of it in a new store."""
    for missed in range(MOMENTS):
        try:
            world = new_for(kind, template, folder / str(missed), pace)
        except Exception as error:
            return Try(kind, False, f"no servers: {type(error).__name__}: {str(error)[-300:]}")
        try:
            return replace(_survived(kind, rng, world, expected), missed=missed)
        except Missed:
            continue
        finally:
            for process in world.processes:
                world.kill(process)
                process.wait()
            world.close()
    return Try(kind, False, f"nothing was left to disturb at {MOMENTS} moments", missed=MOMENTS)


def _survived(kind: str, rng: random.Random, world: World, expected: dict[str, Any]) -> Try:
    """A fault, the command again, and what is left; the store is kept as it is where something is amiss.

    Raises:
        Missed: if there was nothing to disturb.
    """
    began, commands, kept = time.monotonic(), 0, math.nan
    try:
        if isinstance(world, served.Served):
            SERVED[kind](world, rng)
        else:
            FAULTS[kind](world, rng)
        kept = math.nan if kind in GO_ON else saved_epochs(world) / (CELLS * EPOCHS)
        began, status = time.monotonic(), 1
        while status != 0 and commands < REPEATS:
            (status,) = world.end(world.start())
            commands += 1
        again = time.monotonic() - began
        found = [] if status == 0 else [f"exit status {status} after {REPEATS} repeats"]
        found += ["a traceback is printed"] if "Traceback" in world.log.read_text(encoding="utf-8") else []
        found += flaws(world, expected)
    except Missed:
        raise
    except Exception as error:
        again, found = time.monotonic() - began, [*world.noted, f"{type(error).__name__}: {error}"]
    if found:
        _keep_the_store(world)
    return Try(kind, not found, "; ".join(found), again, commands=commands, kept=kept)


def _keep_the_store(world: World) -> None:
    """Copy a store that is amiss, with what was printed, to a folder of its own; not the files of a database server."""
    place = Path(tempfile.mkdtemp(prefix="amiss-"))
    shutil.copytree(world.folder.parent, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("postgres*"))
    print(f"the store is kept in {place}; printed was:\n{world.log.read_text(encoding='utf-8')[-1500:]}", file=sys.stderr)


def new_for(kind: str, template: Path, folder: Path, pace: Pace) -> World:
    """The store of a kind of fault: a file, or servers."""
    if kind in SERVED:
        return served.new("dask" if kind in ON_DASK else "loky", pace)
    return new(None if kind in NEW_STORE else template, folder, pace)


def possible(kind: str) -> bool:
    """Whether a kind of fault can be tried here: with root, PostgreSQL and psycopg2, libfaketime and cc, if it needs them."""
    if kind in SERVED:
        return served.machines.postgres_binaries() is not None and importlib.util.find_spec("psycopg2") is not None
    return (os.geteuid() == 0 or kind not in NEED_ROOT) and (faketime() is not None or kind != "clock moved back")


def part(text: str) -> tuple[int, int]:
    """Which of how many parts, as `2/3`.

    Raises:
        argparse.ArgumentTypeError: if it is neither.
    """
    which, _, of = text.partition("/")
    if not (which.isdigit() and of.isdigit() and 1 <= int(which) <= int(of)):
        raise argparse.ArgumentTypeError(f"part must be as 1/2, got {text}. Give which of how many")
    return int(which), int(of)


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    out = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    out.add_argument("--seed", type=int, default=0, help="of the kinds and the moments")
    out.add_argument("--tries", type=int, default=100)
    out.add_argument("--part", type=part, default=(1, 1), metavar="1/2", help="every second try from the first on")
    out.add_argument("--only", choices=sorted(FAULTS | SERVED), action="append", help="this kind of fault; may be repeated")
    out.add_argument("--list", action="store_true", help="name the kinds of faults")
    out.add_argument("--out", type=Path, help="file for the tries as JSON; a campaign that was stopped goes on from it")
    out.add_argument("--join", type=Path, nargs="+", metavar="FILE", help="nothing is tried: put the parts together")
    return out


def main(arguments: list[str]) -> int:
    """Try faults, print the table and what went wrong; exit status 1 if anything did."""
    flags = parser().parse_args(arguments)
    if flags.list:
        print("\n".join([*FAULTS, *SERVED]))
        return 0
    wanted = flags.only or [*FAULTS, *SERVED]
    kinds = [kind for kind in wanted if possible(kind)]
    if left := [kind for kind in wanted if kind not in kinds]:
        print(
            f"not tried here, for want of root, PostgreSQL with psycopg2, or libfaketime and cc: {', '.join(left)}",
            file=sys.stderr,
        )
    chosen = planned(flags.seed, flags.tries, kinds)
    which, of = flags.part
    numbers, words = range(which - 1, flags.tries, of), f"--seed {flags.seed} --tries {flags.tries}"
    try:
        if flags.join:
            tries = joined(flags.join, chosen)
            keep(flags.out, words, left, tries)
        else:
            tries = earlier(flags.out, numbers, chosen)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended, and its folders go
    if not flags.join and len(tries) < len(numbers):
        with tempfile.TemporaryDirectory(prefix="faults-") as name:
            for one in campaign(Path(name), flags.seed, chosen, numbers[len(tries) :]):
                tries.append(one)
                keep(flags.out, f"{words} --part {which}/{of}" if of > 1 else words, left, tries)
    print(table(tries))
    return int(not all(one.survived for one in tries))


def campaign(folder: Path, seed: int, chosen: list[str], numbers: Sequence[int]) -> Iterator[Try]:
    """Each try of these numbers, told as it ends.

    Raises:
        RuntimeError: if the study is amiss undisturbed.
    """
    from grok.store import sqlite

    template = folder / "template" / "mlflow.db"
    template.parent.mkdir()
    sqlite.make(template)
    expected, pace = undisturbed(template, folder / "undisturbed")
    for number in numbers:
        place = folder / f"try-{number}"
        rng = random.Random(f"{seed} {number}")
        found = attempt(chosen[number], rng, template, place, expected, pace)
        one = replace(found, number=number, undisturbed_s=pace.whole_s, code=code_version())
        print(f"{number + 1}/{len(chosen)} {one.kind}: {'survived' if one.survived else one.why}", file=sys.stderr, flush=True)
        shutil.rmtree(place, ignore_errors=True)
        yield one


def undisturbed(template: Path, folder: Path) -> tuple[dict[str, Any], Pace]:
    """What an undisturbed study leaves, and how long it takes.

    Raises:
        RuntimeError: if it is amiss.
    """
    world = new(template, folder)
    began = time.monotonic()
    process = world.start()
    world.wait_until_it_trains(process)
    first_s = time.monotonic() - began
    world.ends_well(process)
    whole_s = time.monotonic() - began
    expected = outcome(world)
    if found := flaws(world, expected):
        raise RuntimeError("; ".join([*found, world.log.read_text(encoding="utf-8")[-2000:]]))
    files = sum(path.stat().st_size for path in world.artifacts.rglob("*") if path.is_file())
    return expected, Pace(first_s, whole_s, files, (world.folder / "mlflow.db").stat().st_size)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
