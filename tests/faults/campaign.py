"""A hundred faults: `python -m tests.faults.campaign --seed 0 --tries 100`.

Each try runs a small study, does something to it at a random moment, repeats the command, and holds what is left against an
undisturbed study: every cell one run, complete and finished, the same numbers to the last bit, no step of a metric twice, no
file half-written under its final name, no run that stays RUNNING. The faults of disks need root and Linux (small file systems
in memory); where these cannot be had they are counted as not tried. `--only KIND` tries one kind, `--list` names them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.faults import served
from tests.faults.world import World, flaws, new, outcome

Fault = Callable[[World, random.Random], None]
"""Starts the command, disturbs it, and leaves it ended; the store is usable again then."""
REPEATS = 3
"""Times that the command may be repeated until it says that all is complete."""


def disturbed(world: World, rng: random.Random) -> Any:
    """The command under way, at a random moment after its first save."""
    process = world.start()
    world.wait_until_it_trains(process)
    time.sleep(rng.uniform(0, 4))
    return process


def kill_command(world: World, rng: random.Random) -> None:
    """kill -9 of the command and its workers."""
    world.end(disturbed(world, rng), kill=True)


def kill_parent(world: World, rng: random.Random) -> None:
    """kill -9 of the command alone: its workers end after the cell at hand, and the command is repeated meanwhile."""
    process = disturbed(world, rng)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def kill_early(world: World, rng: random.Random) -> None:
    """kill -9 at any moment from the first on, imports among them."""
    process = world.start()
    time.sleep(rng.uniform(0, 15))
    world.end(process, kill=True)


def kill_worker(world: World, rng: random.Random) -> None:
    """kill -9 of a worker; the command itself goes on."""
    process = disturbed(world, rng)
    for worker in world.workers(process)[:1]:
        worker.kill()
    world.end(process)


def interrupt(world: World, rng: random.Random) -> None:
    """Ctrl-C."""
    process = disturbed(world, rng)
    process.send_signal(signal.SIGINT)
    world.end(process)


def stop_and_continue(world: World, rng: random.Random) -> None:
    """SIGSTOP of everything for ten seconds, while another command looks at the store."""
    process = disturbed(world, rng)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGSTOP)
    other = world.start()
    time.sleep(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
    world.end(process, other)


def stopped_long(world: World, rng: random.Random) -> None:
    """SIGSTOP of everything for longer than any time-out, while another command wants the same runs."""
    process = disturbed(world, rng)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGSTOP)
    other = world.start()
    time.sleep(served.STOPPED_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
    world.end(process, other)


def clock_back(world: World, rng: random.Random) -> None:
    """The clock goes back by an hour and a half while the command runs, and another command comes; libfaketime does it."""
    clock = world.folder.parent / "clock"
    clock.write_text("+0\n")
    fake = {"LD_PRELOAD": str(faketime()), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1"}
    fake |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "0"}
    process = world.start(**fake)
    world.wait_until_it_trains(process)
    time.sleep(rng.uniform(0, 4))
    clock.write_text("-5400\n")
    time.sleep(2)
    world.end(process, world.start(**fake))


def faketime() -> Path | None:
    """The library that gives a process another clock, where it is installed."""
    places = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), *Path("/usr/lib/faketime").glob("libfaketime.so.1")]
    return next(iter(places), None)


def two_commands(world: World, rng: random.Random) -> None:
    """Two identical commands at once."""
    world.end(*(world.start() for _ in range(2)))


def four_commands(world: World, rng: random.Random) -> None:
    """Four identical commands at once, and one of them is killed."""
    processes = [world.start() for _ in range(4)]
    world.wait_until_it_trains(processes[0])
    world.kill(processes[rng.randrange(4)])
    world.end(*processes)


def run_deleted(world: World, rng: random.Random) -> None:
    """A run is deleted in the UI while it trains."""
    process = disturbed(world, rng)
    if found := world.runs():
        world.client().delete_run(rng.choice(found).info.run_id)
    world.end(process)


def run_renamed(world: World, rng: random.Random) -> None:
    """A run is renamed in the UI while it trains."""
    process = disturbed(world, rng)
    for run in world.runs():
        world.client().update_run(run.info.run_id, name="'; drop table runs; --")
    world.end(process)


def tags_edited(world: World, rng: random.Random) -> None:
    """Tags of a run are edited in the UI while it trains: it seems stopped, or of another process."""
    process = disturbed(world, rng)
    for run in world.runs()[:1]:
        key, value = rng.choice([("grok.state", "interrupted"), ("grok.process", "1:1.00"), ("grok.claim", "x")])
        world.client().set_tag(run.info.run_id, key, value)
    world.end(process)


def files_of(world: World, pattern: str) -> list[Path]:
    """Files of runs by a pattern of their paths."""
    return sorted(world.folder.glob(f"mlruns/*/*/artifacts/{pattern}"))


def cut(path: Path, rng: random.Random) -> None:
    """Cut a file short."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def flip(path: Path, rng: random.Random) -> None:
    """Turn a bit of a file over."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def altered(pattern: str, change: Callable[[Path, random.Random], None]) -> Fault:
    """The command is killed and a file is altered."""

    def fault(world: World, rng: random.Random) -> None:
        world.end(disturbed(world, rng), kill=True)
        for path in files_of(world, pattern):
            change(path, rng)

    return fault


def finished_altered(pattern: str) -> Fault:
    """A file of a finished run is cut: that run is named, deleted by hand, and trained anew by the same command."""

    def fault(world: World, rng: random.Random) -> None:
        from analysis.reading.evidence import Evidence
        from grok.store.store import connect

        world.end(world.start())
        path = rng.choice(files_of(world, pattern))
        cut(path, rng)
        left_out = Evidence(connect(world.uri, "")).left_out
        named = set(left_out["run_id"]) if len(left_out) else set()
        run_id = path.relative_to(world.folder / "mlruns").parts[1]
        if run_id not in named:
            raise AssertionError(f"{path.name} of {run_id} was cut and nobody said so")
        world.client().delete_run(run_id)

    return fault


def artifacts_gone(world: World, rng: random.Random) -> None:
    """The folder of artifacts is deleted while the study runs, and its unfinished runs with it."""
    world.end(disturbed(world, rng), kill=True)
    finished = {run.info.run_id for run in world.runs() if run.data.tags.get("grok.state") == "complete"}
    shutil.rmtree(world.folder / "mlruns", ignore_errors=True)
    for run_id in finished:
        world.client().delete_run(run_id)


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of a size over a folder with what is in it; what is there at the end is copied back."""
    kept = place.parent / f"{place.name}.kept"
    place.mkdir(exist_ok=True)
    shutil.copytree(place, kept, dirs_exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True, capture_output=True)
    try:
        shutil.copytree(kept, place, dirs_exist_ok=True)
        yield
        shutil.rmtree(kept)
        shutil.copytree(place, kept)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        shutil.copytree(kept, place, dirs_exist_ok=True)
        shutil.rmtree(kept)


def disk_full(world: World, rng: random.Random) -> None:
    """The disk of the artifacts is full in the middle."""
    with small_disk(world.folder / "mlruns", f"{rng.randrange(300, 1500)}k"):
        world.end(world.start())


def database_full(world: World, rng: random.Random) -> None:
    """The disk of the database, and of the artifacts with it, is full in the middle."""
    size = (world.folder / "mlflow.db").stat().st_size // 1024 + rng.randrange(300, 1500)
    with small_disk(world.folder, f"{size}k"):
        world.end(world.start())


def read_only(world: World, rng: random.Random) -> None:
    """The store becomes read-only in the middle."""
    with small_disk(world.folder, "200m"):
        process = disturbed(world, rng)
        subprocess.run(["mount", "-o", "remount,ro", str(world.folder)], check=False, capture_output=True)
        world.end(process)
        subprocess.run(["mount", "-o", "remount,rw", str(world.folder)], check=True)


FAULTS: dict[str, Fault] = {
    "command and workers killed": kill_command,
    "command alone killed": kill_parent,
    "killed at any moment": kill_early,
    "worker killed": kill_worker,
    "Ctrl-C": interrupt,
    "stopped for ten seconds": stop_and_continue,
    "stopped beyond all time-outs": stopped_long,
    "clock moved back": clock_back,
    "two commands at once": two_commands,
    "four at once, one killed": four_commands,
    "run deleted while it trains": run_deleted,
    "run renamed while it trains": run_renamed,
    "tags edited while it trains": tags_edited,
    "state cut short": altered("resume/*.safetensors", cut),
    "bit of a state turned over": altered("resume/*.safetensors", flip),
    "grid.json cut short": altered("grid.json", cut),
    "config.json cut short": altered("config.json", cut),
    "band of a finished run cut": finished_altered("delta_w/band.npz"),
    "history of a finished run cut": finished_altered("history.parquet"),
    "artifacts gone": artifacts_gone,
    "disk of artifacts full": disk_full,
    "disk of the database full": database_full,
    "store read-only": read_only,
}
SERVED: dict[str, Callable[[served.Served, random.Random], None]] = {
    "MLflow server killed": served.server_killed,
    "PostgreSQL killed": served.postgres_killed,
    "Dask scheduler killed": served.scheduler_killed,
    "MLflow server stopped beyond all time-outs": served.server_stopped,
    "two commands at once, on a server": served.two_on_a_server,
    "four commands at once, on a server": served.four_on_a_server,
}
"""On servers, where PostgreSQL is installed."""
ON_DASK = ("Dask scheduler killed",)
NEED_ROOT = ("disk of artifacts full", "disk of the database full", "store read-only")


@dataclass(frozen=True)
class Try:
    """One fault and what came of it.

    Attributes:
        kind: of the fault. survived: whether all is as it should be. why: what is not.
        again_s: seconds of the repeated command. undisturbed_s: of the command on an undisturbed study, in the same sitting.
    """

    kind: str
    survived: bool
    why: str
    again_s: float
    undisturbed_s: float = 0.0


def attempt(kind: str, rng: random.Random, template: Path, folder: Path, expected: dict[str, dict[str, Any]]) -> Try:
    """One try in a new store."""
    try:
        world = new_for(kind, template, folder)
    except Exception as error:
        return Try(kind, False, f"no servers: {type(error).__name__}: {str(error)[-300:]}", 0.0)
    try:
        (SERVED | FAULTS)[kind](world, rng)  # type: ignore[operator]
        began = time.monotonic()
        for _ in range(REPEATS):
            (status,) = world.end(world.start())
            if status == 0:
                break
        again = time.monotonic() - began
        found = ([] if status == 0 else [f"exit status {status} after {REPEATS} repeats"]) + flaws(world, expected)
        return Try(kind, not found, "; ".join(found), again)
    except Exception as error:
        return Try(kind, False, f"{type(error).__name__}: {error}", 0.0)
    finally:
        for process in world.processes:
            world.kill(process)
            process.wait()
        world.close()


def new_for(kind: str, template: Path, folder: Path) -> World:
    """The store of a kind of fault: a file, or servers."""
    return served.new("dask" if kind in ON_DASK else "loky") if kind in SERVED else new(template, folder)


def possible(kind: str) -> bool:
    """Whether a kind of fault can be tried here: with root, PostgreSQL with psycopg2, or libfaketime, where it needs them."""
    if kind in SERVED:
        return served.machines.postgres_binaries() is not None and importlib.util.find_spec("psycopg2") is not None
    return (os.geteuid() == 0 or kind not in NEED_ROOT) and (faketime() is not None or kind != "clock moved back")


def table(tries: list[Try]) -> str:
    """Fault, tries, survived, seconds of the repeated command against those of an undisturbed study."""
    lines = ["| fault | tries | survived | repeated command, mean share of an undisturbed study |", "|---|---|---|---|"]
    for kind in dict.fromkeys(one.kind for one in tries):
        mine = [one for one in tries if one.kind == kind]
        share = sum(one.again_s / one.undisturbed_s for one in mine) / len(mine)
        lines.append(f"| {kind} | {len(mine)} | {sum(one.survived for one in mine)} | {share:.2f} |")
    lines.append(f"| all | {len(tries)} | {sum(one.survived for one in tries)} | |")
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
