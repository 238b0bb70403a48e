"""Stores in temporary folders, a config that trains in a second, and readers of what a run left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from grok.spec.config import RunConfig
from tests import durations

PROJECT = Path(__file__).resolve().parent.parent
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["GROK_LOG_EVERY_S"] = "1e9"  # how slow a machine is must not show in what a command prints
TINY = RunConfig(
    modulus=11,
    width=32,
    epochs=64,
    max_window=24,
    window=6,
    slope_lag=5,
    first_epoch=34,
    slope_threshold=0.06,
    top_pairs=20,
    checkpoint_epochs=(0, 20, 40, 64),
    observe_every=16,
    save_every=16,
    threads=1,
    device="cpu",
)
"""Fires; and has a checkpoint off the saves, saves on and off the checkpoints."""
settings.register_profile(
    "ci", max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile("nightly", max_examples=50_000, deadline=None, suppress_health_check=list(HealthCheck))
"""Of tests/fuzz: `ci` unless `--hypothesis-profile=nightly` is given. The other tests of made-up input say their own number."""
OUTSIDE = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_URI", "GROK_TRACEBACK")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of made-up input are `fuzz`: whatever Hypothesis draws for. What is neither slow nor in `long.txt` is `fast`."""
    long = durations.kept()
    for item in items:
        test = item.nodeid.split("[")[0]
        if not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.long if long & {test, test.split("::")[0]} else pytest.mark.fast)
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.fuzz)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the caller's store, or leaves its signal handlers behind."""
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def template_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new SQLite store; making its tables takes seconds, a copy none."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    with _environment(MLFLOW_TRACKING_URI=f"sqlite:///{path}"):
        from grok.store import store as tracking

        tracking.open_store()
    return path


@pytest.fixture
def store(template_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store of this test's own, in `tmp_path`; the environment names it."""
    variables = _copy(template_store, tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    from grok.store import store as tracking

    return tracking.open_store()


@pytest.fixture(scope="session")
def session_store(template_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store for runs that several tests read and none changes; the environment does not name it."""
    from grok.store import store as tracking

    with _environment(**_copy(template_store, tmp_path_factory.mktemp("runs"))):
        return tracking.open_store()


def _copy(template: Path, folder: Path) -> dict[str, str]:
    from grok.store.moved import rebase

    shutil.copy(template, folder / "mlflow.db")
    rebase(folder / "mlflow.db")
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}", "MLFLOW_EXPERIMENT_NAME": "tests"}


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in OUTSIDE:
            patch.delenv(name, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def elsewhere() -> str:
    """Torch's lazy device, which stands for a GPU: numpy cannot read its tensors either. A process may begin it once."""
    import torch._lazy.ts_backend

    torch._lazy.ts_backend.init()
    return "lazy"


@pytest.fixture(scope="session")
def tiny() -> Callable[..., RunConfig]:
    """`tiny(**changes)`: a config that trains and is tracked in about a second."""
    return lambda **changes: replace(TINY, **changes).resolved()


@pytest.fixture(scope="session")
def flags() -> Callable[[RunConfig], list[str]]:
    """`flags(config)`: the command-line flags that spell a config out."""
    return lambda config: [word for name, text in config.to_strings().items() for word in (f"--{name.replace('_', '-')}", text)]


@dataclass(frozen=True)
class Answer:
    """What a command line gave back; `said` is what it told a person at its end, which `err` is without."""

    status: int
    out: str
    err: str
    said: tuple[str, ...] = ()

    @property
    def words(self) -> dict[str, str]:
        """The result line's `name=value` words."""
        return dict(word.split("=", 1) for word in self.out.splitlines()[-1].split())


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """`command(*arguments)`: the train command line, in this process."""
    from entry_points import cli, found, train

    def run(*arguments: str) -> Answer:
        said: list[str] = []
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        monkeypatch.setattr(found, "say", lambda *lines: said.extend(filter(None, lines)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.run_main(train.main)
        text = capsys.readouterr()
        return Answer(left.value.code if isinstance(left.value.code, int) else 1, text.out, text.err, tuple(said))

    return run


@dataclass(frozen=True)
class Contents:
    """All that a finished run left, without what names the run or the time."""

    tables: dict[str, pd.DataFrame]
    arrays: dict[str, np.ndarray]
    metrics: dict[str, list[tuple[int, float]]]
    files: list[str]

    def assert_same(self, other: Contents) -> None:
        """Equal to the last bit: files, tables, tensors, and every metric's steps and values."""
        assert self.files == other.files
        for name, table in self.tables.items():
            pd.testing.assert_frame_equal(table, other.tables[name], check_exact=True, obj=name)
        assert self.arrays.keys() == other.arrays.keys()
        for name, array in self.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[name], err_msg=name, strict=True)
        assert self.metrics.keys() == other.metrics.keys()
        for name, points in self.metrics.items():
            assert points == other.metrics[name], name


@pytest.fixture(scope="session")
def contents() -> Callable[..., Contents]:
    """`contents(store, run_id)`: read a run's artifacts, its logged network and its metric histories."""
    from grok.store import files as checkpoint
    from grok.store.store import TrackedRun

    def read(store: Any, run_id: str) -> Contents:
        run = store.get(run_id)
        root = TrackedRun(store.client, run_id)._root
        assert root is not None
        (output,) = run.outputs.model_outputs
        model = urlparse(store.client.get_logged_model(output.model_id).artifact_location).path
        network = Path(url2pathname(model)) / "artifacts" / "network.safetensors"
        arrays = {}
        for path in [*root.rglob("*.safetensors"), network]:
            tensors, _ = checkpoint.load(path)
            where = str(path.relative_to(root)) if path is not network else "network"
            arrays |= {f"{where}:{name}": tensor.numpy() for name, tensor in tensors.items()}
        for path in root.rglob("*.npz"):
            with np.load(path) as file:
                arrays |= {f"{path.relative_to(root)}:{name}": file[name] for name in file.files}
        histories = {name: store.client.get_metric_history(run_id, name) for name in run.data.metrics if name != "elapsed_s"}
        return Contents(
            {path.name: pd.read_parquet(path) for path in sorted(root.rglob("*.parquet"))},
            arrays,
            {name: sorted((m.step, m.value) for m in history) for name, history in histories.items()},
            sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".txt"),
        )

    return read


@dataclass(frozen=True)
class Finished:
    """A run that was trained to its end, and its store."""

    store: Any
    config: RunConfig
    outcome: Any

    @property
    def root(self) -> Path:
        """The folder of its artifacts."""
        from grok.store.store import TrackedRun

        root = TrackedRun(self.store.client, self.outcome.run_id)._root
        assert root is not None
        return root

    @property
    def run(self) -> Any:
        """The MLflow run as the store has it."""
        return self.store.get(self.outcome.run_id)


@pytest.fixture(scope="session")
def finish() -> Callable[..., Finished]:
    """`finish(store, config, **options)`: train a config to its end in a store, with figures."""
    from analysis.figures import run_figures
    from grok.runs import train as runner

    def train(store: Any, config: RunConfig, **options: Any) -> Finished:
        (outcome,) = runner.train_tracked([config], store, figures=run_figures, **options)
        return Finished(store, config, outcome)

    return train


@pytest.fixture(scope="session")
def finished(session_store: Any, finish: Callable[..., Finished]) -> Finished:
    """A finished run of the tiny config; read it only."""
    return finish(session_store, TINY)
