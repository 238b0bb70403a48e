"""Every parser and loader that the project owns, as a function of bytes, with the errors that it may raise."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from analysis.bundle import layout, tables, unpack
from analysis.papers.signals import released
from analysis.reading import files as reading
from analysis.report import write
from analysis.report.compare import FORMAT, read_baseline
from analysis.sensitivity import space
from analysis.sensitivity.kept import read as kept_series
from analysis.sensitivity.settings import SensitivityConfig, shown_storage
from entry_points.cli import OneLineParser
from entry_points.signals import MOST_EPOCHS, epochs_of
from grok.detectors._chosen import chosen, option_names
from grok.monitor import negatives
from grok.monitor.spectral import SpectralMonitor
from grok.numerics.gaps import method_eigenvalues
from grok.spec import limited, limited_yaml
from grok.spec.artifacts import BAND, FACTORS, HISTORY
from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError, pairs
from grok.spec.plugins import ROOMS
from grok.spec.studies import load_file
from grok.store import files, moved, sqlite
from grok.store.errors import StoreError, masked, one_line
from grok.store.prior import run_config
from grok.store.run import TrackedRun
from grok.store.store import Store
from grok.store.tables import load_csv, load_table, save_table
from grok.store.tags import StoredRun
from tests.fuzz import greedy, recipes, stores
from tests.fuzz.base import MOST_SMALL, RUN_ID, Call, Target, lines, placed, scratch, text
from tests.fuzz.world import RAW, TINY, factors

MOST_FREE = 1 << 28
"""Bytes of memory that can be had, as an input finds them."""


# configs and command lines


def config(content: bytes) -> None:
    """`name=value` a line; the config's text and back is the same config."""
    kind, *rest = text(content).split("\n")
    given = {name: value for name, _, value in (line.partition("=") for line in rest)}
    made = (SensitivityConfig if kind == "sensitivity" else RunConfig).from_strings(given)
    assert type(made).from_strings(made.to_strings()).to_strings() == made.to_strings()


def resolved(content: bytes) -> None:
    """A run's config, resolved, with its hash, its name and the options that its detector takes."""
    given = {name: value for name, _, value in (line.partition("=") for line in text(content).split("\n"))}
    made = RunConfig.from_strings(given).resolved()
    assert made.hash == type(made).from_strings(made.to_strings()).hash
    made.display_name()


def options(content: bytes) -> None:
    """Options of a detector that the project has."""
    name, _, values = text(content).partition("\n")
    pairs("options", values)
    if name in ROOMS[-1].names:
        made = RunConfig(detector=name, options=values)
        option_names(made)
        _ = chosen(made).words


def plug_in(content: bytes) -> None:
    """A name of a plug-in; a module that is not there, or is none of ours, is refused."""
    number, _, name = text(content).partition("\n")
    room = ROOMS[len(number) % len(ROOMS)]
    module = name.partition(":")[0].partition(".")[0]
    if importlib.util.find_spec(module) is None if module.isidentifier() else True:  # fuzzing must not import what is there
        room.find(name)


def flags(content: bytes) -> None:
    """A command line, up to its config: nothing is run."""
    name, *words = text(content).split("\n")
    known = ("main", "study", "train", "analyze", "sensitivity", "measure", "export", "import", "signals", "rebase")
    entry = importlib.import_module(f"entry_points.{name if name in known else 'train'}")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as told:
        status: Any = 0
        try:
            made = entry.parser() if hasattr(entry, "parser") else OneLineParser(prog=name)  # rebase has no flags
            made.parse_args(words)
        except SystemExit as left:
            status = left.code
    assert status in (0, 2), status
    assert status == 0 or told.getvalue().count("\n") == 1, "one line"


def spaces(content: bytes) -> None:
    """The texts of a search space."""
    given = {name: value for name, _, value in (line.partition("=") for line in text(content).split("\n"))}
    base = SensitivityConfig().to_strings()
    names = (*space.COMMON, *space.RULE_PARAMETERS)
    texts = {name: given.get(name, base.get(name, "gram")) for name in names}
    built = space.build(texts, {}, 48, 20)
    if len(json.dumps(built.texts())) < 1000:
        built.windows()


# files


def yaml_file(content: bytes) -> None:
    """YAML with limits."""
    limited_yaml.read(placed(content, "own.yaml"))


def study(content: bytes) -> None:
    """A study file, to its cells."""
    load_file(placed(content, "own.yaml"))


def state(content: bytes) -> None:
    """A saved state, of tensors and facts."""
    tensors, _ = files.load(placed(content, "epoch.safetensors"), MOST_SMALL)
    assert sum(tensor.nbytes for tensor in tensors.values()) <= MOST_SMALL


def arrays(content: bytes) -> None:
    """Arrays, of a bound of 1 MiB: whatever is given back is within it."""
    found = limited.load_arrays(placed(content, "band.npz"), MOST_SMALL)
    assert sum(array.nbytes for array in found.values()) <= MOST_SMALL


class _Place(TrackedRun):
    """A run whose files are the input."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Needs no store."""
        self._root = None

    def get_file(self, path: str, folder: Path) -> Path:
        """The input."""
        return scratch() / Path(path).name


@contextlib.contextmanager
def _run_files() -> Iterator[reading.RunFiles]:
    """Files of a run that came to its end, of raw spectra too."""
    info = SimpleNamespace(artifact_uri="")
    run = StoredRun(RUN_ID, "", "FINISHED", 0, {"grok.state": "complete"}, {}, {}, SimpleNamespace(info=info))
    found = reading.RunFiles(SimpleNamespace(client=None), [run])  # type: ignore[arg-type]
    found.expect(RUN_ID, RAW)
    kept, reading.TrackedRun = reading.TrackedRun, _Place  # type: ignore[misc, assignment]
    try:
        yield found
    finally:
        reading.TrackedRun = kept  # type: ignore[misc]


def artifact(path: str) -> Call:
    """A file of a run, as a report reads it; what is taken holds what it must."""

    def call(content: bytes) -> None:
        placed(content, Path(path).name)
        with _run_files() as run_files:
            if why := run_files.load([RUN_ID], path):
                assert why[RUN_ID].count("\n") == 0
                raise StoreError(why[RUN_ID])
            if path == FACTORS:
                for name, method in (("qr_w", "svd"), ("gram32_v", "gram32")):
                    method_eigenvalues(run_files.arrays(RUN_ID, path)[name], method, RAW.window, 0)

    return call


def read_of_a_run(kind: str, name: str) -> Call:
    """A file of a run by the method of `RunFiles` of a kind."""

    def call(content: bytes) -> None:
        placed(content, name)
        with _run_files() as run_files:
            getattr(run_files, kind)(RUN_ID, name)

    return call


def negative(name: str) -> Call:
    """A monitor's negative in a file: columns of one length come of it."""
    settings = SpectralMonitor(torch.zeros(3), 4).settings

    def call(content: bytes) -> None:
        for columns in negatives.tables_of(placed(content, name), settings).values():
            assert len({len(column) for column in columns.values()}) <= 1

    return call


def epochs(content: bytes) -> None:
    """Epochs on a command line."""
    found = epochs_of(text(content))
    assert list(found) == sorted(set(found))
    assert len(found) <= MOST_EPOCHS


def curves(content: bytes) -> None:
    """Curves that others released."""
    folder = scratch() / "released"
    folder.mkdir(exist_ok=True)
    (folder / "a.npz").write_bytes(content)
    released.board(released.load(folder))


SERIES = (3, 9)
"""Ratios and epochs of a kept series."""


def series_kept(content: bytes) -> None:
    """Series that a search keeps, with a checksum that holds: read, or computed anew."""
    sealed = content + hashlib.sha256(content).digest()
    found = kept_series(placed(sealed, "w-gram-6-0.f64"), SERIES)
    assert kept_series(placed(content, "w-gram-6-0.f64"), SERIES) is None
    assert found is None or (found.dtype == np.float64 and found.shape == SERIES)
    if found is None:
        raise LookupError


def table(content: bytes) -> None:
    """A table of a bundle."""
    tables.by_run(placed(content, "history.parquet"))


@functools.cache
def bundle_folder() -> Path:
    """A bundle, whose `runs.json` an input takes the place of."""
    folder = scratch() / "bundle"
    (folder / layout.TABLES).mkdir(parents=True)
    rows = {"run_id": [RUN_ID] * 3, "epoch": [0, 1, 2], "loss/train": [1.0, 0.5, 0.2]}
    pq.write_table(pa.table(rows), folder / layout.TABLES / "history.parquet")
    points = {"run_id": [RUN_ID], "key": ["loss/train"], "value": [0.2], "step": [2], "timestamp": [5]}
    pq.write_table(pa.table(points), folder / layout.METRICS)
    (folder / layout.RUNS).write_bytes(RUNS)
    layout.write_manifest(folder, {})
    return folder


def runs(content: bytes) -> None:
    """`runs.json` of a bundle whose checksums hold."""
    folder = bundle_folder()
    (folder / layout.RUNS).write_bytes(content)
    layout.write_manifest(folder, {})
    for run in unpack.read(folder):
        assert all(path.resolve().is_relative_to(folder.resolve()) for path in run.files.values())


def manifest(content: bytes) -> None:
    """`manifest.json` of a bundle."""
    folder = bundle_folder()
    (folder / layout.RUNS).write_bytes(RUNS)
    (folder / layout.MANIFEST).write_bytes(content)
    unpack.read(folder)


def baseline(content: bytes) -> None:
    """`claims.json` of an earlier report."""
    found = read_baseline(None, str(placed(content, "claims.json")))  # type: ignore[arg-type]
    json.dumps(found, ensure_ascii=False)


def report_files(content: bytes) -> None:
    """`files.json` of a report's folder: no name that is taken from it leads out."""
    folder = scratch() / "report"
    folder.mkdir(exist_ok=True)
    (folder / write.MANIFEST).write_bytes(content)
    for name in write.owned(folder):
        assert (folder / name).resolve().is_relative_to(folder.resolve())


def json_file(content: bytes) -> None:
    """A JSON artifact."""
    limited.load_json(placed(content, "grid.json"), MOST_SMALL)
    assert sum(map(content.count, (b"[", b"{"))) * limited.BYTES_A_BRACKET <= MOST_SMALL


def csv_file(content: bytes) -> None:
    """A CSV artifact, of a bound of 1,000 cells: whatever is given back is within it."""
    assert load_csv(placed(content, "surface.csv"), 1000).size <= 1000


# stores


def uri(content: bytes) -> None:
    """Addresses of stores: told without their password, and read to a path or refused."""
    given = text(content)
    for user in ("user:hidden7@", ":hidden7@"):
        told = masked(f"postgresql://{user}host/{given}")
        assert "hidden7@" not in told, told
    if not any(sign.isspace() for sign in given):
        assert "hidden7" not in masked(f"postgresql://user:{given.replace('@', '%40')}hidden7@host/db"), given
    one_line(ValueError(given))
    told = shown_storage(given)
    assert told or not given
    moved.local_path(given)
    if sqlite.is_sqlite(given):
        sqlite.path_of(given)


def run_id(content: bytes) -> None:
    """The id of a run: what is none does not reach the store."""

    def get_run(asked: str) -> Any:
        assert 0 < len(asked) <= 256
        assert asked.replace("-", "_").isidentifier() or asked[0].isdigit(), asked
        info = SimpleNamespace(run_id=asked, run_name="", status="FINISHED", start_time=0, lifecycle_stage="active")
        return SimpleNamespace(info=info, data=SimpleNamespace(tags={}, params={}, metrics={}))

    Store(SimpleNamespace(get_run=get_run), "sqlite:///x", "0").get(text(content))  # type: ignore[arg-type]


def artifact_path(content: bytes) -> None:
    """The path of an artifact: it does not lead out of its run; what is taken is a name that a file can have."""
    tracked = TrackedRun.__new__(TrackedRun)
    tracked._root, tracked.run_id = run_folder(), RUN_ID
    place = tracked._place(text(content))
    assert place.parent.resolve().is_relative_to(run_folder().resolve())
    assert not place.exists() or place.is_relative_to(run_folder())
    with contextlib.suppress(StoreError):  # there is none, or it is a folder
        tracked.get_file(text(content), scratch())


@functools.cache
def run_folder() -> Path:
    """A folder of a run with a file, and with links: out of it, in a circle, to nothing."""
    folder = scratch() / "run"
    (folder / "delta_w").mkdir(parents=True)
    (folder / "delta_w" / "band.npz").write_bytes(b"band")
    for name, target in (("out", scratch()), ("circle", folder / "circle"), ("nothing", folder / "gone")):
        (folder / name).symlink_to(target)
    return folder


def stored(content: bytes) -> None:
    """Tags and params of a run, as somebody may have edited them."""
    tags, params = {}, {}
    for line in text(content).split("\n"):
        name, _, value = line.partition("=")
        (tags if name.startswith("grok.") else params)[name] = value
    info = SimpleNamespace(run_id=RUN_ID, run_name="", status="FINISHED", start_time=0, lifecycle_stage="active")
    run = StoredRun.of(SimpleNamespace(info=info, data=SimpleNamespace(tags=tags, params=params, metrics={})))
    facts = (run.state, run.kind, run.threads, run.rounding, run.rounding_facts, run.studies, run.wall_s, run.files_left_out)
    assert facts
    run_config(run)


def monitor_state(content: bytes) -> None:
    """What a monitor is told to go on from, as JSON."""
    known = files.load_json(placed(content, "monitor.json"))
    monitor = SpectralMonitor(torch.zeros(3), 4)
    monitor.load_state_dict(known)


# seeds


PARAMS = [f"{name}={value}" for name, value in TINY.to_strings().items()]
TAGS = [
    *("grok.kind=train", f"grok.config_hash={TINY.hash}", "grok.state=complete", "grok.threads=1", "grok.study.x=grok"),
    *("grok.rounding_facts=library=mkl rows=256", "grok.wall_s=12.5", "grok.files_left_out=a b"),
]
STUDY = b"""\
three: &all
  sentence: Three cells.
  source: ours
  runs:
    - &base {condition: grok, modulus: 7, width: 32, epochs: 60, window: 6, max_window: 12, seed: 0..1}
    - {<<: *base, condition: eta0, weight_decay: [0, 1e-3], seed: [0, 2..3]}
  windows: [6, 12]
"""
RUNS = json.dumps(
    {
        "columns": [["epoch", "loss/train"]],
        "runs": [
            {
                "run_id": RUN_ID,
                "name": "one",
                "experiment": "Default",
                "status": "FINISHED",
                "start_time": 1,
                "end_time": None,
                "params": {"width": "8"},
                "tags": {"grok.kind": "train"},
                "datasets": [],
                "tables": {"history.parquet": 0},
                "files": [],
                "left_out": ["delta_w/band.npz"],
            }
        ],
    }
).encode()
CLAIMS = json.dumps(
    {"format": FORMAT, "claims": [{"id": "a", "statement": "b", "verdict": "reproduced", "measured": "c", "studies": ["d"]}]}
).encode()


def _npz() -> bytes:
    made = io.BytesIO()
    band = np.tril(np.ones((12, 8)))
    band[np.arange(8)[None, :] >= np.arange(1, 13)[:, None]] = np.nan
    np.savez_compressed(made, w=band, v=band)
    return made.getvalue()


def _curves() -> bytes:
    made = io.BytesIO()
    rise = np.clip(np.linspace(-1, 1, 12), 0, 1)
    arrays = {name: np.stack([rise, rise * 0.1, rise, rise * 0.1]) for name in released.CURVES}
    np.savez_compressed(made, steps=np.arange(12.0) * 100, p=7.0, alpha=0.5, lam=1.0, lr=1e-3, **arrays)  # type: ignore[arg-type]
    return made.getvalue()


def _series() -> bytes:
    return np.ones(SERIES).tobytes()


def _rows(ending: str) -> bytes:
    rows = [{"block": "all", "update": t, "step": t, "gap_23": 1.5, "weight_norm": None} for t in range(1, 9)]
    if ending == "jsonl":
        return b"\n".join(json.dumps(row).encode() for row in rows)
    made = io.BytesIO()
    pd.DataFrame(rows).astype({"weight_norm": float}).to_parquet(made, index=False)
    return made.getvalue()


def _signals() -> bytes:
    path = scratch() / "seed.parquet"
    save_table(path, pd.DataFrame({"epoch": [0, 1], "signal": ["a", "b"], "variant": ["", ""], "value": [0.5, np.nan]}))
    return path.read_bytes()


def _lists() -> bytes:
    made = io.BytesIO()
    pd.DataFrame({"a": [[1.0, 2.0], []] * 9, "b": [["x"], ["y", "z"]] * 9}).to_parquet(made, index=False)
    return made.getvalue()


def _raw_npz() -> bytes:
    made = io.BytesIO()
    np.savez(made, w=np.ones((3, 2)))
    return made.getvalue()


def _tensors() -> bytes:
    path = scratch() / "seed.safetensors"
    files.save(path, {"w": torch.ones(2, 3), "count": torch.tensor(4)}, {"epoch": 4})
    return path.read_bytes()


def _parquet(*, of_a_bundle: bool = False) -> bytes:
    frame = pd.DataFrame({"epoch": range(13), "accuracy/train": 0.5, "accuracy/test": 0.25})
    made = io.BytesIO()
    (frame.assign(run_id=RUN_ID) if of_a_bundle else frame).to_parquet(made, index=False, write_page_checksum=True)
    return made.getvalue()


def _monitor() -> bytes:
    return json.dumps(SpectralMonitor(torch.zeros(3), 4).state_dict(), default=list).encode()


@functools.cache
def targets() -> dict[str, Target]:
    """By name; the seeds are made when they are first asked for."""
    npz = (_npz(), _raw_npz())
    return {
        "config": Target(
            config,
            (b"run\n" + lines(*PARAMS), b"run\nwidth=8\nwindow=7\ntop_pairs=5", b"sensitivity\nwindow=5..20\nseed=0"),
            greedy=tuple(b"run\n" + one for one in greedy.CONFIG),
        ),
        "resolved": Target(
            resolved,
            (lines(*PARAMS), lines("checkpoint_epochs=auto", "spectrum_methods=gram,svd,randomized_5")),
            greedy=greedy.CONFIG,
        ),
        "options": Target(options, (b"cusum\ndrift=0.1", b"level\nlevel=2;hold=3", b"sustained\nhold=4", b"slope\nnone")),
        "plug_in": Target(plug_in, (b"\nmodular", b"aaa\ngap", b"aaaa\nslope")),
        "flags": Target(
            flags,
            (
                b"train\n--width\n8\n--seed\n3",
                b"study\n--study\nquick\n--plan",
                b"analyze\n--out\nx",
                b"export\n--out\nx\n--bands\nall",
                b"signals\n--run\nx\n--epochs\n0-9-1",
                b"rebase",
            ),
        ),
        "space": Target(
            spaces,
            (lines("window=5..20", "gap=23,34", "rule=slope,cusum", "smoothing=1,3"), b"slope_threshold=1e-3..0.5"),
            greedy=greedy.SPACE,
        ),
        "yaml": Target(yaml_file, (STUDY, b"a: [1, 2.5, ~, yes]"), (yaml.YAMLError,), greedy=greedy.YAML),
        "study": Target(study, (STUDY,), greedy=greedy.STUDY),
        "state": Target(state, (_tensors(),), (files.CheckpointError,), greedy=greedy.TENSORS),
        "npz": Target(arrays, npz, (limited.BrokenFileError,), greedy=greedy.ARRAYS),
        "band of a run": Target(artifact(BAND), npz, (StoreError,), greedy=greedy.ARRAYS),
        "factors of a run": Target(artifact(FACTORS), (factors(),), (StoreError,), greedy=greedy.FACTORS),
        "history of a run": Target(artifact(HISTORY), (_parquet(),), (StoreError,), greedy=greedy.TABLES),
        "table of a run": Target(
            read_of_a_run("table", "signals.parquet"), (_signals(), _parquet(), _lists()), (StoreError,), greedy=greedy.TABLES
        ),
        "csv": Target(csv_file, (b"a,b\n1,2\n3,x\n", b"a," * 300 + b"a\n0\n"), (limited.BrokenFileError,), greedy=greedy.CSV),
        "csv of a run": Target(
            read_of_a_run("csv", "a.csv"), (b"a,b\n1,2\n3,x\n", b"epoch;x\n"), (StoreError,), greedy=greedy.CSV
        ),
        "json of a run": Target(read_of_a_run("json", "a.json"), (CLAIMS,), (StoreError,), greedy=greedy.JSON[:2]),
        "negative in lines": Target(negative("rows.jsonl"), (_rows("jsonl"),), greedy=greedy.ROWS),
        "negative in a table": Target(negative("rows.parquet"), (_rows("parquet"),), greedy=greedy.TABLES),
        "negative in a band": Target(negative("band.npz"), npz[:1], greedy=greedy.ARRAYS),
        "epochs": Target(epochs, (b"0,40,100", b"0-400-10,7", b"checkpoints"), greedy=greedy.EPOCHS),
        "released curves": Target(curves, (_curves(),), greedy=greedy.ARRAYS),
        "kept series": Target(series_kept, (_series(),), (LookupError,)),
        "table of a bundle": Target(table, (_parquet(of_a_bundle=True),), greedy=greedy.TABLES),
        "runs of a bundle": Target(runs, (RUNS,), greedy=greedy.JSON[:2]),
        "manifest of a bundle": Target(manifest, ((bundle_folder() / layout.MANIFEST).read_bytes(),), greedy=greedy.JSON[:2]),
        "baseline": Target(baseline, (CLAIMS,), greedy=greedy.JSON[:2]),
        "files of a report": Target(
            report_files,
            (json.dumps({"made_by": write.MADE_BY, "files": ["a.md", "data/b.csv"]}).encode(),),
            greedy=greedy.JSON[:2],
        ),
        "json": Target(json_file, (CLAIMS, RUNS), (limited.BrokenFileError,), greedy=greedy.JSON),
        "uri": Target(
            uri,
            (b"sqlite:////tmp/x/mlflow.db", b"postgresql://u:p@h:5432/d?password=x", b"http://h:5000", b"file:///a"),
            (StoreError,),
        ),
        "run id": Target(run_id, (RUN_ID.encode(),), (StoreError,)),
        "artifact path": Target(artifact_path, (b"delta_w/band.npz", b"resume/epoch-00010.safetensors"), (StoreError,)),
        "stored run": Target(stored, (lines(*TAGS, *PARAMS),), (StoreError,), greedy=greedy.CONFIG),
        "state of a monitor": Target(
            monitor_state, (_monitor(),), (ConfigError, limited.BrokenFileError), greedy=greedy.JSON[:2]
        ),
        **stores.targets(),
    }


def attempt(name: str, content: bytes) -> bool:
    """Hand an input to a target; whether it was taken. Any error that is not an answer of the target comes through."""
    target = targets()[name]
    try:
        with small():
            target.call(recipes.unfolded(content))
    except target.refuses:
        return False
    return True


@contextlib.contextmanager
def small() -> Iterator[None]:
    """Bounds that are larger than what an input may take, or depend on the machine, are smaller while it lasts."""
    room = scratch() / "memory.max"
    if not room.exists():
        room.write_text(f"{MOST_FREE}", encoding="ascii")
    places: list[tuple[Any, str, Any]] = [
        (limited, "CGROUP", room),
        (limited, "MOST_BYTES", MOST_FREE // 4),
        (load_table, "__defaults__", (MOST_FREE // 4, None)),
        (negatives, "MOST_BYTES", MOST_FREE // 4),
        (negatives, "MOST_TEXT", MOST_FREE),
        (released, "MOST_BYTES", MOST_FREE // 4),
    ]
    before = [getattr(module, name) for module, name, _ in places]
    try:
        for module, name, value in places:
            setattr(module, name, value)
        yield
    finally:
        for (module, name, _), value in zip(places, before, strict=True):
            setattr(module, name, value)
