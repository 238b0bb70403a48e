"""What reads a store that somebody else has written, as targets: `world.py` makes it by an input."""

from __future__ import annotations

import contextlib
import os
import sqlite3

import torch

from analysis.reading.evidence import Evidence
from analysis.reading.runs import select, training_runs
from grok.monitor import saved
from grok.monitor.spectral import SpectralMonitor
from grok.spec.artifacts import BAND, FACTORS, HISTORY, WEIGHTS
from grok.spec.fields import ConfigError
from grok.store import glance, moved, whole
from grok.store.errors import StoreError
from grok.store.prior import run_config
from grok.store.tags import KIND, TRAIN, StoredRun
from tests.fuzz import greedy
from tests.fuzz.base import MOST_SMALL, Target, placed, scratch
from tests.fuzz.world import RAW, World, environment, made

TOLD = [name for name, one in vars(StoredRun).items() if isinstance(one, property)]
"""What a run says of itself; the rest is asked of MLflow."""
ASKED = ("data", "inputs", "outputs")


def _runs(world: World) -> list[StoredRun]:
    found = glance.find(world.database, {KIND: TRAIN}, glance.unfetched)
    if found is None:
        raise LookupError("MLflow is asked")
    return found


def database(content: bytes) -> None:
    """Runs of a database, and all that is told of them without a file of theirs."""
    world = made(content)
    glance.strangers(world.database)
    with environment(world, os.environ):
        glance.done(RAW, "grok")
    for run in _runs(world):
        for name in TOLD:
            try:
                assert name in ASKED or getattr(run, name) is not run
            except ConfigError:
                assert name == "config"
        run.stop_asked(run.session)
        run_config(run)


def rebased(content: bytes) -> None:
    """The places of files in a database that was moved: changed to those beside it, and then it is at home or has none."""
    path = made(content).database
    with contextlib.closing(sqlite3.connect(path)) as known, contextlib.suppress(StoreError, sqlite3.Error):
        moved.refuse(known, path)
    old, changed = moved.rebase(path)
    assert changed >= len(old)
    with contextlib.closing(sqlite3.connect(path)) as known:
        assert moved.places(known, path) == []


def flawless(content: bytes) -> None:
    """The files of a finished run, as `train` and `study` look at them before they take it for their own."""
    for run in _runs(made(content)):
        if why := whole.flaw(run):
            assert why.count("\n") == 0
            raise StoreError(why)


def reported(content: bytes) -> None:
    """The runs of a store and their files, as a report reads them."""
    store = made(content).store
    evidence, found = Evidence(store), training_runs(store)
    left = [evidence.select(study).left_out for study in evidence.studies]
    left.append(select([run for run in found if not run.studies], files=evidence.files).left_out)
    for run_id in evidence.homes:
        evidence.files.weights(run_id, RAW.checkpoint_epochs[0])
    for table in left:
        for reason in table["reason"]:
            assert reason.count("\n") == 0
            raise LookupError(reason)


def monitor(content: bytes) -> None:
    """A monitor's state beside a checkpoint of Hugging Face's, taken up by a monitor."""
    state = saved.load(placed(content, "spectral_monitor.safetensors"), MOST_SMALL)
    SpectralMonitor(torch.zeros(3), 4).load_state_dict(state)


def _monitor() -> bytes:
    path = scratch() / "state.safetensors"
    one = SpectralMonitor(torch.zeros(3), 4)
    for step in range(6):
        one.update(torch.full((3,), float(step**2)))
    saved.save(path, one.state_dict())
    return path.read_bytes()


OLD = b"experiments|artifact_location|file:///moved/mlruns/1\n"
EDITED = (
    b"latest_metrics|loss/train|f:nan\nlatest_metrics|a|i:3\ntags|mlflow.runName|other\nruns|name|n:",
    b"tags|grok.threads|1\ntags|grok.rounding_facts|library=mkl rows=256\ntags|grok.wall_s|12.5\ntags|grok.study.x|a b",
    b"untyped\nparams|seed|1\nfit",
)
"""Stores that are read."""
TAGS = b"threads rounding_facts wall_s own_sources files_left_out state kind config_hash protocol study.quick study.x session"
ANYTHING = (b"n:", b"b:\xff\x00x", b"i:5", b"f:0.5", b"@200000*9 @", b"\xff", b"")
STRANGE = tuple(
    b"\n".join((b"untyped", *(b"|".join((*place, value)) for place in places)))
    for value in ANYTHING
    for places in (
        *([(b"tags", b"grok." + name)] for name in TAGS.split()),
        [(b"params", b"epochs")],
        [(b"params", b"network")],
        [(b"latest_metrics", b"loss/train")],
        *([(b"runs", name)] for name in (b"run_uuid", b"name", b"status", b"start_time", b"artifact_uri", b"experiment_id")),
        [(b"run",)],
    )
)
"""A value of each kind at each place that is read."""
SEVERAL = b"run|7\ntags|grok.kind|study\nrun|8\ntags|grok.kind|x\nrun|9\nruns|artifact_uri|n:"
FILED = tuple(
    one for one in STRANGE if any(name in one for name in (b"left_out", b"quick", b"params", b"metrics", b"runs", b"run|"))
)
"""Those that say something of a run's files, of its study or its numbers."""
LONG_TEXTS = tuple(
    place + b"|@2000000*9 @" for place in (b"tags|grok.state", b"params|network", b"params|epochs", b"runs|artifact_uri")
)
KEYS = tuple(b"untyped\n" + table + b"|" + key + b"|1" for table in (b"tags", b"params", b"latest_metrics") for key in ANYTHING)
FOREIGN = tuple(
    OLD + b"untyped\n" + place + value
    for value in ANYTHING
    for place in (
        b"experiments|artifact_location|",
        b"experiments|experiment_id|",
        b"runs|artifact_uri|",
        b"logged_models|artifact_location|",
    )
)
FILE = b"\nfile|%b\n%b"
LONG = b"params|epochs|1000000000\nparams|max_window|1000\nfit"
LONG = b"params|epochs|1000000000\nparams|max_window|1000\nparams|window|900\nfit"
RUNS = (
    b"params|epochs|1000000000000\nfit",
    b"params|epochs|1000000000000\nparams|spectrum_methods|gram\nfit",
    b"params|epochs|1000000000000\nparams|max_window|1000000000000\nparams|spectrum_methods|gram\nfit",
    LONG,
    *(FILE % (BAND.encode(), one) for one in greedy.ARRAYS),
    *(LONG + FILE % (name.encode(), greedy.UNFOLDING) for name in (BAND, FACTORS)),
    *(FILE % (FACTORS.encode(), one) for one in greedy.FACTORS),
    *(LONG + FILE % (HISTORY.encode(), one) for one in greedy.HISTORIES),
    *(FILE % (WEIGHTS.format(RAW.checkpoint_epochs[0]).encode(), one) for one in greedy.TENSORS[:2]),
)
"""Runs whose params, or files, ask for much."""


def targets() -> dict[str, Target]:
    """By name, as `tests.fuzz.targets` has them."""
    run, refuses = (*EDITED, b"fit"), (StoreError, LookupError)
    return {
        "database": Target(database, run, refuses, odd=(*STRANGE, *KEYS, SEVERAL), greedy=LONG_TEXTS),
        "moved database": Target(rebased, (OLD, OLD + EDITED[0], b"fit"), (StoreError,), odd=FOREIGN),
        "files of a finished run": Target(flawless, run, refuses, odd=(SEVERAL,), greedy=RUNS),
        "run in a report": Target(reported, run, refuses, odd=(*FILED, *KEYS, SEVERAL), greedy=(*RUNS, *LONG_TEXTS)),
        "saved state of a monitor": Target(monitor, (_monitor(),), greedy=greedy.TENSORS),
    }
