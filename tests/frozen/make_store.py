"""How `store.tar.xz` was made. It is never made again: its point is that older code wrote it.

It was made by commit c21f01f, with mlflow 3.17.2 and torch 2.13.0 on CPU, with `python -m tests.frozen.make_store OUT` from
the project's folder. What can be made anew, and is by `python -m tests.frozen.write`, is what tests compare the store with.

The runs are those of `configs.py`. After training, what names a machine, a person or a folder is replaced: paths to the store
by `file:///FROZEN_STORE`, which the tests' `frozen_store.py` replaces again by where they have put it. The copies of the
project's code in logged models are deleted but for the one of the run `complete`, whose model is loaded; every
picture is one point; of the report's run `claims.json` is left, which a later report is compared with.
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import os
import re
import shutil
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from analysis.figures import run_figures
from entry_points import analyze, cli, sensitivity, study
from grok.runs import train as runner
from grok.store import store as tracking
from tests.frozen.configs import CONFIGS, FINISHED, STOPS, STUDY, TAGS
from tests.frozen.frozen_store import PLACEHOLDER, rewrite

SENSITIVITY = ["--study", "own/four", "--companions", "none", "--mode", "grid", "--samples", "64", "--controls", "eta0"]
DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
"""A picture of one grey point: which figures a run has is frozen, not what they show."""
NEUTRAL = {
    "mlflow.user": "user",
    "mlflow.source.name": "train.py",
    "mlflow.source.git.branch": "main",
    "grok.host": "host",
    "grok.process": "1:1.00",
}
TEXTS = (".txt", ".json", ".yaml", ".csv", ".md", "")
"""Endings of files that may name a folder."""


def stop_at(epoch: int) -> Callable[[], bool]:
    """A `should_stop` that says yes at an epoch."""
    calls = itertools.count(0)
    return lambda: next(calls) == epoch


def train(store: tracking.Store) -> dict[str, str]:
    """Every run of `CONFIGS`, and their ids."""
    ids = {}
    for name, config in CONFIGS.items():
        stop = {"should_stop": stop_at(STOPS[name])} if name in STOPS else {}
        breaks = mock.patch.object(runner, "log_network", side_effect=OSError(28, "No space left on device"))
        figures = run_figures if name == "complete" else None
        with contextlib.ExitStack() as stack:
            if name == "failed":
                stack.enter_context(breaks)
                stack.enter_context(contextlib.suppress(OSError))
            runner.train_tracked([config], store, tags=TAGS.get(name), figures=figures, **stop)
        ids[name] = store.prior(config)[0].info.run_id
    return ids


def command(main: Callable[[list[str]], int], *arguments: str) -> dict[str, str]:
    """A command line in this process; the words of its result."""
    out = io.StringIO()
    argv = mock.patch.object(sys, "argv", ["command", *arguments])
    with argv, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.run_main(main)
    return dict(word.split("=", 1) for word in out.getvalue().splitlines()[-1].split())


def die(store: tracking.Store, run_id: str) -> None:
    """Make a run look as if a process of another host held it and had died."""
    store.client.update_run(run_id, status="RUNNING")
    tags = {"state": "running", "host": "another-host", "process": "1:1.00", "heartbeat": "1700000000"}
    tracking.TrackedRun(store.client, run_id).set_tags(tags)


def thin(folder: Path, models: dict[str, Path], ids: dict[str, str]) -> None:
    """Delete what is large and not read by a test: copied code, pages of the report, what pictures show, a cache."""
    for run_id, path in models.items():
        if run_id != ids["complete"]:
            shutil.rmtree(path / "code")
        for cache in list(path.rglob("__pycache__")):
            shutil.rmtree(cache)
    report = ids["analysis"]
    for path in list(folder.rglob("*")):
        if path.is_file() and report in path.parts and path.name not in ("claims.json", "files.json"):
            path.unlink()
        elif path.suffix == ".png":
            path.write_bytes(DOT)
    shutil.rmtree(folder / "sensitivity")


def scrub(folder: Path, words: dict[str, str]) -> None:
    """Replace, in the database and in every text file, what names a machine, a person or a folder."""
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        for key, value in NEUTRAL.items():
            unless = " AND value != 'another-host'" if key == "grok.host" else ""
            database.execute(f"UPDATE tags SET value = ? WHERE key = ?{unless}", (value, key))
        database.execute("UPDATE runs SET user_id = 'user', source_name = ''")
        database.commit()
    for path in [path for path in folder.rglob("*") if path.is_file() and path.suffix in TEXTS]:
        text = path.read_text(encoding="utf-8")
        for old, new in words.items():
            text = text.replace(old, new)
        if path.name == "MLmodel":  # where the weights lay before they were copied
            text = re.sub(r"uri: /.*", "uri: network.safetensors", text)
        path.write_text(text, encoding="utf-8")
    for old, new in words.items():
        rewrite(folder / "mlflow.db", old, new)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.execute("VACUUM")


def pack(folder: Path, out: Path) -> None:
    """One file, the same for the same content."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        info.mode = 0o755 if info.isdir() else 0o644
        return info

    with tarfile.open(out, "w:xz", preset=9) as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=plain)


@contextlib.contextmanager
def new_store() -> Iterator[tuple[Path, tracking.Store]]:
    """A store in a folder that goes again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}", "MLFLOW_EXPERIMENT_NAME": "frozen"}
        with mock.patch.dict(os.environ, environment):
            yield folder, tracking.open_store()


def models_of(store: tracking.Store) -> dict[str, Path]:
    """Where the logged model of each run lies, by run id."""
    found = store.client.search_logged_models([store.experiment_id])
    return {str(one.source_run_id): Path(one.artifact_location.removeprefix("file://")) for one in found}


def main(out: Path) -> None:
    """Make the file."""
    with new_store() as (folder, store):
        ids = train(store)
        ids["study"] = command(study.main, "--study", STUDY, "--backend", "sequential")["run"]
        ids["sensitivity"] = command(sensitivity.main, *SENSITIVITY)["run"]
        ids["analysis"] = command(analyze.main, "--out", str(folder / "report"))["run"]
        shutil.rmtree(folder / "report")
        die(store, ids["dead"])
        for name in FINISHED:
            assert store.get(ids[name]).info.status == "FINISHED", name
        thin(folder, models_of(store), ids)
        (folder / "ids.json").write_text(json.dumps(ids, indent=1) + "\n", encoding="utf-8")
        project = Path(__file__).resolve().parents[2]
        places = {folder.as_uri(): PLACEHOLDER, str(folder): "/FROZEN_STORE", str(project): "/project"}
        scrub(folder, places | {sys.prefix: "/python", sys.base_prefix: "/python"})
        for path in [*folder.glob("*.lock"), *folder.glob("mlflow.db-*"), *folder.glob("*cache*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        pack(folder, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
