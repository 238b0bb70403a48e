"""`python -m entry_points.sensitivity` on a store of tiny runs: what it leaves, how it goes on, and what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.reading.evidence import Evidence
from analysis.sensitivity.loading import _check_group
from analysis.sensitivity.settings import SensitivityConfig
from analysis.sensitivity.space import Range, build, from_unit, parse_values
from entry_points import sensitivity
from entry_points.cli import run_main
from grok.spec.fields import ConfigError
from grok.store.markdown import inert
from grok.store.moved import rebase
from tests.conftest import TINY, Answer

QUICK = (
    "--companions",
    "none",
    "--n-trials",
    "6",
    "--samples",
    "64",
    "--window",
    "4,6",
    "--slope-lag",
    "2..10",
    "--first-epoch",
    "0..40",
    "--seed",
    "3",
)
"""A study of seconds."""


@pytest.fixture(scope="module")
def trained(template_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that holds the study `mine` (both conditions, two seeds) and `bare` (grokking runs alone)."""
    from grok.runs import train as runner
    from grok.store import store as tracking

    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(template_store, folder / "mlflow.db")
    rebase(folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")
        store = tracking.open_store()
        for seed in (0, 1):
            for condition, decay in (("grok", 2e-4), ("eta0", 0.0)):
                tags = {"study.mine": condition} | ({"study.bare": "grok"} if condition == "grok" else {})
                tags |= {"study.odd": "η 1"} if condition == "grok" else {}
                runner.train_tracked(
                    [replace(TINY, seed=seed, weight_decay=decay, epochs=48, checkpoint_epochs=(48,))], store, tags=tags
                )
    return folder


@pytest.fixture
def own(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A copy of that store for one test."""
    from grok.store import store as tracking

    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    rebase(tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "sensitivity tests")
    return tracking.open_store()


@pytest.fixture
def sensitivity_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """`sensitivity_command(*arguments)`: the command line, in this process."""

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["sensitivity", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            run_main(sensitivity.main)
        text = capsys.readouterr()
        return Answer(left.value.code if isinstance(left.value.code, int) else 1, text.out, text.err)

    return run


def artifacts(store: Any, run_id: str) -> Path:
    from grok.store.store import TrackedRun

    root = TrackedRun(store.client, run_id)._root
    assert root is not None
    return root


def test_a_whole_study_and_what_it_leaves(own: Any, sensitivity_command: Callable[..., Answer]) -> None:
    answer = sensitivity_command("--study", "mine", *QUICK, "--nested-runs", "2")
    assert answer.status == 0, answer.err
    assert {k: answer.words[k] for k in ("study", "state", "trials", "new")} == {
        "study": "mine",
        "state": "complete",
        "trials": "12",
        "new": "12",
    }
    assert "missing: no runs of square random_labels" in answer.err
    run = own.get(answer.words["run"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["grok.kind"] == "sensitivity"
    assert (
        run.data.params
        == SensitivityConfig.from_strings(
            {
                "study": "mine",
                "companions": "none",
                "n_trials": "6",
                "samples": "64",
                "window": "4,6",
                "slope_lag": "2..10",
                "first_epoch": "0..40",
                "seed": "3",
                "nested_runs": "2",
            }
        ).to_strings()
    )
    root = artifacts(own, run.info.run_id)
    tables = {"grid", "surface", "neighbourhood", "trials", "nested"}
    assert {path.name for path in root.iterdir() if path.is_file()} == (
        {f"{name}.{kind}" for name in tables for kind in ("csv", "parquet")}
        | {"rebuttal.csv", "window_table.csv", "importance.csv", "sensitivity.json"}
    )
    assert {path.stem for path in (root / "figures").iterdir()} >= {"surface", "roc", "importance", "slices"}
    data = json.loads((root / "sensitivity.json").read_text(encoding="utf-8"))
    assert data["data"]["runs"] == {"square": {"grok": 2, "eta0": 2}}
    assert (data["data"]["calibration_seeds"], data["data"]["held_out_seeds"]) == ([0], [1])
    assert data["relu"] is None
    assert data["square_worst"]["by_control"].keys() == {"eta0"}
    assert data["nested"].keys() == {"square", "near"}
    assert [one["target"] for one in data["nested"]["square"]] == ["eta0", "every"]
    assert all(one["separates"] is None for one in data["nested"]["square"])  # of two seeds
    assert answer.out.splitlines()[:-1] == data["answer"]
    first = "Whether the detector's setting makes the result on square cannot be decided: it takes 5 seeds"
    assert data["answer"][0].startswith(first)
    assert "cannot be decided from so few seeds" in data["answer"][1]
    assert "warning: fewer than 5 seeds, so nothing is decided of 2 of square runs" in answer.err
    assert (answer.words["searches"], answer.words["each"]) == ("2", "6")
    assert len(data["verdict"]) >= 6
    assert all(inert(line) in run.data.tags["mlflow.note.content"] for line in data["verdict"])
    trials = pd.read_parquet(root / "trials.parquet")
    assert trials.groupby("study")["number"].apply(list).to_dict() == {
        name: list(range(6)) for name in ("search", "square_worst_eta0")
    }
    assert data["search"]["best"][0]["calibration"]["j"]["value"] == trials.query("study == 'search'")["j"].max()
    children = own.find({"kind": "trial"})
    assert len(children) == 2
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {run.info.run_id}


def test_the_published_outcome_is_that_of_the_runs_themselves(own: Any, sensitivity_command: Callable[..., Answer]) -> None:
    """Trained with the slope rule at window 6, lag 5, from epoch 34: fixed to that, a trial finds the stored epochs."""
    fixed = {
        "window": "6",
        "slope-lag": "5",
        "slope-threshold": "0.06",
        "first-epoch": "34",
        "smoothing": "1",
        "matrix": "w",
        "gap": "23",
        "rule": "slope",
        "direction": "rising",
        "n-trials": "1",
        "mode": "search",
    }
    answer = sensitivity_command(
        "--study", "mine", "--companions", "none", *(w for k, v in fixed.items() for w in (f"--{k}", v))
    )
    assert answer.status == 0, answer.err
    (row,) = pd.read_csv(artifacts(own, answer.words["run"]) / "trials.csv").to_dict("records")
    fired = {
        (r.data.tags["grok.study.mine"], r.data.params["seed"]): r.data.metrics["fired"] for r in own.find({"kind": "train"})
    }
    assert (row["tpr"], row["fpr"]) == (fired["grok", "0"], fired["eta0", "0"])
    assert (row["tpr_held"], row["fpr_held"]) == (fired["grok", "1"], fired["eta0", "1"])
    from analysis.sensitivity import loading

    config = SensitivityConfig(study="mine", companions="none")
    found = loading.load(own, config).cell("square", "grok")
    assert found is not None
    setting = {
        "matrix": "w",
        "gap": "23",
        "method": "gram",
        "window": 6,
        "smoothing": 1,
        "first_epoch": 34,
        "slope_threshold": 0.06,
        "slope_lag": 5,
        "direction": "rising",
    }
    from grok.detectors.base import find

    epochs = [own.get(run_id).data.metrics.get("fire_epoch", np.nan) for run_id in found.table["run_id"]]
    np.testing.assert_array_equal(found.fires(setting, find("slope")), epochs)


def test_an_interrupted_command_goes_on_and_a_complete_one_is_reused(
    own: Any, sensitivity_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis.sensitivity import search, tracked

    clean = {"code_version": "abc", "code_dirty": "false"}
    monkeypatch.setattr(tracked, "code_tags", lambda: clean)
    asked = ("--study", "mine", *QUICK, "--mode", "search")
    real = search._one

    def three(*arguments: Any) -> bool:
        if len(search._finished(arguments[2])) == 3:
            raise RuntimeError("lost")
        return real(*arguments)

    monkeypatch.setattr(search, "_one", three)
    failed = sensitivity_command(*asked)
    assert (failed.status, failed.err.splitlines()[-1]) == (1, "error: lost")
    (run,) = own.find({"kind": "sensitivity"})
    assert run.info.status == "FAILED"
    monkeypatch.setattr(search, "_one", real)
    answer = sensitivity_command(*asked)
    assert answer.words["run"] == run.info.run_id
    assert (answer.words["trials"], answer.words["new"]) == ("6", "3")
    again = sensitivity_command(*asked)
    assert (again.status, again.words["run"], again.words["reused"]) == (0, run.info.run_id, "yes")
    monkeypatch.setattr(tracked, "code_tags", lambda: clean | {"code_version": "def"})
    newer = sensitivity_command(*asked)
    assert newer.words["run"] != run.info.run_id
    assert newer.words["new"] == "0"  # the trials are the Optuna study's, and it is complete
    assert tracked.KIND == "sensitivity"


@pytest.mark.slow
def test_a_study_whose_runs_changed_is_refused(own: Any, sensitivity_command: Callable[..., Answer]) -> None:
    asked = ("--study", "mine", *QUICK, "--mode", "search")
    assert sensitivity_command(*asked).status == 0
    (run,) = [r for r in own.find({"kind": "train", "study.mine": "grok"}) if r.data.params["seed"] == "0"]
    own.client.delete_run(run.info.run_id)
    from grok.runs import train as runner

    runner.train_tracked([replace(TINY, seed=2, epochs=48, checkpoint_epochs=(48,))], own, tags={"study.mine": "grok"})
    before = len(own.find({"kind": "sensitivity"}))
    answer = sensitivity_command(*asked)
    assert answer.status == 2
    assert "must be of the same runs as before" in answer.err.splitlines()[-1]
    assert len(own.find({"kind": "sensitivity"})) == before  # refused before a run is made
    assert sensitivity_command(*asked, "--name", "anew").status == 0


BAD = {
    ("--study", "nobody"): "study must be a known name, got nobody",
    ("--study", "odd"): "study must have runs of condition grok, got odd with none",
    ("--study", "bare"): "controls must name a condition that square has runs of, got all with none",
    ("--study", "mine", "--controls", "random_labels"): "controls must name a condition that square has runs of, got",
    ("--study", "mine", "--activation", "relu"): "activation must be one of square (of the runs there are), got relu",
    ("--study", "mine", "--window", "5..40"): "window must be in [3, 24] (the runs' bands hold 24 lags), got 5..40",
    ("--study", "mine", "--held-out", "8..14"): "held_out must leave seeds on both sides, got 8..14 of [0, 1]",
    ("--study", "mine", "--method", "svd,gram", "--controls", "eta0"): "method must be one that the runs of square grok",
    ("--objective", "unknown"): "objective must be one of separation, lead, multi, got unknown",
    ("--mode", "guess"): "mode must be one of all, grid, search, adversarial, got guess",
    ("--rule", "slop"): "rule must be one of cusum, level, slope, sustained, or module:NAME, got slop. Did you mean slope?",
    ("--window", "20..5"): "window must be whole numbers as a, a,b,c or a..b with a ≤ b, got 20..5",
    ("--window", "2"): "window must be in [3,",
    ("--slope-threshold", "-0.05..nan"): "slope_threshold must be numbers as a, a,b,c or a..b",
    ("--slope-lag", "0..5"): "slope_lag must be at least 1, got 0..5",
    ("--gap", "23,45"): "gap must be a comma list of 12, 23, 34, got 23,45",
    ("--gap", "34", "--window", "3"): "window must be at least 4 where gap is 34",
    ("--n-trials", "0"): "n_trials must be a whole number ≥ 1, got 0",
    ("--n-trials", "many"): "n_trials must be a whole number, got 'many'",
    ("--samples", "100"): "samples must be a power of two, got 100",
    ("--alpha", "1.5"): "alpha must be in [0, 1), got 1.5",
    ("--held-out", "some"): "held_out must be odd, even, a range or a comma list of seeds, got some",
    ("--method", "guess"): "method must be a comma list of gram, gram32",
    ("--own-parameters", "level"): "own_parameters must be name=values;name=values, got level",
    ("--own-parameters", "depth=3"): "own_parameters must name parameters of a rule of your own, got depth with rule slope",
    ("--cusum-threshold", "0..8"): "cusum_threshold must be above 0 where it is searched by its logarithm, got 0..8",
    ("--storage", "nosuch://x/y", "--study", "mine"): "storage must be a file or a database URL that can be opened",
}


@pytest.mark.parametrize("arguments", list(BAD), ids=" ".join)
def test_bad_input_is_one_line_and_makes_no_run(
    own: Any, sensitivity_command: Callable[..., Answer], arguments: tuple[str, ...]
) -> None:
    answer = sensitivity_command(*arguments, "--companions", "none")
    assert answer.status == 2
    lines = answer.err.splitlines()  # what is missing is told of a plan that is carried out
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {BAD[arguments]}")
    assert answer.out == ""
    assert own.find({"kind": "sensitivity"}) == []


def test_study_that_adds_nothing_to_its_companions_is_refused(own: Any, sensitivity_command: Callable[..., Answer]) -> None:
    answer = sensitivity_command("--study", "odd", "--companions", "mine")
    assert answer.status == 2
    assert answer.err.startswith(
        "error: study must have runs of a condition among grok, eta0, random_labels, data_starved, got odd"
    )
    assert answer.err.count("\n") == 1
    assert own.find({"kind": "sensitivity"}) == []


@pytest.mark.parametrize(("name", "value"), [("seed", 0), ("learning_rate", 0.5)])
def test_runs_of_several_experiments_are_not_pooled(
    own: Any, sensitivity_command: Callable[..., Answer], name: str, value: float
) -> None:
    """A second run of a seed (here told apart by how it was executed), or one of another learning rate."""
    run = next(r for r in own.find({"kind": "train", "study.mine": "grok"}) if r.data.params["seed"] == "1")
    frame = Evidence(own).runs("mine")
    group = frame[frame["condition"] == "grok"].copy()
    _check_group(("square", "grok"), "mine", group)
    group.loc[group["run_id"] == run.info.run_id, name] = value
    said = {
        "seed": "one run a seed, got square grok of study mine with several of seed 0",
        "learning_rate": r"one experiment a condition, got .* with learning_rate 0\.001, 0\.5",
    }
    with pytest.raises(ConfigError, match=said[name]):
        _check_group(("square", "grok"), "mine", group)


def test_a_study_of_several_experiments_is_refused(own: Any, sensitivity_command: Callable[..., Answer]) -> None:
    for run in own.find({"kind": "train", "study.mine": "eta0"}):
        if run.data.params["seed"] == "1":
            own.client.set_tag(run.info.run_id, "grok.study.mine", "grok")
    answer = sensitivity_command("--study", "mine", *QUICK)
    assert answer.status == 2
    assert answer.err.startswith("error: study must have one experiment a condition, got square grok of study mine with")
    assert "weight_decay 0.0, 0.0002" in answer.err
    assert len(answer.err.splitlines()) == 1


def test_nested_runs_that_an_interruption_left_out_are_made_once(
    own: Any, sensitivity_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis.sensitivity import tracked

    asked = ("--study", "mine", *QUICK, "--mode", "search", "--nested-runs", "2")
    real = tracked._nested

    def lost(*arguments: Any) -> None:
        raise RuntimeError("lost")

    monkeypatch.setattr(tracked, "_nested", lost)
    assert sensitivity_command(*asked).status == 1
    monkeypatch.setattr(tracked, "_nested", real)
    one = sensitivity_command(*asked)
    assert one.status == 0, one.err
    assert len(own.find({"kind": "trial"})) == 2
    # killed between the nested runs and the end: going on adds none
    own.client.set_tag(one.words["run"], "grok.state", "interrupted")
    again = sensitivity_command(*asked)
    assert again.words["run"] == one.words["run"]
    assert len(own.find({"kind": "trial"})) == 2


# the search space

OWN_RULE = """
import numpy as np
from grok.detectors.base import Range, Rule

def hits(log_gap, first_epoch, *, level, {name}):
    return log_gap > level + {name}

rule = Rule("mine", {{"level": Range(0.1, 0.2), "{name}": Range(1.0, 2.0)}}, hits)
"""


def test_a_rule_of_ones_own_keeps_its_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `level` is not that of the project's rules, and what every setting has may not be its parameter."""
    for module, name in (("plain_rule", "depth"), ("taking_rule", "window")):
        (tmp_path / f"{module}.py").write_text(OWN_RULE.format(name=name), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    both = SensitivityConfig(rule="level,plain_rule:rule", level="3..9", own_parameters="depth=1.5").space(16)
    assert both.own["plain_rule:rule"] == {"level": Range(0.1, 0.2), "depth": (1.5,)}
    assert both.own["level"] == {"level": Range(3.0, 9.0, log=True)}
    with pytest.raises(ConfigError, match="rule must not have a parameter named as a part of every setting, got taking_rule"):
        SensitivityConfig(rule="taking_rule:rule")
    with pytest.raises(ConfigError, match="own_parameters must name parameters of a rule of your own, got level"):
        SensitivityConfig(rule="level", own_parameters="level=2")


@pytest.mark.parametrize(
    ("text", "default", "values"),
    [
        ("20", Range(3, 64, whole=True), (20,)),
        ("5,10,5", Range(3, 64, whole=True), (5, 10)),
        ("5..40", Range(3, 64, whole=True), Range(5, 40, whole=True)),
        ("-0.05..0.15", Range(0, 1), Range(-0.05, 0.15)),
        ("2..9", Range(1.5, 1000, log=True), Range(2, 9, log=True)),
        ("w", ("w", "v"), ("w",)),
        ("'w,v'", ("w", "v"), ("w", "v")),
        ("7..7", Range(1, 9, whole=True), (7,)),
    ],
)
def test_values_from_text(text: str, default: Any, values: Any) -> None:
    assert parse_values("x", text, default) == values


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 50), st.integers(0, 50))
def test_values_of_the_unit_interval_stay_in_range(share: float, low: int, more: int) -> None:
    whole = from_unit(Range(low, low + more, whole=True), share)
    assert isinstance(whole, int)
    assert low <= whole <= low + more
    assert 1.5 <= from_unit(Range(1.5, 1000.0, log=True), share) <= 1000.0
    assert from_unit(("a", "b", "c"), share) in "abc"


def test_every_part_of_a_setting_can_be_fixed() -> None:
    config = SensitivityConfig(
        matrix="v",
        gap="12",
        window="9",
        smoothing="4",
        rule="cusum",
        first_epoch="7",
        cusum_drift="0.01",
        cusum_threshold="2",
        direction="falling",
    )
    space = config.space(64)
    assert space.dimensions("cusum") == []
    assert space.setting("cusum", {}) == {
        "matrix": "v",
        "gap": "12",
        "method": "gram",
        "window": 9,
        "smoothing": 4,
        "rule": "cusum",
        "first_epoch": 7,
        "cusum_drift": 0.01,
        "cusum_threshold": 2.0,
        "direction": "falling",
    }


def test_the_window_goes_up_to_what_the_runs_have() -> None:
    assert SensitivityConfig().space(30).windows() == list(range(3, 31))
    texts = {
        name: getattr(SensitivityConfig(), name)
        for name in ("matrix", "gap", "method", "window", "smoothing", "rule", "first_epoch")
    }
    with pytest.raises(ConfigError, match=r"window must be in \[3, 20\]"):
        build(texts | {"window": "5..30"}, {}, 20)


def test_what_is_asked_has_an_identity_and_how_it_is_done_has_not() -> None:
    one = SensitivityConfig()
    for aside in ({"n_trials": 9}, {"workers": 2}, {"storage": "x"}, {"name": "y"}, {"mode": "grid"}):
        assert replace(one, **aside).hash == one.hash
    for asked in (
        {"seed": 1},
        {"controls": "eta0"},
        {"window": "5"},
        {"held_out": "even"},
        {"objective": "lead"},
        {"sampler": "qmc"},
    ):
        assert replace(one, **asked).hash != one.hash


OWN_STUDY = """
tiny:
  sentence: Does a spelling work everywhere?
  source: ours
  runs:
    - {condition: grok, activation: square, seed: 0..1}
"""


@pytest.mark.parametrize("spelling", ["mine.yaml:tiny", "mine.yaml", "mine/tiny"])
def test_a_study_of_ones_own_is_named_as_for_the_command_that_trains_it(
    own: Any, sensitivity_command: Callable[..., Answer], spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's spelling, the file alone where it has one study, and the store's name are one study with one Optuna search."""
    (tmp_path / "mine.yaml").write_text(OWN_STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for run in own.find({"kind": "train", "study.mine": "grok"}) + own.find({"kind": "train", "study.mine": "eta0"}):
        own.client.set_tag(run.info.run_id, "grok.study.mine/tiny", run.data.tags["grok.study.mine"])
    answer = sensitivity_command("--study", spelling, *QUICK, "--mode", "search", "--n-trials", "2")
    assert answer.status == 0, answer.err
    assert answer.words["study"] == "mine/tiny"
    assert own.get(answer.words["run"]).data.params["study"] == "mine/tiny"
    assert len(Evidence(own).runs(spelling)) == 4
    assert [path.name for path in (tmp_path / "sensitivity").glob("*.journal")] == [
        f"mine.tiny-{replace(_asked(), study='mine/tiny').hash}-search.journal"
    ]


def _asked() -> SensitivityConfig:
    return SensitivityConfig(companions="none", window="4,6", slope_lag="2..10", first_epoch="0..40", seed=3)


def test_a_study_of_ones_own_without_runs_is_told_the_command_that_works(
    own: Any, sensitivity_command: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare.yaml").write_text(OWN_STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    answer = sensitivity_command("--study", "bare.yaml:tiny", *QUICK)
    assert answer.status == 2
    assert "Run it first: python -m entry_points.study --study bare.yaml:tiny." in answer.err
    assert sensitivity_command("--study", "gone.yaml:tiny").err.startswith("error: study file must be readable, got gone.yaml")
