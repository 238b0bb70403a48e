"""Evidence from a store with odd runs beside good ones: what is whole is read, the rest is counted and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.exhibits.evaluate import evaluate, write
from analysis.papers import CLAIMS, ERRATA
from analysis.reading import runs as queries
from analysis.reading.evidence import Evidence
from analysis.reading.files import RunFiles
from grok.spec.artifacts import BAND, FACTORS, HISTORY
from grok.spec.config import RunConfig
from grok.store import glance
from grok.store.store import StoreError, TrackedRun
from tests.conftest import TINY

STUDY = "headline"


def add_run(
    store: Any,
    config: RunConfig,
    *,
    study: str = STUDY,
    condition: str = "grok",
    state: str = "complete",
    epochs: int | None = None,
    **tags: str,
) -> str:
    """A run as a training leaves it, without training: params, tags, metrics, a history and a band of its length."""
    own = {"kind": "train", "config_hash": config.hash, "protocol": "1"} | ({f"study.{study}": condition} if study else {})
    run = store.create(config.display_name(), own | tags)
    run.log_config(config)
    run.log_points([(config.epochs, "fired", 1.0), (config.epochs, "accuracy/test", 0.25)])
    last = config.epochs if epochs is None else epochs
    rng = np.random.default_rng(config.seed)
    columns: dict[str, Any] = {"epoch": np.arange(last + 1)}
    columns |= {name: rng.random(last + 1) for name in ("accuracy/train", "accuracy/test", "delta_w/gap_23", "features/rho")}
    put_history(run, pd.DataFrame(columns))
    run.put_arrays(BAND, w=rng.random((last, config.max_window)), v=rng.random((last, config.max_window)))
    run.end(state)
    return str(run.run_id)


def put_history(run: TrackedRun, table: pd.DataFrame) -> None:
    """Write `history.parquet` in place."""
    assert run._root is not None
    run._root.mkdir(parents=True, exist_ok=True)
    table.to_parquet(run._root / HISTORY)


def cut(store: Any, run_id: str, path: str) -> None:
    """Cut an artifact short."""
    root = TrackedRun(store.client, run_id)._root
    assert root is not None
    (root / path).write_bytes((root / path).read_bytes()[:100])


@pytest.fixture(scope="module")
def odd(template_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, str]]:
    """A store with two good runs and one of every odd kind, and their ids."""
    from grok.store import store as tracking
    from tests.conftest import _copy, _environment

    with _environment(**_copy(template_store, tmp_path_factory.mktemp("odd"))):
        store = tracking.open_store()
    seeds = iter(range(100))

    def config(**changes: Any) -> RunConfig:
        return replace(TINY, seed=next(seeds), **changes)

    twin = config()
    ids = {"older": add_run(store, twin), "good": add_run(store, twin), "other": add_run(store, config(), condition="eta0")}
    ids |= {state: add_run(store, config(), state=state) for state in ("failed", "running", "interrupted")}
    ids["diverged"] = add_run(store, config(), state="diverged", epochs=7)
    ids["short"] = add_run(store, config(), epochs=20)
    ids["stray"] = add_run(store, config(), study="")
    ids["old"] = add_run(store, config(), protocol="0")
    for name in ("unhashed", "unread"):
        ids[name] = add_run(store, config())
    store.client.delete_tag(ids["unhashed"], "grok.config_hash")
    member = {"kind": "train", "protocol": "1", f"study.{STUDY}": "grok"}
    schema = store.create("<script>alert(1)</script>", member | {"config_hash": "x"})
    store.client.log_param(schema.run_id, "modulus", "seventy-one")
    schema.end("complete")
    ids["schema"] = schema.run_id
    ids["bare"] = store.create("bare", member | {"config_hash": RunConfig().hash}).run_id
    store.client.set_tag(ids["bare"], "grok.state", "complete")
    for name, path in (("band", BAND), ("history", HISTORY)):
        ids[name] = add_run(store, config())
        cut(store, ids[name], path)
    ids["columns"] = add_run(store, config())
    put_history(TrackedRun(store.client, ids["columns"]), pd.DataFrame({"step": [0, 1], "acc": [0.0, 1.0]}))
    fallen = config()
    ids["fallback"], ids["newest"] = add_run(store, fallen), add_run(store, fallen)
    cut(store, ids["newest"], BAND)
    factored = config(spectrum_methods=("gram", "svd"))
    ids["factors"] = add_run(store, factored)
    store.client.create_run(store.experiment_id, tags={"mlflow.runName": "somebody else's"})
    return store, ids


def test_good_runs_are_read_and_odd_ones_named(odd: Any) -> None:
    store, ids = odd
    evidence = Evidence(store)
    assert evidence.studies == (STUDY,)
    runs = evidence.runs(STUDY)
    assert set(runs["run_id"]) == {ids[name] for name in ("good", "other", "diverged", "fallback", "unread")}
    left_out = evidence.left_out
    reasons = dict(zip(left_out["run_id"], left_out["reason"], strict=True))
    assert len(reasons) == len(left_out) == len(ids) - len(runs)
    said = {
        "older": "an older run of the same config",
        "failed": "state failed",
        "running": "state running",
        "interrupted": "state interrupted",
        "old": "protocol 0, not 1",
        "stray": "of no study",
        "unhashed": "no tag grok.config_hash",
        "schema": "another schema: modulus",
        "bare": "artifact must exist",
        "band": "band.npz must be a whole npz file",
        "history": "history.parquet must be a whole parquet file",
        "columns": "history.parquet must have epoch",
        "short": "must cover 64 epochs, got 21 rows and 20 updates",
        "newest": "must be a whole npz file",
        "factors": "got delta_w/factors.npz",
    }
    assert {name: text for name, text in said.items() if text not in reasons[ids[name]]} == {}
    named = left_out.set_index("run_id").loc[ids["schema"]]
    assert (named["name"], named["study"], named["condition"]) == ("<script>alert(1)</script>", STUDY, "grok")


def test_claims_and_errata_are_made_of_it(odd: Any) -> None:
    """Nothing of a full-size study is there, and nothing breaks."""
    evidence = Evidence(odd[0])
    results = evaluate(evidence, CLAIMS)
    assert [result.claim for result in results] == list(CLAIMS)
    assert {result.verdict for result in results} == {"not testable yet"}
    of_runs = [chapter for chapter in ERRATA if chapter.studies]
    assert len(of_runs) > 8
    assert all("Not shown yet" in erratum.text and erratum.table.empty for erratum in write(evidence, of_runs))


def test_a_second_evidence_has_the_same_content_in_the_same_order(odd: Any) -> None:
    first, second = Evidence(odd[0]), Evidence(odd[0])
    pd.testing.assert_frame_equal(first.runs(STUDY), second.runs(STUDY), check_exact=True)
    pd.testing.assert_frame_equal(first.left_out, second.left_out, check_exact=True)


def test_files_are_read_once_and_as_they_are(odd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = Evidence(odd[0])
    run_id = evidence.runs(STUDY)["run_id"].iloc[0]
    opened = []
    monkeypatch.setattr(RunFiles, "_open", lambda self, *words: opened.append(words))
    assert evidence.history(run_id) is evidence.history(run_id)
    assert evidence.band(run_id)["w"].shape[1] == 24
    assert opened == []


def flipped(root: Path, path: str, place: float) -> None:
    """Turn over one byte of an artifact, at a share of its length."""
    data = bytearray((root / path).read_bytes())
    data[int(place * len(data))] ^= 0xFF
    (root / path).write_bytes(data)


@pytest.mark.parametrize("path", [BAND, HISTORY])
def test_a_byte_turned_over_is_a_reason_or_changes_nothing(store: Any, path: str) -> None:
    """Wherever it is: zlib, the header's tokenizer, unknown compressions and versions all end in one line."""
    run_id = add_run(store, TINY)
    root = TrackedRun(store.client, run_id)._root
    assert root is not None
    whole, kinds = (root / path).read_bytes(), set[str]()
    found = queries.training_runs(store)
    right = RunFiles(store, found).arrays(run_id, path)["w"] if path == BAND else None
    for place in np.linspace(0, 0.999, 25):
        flipped(root, path, float(place))
        files = RunFiles(store, found)
        reason = files.load([run_id], path).get(run_id, "")
        assert reason or path == HISTORY or np.array_equal(files.arrays(run_id, path)["w"], right)
        assert "\n" not in reason
        kinds.add(reason.partition("(")[2].partition(" ")[0])
        (root / path).write_bytes(whole)
    assert kinds - {""}, kinds
    flipped(root, path, 0.5)
    (named,) = Evidence(store).left_out["reason"]
    assert f"{path} must be a whole" in named


def test_bands_without_a_layer_are_a_reason(store: Any) -> None:
    run_id = add_run(store, TINY)
    TrackedRun(store.client, run_id).put_arrays(BAND, v=np.zeros((64, 24)))
    assert Evidence(store).left_out["reason"].item() == "its bands must be of the layers w, v, got v"


def test_runs_are_checked_once_however_many_there_are(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a cache smaller than the store, each file is read once by the check and never again for its length."""
    from analysis.reading import files as run_files

    monkeypatch.setattr(run_files, "KEPT", 1)
    ids = [add_run(store, replace(TINY, seed=seed), **{"study.other": "grok"}) for seed in range(6)]
    opened: list[tuple[str, str]] = []
    right = RunFiles._open
    monkeypatch.setattr(RunFiles, "_open", lambda self, *words: opened.append(words[:2]) or right(self, *words))
    evidence = Evidence(store)
    assert len(evidence.runs(STUDY)) == len(evidence.runs("other")) == 6
    assert [opened.count((run_id, BAND)) for run_id in ids] == [1] * 6


def test_runs_of_another_study_count_where_the_grid_has_their_config(store: Any) -> None:
    """The runs of quick are seeds of headline; one tagged with the study comes before a newer one that is not."""
    config = RunConfig(seed=0, weight_decay=2e-4).resolved()
    own = add_run(store, config)
    quick = add_run(store, config, study="quick")
    stray = add_run(store, replace(config, seed=1, weight_decay=0.0), study="")
    failed = add_run(store, replace(config, seed=2), study="quick", state="failed")
    foreign = add_run(store, replace(config, seed=99), study="quick")
    evidence = Evidence(store)
    runs = evidence.runs(STUDY).set_index("run_id")
    assert dict(runs["condition"]) == {own: "grok", stray: "eta0"}
    assert set(evidence.runs("quick")["run_id"]) == {quick, stray, foreign}
    assert evidence.runs("relu").empty
    assert list(evidence.left_out[["run_id", "study"]].itertuples(index=False, name=None)) == [(failed, "quick")]
    again = add_run(store, replace(config, seed=1, weight_decay=0.0), study="headline", condition="eta0")
    evidence = Evidence(store)
    assert set(evidence.runs(STUDY)["run_id"]) == {own, again}
    assert evidence.left_out.set_index("run_id").loc[stray, "reason"] == "another run of the same config counts"


def test_the_report_a_studys_summary_the_sensitivity_and_tidy_read_the_same_runs(store: Any, tmp_path: Path) -> None:
    """Half of them were made by another study, or by none."""
    from analysis.reading import tidy
    from analysis.sensitivity import loading
    from analysis.sensitivity.settings import SensitivityConfig
    from analysis.studies import report
    from grok.spec.studies import load_study

    grok, eta0 = (RunConfig(weight_decay=value).resolved() for value in (2e-4, 0.0))
    ids = {
        add_run(store, replace(config, seed=seed), study=study, condition=condition)
        for config, condition in ((grok, "grok"), (eta0, "eta0"))
        for seed, study in ((0, STUDY), (1, "quick"), (2, ""), (3, STUDY))
    }
    for run_id in ids:
        store.client.log_metric(run_id, "elapsed_s", 1.0)
    parent = store.create("the study", {"kind": "study"})
    report.write(store, parent, load_study(STUDY), [], 1.0)
    found = loading.load(store, SensitivityConfig(study=STUDY, companions="none"))
    assert set(Evidence(store).runs(STUDY)["run_id"]) == ids
    assert set(pd.read_csv(parent.get_file("runs.csv", tmp_path))["run_id"]) == ids
    assert {run_id for cell in found.cells.values() for run_id in cell.table["run_id"]} == ids
    assert set(tidy(store, study=STUDY)["run_id"]) == ids


def test_a_store_of_quick_alone_tests_the_claims_of_seed_0(store: Any) -> None:
    config = RunConfig(seed=0, weight_decay=2e-4).resolved()
    run_id = add_run(store, config, study="quick")
    found = {result.claim.id: result for result in evaluate(Evidence(store), CLAIMS)}
    assert found["headline-seed-0"].run_ids == (run_id,)
    assert found["headline-seed-0"].verdict == "contradicted"  # its events never came
    assert found["headline-grok-fires"].verdict == "not testable yet"


def test_gaps_of_a_randomised_method_are_kept_by_seed(odd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.reading import evidence as module

    store, ids = odd
    monkeypatch.setattr(module, "gap_series", lambda *a, seed, **k: np.array([seed]))
    monkeypatch.setattr(Evidence, "factors", lambda self, run_id: {})
    evidence = Evidence(store)
    assert [int(evidence.gap(ids["good"], method="randomized_10", seed=seed)[0]) for seed in (0, 1, 0)] == [0, 1, 0]


def test_gaps_are_those_of_the_band_and_kept(odd: Any) -> None:
    store, ids = odd
    evidence = Evidence(store)
    found = evidence.gap(ids["good"], window=6)
    from grok.numerics.gaps import gap_series

    np.testing.assert_array_equal(found, gap_series(evidence.band(ids["good"])["w"], {}, window=6))
    assert evidence.gap(ids["good"], window=6) is found
    assert not np.array_equal(evidence.gap(ids["good"], window=5), found, equal_nan=True)


def test_weights_come_from_checkpoints(finished: Any) -> None:
    evidence = Evidence(finished.store)
    weights = evidence.weights(finished.outcome.run_id, 20)
    assert {name: array.shape for name, array in weights.items()} == {"w": (22, 32), "v": (32, 11)}
    with pytest.raises(StoreError, match="artifact must exist"):
        evidence.weights(finished.outcome.run_id, 21)


def test_sensitivity_is_the_newest_complete_one(odd: Any) -> None:
    store, _ = odd
    assert Evidence(store).sensitivity() is None
    for name, state in (("first", "complete"), ("second", "complete"), ("third", "failed")):
        run = store.create(name, {"kind": "sensitivity"})
        run.put_json("sensitivity.json", {"name": name})
        run.end(state)
    found = Evidence(store).sensitivity()
    assert found is not None
    assert found["name"] == "second"
    assert store.get(found["run_id"]).info.run_name == "second"
    for name, grids in (("grids", {"share": {}, "settings": 1}), ("search only", None)):
        run = store.create(name, {"kind": "sensitivity"})
        run.put_json("sensitivity.json", {"name": name, "neighbourhood": grids})
        run.end("complete")
    last = Evidence(store).sensitivity()
    assert last is not None
    assert last["name"] == "grids"


def test_commands() -> None:
    assert Evidence.command("relu") == "python -m entry_points.study --study relu"
    assert Evidence.command("my_studies/mine") == "python -m entry_points.study --study my_studies.yaml:mine"


# queries


def test_select_by_activation_condition_and_tags(odd: Any) -> None:
    store, ids = odd
    runs = queries.training_runs(store)

    def found(**asked: Any) -> set[str]:
        return set(queries.select(runs, **asked).table["run_id"])

    assert ids["stray"] in found()
    assert found(study=STUDY, condition="eta0") == {ids["other"]}
    assert found(study="relu") == found(activation="relu") == found(condition="grok") == set()
    assert found(study=STUDY, activation="square", tags={"state": "diverged"}) == {ids["diverged"]}
    assert found(tags={"grok.state": "diverged"}) == {ids["diverged"]}
    assert found(tags={"state": "it's"}) == set()


def test_tidy_table_for_notebooks(odd: Any) -> None:
    store, ids = odd
    table = queries.tidy(store, ["accuracy/test", "no such"], study=STUDY)
    assert list(table.columns) == [
        "run_id",
        "condition",
        "activation",
        "weight_decay",
        "seed",
        "epoch",
        "accuracy/test",
        "no such",
    ]
    assert set(table["run_id"]) == {ids[name] for name in ("good", "other", "diverged", "fallback", "unread")}
    assert table["no such"].isna().all()
    one = table[table["run_id"] == ids["good"]]
    assert list(one["epoch"]) == list(range(65))
    np.testing.assert_array_equal(one["accuracy/test"], RunFiles(store).history(ids["good"])["accuracy/test"])
    assert queries.tidy(store, study="nobody's").empty


def test_more_runs_than_a_page(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {store.create(str(i), {"kind": "train"}).run_id for i in range(5)}
    monkeypatch.setattr(glance, "find", lambda *given, **named: None)  # as on a server
    search = store.client.search_runs
    monkeypatch.setattr(store.client, "search_runs", lambda *a, **k: search(*a, **k | {"max_results": 2}))
    assert {run.info.run_id for run in queries.training_runs(store)} == ids


def test_missing_factors_are_an_error_of_one_line(odd: Any) -> None:
    store, ids = odd
    with pytest.raises(StoreError, match=f"artifact must exist in run {ids['good']}, got {FACTORS}"):
        Evidence(store).factors(ids["good"])
