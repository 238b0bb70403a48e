"""Code that only a store names is not run, whatever is asked of it; and what a run is follows from params that fit its hash."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grok
from analysis.reading.derived import detected
from analysis.reading.evidence import Evidence
from entry_points import cli, measure, signals
from grok.detectors.base import find
from grok.runs.load import LoadedRun
from grok.runs.train import train_tracked
from grok.spec.fields import ConfigError
from grok.spec.plugins import is_loaded
from grok.store import files, prior, sqlite
from grok.store.errors import StoreError
from grok.store.model import NETWORK_FILE
from grok.store.moved import local_path
from tests.conftest import Finished
from tests.reading.test_evidence import add_run

pytestmark = pytest.mark.faults
FIELDS = ("activation", "task", "network", "optimizer", "detector", "recorders", "signals")
ASKED = {
    "eigenvalues": [((), {}), ((), {"layer": "w"})],
    "gap": [((), {}), ((4,), {"layer": "v"})],
    "fire_epoch": [((), {}), ((4,), {"layer": "w", "slope_threshold": 0.1})],
    "weights": [((20,), {})],
    "network": [((), {}), ((20,), {})],
    "file": [(("history.parquet",), {})],
}
"""Calls of every public method that takes something."""
OWN_DETECTOR = """
import numpy as np
from grok import Detector, Range
D = Detector("mine", {"above": Range(1.0, 9.0)}, lambda log_gap, first_epoch, above: np.exp(log_gap) > above)
"""


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that a module `evilmod`, which stores name, makes when it is imported."""
    (tmp_path / "theirs").mkdir()
    text = f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef f(h): return h * h\n"
    (tmp_path / "theirs" / "evilmod.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "theirs"))
    yield tmp_path / "ran"
    sys.modules.pop("evilmod", None)


def edit(store: Any, run_id: str, **params: str) -> None:
    """Params of a run, set by hand in the database."""
    with closing(sqlite3.connect(sqlite.path_of(store.uri))) as database:
        for name, text in params.items():
            database.execute("DELETE FROM params WHERE run_uuid = ? AND key = ?", (run_id, name))
            database.execute("INSERT INTO params (run_uuid, key, value) VALUES (?, ?, ?)", (run_id, name, text))
        database.commit()


def edited_facts(run: LoadedRun, **facts: object) -> None:
    """The facts beside the weights of a run's logged network, changed by hand; its checksum fits."""
    (output,) = run.stored.outputs.model_outputs
    place = local_path(run.store.client.get_logged_model(output.model_id).artifact_location)
    assert place is not None
    tensors, known = files.load(place / NETWORK_FILE)
    files.save(place / NETWORK_FILE, tensors, known | facts)


# code


def test_no_part_of_a_loaded_run_runs_what_a_store_names(store: Any, tiny: Any, finish: Any, evil: Path) -> None:
    """Params that name code, one after the other, and every public method and attribute."""
    done: Finished = finish(store, tiny())
    run_id = done.outcome.run_id
    public = [name for name in dir(LoadedRun) if not name.startswith("_") and name not in ("stored", "store", "trust_code")]
    assert set(ASKED) <= set(public)
    for field in FIELDS:
        right, identity = store.get(run_id).params[field], store.get(run_id).config_hash
        edit(store, run_id, **{field: "evilmod:f"})
        store.client.set_tag(run_id, "grok.config_hash", store.get(run_id).config.hash)  # so that its params fit
        refused = set()
        for name in public:
            for words, options in ASKED.get(name, [((), {})]):
                run = grok.load_run(run_id, store=store)
                try:
                    found = getattr(run, name)
                    if name in ASKED:
                        found(*words, **options)
                except (StoreError, ConfigError) as error:
                    refused |= {name} if "\n" not in str(error) else set()
                assert not evil.exists(), (field, name, words)
        assert "network" in refused, field
        assert ("fire_epoch" in refused) == (field == "detector"), field
        edit(store, run_id, **{field: right})
        store.client.set_tag(run_id, "grok.config_hash", identity)
    assert grok.load_run(run_id, store=store).fire_epoch() == done.outcome.summary["fire_epoch"]


def test_the_file_of_a_logged_network_has_no_code_run(store: Any, tiny: Any, finish: Any, evil: Path) -> None:
    run = grok.load_run(finish(store, tiny()).outcome.run_id, store=store)
    pairs = np.array([[1, 2]])
    right = run.network()(pairs)
    for name, value in (("activation", "evilmod:f"), ("network", "evilmod:f"), ("more", [{"x": "evilmod:f"}])):
        edited_facts(run, **{name: value})
        for trusted in (False, True):  # its params name no code: there is none to trust
            with pytest.raises(StoreError, match=r"logged network must be that of its run's config, got .*evilmod:f in"):
                replace(run, trust_code=trusted).network()
        assert not evil.exists()
        edited_facts(run, activation="square", network="two_layer", more="")
        np.testing.assert_array_equal(run.network()(pairs), right)


def test_a_detector_of_ones_own_is_used_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its whole name: that its module is imported for something else does not make it a detector."""
    (tmp_path / "my_named.py").write_text(OWN_DETECTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    row = {"detector": "my_named:D", "options": "above=2", "slope_lag": 5, "slope_threshold": 0.1, "first_epoch": 3}
    gap = np.where(np.arange(65) < 40, 1.5, 3.0)
    assert np.isnan(detected(row, gap)["fired"])
    find("my_named:D")
    assert is_loaded("detector", "my_named:D")
    assert detected(row, gap)["fire_epoch"] == 40
    for name in ("os:getcwd", "my_named:np"):
        assert np.isnan(detected(row | {"detector": name, "options": "none"}, gap)["fired"]), name


def test_ranks_of_a_run_with_a_network_of_somebodys_own_are_not_worked_out_by_a_reader(
    store: Any, tiny: Any, evil: Path
) -> None:
    for field in ("network", "task"):
        run_id = add_run(store, tiny(seed=len(field)))
        edit(store, run_id, **{field: "evilmod:f"})
        with pytest.raises(StoreError, match=f"names {field} evilmod:f. Read that code, then run .*measure with --trust-code"):
            Evidence(store).measured(run_id, "ranks")
        assert not evil.exists()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (measure, ["--study", "headline", "--what", "answers"]),
        (signals, ["--study", "headline", "--signals", "weight_norm", "--workers", "1"]),
    ],
)
def test_what_reads_finished_runs_takes_their_code_where_it_is_trusted(
    entry: Any, words: list[str], store: Any, tiny: Any, evil: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """What the message advises is a flag that the command has; the run is then measured as any other."""
    config = tiny(activation="evilmod:f")
    (done,) = train_tracked([config], store, tags={"study.headline": "grok"})
    assert evil.exists()  # it was named here
    evil.unlink()
    sys.modules.pop("evilmod")

    def status(*more: str) -> int:
        monkeypatch.setattr(sys, "argv", ["x", *words, *more])
        with pytest.raises(SystemExit) as left:
            cli.run_main(entry.main)
        assert isinstance(left.value.code, int)
        return left.value.code

    for refused in ([], ["--trust-code", "false"]):
        assert status(*refused) != 0
        told = capsys.readouterr()
        assert f"activation evilmod:f in {done.run_id}. Read that code, then add --trust-code." in told.err
        assert not evil.exists()
    assert status("--trust-code") == 0
    assert evil.exists()
    found = capsys.readouterr().out.split()
    assert {"runs=1", "tables=1" if entry is measure else "signals=1"} <= set(found)
    assert status("--trust-code", "maybe") == 2


# params


def reasons(store: Any) -> dict[str, str]:
    return dict(Evidence(store).left_out.set_index("run_id")["reason"])


def test_a_metric_does_not_stand_in_the_place_of_what_a_run_is(store: Any, tiny: Any) -> None:
    config = tiny()
    run_id = add_run(store, config)
    with closing(sqlite3.connect(sqlite.path_of(store.uri))) as database:
        for name in ("weight_decay", "run_id", "condition", "seed", "config_hash", "rounding_used", "batch_size", "lead"):
            row = (name, 0.5, 1, 0, 0, run_id)
            database.execute(
                "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)", row
            )
        database.commit()
    table = Evidence(store).runs("headline")
    (found,) = table.itertuples()
    assert (found.run_id, found.condition, found.seed) == (run_id, "grok", config.seed)
    assert (found.weight_decay, found.config_hash, found.fired) == (config.weight_decay, config.hash, 1.0)
    assert found.rounding_used != 0.5
    assert "batch_size" not in table


def test_a_param_that_names_code_does_not_free_the_others(store: Any, tiny: Any, evil: Path) -> None:
    """Neither where the run has no code of its own, nor where it has."""
    plain = add_run(store, tiny())
    own = tiny(activation="evilmod:f", seed=1)
    made = prior.create(store, own, tags={"study.headline": "grok"})
    tagged = add_run(store, own, own_sources=made.stored.get("own_sources"))
    store.client.delete_run(made.run_id)
    assert reasons(store) == {}
    edit(store, plain, detector="evilmod:D", weight_decay="0.5")
    edit(store, tagged, weight_decay="0.5")
    told = reasons(store)
    assert told[plain].startswith("not verifiable: it names detector evilmod:D")
    assert told[tagged] == "its params are not those that it was trained with: they were changed since"
    assert not evil.exists()


def test_a_run_with_code_of_ones_own_is_verified_without_that_code(store: Any, tiny: Any, evil: Path, tmp_path: Path) -> None:
    """A run says which bytes its code had; of one of earlier code, that does not, the code here must be the same."""
    config = tiny(activation="evilmod:f")
    made = prior.create(store, config)
    assert json.loads(made.stored.get("own_sources")) == config.own_digests()
    store.client.delete_run(made.run_id)
    new = add_run(store, config, own_sources=made.stored.get("own_sources"))
    old = add_run(store, tiny(activation="evilmod:f", seed=1))
    assert set(Evidence(store).runs("headline")["run_id"]) == {new, old}
    source = tmp_path / "theirs" / "evilmod.py"
    for change in (lambda: source.write_text("f = abs\n"), source.unlink):
        change()
        found = Evidence(store)
        assert list(found.runs("headline")["run_id"]) == [new]
        assert reasons(store)[old].startswith("not verifiable: it names activation evilmod:f, and the code here is not")
    assert not evil.exists()


def test_a_run_without_code_of_its_own_has_no_such_tag(store: Any, tiny: Any) -> None:
    made = prior.create(store, tiny())
    assert "grok.own_sources" not in made.stored.tags
    assert made.stored.own_sources is None
    store.client.set_tag(made.run_id, "grok.own_sources", "[" * 100_000)
    assert store.get(made.run_id).own_sources is None
