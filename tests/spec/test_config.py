"""The config: text and back, one identity a run, and errors that say what to do."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grok.spec import plugins
from grok.spec.config import BLOCKS, EXECUTION_FIELDS, ORDER, SHOWN, ResolvedConfig, RunConfig, told_fields
from grok.spec.fields import ConfigError

OTHER_VALUE = {
    "activation": "relu",
    "weight_decay": 1e-3,
    "labels": "random",
    "n_train": 504,
    "modulus": 41,
    "width": 64,
    "learning_rate": 3e-3,
    "optimizer": "sgd",
    "epochs": 123,
    "seed": 7,
    "window": 10,
    "max_window": 32,
    "slope_lag": 10,
    "slope_threshold": 0.01,
    "first_epoch": 50,
    "top_pairs": 20,
    "pair_ranking": "epoch_150",
    "checkpoint_epochs": (3, 9),
    "observe_every": 0,
    "repulsion_every": 5,
    "delta_w": "full",
    "spectrum_methods": ("gram", "svd"),
    "precision": "float64",
    "device": "cpu",
    "threads": 2,
    "save_every": 0,
    "task": "my_task:TASK",
    "network": "my_network:NETWORK",
    "recorders": ("my_recorder:RECORDER",),
    "signals": ("my_signal:SIGNAL",),
    "detector": "my_detector:DETECTOR",
    "options": "depth=2",
    "rounding": "mkl-128-2",
    "decay_off_at": 100,
    "decay_on_at": 50,
    "batch_size": 5,
    "clip": 2.0,
    "beta_2": 0.9,
    "evaluate_every": 7,
    "eval_sequences": 11,
    "initial_scale": 4.0,
    "data_folder": "here",
    "switch_at": 50,
    "switch_weight_decay": 0.5,
    "switch_state": "reset",
    "switch_update": "aligned",
    "keep_states": (50,),
    "log_every": 7,
    "signal_every": 10,
    "costly_every": 2,
    "temperature": 2.0,
    "clamp_norm": 30.0,
    "clamp_at": 20,
}
BESIDE: dict[str, dict[str, Any]] = {
    "eval_sequences": {"task": "dyck"},
    "initial_scale": {"task": "dyck"},
    "data_folder": {"task": "scan"},
    "switch_weight_decay": {"switch_at": 50},
    "switch_state": {"switch_at": 50},
    "switch_update": {"task": "dyck", "switch_at": 50},
    **{name: {"network": "shared_mlp"} for name in ("temperature", "clamp_norm", "clamp_at")},
}
"""What a field needs beside it to be of use."""
LATER = (
    *("task", "network", "recorders", "signals", "detector", "options", "rounding", "decay_off_at", "decay_on_at"),
    *("batch_size", "clip", "beta_2", "evaluate_every", "eval_sequences", "initial_scale", "data_folder"),
    *(
        "switch_at",
        "switch_weight_decay",
        "switch_state",
        "switch_update",
        "keep_states",
        "log_every",
        "signal_every",
        "costly_every",
    ),
    *("temperature", "clamp_norm", "clamp_at"),
)
"""Fields that runs of earlier versions have not."""
FIELDS = [field.name for field in dataclasses.fields(RunConfig)]


def _joined(options: dict[str, str]) -> str:
    return ";".join(f"{name} = {value}" for name, value in options.items()) or "none"


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    modulus, width = draw(st.integers(3, 97)), draw(st.integers(2, 4096))
    window = draw(st.integers(3, 64))
    epochs = draw(st.none() | st.integers(1, 2000))
    last = epochs or 400
    return RunConfig(
        activation=draw(st.sampled_from(("square", "x2", "relu", "gelu", "torch:sin"))),
        weight_decay=draw(st.floats(0, 1)),
        learning_rate=draw(st.floats(1e-12, 10)),
        modulus=modulus,
        width=width,
        n_train=draw(st.none() | st.integers(2, modulus**2 - 1)),
        epochs=epochs,
        seed=draw(st.integers(0, 2**63 - 1)),
        window=window,
        max_window=draw(st.integers(window, 128)),
        top_pairs=draw(st.integers(1, width * (width - 1) // 2)),
        checkpoint_epochs=draw(st.none() | st.lists(st.integers(0, last), max_size=5).map(tuple)),
        spectrum_methods=draw(st.lists(st.sampled_from(("gram", "svd", "gram32", "randomized")), max_size=4).map(tuple)),
        threads=draw(st.none() | st.integers(1, 64)),
        recorders=draw(st.lists(st.sampled_from(("a:R", "b.c:R")), max_size=3).map(tuple)),
        options=draw(st.dictionaries(st.sampled_from("abc"), st.sampled_from(("1", "2e-4", "x,y")), max_size=3).map(_joined)),
        slope_threshold=draw(st.floats(-1, 1)),
    )


@settings(max_examples=60, deadline=None)
@given(configs())
def test_strings_round_trip(config: RunConfig) -> None:
    strings = config.to_strings()
    assert tuple(strings) == ORDER
    assert all(isinstance(value, str) for value in strings.values())
    again = RunConfig.from_strings(strings)
    assert again == config
    assert again.hash == config.hash
    assert again.to_strings() == strings  # MLflow params are write-once: one value has one text
    resolved = config.resolved()
    assert hash(again) == hash(config)
    assert RunConfig.from_strings(resolved.to_strings()) == resolved
    assert resolved.resolved() is resolved
    assert resolved.hash == config.hash


@settings(max_examples=60, deadline=None)
@given(configs())
def test_quotes_of_mlflow_run_are_understood(config: RunConfig) -> None:
    quoted = {name: f"'{value}'" for name, value in config.to_strings().items()}
    assert RunConfig.from_strings(quoted) == config


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("weight_decay", "2e-4", 0.0002),
        ("weight_decay", "0.0002", 2e-4),
        ("weight_decay", "2.0e-4", 2e-4),
        ("weight_decay", "0", 0.0),
        ("activation", "x2", "square"),
        ("activation", " relu ", "relu"),
        ("epochs", "auto", None),
        ("epochs", "'auto'", None),
        ("checkpoint_epochs", "3, 1,2", (1, 2, 3)),
        ("checkpoint_epochs", "none", ()),
        ("checkpoint_epochs", "auto", None),
        ("threads", "auto", None),
        ("spectrum_methods", "randomized", ("gram", "randomized_10")),
        ("spectrum_methods", "svd,gram", ("gram", "svd")),
        ("spectrum_methods", "svd,svd", ("gram", "svd")),
        ("device", "cuda:1", "cuda:1"),
    ],
)
def test_reads_text(name: str, text: str, value: object) -> None:
    assert getattr(RunConfig.from_strings({name: text}), name) == value


def test_one_run_has_one_hash() -> None:
    assert RunConfig.from_strings({"weight_decay": "2e-4", "activation": "x2"}).hash == RunConfig().hash
    assert RunConfig(epochs=400, n_train=2016, checkpoint_epochs=(400, 300, 250, 175, 100, 50)).hash == RunConfig().hash
    assert RunConfig(spectrum_methods=("randomized",)).hash == RunConfig(spectrum_methods=("gram", "randomized_10")).hash


def test_hash_is_that_of_earlier_versions() -> None:
    """Stored runs are found by it: if this fails, either take the change back or raise PROTOCOL_VERSION and this value."""
    assert RunConfig().hash == DEFAULT_HASH


DEFAULT_HASH = "42267855b4b1a6a4"


@pytest.mark.parametrize("same", [0, 0.0, -0.0, np.float64(0)])
def test_numbers_of_equal_value_are_one_run(same: float) -> None:
    config, reference = RunConfig(weight_decay=same), RunConfig(weight_decay=0.0)
    assert config == reference
    assert config.to_strings() == reference.to_strings()
    assert config.hash == reference.hash


@pytest.mark.parametrize("name", FIELDS)
def test_hash_moves_with_what_defines_the_run_only(name: str) -> None:
    beside = RunConfig(**BESIDE.get(name, {}))
    changed = dataclasses.replace(beside, **{name: OTHER_VALUE[name]})
    assert getattr(changed, name) != getattr(beside, name)
    assert (changed.hash == beside.hash) == (name in EXECUTION_FIELDS)


def test_later_fields_are_outside_the_hash_at_their_default() -> None:
    assert [f.name for f in dataclasses.fields(RunConfig) if f.metadata["later"]] == sorted(LATER, key=FIELDS.index)
    assert RunConfig(task="modular", detector="slope", signals=(), options="none").hash == DEFAULT_HASH
    several = [RunConfig(**BESIDE.get(name, {}) | {name: OTHER_VALUE[name]}).hash for name in LATER]
    assert len({DEFAULT_HASH, *several}) == len(LATER) - 3  # four of them say how a run is carried out


def test_params_of_an_earlier_version_are_read() -> None:
    params = {name: text for name, text in RunConfig(seed=3).resolved().to_strings().items() if name not in LATER}
    config = RunConfig.from_strings(params)
    assert (config.task, config.resolved().network, config.recorders, config.signals) == ("modular", "two_layer", (), ())
    assert (config.detector, config.options) == ("slope", "none")
    assert config.hash == RunConfig(seed=3).hash


def test_lists_and_options_have_one_spelling() -> None:
    one = RunConfig(recorders=("b:R", "a:R", "b:R"), options="b=2; a = 1")
    assert (one.recorders, one.options, one.option_values) == (("a:R", "b:R"), "a=1;b=2", {"a": "1", "b": "2"})
    assert one.hash == RunConfig.from_strings({"recorders": "a:R, b:R", "options": "'a=1;b=2'"}).hash


def test_the_code_of_a_plugin_of_your_own_is_a_part_of_the_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = tmp_path / "plugin_of_my_own.py"
    named = {
        "activation": "activation",
        "task": "task",
        "network": "network",
        "detector": "detector",
        "recorders": "recorders plugin_of_my_own:X",
        "signals": "signals plugin_of_my_own:X",
    }
    for field, place in named.items():
        value = ("plugin_of_my_own:X",) if field in ("recorders", "signals") else "plugin_of_my_own:X"
        config, hashes = RunConfig(**{field: value}), []
        for text in ("X = 1\n", "X = 2\n"):
            source.write_text(text, encoding="utf-8")
            assert config.own_sources() == {place: source}
            hashes.append(config.hash)
        assert hashes[0] != hashes[1], field
    assert RunConfig().own_sources() == {}


def test_a_resolved_config_has_no_auto_left() -> None:
    config = RunConfig(modulus=11, epochs=60)
    resolved = config.resolved()
    assert (resolved.n_train, resolved.epochs, resolved.checkpoint_epochs) == (48, 60, (50, 60))
    assert resolved != config
    assert dataclasses.replace(resolved, seed=1) == dataclasses.replace(config, seed=1).resolved()
    assert ResolvedConfig.from_strings({"modulus": "11", "epochs": "60"}) == resolved
    assert RunConfig.from_strings(resolved.to_strings()) == resolved  # of either class, by their values


def test_blocks_hold_every_field_once_and_the_order_names_each() -> None:
    assert [field.name for block in BLOCKS for field in dataclasses.fields(block)] == FIELDS
    assert sorted(ORDER) == sorted(FIELDS)
    assert set(SHOWN) < set(FIELDS)
    assert ORDER[-len(LATER) :] == LATER


def test_a_table_shows_later_fields_only_where_a_run_uses_them() -> None:
    plain = [name for name in ORDER if name not in LATER]
    assert told_fields([]) == told_fields([RunConfig(), RunConfig(seed=1, window=9)]) == plain
    assert told_fields([RunConfig(), RunConfig(options="a=1").resolved()]) == [*plain, "options"]


def test_an_unknown_plugin_is_told_the_names_and_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_names", lambda package, constant: ("level", "slope"))
    RunConfig(detector="level")
    with pytest.raises(ConfigError) as caught:
        RunConfig(detector="levle")
    said = "detector must be one of level, slope, or module:NAME, got levle. Did you mean level?"
    assert str(caught.value) == said
    with pytest.raises(ConfigError, match=r"^signals must each be one of level, slope, or module:NAME, got x,y:Z\. Pick"):
        RunConfig(signals=("x", "y:Z"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"rounding": "mkl-256-1", "threads": 2},
            "rounding must be auto or name the 2 threads that threads asks for, got mkl-256-1. "
            "Drop threads: a named rounding pins them.",
        ),
        (
            {"rounding": "mkl-256-1", "device": "cuda:0"},
            "rounding must be auto on a GPU, got mkl-256-1. Use device cpu, or auto.",
        ),
        (
            {"rounding": "onednn-256-1", "precision": "float64"},
            "rounding must be auto or of mkl at precision float64, got onednn-256-1. oneDNN multiplies float32 only.",
        ),
        ({"decay_on_at": 9, "weight_decay": 0.0}, "decay_on_at must be auto without weight decay, got 9. "),
        ({"decay_on_at": 9, "decay_off_at": 9}, "decay_off_at must not be the epoch of the other switch, got 9. "),
    ],
)
def test_a_rounding_and_a_switch_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**changes)
    assert str(caught.value).startswith(said)


def test_a_named_rounding_goes_with_the_threads_that_it_pins() -> None:
    one = RunConfig(rounding="onednn-512-2-reversed")
    assert (one.pinned_threads, RunConfig().pinned_threads) == (2, None)
    assert RunConfig(rounding="onednn-512-2-reversed", threads=2).hash == one.hash != RunConfig().hash
    assert RunConfig(rounding="mkl-256-1", precision="float64").display_name() == "square, float64, mkl-256-1, seed 0"
    assert RunConfig(decay_on_at=5, decay_off_at=9).display_name() == "square, decay off at 9, decay on at 5, seed 0"


def test_execution_fields() -> None:
    of_signals = {"signal_every", "costly_every"}
    assert set(EXECUTION_FIELDS) == {"device", "threads", "save_every", "keep_states", "log_every"} | of_signals


@pytest.mark.parametrize(("modulus", "pairs"), [(71, 2016), (41, 672), (7, 19), (3, 3), (127, 6451)])
def test_training_pairs_follow_the_modulus(modulus: int, pairs: int) -> None:
    assert RunConfig(modulus=modulus).resolved().n_train == pairs  # 40 %, rounded down


@pytest.mark.parametrize(
    ("given_", "epochs", "checkpoints"),
    [
        ({}, 400, (50, 100, 175, 250, 300, 400)),
        ({"activation": "relu"}, 800, (50, 100, 175, 250, 300, 400, 500, 800)),
        ({"activation": "torch:sin"}, 800, (50, 100, 175, 250, 300, 400, 500, 800)),
        ({"epochs": 60}, 60, (50, 60)),
        ({"epochs": 20}, 20, (20,)),
        ({"epochs": 200, "pair_ranking": "epoch_150"}, 200, (50, 100, 150, 175, 200)),
        ({"epochs": 9, "checkpoint_epochs": ()}, 9, ()),
    ],
)
def test_derived_epochs(given_: dict[str, object], epochs: int, checkpoints: tuple[int, ...]) -> None:
    resolved = RunConfig(**given_).resolved()
    assert (resolved.epochs, resolved.checkpoint_epochs) == (epochs, checkpoints)


def test_defaults_are_the_published_ones() -> None:
    c = RunConfig().resolved()
    published = (c.activation, c.weight_decay, c.n_train, c.modulus, c.width, c.learning_rate, c.optimizer, c.epochs)
    assert published == ("square", 2e-4, 2016, 71, 2048, 1e-3, "adam", 400)
    assert (c.window, c.slope_lag, c.slope_threshold, c.first_epoch, c.top_pairs) == (20, 25, 0.04, 100, 200)


def test_every_field_is_described() -> None:
    for field in dataclasses.fields(RunConfig):
        assert field.metadata["help"]
        assert field.metadata["source"]
        if field.metadata["choices"]:
            default = field.default if isinstance(field.default, tuple) else (field.default,)
            assert set(default) - {None} <= set(field.metadata["choices"])


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"task": "dyck", "modulus": 97}, "modulus must be left out with task dyck, got 97. Drop it."),
        ({"task": "dyck", "width": 64}, "width must be left out with network transformer, got 64. Drop it."),
        ({"task": "scan", "activation": "relu"}, "activation must be left out with network seq2seq, got relu. Drop it."),
        ({"eval_sequences": 9}, "eval_sequences must be left out with task modular, got 9. Drop it."),
        ({"initial_scale": 4.0}, "initial_scale must be left out with network two_layer, got 4.0. Drop it."),
        ({"task": "dyck", "network": "seq2seq"}, "network must be able to learn dyck (transformer), got seq2seq."),
        ({"labels": "prefix"}, "labels must be one of true, random with task modular, got prefix."),
        ({"task": "scan", "labels": "random"}, "labels must be one of true with task scan, got random."),
        ({"task": "dyck", "n_train": 5050}, "n_train must be a whole number in [2, 5049], got 5050. There are 5050,"),
    ],
)
def test_fields_of_another_task_are_refused(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**parts).resolved()
    assert str(caught.value).startswith(said)


def test_auto_is_the_published_value_of_the_task() -> None:
    dyck = RunConfig(task="dyck").resolved()
    names = ("network", "optimizer", "learning_rate", "weight_decay", "beta_2", "clip", "batch_size", "n_train", "epochs")
    assert [getattr(dyck, name) for name in names] == ["transformer", "adamw", 1e-3, 1.0, 0.98, 1.0, 50, 50, 4000]
    assert (dyck.evaluate_every, dyck.eval_sequences, dyck.keep_states) == (100, 1000, (400, 1000, 2000))
    assert dyck.checkpoint_epochs == tuple(range(0, 4001, 100))
    scan = RunConfig(task="scan").resolved()
    assert [getattr(scan, name) for name in names] == ["seq2seq", "adamw", 1e-4, 1.0, 0.98, 1.0, 256, 2048, 15000]
    pairs = RunConfig(network="transformer", modulus=97).resolved()
    assert [getattr(pairs, name) for name in names] == ["transformer", "adamw", 1e-3, 1.0, 0.98, 1.0, 512, 2822, 6000]
    assert RunConfig(task="dyck", network="transformer", optimizer="adamw", weight_decay=1).hash == dyck.hash
    assert RunConfig(task="dyck", epochs=900).resolved().keep_states == (400,)


def test_weight_decay_changes_at_the_switch() -> None:
    config = RunConfig(task="dyck", epochs=300, switch_at=100, switch_weight_decay=0.5).resolved()
    assert [config.decay_at(step) for step in (0, 99, 100, 299)] == [1.0, 1.0, 0.5, 0.5]
    assert RunConfig(task="dyck", switch_at=100).resolved().decay_at(100) == 1.0
    assert [config.evaluated(step) for step in (0, 1, 100, 300)] == [True, False, True, True]


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("settings_", "name"),
    [
        ({}, "square, seed 0"),
        ({"activation": "relu", "seed": 3}, "relu, seed 3"),
        ({"weight_decay": 0.0}, "square, η=0.0, seed 0"),
        ({"modulus": 41}, "square, M=41, seed 0"),
        ({"labels": "random"}, "square, random labels, seed 0"),
        ({"n_train": 504, "epochs": 800}, "square, n=504, epochs=800, seed 0"),
        ({"optimizer": "sgd", "threads": 2, "device": "cpu"}, "square, sgd, seed 0"),
        ({"modulus": 59, "n_train": 2016}, "square, M=59, seed 0"),
        ({"window": 10, "max_window": 30, "slope_lag": 5}, "square, window=10, max_window=30, slope_lag=5, seed 0"),
        ({"signals": ("a:S",), "options": "x=1"}, "square, signals=a:S, options=x=1, seed 0"),
        ({"task": "dyck", "seed": 42}, "dyck, seed 42"),
        ({"task": "dyck", "weight_decay": 0, "labels": "prefix"}, "dyck, η=0.0, prefix labels, seed 0"),
        ({"task": "scan", "network": "seq2seq_mini", "epochs": 9}, "scan, seq2seq_mini, epochs=9, seed 0"),
    ],
)
def test_display_name(settings_: dict[str, object], name: str) -> None:
    assert RunConfig(**settings_).display_name() == name


BAD = [
    ("activation", "swish"),
    ("activation", "a:b:c"),
    ("activation", ":f"),
    ("activation", "line\nbreak"),
    ("weight_decay", -1e-4),
    ("weight_decay", float("nan")),
    ("weight_decay", float("inf")),
    ("labels", "shuffled"),
    ("n_train", 1),
    ("n_train", 5041),
    ("n_train", 2.5),
    ("modulus", 2),
    ("modulus", 71.0),
    ("width", 1),
    ("width", True),
    ("learning_rate", 0.0),
    ("learning_rate", float("inf")),
    ("optimizer", "lion"),
    ("epochs", 0),
    ("seed", -1),
    ("seed", 2**63),
    ("window", 2),
    ("window", 65),
    ("max_window", 2),
    ("max_window", 4097),
    ("slope_lag", 0),
    ("slope_threshold", float("nan")),
    ("first_epoch", -1),
    ("top_pairs", 0),
    ("top_pairs", 2048 * 2047 // 2 + 1),
    ("pair_ranking", "best"),
    ("checkpoint_epochs", (401,)),
    ("checkpoint_epochs", (-1,)),
    ("checkpoint_epochs", (1.5,)),
    ("observe_every", -1),
    ("repulsion_every", -1),
    ("delta_w", "none"),
    ("spectrum_methods", ("lanczos",)),
    ("spectrum_methods", ("randomized_",)),
    ("spectrum_methods", ("randomized_1000",)),
    ("precision", "float16"),
    ("device", "tpu"),
    ("device", "cuda:"),
    ("threads", 0),
    ("threads", 1025),
    ("save_every", -1),
    ("weight_decay", "much"),
    ("activation", None),
    ("device", None),
    ("checkpoint_epochs", ("a", 1)),
    ("task", "modula"),
    ("task", 3),
    ("network", "a:b:c"),
    ("recorders", ("no_such",)),
    ("recorders", "text"),
    ("signals", ("my:SIGNAL", "no_such")),
    ("detector", "slop"),
    ("options", "depth"),
    ("options", "depth=1;depth=2"),
    ("options", "=1"),
    ("options", "a=line\nbreak"),
    ("rounding", "mkl"),
    ("rounding", "mkl-064-1"),  # one run has one spelling
    ("rounding", "blis-256-1"),
    ("decay_off_at", 400),
    ("decay_on_at", 0),
    ("batch_size", -1),
    ("clip", -0.5),
    ("beta_2", 1.0),
    ("evaluate_every", 0),
    ("eval_sequences", -1),
    ("initial_scale", 0.0),
    ("data_folder", "line\nbreak"),
    ("keep_states", (400,)),
    ("keep_states", (0,)),
    ("log_every", 0),
    ("signal_every", -1),
    ("costly_every", 0),
    ("switch_at", 400),
    ("switch_weight_decay", 0.5),
    ("switch_state", "forget"),
    ("switch_state", "reset"),
    ("switch_update", "aligned"),
    ("temperature", 0.0),
    ("clamp_norm", -1.0),
    ("clamp_at", -1),
]
ONE_LINE = re.compile(r"(?P<name>\w+) must (?P<rule>[^\n]+), got (?P<value>[^\n]+)\. (?P<step>[^\n]+)[.?]")


def test_every_field_has_a_bad_value() -> None:
    assert {name for name, _ in BAD} == set(FIELDS)


@pytest.mark.parametrize(("name", "value"), BAD, ids=str)
def test_a_bad_value_is_refused_in_one_line(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**{name: value})
    match = ONE_LINE.fullmatch(str(caught.value))
    assert match, str(caught.value)
    assert match["name"] == name
    if isinstance(value, (int, float)):
        assert match["value"] == (repr(value) if isinstance(value, float) else str(value))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("seed", "one", "a whole number"),
        ("seed", "1.5", "a whole number"),
        ("seed", "", "a whole number"),
        ("seed", "auto", "a whole number"),
        ("epochs", "many", "a whole number or auto"),
        ("slope_threshold", "e", "a number"),
        ("weight_decay", "x", "a number or auto"),
        ("weight_decay", "2e", "a number or auto"),
        ("checkpoint_epochs", "1,two", "whole numbers separated by commas or auto"),
    ],
)
def test_text_that_is_no_number_is_refused_in_one_line(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_strings({name: text})
    match = ONE_LINE.fullmatch(str(caught.value))
    assert match, str(caught.value)
    assert (match["name"], match["rule"], match["value"]) == (name, f"be {said}", repr(text))
    assert f"--{name.replace('_', '-')} " in match["step"]


def test_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^parameters must be among task, .*, got decay, weights\. Check"):
        RunConfig.from_strings({"weights": "1", "decay": "2"})


@pytest.mark.parametrize("name", ["n_train", "window", "checkpoint_epochs", "top_pairs"])
def test_the_rule_names_the_limit_of_this_run(name: str) -> None:
    small = {"modulus": 5, "width": 4, "top_pairs": 6, "epochs": 9, "max_window": 8, "window": 8}
    limit, bad = {
        "n_train": ("24]", 25),
        "window": ("[3, 8]", 9),
        "checkpoint_epochs": ("[0, 9]", (10,)),
        "top_pairs": ("[1, 6]", 7),
    }[name]
    RunConfig(**small)
    with pytest.raises(ConfigError) as caught:
        RunConfig(**small | {name: bad})
    assert limit in str(caught.value)


def test_randomized_has_one_spelling() -> None:
    assert RunConfig(spectrum_methods=("randomized_010",)).hash == RunConfig(spectrum_methods=("randomized_10",)).hash
