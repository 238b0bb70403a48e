"""A store with made-up runs of the headline's grid, odd ones, and a small study that was trained; and its bundle."""

from __future__ import annotations

import contextlib
import importlib
import io
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import papers
from analysis.bundle.pack import Wanted, pack
from grok.spec.artifacts import BAND, HISTORY
from grok.spec.config import RunConfig
from grok.spec.studies import load_study
from grok.store.moved import rebase
from grok.store.store import Store, open_store
from grok.store.tags import StoredRun
from tests.conftest import OUTSIDE, TINY, Answer

PANELS = ("headline", "windows")
"""Figures that are drawn here: one reads histories, one gap series."""


def call(entry: str, *arguments: str) -> Answer:
    """A command line, in this process."""
    from entry_points import cli

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", [entry, *arguments])
        with pytest.raises(SystemExit) as left:
            cli.run_main(importlib.import_module(f"entry_points.{entry}").main)
    return Answer(left.value.code if isinstance(left.value.code, int) else 1, out.getvalue(), err.getvalue())


def files(folder: Path) -> dict[str, bytes]:
    """Every file under a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@dataclass(frozen=True)
class Home:
    """A store and what was made of it.

    Attributes:
        store: with the runs. folder: it is in. bundle: of all its runs. study: a study file whose runs were trained.
    """

    store: Store
    folder: Path
    bundle: Path
    study: Path

    def runs(self) -> dict[str, StoredRun]:
        """Every run that travels, by id."""
        return travelling(self.store)


def travelling(store: Store) -> dict[str, StoredRun]:
    """Every run of a kind that travels, by id."""
    return {run.run_id: run for kind in ("train", "study", "sensitivity") for run in store.find({"kind": kind})}


@contextlib.contextmanager
def store_in(folder: Path, template: Path) -> Iterator[Store]:
    """A new store in a folder, which the environment names."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "mlflow.db").exists():
        shutil.copy(template, folder / "mlflow.db")
        rebase(folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        for name in OUTSIDE:
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")  # whose files are beside the database; Default's are the template's
        patch.setattr(papers, "PANELS", [panel for panel in papers.PANELS if panel.id in PANELS])
        patch.setattr("analysis.figures.run_figures", lambda *tables: {})
        yield open_store()


def made_up(store: Store, config: RunConfig, condition: str) -> str:
    """A run of the headline's grid, never trained: its history and band are noise, which no claim foresees."""
    config = config.resolved()
    own = {"kind": "train", "config_hash": config.hash, "protocol": "1", "study.headline": condition}
    run, rng, last = (
        store.create(config.display_name(), own),
        np.random.default_rng([config.seed, len(condition)]),
        config.epochs,
    )
    run.log_config(config)
    names = ("accuracy/train", "accuracy/test", "delta_w/gap_23", "delta_w/gap_12", "features/rho", "repulsion/rate")
    columns: dict[str, Any] = {"epoch": np.arange(last + 1)} | {name: rng.random(last + 1) for name in names}
    for k in range(1, 6):
        columns[f"delta_w/lambda_{k}"] = np.where(np.arange(last + 1) < k, np.nan, rng.random(last + 1) / 7**k)
    table = pd.DataFrame(columns)
    table.loc[table["epoch"] % 25 > 0, "repulsion/rate"] = np.nan  # it is measured now and then
    summary = {"fired": 1.0, "fire_epoch": float(rng.integers(100, 110)), "late_gap_23": rng.random(), "test_50_epoch": 101.0}
    run.log_points([(0, name, value) for name, value in summary.items()])
    run.log_points([(last, name, float(table[name].iloc[-1])) for name in names])
    local = store.folder / HISTORY
    table.to_parquet(local, index=False)
    run.put_file(local)
    local.unlink()
    updates = rng.standard_normal((last, 40))
    gram = updates @ updates.T
    band = np.full((last, 64), np.nan)
    for lag in range(64):
        band[lag:, lag] = np.diagonal(gram, -lag)
    run.put_arrays(BAND, w=band, v=band / 4)
    run.end("complete")
    return str(run.run_id)


def small_bundle(template_store: Path, folder: Path) -> Path:
    """A bundle of three made-up runs, made in a folder; to be copied before it is changed."""
    with store_in(folder, template_store) as store:
        for seed in range(3):
            made_up(store, RunConfig(seed=seed), "grok")
        pack(store, Wanted(), folder / "bundle")
    return folder / "bundle"


@pytest.fixture(scope="session")
def home(template_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Read it only."""
    folder = tmp_path_factory.mktemp("bundle-home")
    with store_in(folder, template_store) as store:
        for cell in load_study("headline").cells:
            made_up(store, cell.config, cell.condition)
        for name, tags in (("stopped", {"state": "failed", "error": "stopped: no reason"}), ("broken", {"state": "complete"})):
            config = replace(TINY, seed=90 + len(name)).resolved()
            own = {"kind": "train", "config_hash": config.hash, "protocol": "1", "study.headline": "grok"}
            odd = store.create(name, own)
            odd.log_config(config)
            odd.put_text(HISTORY, "PAR1 not any more")
            odd.end("complete")
            odd.set_tags(tags)
        study = folder / "own.yaml"
        base = {k: v for k, v in TINY.to_strings().items() if v != RunConfig().to_strings()[k]}
        blocks = [{"condition": "grok", **base, "seed": "0..1"}, {"condition": "eta0", **base, "weight_decay": "0.0"}]
        study.write_text(repr({"tiny": {"sentence": "Tiny.", "source": "ours", "runs": blocks}}), encoding="utf-8")
        answer = call("study", "--study", str(study), "--backend", "sequential")
        assert answer.status == 0, answer.err
        bundle = folder / "bundle"
        answer = call("export", "--out", str(bundle))
        assert answer.status == 0, answer.err
    return Home(store, folder, bundle, study)


@pytest.fixture
def away(template_store: Path, tmp_path: Path) -> Iterator[Store]:
    """A new store in another folder, named by the environment."""
    with store_in(tmp_path / "away", template_store) as store:
        yield store


@pytest.fixture
def at_home(home: Home, template_store: Path) -> Iterator[Home]:
    """The first store, named by the environment."""
    with store_in(home.folder, template_store):
        yield home


@pytest.fixture(scope="session")
def brought(home: Home, template_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store into which the bundle was imported; read it only."""
    folder = tmp_path_factory.mktemp("bundle-brought")
    with store_in(folder, template_store) as store:
        answer = call("import", "--bundle", str(home.bundle))
        assert answer.status == 0, answer.err
    return store
