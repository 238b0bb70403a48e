"""The study of `world.py` on servers that can be killed: PostgreSQL, MLflow with proxied artifacts, Dask with a worker."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults.altered import disturbed
from tests.faults.world import STUDY, USUAL, Pace, World
from tests.runs import test_several_machines as machines

STOPPED_S = 75
"""Longer than a database's lock or a lease's poll."""
SERVER_STOPPED_S = 130
"""Longer than a request may take, 120 s by MLflow's default."""


class Servers(machines.Servers):
    """Servers that are begun again as they were, after they have been killed."""

    def __init__(self, logs: Path) -> None:
        super().__init__(logs)
        self.begun: dict[str, tuple[list[str], Path, dict[str, str]]] = {}
        self.by_name: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, words: list[str], folder: Path, **environment: str) -> subprocess.Popen[bytes]:
        """As before, and remembered."""
        self.begun[name] = (words, folder, environment)
        self.by_name[name] = super().start(name, words, folder, **environment)
        return self.by_name[name]

    def kill(self, name: str) -> None:
        """kill -9 of a server and its children, those in sessions of their own (PostgreSQL's) too."""
        process = self.by_name[name]
        children = psutil.Process(process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, 30)
        process.wait()
        self.processes.remove(process)

    def again(self, name: str) -> None:
        """Begin it as it was."""
        words, folder, environment = self.begun[name]
        self.start(name, words, folder, **environment)


@dataclass
class Served(World):
    """A world whose store is a server.

    Attributes:
        servers: all of them. ports: by name. backend: `loky` or `dask`.
    """

    servers: Servers = field(kw_only=True)
    ports: dict[str, int] = field(kw_only=True)
    backend: str = field(kw_only=True)

    @property
    def uri(self) -> str:
        """Of the server."""
        return f"http://127.0.0.1:{self.ports['mlflow']}"

    @property
    def words(self) -> list[str]:
        """On a cluster, its address."""
        address = f"tcp://127.0.0.1:{self.ports['dask']}"
        return ["--backend", "dask", "--scheduler", address] if self.backend == "dask" else super().words

    @property
    def artifacts(self) -> Path:
        """Where the server keeps them."""
        return self.folder / "server" / "artifacts"

    def place(self, uri: str) -> Path:
        """The server's own folder of an artifact URI."""
        return self.artifacts / uri.partition("mlflow-artifacts:/")[2].lstrip("/")

    def ready(self) -> None:
        """Wait for every server."""
        self.servers.wait_for("MLflow server", lambda: machines.is_healthy(self.uri))
        if self.backend == "dask":
            self.servers.wait_for("scheduler", lambda: machines.answers(self.ports["dask"]))

    def close(self) -> None:
        """Stop the servers."""
        self.servers.stop()
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def new(backend: str = "loky", pace: Pace = USUAL) -> Served:
    """Servers with an empty store, in a folder that the database's user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="served-"))
    folder.chmod(0o755)
    (folder / "logs").mkdir()
    (folder / "own.yaml").write_text(STUDY, encoding="utf-8")
    store = folder / "store"
    store.mkdir()
    store.chmod(0o755)
    servers = Servers(folder / "logs")
    world = Served(
        store,
        pace=pace,
        servers=servers,
        backend=backend,
        ports={name: machines.free_port() for name in ("postgres", "mlflow", "dask")},
    )
    try:
        database = machines.start_postgres(servers, store / "postgres", world.ports["postgres"])
        places = ["--backend-store-uri", database, "--artifacts-destination", str(world.artifacts)]
        address = ["--host", "127.0.0.1", "--port", str(world.ports["mlflow"]), "--workers", "1"]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        servers.start("mlflow", [str(machines.SCRIPTS / "mlflow"), "server", *places, *address], store / "server", **quiet)
        if backend == "dask":
            scheduler = [str(machines.SCRIPTS / "dask"), "scheduler", "--host", "127.0.0.1", "--port", str(world.ports["dask"])]
            code = str(machines.copy_of_the_project(folder / "code"))
            servers.start("scheduler", [*scheduler, "--no-dashboard"], folder / "scheduler", PYTHONPATH=code)
            servers.wait_for("scheduler", lambda: machines.answers(world.ports["dask"]))
            machines.start_worker(servers, folder / "worker", f"tcp://127.0.0.1:{world.ports['dask']}")
        world.ready()
    except BaseException:
        world.close()
        raise
    return world


def server_killed(world: Served, rng: random.Random) -> None:
    """kill -9 of the MLflow server, which is back after some seconds."""
    _back_after(world, rng, "mlflow")


def postgres_killed(world: Served, rng: random.Random) -> None:
    """kill -9 of PostgreSQL and all its processes."""
    _back_after(world, rng, "postgres")


def scheduler_killed(world: Served, rng: random.Random) -> None:
    """kill -9 of the Dask scheduler; its worker ends with it, and both are begun again."""
    process = disturbed(world, rng)
    world.servers.kill("scheduler")
    world.end(process)
    if world.servers.by_name["worker"].poll() is None:
        world.servers.kill("worker")
    else:
        world.servers.processes.remove(world.servers.by_name["worker"])
    world.servers.again("scheduler")
    world.ready()
    world.servers.again("worker")


def worker_killed(world: Served, rng: random.Random) -> None:
    """kill -9 of the cluster's only worker; another one comes."""
    process = disturbed(world, rng)
    world.servers.kill("worker")
    time.sleep(rng.uniform(0, 10))
    world.servers.again("worker")
    world.end(process)


def database_full(world: Served, rng: random.Random) -> None:
    """The disk of PostgreSQL is full in the middle, and has room again later."""
    data = world.folder / "postgres"
    kept = data.with_name("postgres.kept")
    world.servers.kill("postgres")
    data.rename(kept)
    data.mkdir()
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file()) // 2**20 + 48
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(data)], check=True, capture_output=True)
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", str(data)], check=True)
        world.servers.again("postgres")
        world.ready()
        process = disturbed(world, rng)
        filler = data / "filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(2**16))
        time.sleep(rng.uniform(2, 12))
        filler.unlink()
        world.end(process)
        if world.servers.by_name["postgres"].poll() is not None:  # it may have given up
            world.servers.processes.remove(world.servers.by_name["postgres"])
            world.servers.again("postgres")
        world.ready()
        world.servers.kill("postgres")
        shutil.rmtree(kept)
        subprocess.run(["cp", "-a", str(data), str(kept)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(data)], check=True)
        data.rmdir()
        kept.rename(data)
    world.servers.again("postgres")
    world.ready()


def server_stopped(world: Served, rng: random.Random) -> None:
    """SIGSTOP of the MLflow server for longer than a request may take."""
    _stopped(world, rng, "mlflow", SERVER_STOPPED_S)


def postgres_stopped(world: Served, rng: random.Random) -> None:
    """SIGSTOP of PostgreSQL and all its processes for longer than a lease's poll."""
    _stopped(world, rng, "postgres", STOPPED_S)


def scheduler_stopped(world: Served, rng: random.Random) -> None:
    """SIGSTOP of the Dask scheduler for as long."""
    _stopped(world, rng, "scheduler", STOPPED_S)


def two_on_a_server(world: Served, rng: random.Random) -> None:
    """Two identical commands at once, on a server with PostgreSQL."""
    world.ends_well(*(world.start() for _ in range(2)))


def four_on_a_server(world: Served, rng: random.Random) -> None:
    """Four identical commands at once, on a server with PostgreSQL."""
    world.ends_well(*(world.start() for _ in range(4)))


def _stopped(world: Served, rng: random.Random, name: str, seconds: float) -> None:
    process = disturbed(world, rng)
    server = psutil.Process(world.servers.by_name[name].pid)
    every = [server, *server.children(recursive=True)]
    for one in every:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.suspend()
    time.sleep(seconds)
    for one in every:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.resume()
    world.end(process)
    world.ready()


def _back_after(world: Served, rng: random.Random, name: str) -> None:
    process = disturbed(world, rng)
    world.servers.kill(name)
    time.sleep(rng.uniform(0, 10))
    world.servers.again(name)
    world.ready()
    world.end(process)
