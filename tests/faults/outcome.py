"""What a study left in its store, and whether it is what an undisturbed one leaves: for `campaign.py`."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file as load_file_of_tensors

from grok.spec.studies import load_file
from grok.store.files import CheckpointError, load
from tests.faults.world import EPOCHS, World

THE_STUDY = "the study"
OF_A_SITTING = re.compile(r"run_id|elapsed|_s$|code_version|made_on|rounding_facts|^system/")
"""Names of what another sitting changes."""
PART = re.compile(r"partial|\.new$|\.tmp$")
"""In the name of a file that is being written."""
HALF_RECEIVED = ".artifact.uploading."
"""How the name of a file begins that an MLflow server was receiving when it was killed, and that it shows to nobody."""
ID, OF_TIMES = re.compile(r"\b[0-9a-f]{32}\b"), re.compile(r"^Source: .*$| \(reused\)", re.MULTILINE)
"""In the summary of a study: what names a run, the line that has the times, and what the last command did not train."""
NOT_COUNTED = re.compile(r"^Not counted: (.*)\n\n", re.MULTILINE)
"""In that summary: runs that are left out, by reason."""
END_OF_PNG = b"IEND\xaeB`\x82"

Content = dict[str, Any]


def outcome(world: World) -> dict[str, Content]:
    """What a study left: by config hash of each run its metrics with their points, the content of its files and of its model;
    under `THE_STUDY` the files of the study itself. Without what another sitting changes: ids, times, pictures' bytes.
    """
    found: dict[str, Content] = {}
    client = world.client()
    for run in world.sound():
        series = {}
        for key in run.data.metrics:
            if not OF_A_SITTING.search(key):
                points = client.get_metric_history(run.info.run_id, key)
                series[key] = np.array(sorted((point.step, point.value) for point in points))
        files = _files(world.root(run), world.beside)
        found[run.data.tags["grok.config_hash"]] = files | {"metrics": series} | _model(world, run)
    for study in world.runs("study"):
        found[THE_STUDY] = _of_the_study(world.root(study), world.beside)
    return found


def _of_the_study(root: Path, beside: set[Path]) -> Content:
    """The files of a study; how many runs its summary leaves out stands by itself."""
    files = _files(root, beside)
    summary = files.get("summary.md") or ""
    left_out = sum(int(number) for told in NOT_COUNTED.findall(summary) for number in re.findall(r"(?:^|, )(\d+) × ", told))
    return files | {"summary.md": NOT_COUNTED.sub("", summary), "not counted": left_out}


def _files(root: Path, beside: set[Path]) -> Content:
    """The content of each file below a folder; of those that a fault has broken and that nobody needs, None."""
    paths = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.name.startswith(HALF_RECEIVED)]
    return {str(path.relative_to(root)): None if path in beside else content(path) for path in paths}


def _model(world: World, run: Any) -> Content:
    """The models of a run: how many there are in which state, and the files of the one."""
    models = world.models(run)
    out: Content = {"models": dict(Counter(str(model.status) for model in models))}
    for model in models:
        root = world.place(model.artifact_location)
        paths = [path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
        out["files of the model"] = [str(path.relative_to(root)) for path in paths]
        out["weights of the model"] = {path.name: content(path) for path in paths if path.suffix == ".safetensors"}
        code = [path for path in paths if path.suffix == ".py"]
        out["code of the model"] = {str(path.relative_to(root)): content(path) for path in code}
    return out


def content(path: Path) -> Any:
    """What is in a file: a table, arrays or a text; of a picture that it is whole."""
    if path.suffix == ".parquet":
        return of_any_sitting(pd.read_parquet(path)) if path.name == "runs.parquet" else pd.read_parquet(path)
    if path.suffix == ".csv":
        return of_any_sitting(pd.read_csv(path))
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return dict(arrays)
    if path.suffix == ".safetensors":
        return load_file_of_tensors(path)
    if path.suffix == ".png":
        return path.read_bytes().endswith(END_OF_PNG)
    text = path.read_text(encoding="utf-8")
    return ID.sub("ID", OF_TIMES.sub("", text)) if path.suffix == ".md" else text


def of_any_sitting(table: pd.DataFrame) -> pd.DataFrame:
    """A table of a study without ids and times, in an order of its own."""
    table = table[[name for name in table if not OF_A_SITTING.search(str(name))]]
    return table.sort_values([*table], ignore_index=True, key=lambda column: column.astype(str))


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
    """Where two contents differ: columns of tables with their first values, names of what is missing, other, or too much."""
    if isinstance(wanted, dict) and isinstance(left, dict):
        names = [name for name in sorted(wanted.keys() | left.keys()) if not same(wanted.get(name), left.get(name))]
        shapes = [np.shape(one.get(name)) for name in names[:1] for one in (wanted, left)]
        return f" ({len(names)} of {len(wanted)}: {', '.join(names[:3])} {shapes})"
    if not isinstance(wanted, pd.DataFrame) or not isinstance(left, pd.DataFrame):
        return f" ({wanted!s:.100}, {left!s:.100})"
    if wanted.shape != left.shape or [*wanted] != [*left]:
        return f" ({wanted.shape} and {left.shape}, {sorted(set(wanted) ^ set(left))})"
    names = [name for name in wanted if not wanted[name].equals(left[name])]
    return "".join(f" ({name}: {wanted[name].tolist()[:3]}, {left[name].tolist()[:3]})" for name in names[:3])


def flaws(world: World, expected: dict[str, Content]) -> list[str]:
    """What is not as it should be after a fault and the repetition of the command."""
    found = [*world.noted, *_run_flaws(world)]
    hashes = [run.data.tags.get("grok.config_hash") for run in world.sound()]
    cells = {cell.config.hash for study in load_file(world.own).values() for cell in study.cells}
    found += [f"{hashes.count(one)} runs of {one}" for one in cells if hashes.count(one) != 1]
    found += [f"a run of {one}, which is no cell" for one in sorted({str(one) for one in hashes} - cells)]
    if len(parents := world.runs("study")) != 1:
        found.append(f"{len(parents)} studies")
    if expected.keys() != cells | {THE_STUDY}:
        found.append(f"the undisturbed study has {sorted(expected)}")
    if found:
        return found
    left_by = outcome(world)
    expected = expected | {THE_STUDY: expected[THE_STUDY] | {"not counted": len(world.broken)}}
    for one, wanted in expected.items():
        left = left_by[one]
        found += [f"{name} of {one} is left" for name in sorted(left.keys() - wanted.keys())]
        found += [f"{name} of {one} is missing" for name in sorted(wanted.keys() - left.keys())]
        told = sorted(name for name in wanted.keys() & left.keys() if left[name] is not None)
        others = [name for name in told if not same(wanted[name], left[name])]
        found += [f"another {name} of {one}{where(wanted[name], left[name])}" for name in others]
    return found + [f"half-written {path}" for path in half_written(world)]


def half_written(world: World) -> list[str]:
    """Files of the store that bear the name of one that is being written."""
    return [path.name for path in world.folder.rglob("*") if PART.search(path.name) and path.is_file()]


def saved_epochs(world: World) -> int:
    """Epochs of all cells that need not be trained again: of finished runs all, of others those up to the newest sound state.

    Nothing of the store is touched: a file of a database is read as a copy with its journal, since whoever opens it mends it.
    """
    epochs = 0
    for state, root in states(world):
        if state == "complete":
            epochs += EPOCHS
        else:
            saved = (root / "resume").glob("epoch-*.safetensors")
            epochs += max((int(re.findall(r"\d+", path.name)[0]) for path in saved if _sound(path)), default=0)
    return epochs


def states(world: World) -> Iterator[tuple[str, Path]]:
    """State and folder of each active training run but those that a fault has broken."""
    if world.uri.startswith("http"):
        yield from ((run.data.tags.get("grok.state", ""), world.root(run)) for run in world.sound())
        return
    asked = (
        "select r.run_uuid, r.artifact_uri, s.value from runs r join tags k on k.run_uuid = r.run_uuid left join tags s "
        "on s.run_uuid = r.run_uuid and s.key = 'grok.state' "
        "where r.lifecycle_stage = 'active' and k.key = 'grok.kind' and k.value = 'train'"
    )
    with tempfile.TemporaryDirectory() as folder:
        for path in world.folder.glob("mlflow.db*"):
            shutil.copy(path, folder)
        copy = Path(folder) / "mlflow.db"
        if not copy.exists():
            return
        database = sqlite3.connect(copy)
        try:
            rows = database.execute(asked).fetchall()
        except sqlite3.DatabaseError:  # its tables are not made yet
            rows = []
        finally:
            database.close()
    yield from ((state or "", world.place(uri)) for run_id, uri, state in rows if run_id not in world.broken)


def _sound(path: Path) -> bool:
    try:
        load(path)
    except CheckpointError:
        return False
    return True


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
