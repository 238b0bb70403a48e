"""A small but real study on a store of its own, for `campaign.py`: started, disturbed, held against an undisturbed one."""

from __future__ import annotations

import contextlib
import os
import re
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
from safetensors.numpy import load_file as load_file_of_tensors

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
    - {<<: *base, condition: eta0, weight_decay: 0, seed: 0, spectrum_methods: "gram,svd"}
"""
CELLS, EPOCHS = 3, 600
"""Of the study."""
LIMIT_S = 600
"""Of one command."""
TABLES = ("conditions.csv", "repulsion.csv", "runs.csv")
STUDY_TABLES = "the study"
OF_A_SITTING = re.compile(r"run_id|elapsed|_s$|code_version|made_on|rounding_facts|^system/")
"""Names of what another sitting changes."""
PART = re.compile(r"partial|\.new$|\.tmp$")
"""In the name of a file that is being written."""


@dataclass
class World:
    """A store in a folder of its own, and the command that runs the study on it.

    Attributes:
        folder: of the store. processes: started here, and ended here by their ids.
        broken: ids of finished runs that a fault has broken: they are kept as they are, and no cell is theirs.
    """

    folder: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

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

    def start(self, *other: str, **environment: str) -> subprocess.Popen[str]:
        """Begin the command, or another with the same store, in a process group of its own."""
        keep = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        own = {"MLFLOW_TRACKING_URI": self.uri, "MLFLOW_EXPERIMENT_NAME": "faults", "OMP_NUM_THREADS": "1"}
        command = other or ("entry_points.study", "--study", str(self.own), *self.words)
        words = [sys.executable, "-m", *command]
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

    def sound(self) -> list[Any]:
        """Active training runs but those that a fault has broken."""
        return [run for run in self.runs() if run.info.run_id not in self.broken]


def new(template: Path | None, folder: Path) -> World:
    """An empty store in a new folder, a copy of a template or not made yet, and the study beside it."""
    folder.mkdir(parents=True)
    (folder / "store").mkdir()
    (folder / "own.yaml").write_text(STUDY, encoding="utf-8")
    world = World(folder / "store")
    if template is not None:
        shutil.copy(template, world.folder / "mlflow.db")
        rebase(world.folder / "mlflow.db")
    return world


def outcome(world: World) -> dict[str, dict[str, Any]]:
    """What a study left: of each run by config hash its newest metrics and the content of each of its files, by name; under
    `STUDY_TABLES` the tables of the study itself. Without what another sitting changes: ids, times, pictures' bytes.
    """
    found: dict[str, dict[str, Any]] = {}
    for run in world.sound():
        root = world.root(run)
        files = {str(path.relative_to(root)): content(path) for path in sorted(root.rglob("*")) if path.is_file()}
        metrics = {key: value for key, value in run.data.metrics.items() if not OF_A_SITTING.search(key)}
        found[run.data.tags["grok.config_hash"]] = files | {"metrics": metrics}
    for study in world.runs("study"):
        root = world.root(study)
        found[STUDY_TABLES] = {name: study_table(root / name) for name in sorted(TABLES) if (root / name).exists()}
    return found


def content(path: Path) -> Any:
    """What is in a file: a table, arrays or a text; of a picture that it is one."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return dict(arrays)
    if path.suffix == ".safetensors":
        return load_file_of_tensors(path)
    return "" if path.suffix == ".png" and path.stat().st_size else path.read_text(encoding="utf-8")


def study_table(path: Path) -> pd.DataFrame:
    """A table of a study without ids and times, in an order of its own."""
    table = pd.read_csv(path)
    table = table[[name for name in table if not OF_A_SITTING.search(str(name))]]
    return table.sort_values([*table], ignore_index=True)


def same(one: Any, other: Any) -> bool:
    """Whether two contents are equal to the last bit; NaN is NaN."""
    if isinstance(one, pd.DataFrame):
        return isinstance(other, pd.DataFrame) and bool(one.equals(other))
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other, one.dtype.kind == "f")
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return bool(one == other) or (one != one and other != other)


def where(wanted: Any, left: Any) -> str:
    """In which columns two tables differ, with their first values; empty for other contents."""
    if not isinstance(wanted, pd.DataFrame) or not isinstance(left, pd.DataFrame):
        return ""
    if wanted.shape != left.shape or [*wanted] != [*left]:
        return f" ({wanted.shape} and {left.shape}, {sorted(set(wanted) ^ set(left))})"
    names = [name for name in wanted if not wanted[name].equals(left[name])]
    return "".join(f" ({name}: {wanted[name].tolist()[:3]}, {left[name].tolist()[:3]})" for name in names[:3])


def flaws(world: World, expected: dict[str, dict[str, Any]]) -> list[str]:
    """What is not as it should be after a fault and the repetition of the command."""
    found = list(_run_flaws(world))
    hashes = [run.data.tags.get("grok.config_hash") for run in world.sound()]
    cells = {cell.config.hash for study in load_file(world.own).values() for cell in study.cells}
    found += [f"{hashes.count(one)} runs of {one}" for one in cells if hashes.count(one) != 1]
    found += [f"a run of {one}, which is no cell" for one in sorted({str(one) for one in hashes} - cells)]
    if len(parents := world.runs("study")) != 1:
        found.append(f"{len(parents)} studies")
    if found:
        return found
    for one, left in outcome(world).items():
        wanted = expected.get(one, left)
        found += [f"{name} of {one} is left" for name in left.keys() - wanted.keys()]
        found += [f"{name} of {one} is missing" for name in wanted.keys() - left.keys()]
        others = [name for name in sorted(wanted.keys() & left.keys()) if not same(wanted[name], left[name])]
        found += [f"another {name} of {one}{where(wanted[name], left[name])}" for name in others]
    return found + [f"half-written {path}" for path in half_written(world)]


def half_written(world: World) -> list[str]:
    """Files of the store that bear the name of one that is being written."""
    return [path.name for path in world.folder.rglob(".*") if path.is_file() and PART.search(path.name)]


def saved_epochs(world: World) -> int:
    """Epochs of all cells that need not be trained again: of finished runs all, of others those up to the newest state."""
    epochs = 0
    for run in world.sound():
        if run.data.tags.get("grok.state") == "complete":
            epochs += EPOCHS
        else:
            states = [path.name for path in (world.root(run) / "resume").glob("epoch-*.safetensors")]
            epochs += max((int(re.findall(r"\d+", name)[0]) for name in states), default=0)
    return epochs


def _run_flaws(world: World) -> Iterator[str]:
    client = world.client()
    for run in (*world.runs(), *world.runs("study")):
        if run.info.status == "RUNNING" or run.data.tags.get("grok.state") != "complete":
            yield f"{run.info.run_id} is {run.data.tags.get('grok.state')}, {run.info.status}"
    for run in world.runs():
        for key in run.data.metrics:
            steps = [metric.step for metric in client.get_metric_history(run.info.run_id, key)]
            if len(steps) != len(set(steps)):
                yield f"{run.info.run_id} has {len(steps) - len(set(steps))} steps of {key} twice"
