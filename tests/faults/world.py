"""A small but real study on a store of its own, for `campaign.py`: started, disturbed, held against an undisturbed one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from grok.spec.studies import load_file
from grok.store.moved import rebase
from tests.conftest import PROJECT

STUDY = """\
three:
  sentence: Three cells, disturbed.
  source: ours
  runs:
    - &base {condition: grok, modulus: 7, width: 32, epochs: 600, max_window: 12, window: 6, slope_lag: 3, first_epoch: 8,
             top_pairs: 20, threads: 1, save_every: 25, checkpoint_epochs: "300,600", observe_every: 50, device: cpu,
             seed: 0..1}
    - {<<: *base, condition: eta0, weight_decay: 0, seed: 0}
"""
LIMIT_S = 600
"""Of one command."""
FINAL = ("history.parquet", "delta_w/band.npz")


@dataclass
class World:
    """A store in a folder of its own, and the command that runs the study on it.

    Attributes:
        folder: of the store. processes: started here, and ended here by their ids.
    """

    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def uri(self) -> str:
        """Of the store."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def own(self) -> Path:
        """The file of the study, outside the store."""
        return self.folder.parent / "own.yaml"

    @property
    def words(self) -> list[str]:
        """Of the command, where its cells are trained."""
        return ["--workers", "2"]

    @property
    def artifacts(self) -> Path:
        """The folder of all artifacts."""
        return self.folder / "mlruns"

    def root(self, run: Any) -> Path:
        """The folder of a run's artifacts."""
        return Path(run.info.artifact_uri.removeprefix("file://"))

    def close(self) -> None:
        """Nothing is left running here."""

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Begin the command, in a process group of its own."""
        keep = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        own = {"MLFLOW_TRACKING_URI": self.uri, "MLFLOW_EXPERIMENT_NAME": "faults", "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-m", "entry_points.study", "--study", str(self.own), *self.words]
        with (self.folder.parent / "log.txt").open("a") as log:
            process = subprocess.Popen(
                words, cwd=PROJECT, env=keep | own | environment, stdout=log, stderr=log, text=True, start_new_session=True
            )
        self.processes.append(process)
        return process

    def wait_until_it_trains(self, process: subprocess.Popen[str]) -> None:
        """Until a state is saved, or the command has ended."""
        deadline = time.monotonic() + LIMIT_S
        while process.poll() is None and time.monotonic() < deadline:
            if next(self.artifacts.rglob("resume/epoch-*.safetensors"), None):
                return
            time.sleep(0.02)

    def end(self, *processes: subprocess.Popen[str], kill: bool = False) -> list[int]:
        """Exit statuses, of commands that are killed first if so wished; with all their workers."""
        for process in processes:
            if kill:
                self.kill(process)
            try:
                process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill(process)
                process.wait()
        return [process.returncode for process in processes]

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill a command and its workers, all in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def workers(self, process: subprocess.Popen[str]) -> list[psutil.Process]:
        """The worker processes of a command that use the processor most."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(process.pid).children(recursive=True)
            return sorted(found, key=lambda child: -sum(child.cpu_times()[:2]))[:2]
        return []

    def client(self) -> Any:
        """MLflow's client of the store."""
        import mlflow

        return mlflow.MlflowClient(self.uri)

    def runs(self, kind: str = "train") -> list[Any]:
        """Active runs of a kind."""
        client = self.client()
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return list(client.search_runs(experiments, f"tags.`grok.kind` = '{kind}'", max_results=1000))


def new(template: Path, folder: Path) -> World:
    """An empty store in a new folder, and the study beside it."""
    folder.mkdir(parents=True)
    (folder / "store").mkdir()
    (folder / "own.yaml").write_text(STUDY, encoding="utf-8")
    world = World(folder / "store")
    shutil.copy(template, world.folder / "mlflow.db")
    rebase(world.folder / "mlflow.db")
    return world


def outcome(world: World) -> dict[str, dict[str, Any]]:
    """What the runs of a study left, by config hash: the history and the band."""
    found: dict[str, dict[str, Any]] = {}
    for run in world.runs():
        root = world.root(run)
        with np.load(root / FINAL[1]) as arrays:
            bands = dict(arrays)
        found[run.data.tags["grok.config_hash"]] = {"history": pd.read_parquet(root / FINAL[0]), "bands": bands}
    return found


def flaws(world: World, expected: dict[str, dict[str, Any]]) -> list[str]:
    """What is not as it should be after a fault and the repetition of the command."""
    found = list(_run_flaws(world))
    hashes = [run.data.tags.get("grok.config_hash") for run in world.runs()]
    cells = {cell.config.hash for study in load_file(world.own).values() for cell in study.cells}
    found += [f"{hashes.count(one)} runs of {one}" for one in cells if hashes.count(one) != 1]
    if found:
        return found
    for one, left in outcome(world).items():
        if one in expected and not left["history"].equals(expected[one]["history"]):
            found.append(f"another history of {one}")
        if one in expected and any(not np.array_equal(a, expected[one]["bands"][n], True) for n, a in left["bands"].items()):
            found.append(f"another band of {one}")
    found += [f"half-written {path.name}" for path in world.artifacts.rglob(".*.partial-*")]
    for run in world.runs():  # what a deleted run has goes with `mlflow gc`
        found += [f"state {path.name} left" for path in (world.root(run) / "resume").glob("*")]
    return found


def _run_flaws(world: World) -> Iterator[str]:
    client = world.client()
    for run in (*world.runs(), *world.runs("study")):
        if run.info.status == "RUNNING" or run.data.tags.get("grok.state") != "complete":
            yield f"{run.info.run_id} is {run.data.tags.get('grok.state')}, {run.info.status}"
    for run in world.runs():
        steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "loss/train")]
        if len(steps) != len(set(steps)):
            yield f"{run.info.run_id} has {len(steps) - len(set(steps))} steps twice"
