"""The anatomy of a short run: every measure is there, agrees with itself, and survives a stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from analysis.papers.lifecycle.ablation_sentences import CONTROLS
from analysis.papers.lifecycle.sentences import FAIR, READ_OUT
from grok.recorders import _targets
from grok.recorders._instrument import Instrument
from grok.recorders.anatomy import Anatomy
from grok.recorders.base import Moment
from grok.spec.config import RunConfig
from grok.spec.fields import ConfigError
from grok.tasks.scan import encode, scan
from grok.training.loop import Training
from tests.helpers.lifecycle_world import QUICK, SLOW, names_of
from tests.training.test_sequences import Trained, small

PARTS = {"recorders": ("anatomy",), "options": "anatomy_steps=12;edge_intervals=2+4;edge_rows=5"}


@pytest.fixture(scope="module", autouse=True)
def few() -> Iterator[None]:
    """Fewer samples than the paper measures on: the same code in a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_targets, "TEST", {"dyck": 40, "scan": 20})
        patch.setattr(_targets, "TRAIN", {"dyck": 20, "scan": 12})
        patch.setattr(_targets, "MODULAR", 300)
        patch.setattr(_targets, "MODULAR_TRAIN", 100)
        yield


@pytest.fixture(scope="module")
def straight() -> Trained:
    return Trained(small(**PARTS))


def anatomy(run: Trained) -> Anatomy:
    found = run.member.run.recordings["anatomy"]
    assert isinstance(found, Anatomy)
    return found


def table(run: Trained) -> pd.DataFrame:
    moment = Moment("end", 12, {}, run.training.updates_of(0))
    (file,) = anatomy(run).files(moment)
    assert isinstance(file.content, pd.DataFrame)
    return file.content


def test_every_measure_is_there_and_they_agree(straight: Trained) -> None:
    found = table(straight)
    kinds = {"probe", "untrained", "attention", "ablation", "sweep", "functional", "fourier", "curvature", "flow"}
    assert set(found["kind"]) == kinds
    assert found["value"].notna().all()
    assert set(found["step"]) == {0, 4, 8, 12}
    for step, tables in ((8, (QUICK,)), (12, (QUICK, SLOW))):  # the names by which claims are tried are those that are measured
        there = set(found.loc[found["step"] == step, ["kind", "name"]].itertuples(index=False, name=None))
        assert {one for names in tables for one in names_of(names, "dyck", step // 4)} <= there
    found = found[found["step"] == 12]
    value = found.set_index(["kind", "name"])["value"]
    sweep = found[(found["kind"] == "sweep") & (found["name"] == "accuracy")].set_index("x")["value"]
    assert sweep[0.0] == value["ablation", "base"]
    assert value["ablation", "edge/share"] == pytest.approx(value["ablation", "isotropic/share"])
    assert value["ablation", "zero/share"] == 1.0
    read = {"probe": {*FAIR, READ_OUT, "before/quadratic_raw/token", "before/mlp_raw/token"}}
    read |= {"ablation": {f"{name}/change" for name in ("edge", "bulk", "random_plane", *CONTROLS)}}
    read |= {"curvature": {f"{what}/v{k}" for what in ("published", "test", "sigma", "change") for k in (1, 2, 3)}}
    read |= {
        "functional": {f"{null}linear_{one}/token" for null in ("", "random/", "shuffled/") for one in ("raw", "standardised")}
    }
    read["probe"] |= {"before/quadratic_standardised/sequence", "after/mlp_standardised/sequence"}
    for kind, names in read.items():
        assert names <= set(found.loc[found["kind"] == kind, "name"])  # what the claims read is there
    assert value["ablation", "random_plane/share"] < 0.01
    assert value["attention", "entropy/layer0"] <= value["attention", "uniform"]
    # three changes make a window: its bulk is v₃ alone; float32 differences are rough and the exact value is not
    assert value["curvature", "published/v1"] == pytest.approx(value["curvature", "test/v1"], rel=0.5, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [5, 11])
def test_a_stopped_run_measures_the_same(straight: Trained, stop: int) -> None:
    saved = Trained(small(**PARTS), stop=stop).state
    assert saved is not None
    pd.testing.assert_frame_equal(table(Trained(small(**PARTS), saved)), table(straight))


def test_a_copy_of_the_network_answers_as_the_network_does() -> None:
    training = Training(small(epochs=1))
    next(iter(training))
    run, problem = training.runs[0], training.problems[0]
    weights = {name: value[0] for name, value in training.weights.items()}
    parts = problem.test_inputs[:20], problem.test_labels[:20]
    copy = Instrument(run.network, run.task.sizes(run.config), weights, weights["attention"].dtype, *parts)  # type: ignore[arg-type]
    loss, accuracy = training.network.evaluate(training.network.batch(parts[0][None], parts[1][None]))
    assert copy.accuracy(copy.theta) == pytest.approx(float(accuracy[0]))
    assert float(copy.loss(copy.theta)) == pytest.approx(float(loss[0]), rel=1e-5)
    assert copy.judge(copy.theta)[2] == pytest.approx(0.0, abs=1e-7)


def of(parts: dict[str, Any]) -> pd.DataFrame:
    """The anatomy of four short snapshots of another task."""
    common = {"epochs": 8, "evaluate_every": 2, "recorders": ("anatomy",), "options": "anatomy_steps=8;edge_rows=5"}
    training = Training(RunConfig(**common | parts, window=5, slope_lag=2, threads=1, device="cpu", seed=42).resolved())
    for _ in training:
        pass
    recording = training.runs[0].recordings["anatomy"]
    assert isinstance(recording, Anatomy)
    return pd.DataFrame(recording.rows, columns=["step", "kind", "name", "x", "value"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts",
    [
        {"task": "scan", "network": "seq2seq_mini", "n_train": 60, "batch_size": 8, "eval_sequences": 8},
        {"network": "transformer", "modulus": 97, "batch_size": 16},
    ],
    ids=["scan", "modular"],
)
def test_the_other_tasks_have_what_claims_are_tried_by(parts: dict[str, Any]) -> None:
    found, task = of(parts), str(parts.get("task", "modular"))
    assert found["value"].notna().all()
    there = set(found.loc[found["step"] == 8, ["kind", "name"]].itertuples(index=False, name=None))
    wanted = {one for names in (QUICK, SLOW) for one in names_of(names, task, 4)}
    third = ("layer2", "encoder2", "cross2")  # of the published size alone
    assert {one for one in wanted if not one[1].endswith(third)} <= there


def test_labels_of_commands_and_splits_of_pairs() -> None:
    problem = scan(6)
    test, train, few = _targets.parts("scan", problem)
    assert (len(test[0]), len(train[0]), few) == (20, 6, 20)
    asked = _targets.targets("scan", *test)
    assert not asked.ordered
    assert len(asked.labels) == int((test[1] != -100).sum())
    assert not (asked.apart.fitted & asked.apart.scored).any()
    inputs, _ = encode([("jump around left twice and walk right thrice", "I_WALK"), ("look", "I_LOOK")])
    found = {name: labels.tolist() for name, (labels, _) in _targets.commands(inputs).items()}
    assert found == {"verb": [4, 2], "direction": [1, 0], "repetition": [1, 0]}  # of the first phrase; 0 is none


def test_a_branch_leaves_what_its_parent_measured_before_the_switch() -> None:
    """So that it has the rows of the same config trained from step 0; a parent without an anatomy gives none."""
    recording = Training(small(**PARTS, switch_at=8)).runs[0].recordings["anatomy"]
    rows = [[step, "probe", "scale", 0.0, 1.0] for step in (4, 8, 12)]
    recording.load({}, {})
    recording.load({}, {"rows": rows})
    assert [row[0] for row in recording.rows] == [8, 12]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (PARTS | {"options": "anatomy_steps=13"}, "options must have anatomy_steps that are multiples of evaluate_every"),
        (PARTS | {"options": "anatomy_steps=16"}, "options must have anatomy_steps that are multiples of evaluate_every"),
        (PARTS | {"options": "anatomy_steps=late"}, "options must have whole numbers in anatomy_steps"),
        (PARTS | {"options": "edge_intervals=3+4"}, "options must have edge_intervals that are multiples of the smallest"),
        (PARTS | {"options": "edge_rows=2"}, "options must have edge_rows ≥ 5"),
        (PARTS | {"options": "edge_layers=some"}, "options must have edge_layers first or all"),
        (PARTS | {"options": "edge_rows=many"}, "options must have whole numbers"),
    ],
)
def test_bad_options_are_refused_before_a_step(parts: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Training(small(**parts))


def test_it_is_for_transformers() -> None:
    with pytest.raises(ConfigError, match="recorders must have anatomy only with transformer, seq2seq, seq2seq_mini"):
        Training(RunConfig(recorders=("anatomy",), options="anatomy_steps=200", epochs=2, width=8, modulus=7, top_pairs=3))
