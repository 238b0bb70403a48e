"""What `benchmarks.many` asks besides commands: the list of runs by MLflow's server, and what one new run puts into a store."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.jobs import command

Row = dict[str, Any]
LISTED = 100
"""Runs that the page of an experiment asks for first (MLflow 3, its bundle's default), newest first."""
WARM = 5
"""Times that the same is asked for again."""
UP_S = 120.0
"""That a server may take to answer."""
SERVER = ("-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1")
OFF = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""As the README has it."""


@contextlib.contextmanager
def served(database: Path) -> Iterator[tuple[str, psutil.Process, float]]:
    """MLflow's server of a database on a free port of 127.0.0.1: its address, its process, the seconds until it answered.

    It and the processes that it has started are stopped by their ids.

    Raises:
        RuntimeError: if it does not answer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as where, tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        words = [*SERVER, "--port", str(port), "--backend-store-uri", f"sqlite:///{database}"]
        server = subprocess.Popen([sys.executable, *words], cwd=where, env=os.environ | OFF, stdout=log, stderr=log)
        process, address = psutil.Process(server.pid), f"http://127.0.0.1:{port}"
        try:
            while not _answers(f"{address}/health"):
                if server.poll() is not None or time.perf_counter() - began > UP_S:
                    log.seek(0)
                    last = (log.read().strip().splitlines() or ["no word"])[-1]
                    raise RuntimeError(f"server must answer within {UP_S:.0f} s, got status {server.poll()}: {last[:200]}")
                time.sleep(0.05)
            yield address, process, time.perf_counter() - began
        finally:
            _stop(process, server)


def _stop(process: psutil.Process, server: subprocess.Popen[bytes]) -> None:
    every = _tree(process)
    for one in every:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.terminate()
    _, left = psutil.wait_procs(every, timeout=10)
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    server.wait()


def _tree(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def memory_mb(process: psutil.Process) -> float:
    """MiB of a process and those that it has started; what they share counts once (PSS)."""
    return sum(one.memory_full_info().pss for one in _tree(process)) / 2**20


def _asked(url: str, body: Row | None = None) -> tuple[float, bytes]:
    """Seconds until the whole answer is there, and the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=600) as answer:
        content: bytes = answer.read()
    return time.perf_counter() - began, content


def page(address: str, experiment: str) -> Row:
    """Seconds of each request that the page of an experiment makes until its first list is there, one after the other.

    The page with its scripts and styles, the experiments, the experiment, its newest runs. A browser asks for some of it at
    once, and draws the list afterwards, which is not in it.
    """
    seconds, html = _asked(f"{address}/")
    for name in sorted(set(re.findall(r'(?:src|href)="\.?/?(static-files/[^"]+\.(?:js|css))"', html.decode()))):
        seconds += _asked(f"{address}/{name}")[0]
    api = f"{address}/ajax-api/2.0/mlflow"
    all_s, _ = _asked(f"{api}/experiments/search?max_results=1000")
    one_s, _ = _asked(f"{api}/experiments/get?experiment_id={experiment}")
    body = {"experiment_ids": [experiment], "max_results": LISTED, "order_by": ["attributes.start_time DESC"]}
    runs_s, content = _asked(f"{api}/runs/search", body | {"run_view_type": "ACTIVE_ONLY", "filter": ""})
    out = {"page_s": seconds, "experiments_s": all_s, "experiment_s": one_s, "runs_s": runs_s}
    listed = len(json.loads(content).get("runs", []))
    return {"list_s": sum(out.values())} | out | {"listed": listed, "answer_mb": len(content) / 1e6}


def run_list(database: Path, name: str) -> list[Row]:
    """The list of an experiment's runs: by a server that has just been started, and again; medians, and the slowest list.

    `cold` is the server's first answer; the disk's cache is as it was.
    """
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as opened:
        query = "SELECT e.experiment_id, count(*) FROM experiments e JOIN runs r USING (experiment_id) WHERE e.name = ?"
        experiment, runs = opened.execute(query, (name,)).fetchone()
    with served(database) as (address, process, up_s):
        about = {"part": "ui", "experiment_runs": runs, "server_up_s": up_s}
        cold = about | {"when": "cold"} | page(address, str(experiment)) | {"server_mb": memory_mb(process)}
        again = [page(address, str(experiment)) for _ in range(WARM)]
        median = {key: statistics.median(row[key] for row in again) for key in again[0]}
        warm = about | {"when": "warm"} | median | {"slowest_list_s": max(row["list_s"] for row in again)}
        return [cold, warm | {"server_mb": memory_mb(process)}]


def one_run(words: str, sizes: Callable[[Path], Row]) -> Row:
    """What one new run, the default one, puts into a new store: bytes of its database and of its files, values by epoch.

    Args:
        words: more flags of `train`. sizes: of a store's folder.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        database, uri = folder / "mlflow.db", f"sqlite:///{folder / 'mlflow.db'}"
        made = command(["-c", "from grok.store.store import open_store; open_store()"], {"MLFLOW_TRACKING_URI": uri})
        if made["status"]:
            raise RuntimeError(f"a new store must open, got status {made['status']}.")
        before = database.stat().st_size
        told = command(["-m", "entry_points.train", *shlex.split(words)], {"MLFLOW_TRACKING_URI": uri})
        if told["status"]:
            raise RuntimeError(f"the run must be complete, got status {told['status']}: {told['line']}")
        files = [path.stat().st_size for path in (folder / "mlruns").rglob("*") if path.is_file()]
        row = sizes(folder)
        grown = {"database_grew_mb": (database.stat().st_size - before) / 1e6, "empty_database_mb": before / 1e6}
        grown |= {"artifacts_mb": sum(files) / 1e6, "files": len(files)}
        tables = {key: value for key, value in row.items() if key.endswith("_table")}
        return {"part": "run", "points": row["points_per_run"]} | grown | tables | told
