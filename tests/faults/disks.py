"""Disks that are full, or that fail: faults of `campaign.py` that need root and Linux."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.faults.altered import disturbed
from tests.faults.world import Missed, World

DISK = re.compile(r"full|space left|[Rr]ead-only|readonly|disk I/O|must be writable")
"""What is said of a disk."""


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


def refused(world: World, process: subprocess.Popen[str]) -> None:
    """A command whose disk is full or read-only must say so, and not end with 0.

    Raises:
        Missed: if it ends with 0.
    """
    if world.end(process) == [0]:
        raise Missed
    if not DISK.search(world.log.read_text(encoding="utf-8")):
        world.noted.append("a disk was full or read-only and nobody said so")


def disk_full(world: World, rng: random.Random) -> None:
    """The disk of the artifacts is full at a random moment."""
    with small_disk(world.folder / "mlruns", f"{rng.randrange(100, world.pace.files // 1024)}k"):
        refused(world, world.start())


def database_full(world: World, rng: random.Random) -> None:
    """The disk of the database, and of the artifacts with it, is full at a random moment."""
    size = (world.folder / "mlflow.db").stat().st_size
    more = rng.randrange(100, (world.pace.files + world.pace.database - size) // 1024)
    with small_disk(world.folder, f"{size // 1024 + more}k"):
        refused(world, world.start())


def read_only(world: World, rng: random.Random) -> None:
    """The disk of the store fails at a random moment and becomes read-only, as Linux has it; it is mended afterwards."""
    place, image = world.folder, world.folder.with_name("disk")
    kept = place.with_name("store.kept")
    subprocess.run(["truncate", "-s", "64M", str(image)], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    shutil.copytree(place, kept)
    device = subprocess.run(["losetup", "-f", "--show", str(image)], check=True, capture_output=True, text=True).stdout.strip()
    try:
        subprocess.run(["mount", "-o", "errors=remount-ro", device, str(place)], check=True)
        try:
            shutil.copytree(kept, place, dirs_exist_ok=True)
            process = disturbed(world, rng)
            Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("1")
            refused(world, process)
        finally:
            for process in world.processes:
                world.kill(process)
                process.wait()
            subprocess.run(["umount", str(place)], check=True)
        subprocess.run(["e2fsck", "-fy", device], check=False, capture_output=True)
        subprocess.run(["mount", device, str(place)], check=True)
        shutil.rmtree(kept)
        shutil.copytree(place, kept, ignore=shutil.ignore_patterns("lost+found"))
        subprocess.run(["umount", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
        image.unlink()
    shutil.copytree(kept, place, dirs_exist_ok=True)
    shutil.rmtree(kept)
