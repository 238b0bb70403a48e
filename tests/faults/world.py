"""A small but real study on a store of its own, for `campaign.py`: started, disturbed, held against an undisturbed one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

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
    - {<<: *base, condition: eta0, weight_decay: 0, seed: 0, spectrum_methods: "gram,svd"}
"""
CELLS, EPOCHS = 3, 600
"""Of the study."""
LIMIT_S = 600
"""Of one command."""
LATE = (
    "history.parquet",
    "figures/accuracy.png",
    "figures/top_pairs.png",
    "artifacts/network.safetensors",
    "artifacts/MLmodel",
    "artifacts/python_env.yaml",
    "figures/series.png",
    "artifacts/runs.csv",
    "artifacts/summary.md",
)
"""Files that a run and a study leave last, by the end of their paths, in this order."""
LATE_SHARE, LATE_S = 0.3, 0.4
"""Of the moments of a fault, those that follow such a file; and by how much at most."""


class Missed(Exception):
    """A fault came when there was nothing left to disturb: it is tried again at another moment."""


@dataclass(frozen=True)
class Pace:
    """How long an undisturbed study takes: until its first save, and in all; and the bytes of its files and of its database."""

    first_s: float = 15.0
    whole_s: float = 45.0
    files: int = 7_000_000
    database: int = 5_000_000


USUAL = Pace()


@dataclass
class World:
    """A store in a folder of its own, and the command that runs the study on it.

    Attributes:
        folder: of the store. processes: started here, and ended here by their ids.
        broken: ids of finished runs that a fault has broken: they are kept as they are, and no cell is theirs.
        beside: files of finished runs that a fault has broken, and that their runs can do without.
        noted: what was seen amiss while the fault was done. pace: of an undisturbed study.
    """

    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    beside: set[Path] = field(default_factory=set)
    noted: list[str] = field(default_factory=list)
    pace: Pace = USUAL

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

    def place(self, uri: str) -> Path:
        """The folder of an artifact URI."""
        return Path(uri.removeprefix("file://"))

    def root(self, run: Any) -> Path:
        """The folder of a run's artifacts."""
        return self.place(run.info.artifact_uri)

    @property
    def log(self) -> Path:
        """What the commands print."""
        return self.folder.parent / "log.txt"

    def close(self) -> None:
        """Nothing is left running here."""

    def start(self, *other: str, **environment: str) -> subprocess.Popen[str]:
        """Begin the command, or another with the same store, in a process group of its own."""
        keep = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        own = {"MLFLOW_TRACKING_URI": self.uri, "MLFLOW_EXPERIMENT_NAME": "faults", "OMP_NUM_THREADS": "1"}
        command = other or ("entry_points.study", "--study", str(self.own), *self.words)
        words = [sys.executable, "-m", *command]
        with self.log.open("a") as log:
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

    def wait_for(self, name: str, process: subprocess.Popen[str]) -> None:
        """Until a file whose path ends so is there, or the command has ended."""
        deadline = time.monotonic() + LIMIT_S
        while process.poll() is None and time.monotonic() < deadline:
            if any(path.as_posix().endswith(name) for path in self.artifacts.rglob(name.rpartition("/")[2])):
                return
            time.sleep(0.01)

    def at(self, process: subprocess.Popen[str], seconds: float) -> None:
        """Let so many seconds pass.

        Raises:
            Missed: if the command ends meanwhile.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        if process.poll() is not None:
            raise Missed

    def end(self, *processes: subprocess.Popen[str], kill: bool = False) -> list[int]:
        """Exit statuses, of commands that are killed first if so wished; with all their workers. One that hangs is noted."""
        for process in processes:
            if kill:
                self.kill(process)
            try:
                process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self.noted.append(f"a command hung for {LIMIT_S} s")
                self.kill(process)
                process.wait()
        return [process.returncode for process in processes]

    def ends_well(self, *processes: subprocess.Popen[str]) -> None:
        """Commands that the fault does not concern must end with 0; another status is noted."""
        if any(statuses := self.end(*processes)):
            self.noted.append(f"exit statuses {statuses} of commands that were to go on")

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

    def models(self, run: Any) -> list[Any]:
        """The logged models of a run, whole or not."""
        of = f"source_run_id = '{run.info.run_id}'"
        return list(self.client().search_logged_models([run.info.experiment_id], filter_string=of, max_results=50))

    def sound(self) -> list[Any]:
        """Active training runs but those that a fault has broken."""
        return [run for run in self.runs() if run.info.run_id not in self.broken]


def new(template: Path | None, folder: Path, pace: Pace = USUAL) -> World:
    """An empty store in a new folder, a copy of a template or not made yet, and the study beside it."""
    folder.mkdir(parents=True)
    (folder / "store").mkdir()
    (folder / "own.yaml").write_text(STUDY, encoding="utf-8")
    world = World(folder / "store", pace=pace)
    if template is not None:
        shutil.copy(template, world.folder / "mlflow.db")
        rebase(world.folder / "mlflow.db")
    return world
