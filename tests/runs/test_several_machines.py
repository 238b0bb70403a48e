"""One study on several machines, played on loopback: PostgreSQL, an MLflow server with proxied artifacts, a Dask scheduler,
two Dask workers with folders and copies of the project of their own, and a client in a folder of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grok.spec.config import RunConfig
from tests.conftest import PROJECT, TINY

pytestmark = [pytest.mark.slow, pytest.mark.faults]
CELL = replace(TINY, epochs=1500, checkpoint_epochs=(1500,), observe_every=0, save_every=100, first_epoch=100)
PACKAGES = ("grok", "analysis", "entry_points")
SCRIPTS = Path(sys.executable).parent


def postgres_binaries() -> Path | None:
    """The folder of PostgreSQL's server programs."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Servers:
    """Processes of this test, stopped by their id at the end, last begun first."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, words: list[str], folder: Path, **environment: str) -> subprocess.Popen[bytes]:
        folder.mkdir(parents=True, exist_ok=True)
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTHONPATH"))}
        with (self.logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                words, cwd=folder, env=keep | environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.processes.append(process)
        return process

    def wait_for(self, what: str, ready: Callable[[], bool], seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            for process in self.processes:
                assert process.poll() in (None, -signal.SIGKILL), self.tail()
            assert time.monotonic() < deadline, f"no {what} in {seconds} s\n{self.tail()}"
            time.sleep(0.3)

    def tail(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-1500:]}" for p in sorted(self.logs.glob("*.log")))

    def stop(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the group of this very process: its children, if it left any
            process.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def is_healthy(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=2) as reply:
        return bool(reply.status == 200)
    return False


@dataclass(frozen=True)
class Site:
    """The addresses, and the process of each worker by its folder's name."""

    tracking: str
    scheduler: str
    workers: dict[str, subprocess.Popen[bytes]]
    servers: Servers
    folder: Path


def start_postgres(servers: Servers, folder: Path, port: int, password: str = "") -> str:
    """A database server with a data folder of its own, which asks for a password if one is given; the URI of its database."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    psycopg2 = pytest.importorskip("psycopg2")
    data = folder / "data"
    folder.mkdir()
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses to run as root
    if as_postgres:
        shutil.chown(folder, "postgres")
    asks = ["-A", "trust"]
    if password:
        (folder / "password").write_text(password)
        asks = ["-A", "scram-sha-256", "--pwfile", str(folder / "password")]
    run = [*as_postgres, str(binaries / "initdb"), "-D", str(data), "-U", "mlflow", "-N", *asks]
    subprocess.run(run, cwd=folder, check=True, capture_output=True)
    listen = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-p", str(port)]
    servers.start("postgres", [*as_postgres, str(binaries / "postgres"), "-D", str(data), *listen], folder)
    address = f"mlflow{f':{password}' if password else ''}@127.0.0.1:{port}/postgres"

    def ready() -> bool:
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(f"postgresql://{address}").close()
            return True
        return False

    servers.wait_for("database", ready)
    return f"postgresql+psycopg2://{address}"


@pytest.fixture
def site() -> Iterator[Site]:
    import tempfile

    pytest.importorskip("distributed")
    folder = Path(tempfile.mkdtemp(prefix="machines-"))
    folder.chmod(0o755)  # the database server is another user
    (folder / "logs").mkdir()
    servers = Servers(folder / "logs")
    try:
        ports = {name: free_port() for name in ("postgres", "mlflow", "dask")}
        database = start_postgres(servers, folder / "postgres", ports["postgres"])
        url, scheduler = f"http://127.0.0.1:{ports['mlflow']}", f"tcp://127.0.0.1:{ports['dask']}"
        servers.start(
            "mlflow",
            [
                str(SCRIPTS / "mlflow"),
                "server",
                "--backend-store-uri",
                database,
                "--artifacts-destination",
                str(folder / "server" / "artifacts"),
                "--host",
                "127.0.0.1",
                "--port",
                str(ports["mlflow"]),
                "--workers",
                "1",
            ],
            folder / "server",
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
            MLFLOW_DISABLE_TELEMETRY="true",
        )
        servers.start(
            "dask-scheduler",
            [str(SCRIPTS / "dask"), "scheduler", "--host", "127.0.0.1", "--port", str(ports["dask"]), "--no-dashboard"],
            folder / "scheduler",
            PYTHONPATH=str(copy_of_the_project(folder / "scheduler")),
        )
        servers.wait_for("MLflow server", lambda: is_healthy(url))
        servers.wait_for("scheduler", lambda: answers(ports["dask"]))
        workers = {name: start_worker(servers, folder / name, scheduler) for name in ("machine-a", "machine-b")}
        yield Site(url, scheduler, workers, servers, folder)
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)


def copy_of_the_project(folder: Path) -> Path:
    """The code alone, in a folder of that machine."""
    ignore = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, folder / "project" / package, ignore=ignore)
    return folder / "project"


def start_worker(servers: Servers, folder: Path, scheduler: str, **environment: str) -> subprocess.Popen[bytes]:
    """One machine's worker: a single process, so that its id is the one to kill."""
    return servers.start(
        folder.name,
        [
            str(SCRIPTS / "dask"),
            "worker",
            scheduler,
            "--host",
            "127.0.0.1",
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            str(folder / "scratch"),
        ],
        folder / "home",
        PYTHONPATH=str(copy_of_the_project(folder)),
        OMP_NUM_THREADS="1",
        **environment,
    )


def write_study(path: Path) -> None:
    base = {k: v for k, v in CELL.to_strings().items() if v != RunConfig().to_strings()[k]}
    runs = [{"condition": "grok", **base, "seed": "0..3"}]
    path.write_text(repr({"tiny": {"sentence": "Several machines.", "source": "ours", "runs": runs}}), encoding="utf-8")


def start_study(site: Site) -> subprocess.Popen[bytes]:
    client = site.folder / "client"
    client.mkdir()
    write_study(site.folder / "own.yaml")
    words = ["-m", "entry_points.study", "--study", str(site.folder / "own.yaml"), "--backend", "dask"]
    return site.servers.start(
        "study",
        [sys.executable, "-W", "error::ResourceWarning", *words, "--scheduler", site.scheduler],
        client,
        PYTHONPATH=str(copy_of_the_project(site.folder / "client-code")),
        PYTHONDONTWRITEBYTECODE="1",
        MLFLOW_TRACKING_URI=site.tracking,
        MLFLOW_EXPERIMENT_NAME="several machines",
    )


def kill_a_worker_in_mid_run(site: Site, store: Any) -> str:
    """Kill the worker that has saved a state of the run it trains; returns that run's id."""
    from grok.store.run import TrackedRun

    pids = {process.pid: process for process in site.workers.values()}
    found: list[Any] = []

    def saved() -> bool:
        for run in store.find({"kind": "train", "state": "running"}):
            pid = int(run.tags["grok.process"].split(":")[0])
            if pid in pids and TrackedRun(store.client, run.run_id).list_files("resume"):
                found[:] = [run.run_id, pids[pid]]
        return bool(found)

    site.servers.wait_for("run with a saved state", saved)
    os.kill(found[1].pid, signal.SIGKILL)
    return str(found[0])


def test_one_study_on_two_machines_of_which_one_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", site.tracking)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "several machines")
    process = start_study(site)
    site.servers.wait_for("study", lambda: bool(_parents()))
    from analysis.reading.files import RunFiles
    from grok.store import store as tracking

    store = tracking.open_store()
    killed = kill_a_worker_in_mid_run(site, store)
    lost_at = time.monotonic()
    assert process.wait(500) == 0, site.servers.tail()
    line = (site.folder / "logs" / "study.log").read_text(encoding="utf-8").splitlines()[-1]
    assert "state=complete cells=4 trained=4 reused=0 open=0" in line

    runs = store.find({"kind": "train"})
    assert len(runs) == 4  # the lost run went on as itself on the other machine
    assert {run.tags["grok.state"] for run in runs} == {"complete"}
    (again,) = [run for run in runs if run.run_id == killed]
    survivor = next(p for p in site.workers.values() if p.poll() is None)
    assert again.tags["grok.process"].split(":")[0] == str(survivor.pid)
    files = RunFiles(store)
    for run in runs:
        assert run.artifact_uri.startswith("mlflow-artifacts:/")
        table = files.history(run.run_id)
        assert list(table["epoch"]) == list(range(CELL.epochs + 1))
        logged = store.client.get_metric_history(run.run_id, "loss/train")
        assert [m.step for m in logged] == list(range(CELL.epochs + 1))  # nothing lost, nothing twice
        np.testing.assert_array_equal([m.value for m in logged], table["loss/train"])
    (parent,) = store.find({"kind": "study"})
    tracked = tracking.TrackedRun(store.client, parent.run_id)
    assert len(pd.read_csv(tracked.get_file("runs.csv", tmp_path))) == 4
    assert tracked.get_file("figures/series.png", tmp_path).stat().st_size > 1000
    assert list((site.folder / "client").iterdir()) == []  # nothing was written where the command was given
    assert list((site.folder / "machine-a" / "home").iterdir()) == []
    print(f"from the loss of a worker to the end of the study: {time.monotonic() - lost_at:.0f} s")


def _parents() -> list[Any]:
    from grok.store import store as tracking

    return tracking.open_store().find({"kind": "study"})
