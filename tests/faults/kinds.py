"""What is done to a small study, and to its files: the faults of `campaign.py`."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from grok.spec.studies import load_file
from tests.faults import served
from tests.faults.altered import (
    Fault,
    altered,
    artifacts_gone,
    cut,
    disturbed,
    finished_altered,
    finished_flipped,
    finished_gone,
    flip,
)
from tests.faults.world import World


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


def kill_train(world: World, rng: random.Random) -> None:
    """kill -9 of the command that trains one cell alone; the study goes on with its run."""
    cell = next(iter(load_file(world.own).values())).cells[0].config
    flags = [word for name in CELL for word in (f"--{name.replace('_', '-')}", shown_value(getattr(cell, name)))]
    process = world.start("entry_points.train", *flags)
    world.wait_until_it_trains(process)
    time.sleep(rng.uniform(0, 2))
    world.end(process, kill=True)
    if len(world.runs()) != 1:
        raise AssertionError(f"the command began {len(world.runs())} runs")


def shown_value(value: Any) -> str:
    """A field as a flag has it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def kill_new_store(world: World, rng: random.Random) -> None:
    """kill -9 at any moment while the command makes the store itself."""
    process = world.start()
    deadline = time.monotonic() + 60
    while not any(world.folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 6))
    world.end(process, kill=True)


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
    """SIGSTOP of everything for longer than a database waits for a lock, while another command wants the same runs."""
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
    "killed while the store is made": kill_new_store,
    "train killed": kill_train,
    "worker killed": kill_worker,
    "Ctrl-C": interrupt,
    "stopped for ten seconds": stop_and_continue,
    "stopped beyond a database's time-out": stopped_long,
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
    "band or factors of a finished run cut": finished_altered("delta_w/*.npz"),
    "history of a finished run cut": finished_altered("history.parquet"),
    "bit of a band or of factors turned over": finished_flipped("delta_w/*.npz"),
    "bit of a history turned over": finished_flipped("history.parquet"),
    "bit of a checkpoint turned over": finished_flipped("checkpoints/*.safetensors"),
    "files of a finished run gone": finished_gone,
    "artifacts gone": artifacts_gone,
    "disk of artifacts full": disk_full,
    "disk of the database full": database_full,
    "store read-only": read_only,
}
SERVED: dict[str, Callable[[served.Served, random.Random], None]] = {
    "MLflow server killed": served.server_killed,
    "PostgreSQL killed": served.postgres_killed,
    "Dask scheduler killed": served.scheduler_killed,
    "Dask worker killed": served.worker_killed,
    "disk of PostgreSQL full": served.database_full,
    "tags edited on a server": tags_edited,
    "MLflow server stopped beyond a request's time-out": served.server_stopped,
    "two commands at once, on a server": served.two_on_a_server,
    "four commands at once, on a server": served.four_on_a_server,
}
"""On servers, where PostgreSQL is installed."""
ON_DASK = ("Dask scheduler killed", "Dask worker killed")
NEED_ROOT = ("disk of artifacts full", "disk of the database full", "store read-only", "disk of PostgreSQL full")
NEW_STORE = ("killed while the store is made",)
CELL = ("modulus", "width", "epochs", "max_window", "window", "slope_lag", "first_epoch", "top_pairs", "threads", "save_every")
CELL += ("checkpoint_epochs", "observe_every", "device", "seed")
"""Fields of the study's cells that are not as by default."""
