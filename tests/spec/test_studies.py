"""The registry: each study has the grid that was asked for, and a file of your own is refused in one clear line."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grok.spec import studies
from grok.spec.config import ACTIVATIONS, RunConfig
from grok.spec.fields import ConfigError
from grok.spec.studies import Study, load_study

GOOD = "mine:\n  sentence: Does it?\n  source: ours\n  runs:\n    - {condition: a, seed: 0..1}\n"


@pytest.fixture(scope="module")
def registry() -> dict[str, Study]:
    return studies.registry()


def grid(study: Study) -> set[tuple[object, ...]]:
    return {
        (c.config.activation, c.config.weight_decay, c.config.epochs, c.config.labels, c.config.n_train, c.config.seed)
        for c in study.cells
    }


def expected(
    activations: tuple[str, ...],
    decays: tuple[float, ...],
    epochs: dict[str, int],
    seeds: int,
    labels: str = "true",
    n: int = 2016,
) -> set[tuple[object, ...]]:
    return {(a, d, epochs[a], labels, n, s) for a, d, s in itertools.product(activations, decays, range(seeds))}


BOTH = ("square", "relu")
PAPER = {"square": 400, "relu": 800}


def test_named_studies_are_the_published_grids(registry: dict[str, Study]) -> None:
    assert grid(registry["quick"]) == expected(BOTH, (2e-4, 0.0), PAPER, 2)
    assert grid(registry["headline"]) == expected(("square",), (2e-4, 0.0), PAPER, 15)
    assert grid(registry["relu"]) == expected(("relu",), (2e-4, 0.0), PAPER, 15)
    starved = expected(BOTH, (2e-4,), dict.fromkeys(BOTH, 800), 15, n=504)
    assert grid(registry["controls"]) == expected(BOTH, (2e-4,), PAPER, 15, labels="random") | starved
    assert grid(registry["theorem6"]) == expected(BOTH, (2e-4,), dict.fromkeys(BOTH, 800), 5)
    assert grid(registry["activations"]) == expected(ACTIVATIONS, (2e-4, 0.0), dict.fromkeys(ACTIVATIONS, 800), 5)
    etas = expected(("square",), (1e-5, 5e-5, 1e-4, 2e-4, 5e-4), {"square": 600}, 5)
    assert grid(registry["eta"]) == etas | expected(("square",), (1e-5,), {"square": 2000}, 1)
    assert {c.config.optimizer for c in registry["optimizers"].cells} == {"adamw", "sgd", "muon"}


def test_controls_keep_weight_decay_on(registry: dict[str, Study]) -> None:
    assert all(cell.config.weight_decay == 2e-4 for cell in registry["controls"].cells)


def test_scaling_is_the_modulus_by_share_grid(registry: dict[str, Study]) -> None:
    seen = {(c.config.modulus, c.config.n_train, c.config.epochs) for c in registry["scaling"].cells}
    published = {41: 400, 71: 600, 127: 1000}
    shares = ((1, 10), (2, 10), (3, 10), (5, 10))
    assert seen == {(m, a * m * m // b, epochs) for m, epochs in published.items() for a, b in shares}
    assert len(registry["scaling"].cells) == 60


def test_theorem6_observes_where_it_was_published(registry: dict[str, Study]) -> None:
    for cell in registry["theorem6"].cells:
        assert cell.config.checkpoint_epochs == (50, 100, 150, 175, 250, 300, 400, 500, 800)


def test_svd_has_every_method_and_windows_are_within_the_bands(registry: dict[str, Study]) -> None:
    methods = {"gram", "gram32", "svd", "randomized_5", "randomized_10", "randomized_20"}
    assert all(set(cell.config.spectrum_methods) == methods for cell in registry["svd"].cells)
    assert registry["windows"].windows == (5, 10, 20, 30)


CHEAP = {"observe_every": 0, "checkpoint_epochs": (), "max_window": 30}


def told(study: Study, names: tuple[str, ...]) -> set[tuple[object, ...]]:
    return {(cell.condition, *(getattr(cell.config, name) for name in names)) for cell in study.cells}


def test_roundings_are_crossed_with_the_headline_relu_and_the_controls(registry: dict[str, Study]) -> None:
    cells = registry["rounding"].cells
    orders = {f"{lib}-256-1{order}" for lib in ("onednn", "mkl") for order in ("", "-reversed")} | {"onednn-512-1"}
    single = {"grok": ("square", "relu"), "eta0": ("square", "relu"), "random_labels": ("square",), "data_starved": ("square",)}
    expected = {
        (condition, activation, "float32", order, seed)
        for condition, activations in single.items()
        for activation, order, seed in itertools.product(activations, orders, range(15))
    }
    expected |= {
        (f"{condition}, float64", activation, "float64", "mkl-256-1", seed)
        for condition, activations in single.items()
        for activation, seed in itertools.product(activations, range(15))
    }
    assert told(registry["rounding"], ("activation", "precision", "rounding", "seed")) == expected
    headline = {cell.config.hash for name in ("headline", "relu", "controls") for cell in registry[name].cells}
    assert not headline & {cell.config.hash for cell in cells}
    for cell in cells:
        assert {name: getattr(cell.config, name) for name in CHEAP} == CHEAP
        assert cell.config.device == "cpu"
        short = cell.config.activation == "square" and not cell.condition.startswith("data_starved")
        assert cell.config.epochs == (400 if short else 800)  # as long as what it repeats
        assert cell.config.weight_decay == (0.0 if cell.condition.startswith("eta0") else 2e-4)
        assert (cell.config.labels == "random") == cell.condition.startswith("random_labels")
        assert cell.config.n_train == (504 if cell.condition.startswith("data_starved") else 2016)


def test_fresh_seeds_are_in_no_other_study(registry: dict[str, Study]) -> None:
    counts = {
        ("grok", "square"): 100,
        ("eta0", "square"): 100,
        ("random_labels", "square"): 100,
        ("data_starved", "square"): 100,
        ("grok", "relu"): 30,
        ("eta0", "relu"): 30,
    }
    cells = registry["fresh"].cells
    seeds = {key: sorted(c.config.seed for c in cells if (c.condition, c.config.activation) == key) for key in counts}
    assert seeds == {key: list(range(100, 100 + count)) for key, count in counts.items()}
    assert {cell.config.epochs for cell in cells if cell.config.activation == "square"} == {400}
    every = [cell.config for name, study in registry.items() if name != "fresh" for cell in study.cells]
    others = {config.seed for config in every if config.network == "two_layer"}
    assert not others & set(range(100, 200))


def test_causes_are_switched_one_at_a_time(registry: dict[str, Study]) -> None:
    switched = {(c.config.decay_off_at, c.config.decay_on_at) for c in registry["cause"].cells} - {(None, None)}
    assert switched == {(50, None), (100, None), (150, None), (200, None), (None, 100), (None, 200)}
    shares = {(c.config.n_train, c.config.weight_decay) for c in registry["cause"].cells if c.condition.startswith("share")}
    assert shares == {(p * 71 * 71 // 100, decay) for p in (10, 16, 22, 28, 34, 40) for decay in (0.0, 2e-4)}
    assert {c.config.epochs for c in registry["cause"].cells} == {800}
    assert len(registry["cause"].cells) == 5 * (6 + 2 + 12)


def test_every_study_is_whole(registry: dict[str, Study]) -> None:
    assert list(registry) == [
        "quick",
        "headline",
        "relu",
        "controls",
        "windows",
        "svd",
        "eta",
        "scaling",
        "theorem6",
        "activations",
        "optimizers",
        "rounding",
        "fresh",
        "cause",
        "signals",
        "signals-long",
        "signals-ce",
        "signals-temperature",
        "signals-clamp",
        "signals-arrhenius",
        "signals-share",
        "lifecycle",
        "lifecycle-dyck",
        "lifecycle-long",
        "lifecycle-intervention",
        "lifecycle-scale",
        "lifecycle-scan-mini",
        "lifecycle-scan",
        "lifecycle-modular",
    ]
    for name, study in registry.items():
        assert study.name == name
        assert study.sentence
        assert study.source
        hashes = [cell.config.hash for cell in study.cells]
        assert len(set(hashes)) == len(hashes)
    assert len({study.hash for study in registry.values()}) == len(registry)


def test_studies_share_the_runs_of_one_config(registry: dict[str, Study]) -> None:
    headline = {cell.config.hash for cell in registry["headline"].cells}
    assert {c.config.hash for c in registry["windows"].cells} <= headline
    assert sum(c.config.hash in headline for c in registry["quick"].cells) == 4


def test_cost_counts_default_runs(registry: dict[str, Study]) -> None:
    assert registry["headline"].cost() == pytest.approx(30)
    assert registry["relu"].cost() == pytest.approx(60)  # 800 epochs each
    plain, unseen = RunConfig().resolved(), RunConfig(observe_every=0).resolved()
    assert studies.training_flops(unseen) == pytest.approx(2 * 2048 * 71 * (3 * 2016 + 3025) * 400)
    assert studies.training_flops(plain) - studies.training_flops(unseen) == pytest.approx(40 * 2016 * 2048**2)

    methods = [("gram",), ("gram", "gram32"), ("gram", "gram32", "svd"), ("gram", "gram32", "svd", "randomized_5")]
    work = [studies.training_flops(RunConfig(spectrum_methods=names).resolved()) for names in methods]
    assert np.diff(work) == pytest.approx([2 * 3 * 71 * 2048 * 36**2 * 25] * 2 + [0])  # the last two share their factor


def test_grid_hash_is_of_the_runs_and_conditions_only(registry: dict[str, Study]) -> None:
    study = registry["quick"]
    assert replace(study, sentence="other", cells=study.cells[::-1]).hash == study.hash
    assert replace(study, cells=study.cells[1:]).hash != study.hash
    assert replace(study, cells=(replace(study.cells[0], condition="x"), *study.cells[1:])).hash != study.hash


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Study]]:
    """The registry of a folder that has these files."""
    monkeypatch.setattr(studies, "REGISTRY", tmp_path)

    def write(**texts: str) -> dict[str, Study]:
        for name, text in texts.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        return studies.registry()

    return write


def named(*names: str, after: str = "") -> str:
    return "".join(GOOD.replace("mine", name).replace(":\n", f":\n{after and f'  after: {after}'}\n", 1) for name in names)


def test_the_registry_is_every_file_of_its_folder(files: Callable[..., dict[str, Study]]) -> None:
    found = files(b=named("one", "two", "three"), a=named("four", after="two") + named("five", after="four"))
    assert list(found) == ["one", "two", "four", "five", "three"]
    assert [study.name for study in found.values()] == list(found)  # the store knows them without a file's name
    assert load_study("five") == found["five"]
    assert list(files(c=named("six"))) == ["one", "two", "four", "five", "three", "six"]  # a new file is seen


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"a": named("one"), "b": named("two", "one")}, "must be given once, got one in a.yaml and b.yaml"),
        ({"a": named("one", after="two")}, "study one must have `after` name a study before it, got two"),
        ({"a": named("one", after="[two]")}, "study one must have `after` name a study before it, got ['two']"),
        ({"a": "one: 3"}, "study one must have a list `runs`"),
    ],
)
def test_a_registry_with_an_error(files: Callable[..., dict[str, Study]], texts: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        files(**texts)
    assert said in str(error.value)


def test_reading_studies_needs_no_torch() -> None:
    program = (
        "import sys; from grok.spec.studies import registry; print(len(registry()), {'torch', 'mlflow'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "29 set()\n"


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
        return str(tmp_path / "my.yaml")

    return write


def test_own_file(own: Callable[[str], str]) -> None:
    path = own(GOOD + "    - {condition: b, weight_decay: [1e-3, 0.002], labels: true, seed: [0, 5..6], save_every: 7}\n")
    for name in (path, f"{path}:mine"):
        study = load_study(name)
        assert study.name == "my/mine"  # not to be taken for a registry's study
        assert [(c.condition, c.config.weight_decay, c.config.seed) for c in study.cells] == [
            ("a", 2e-4, 0),
            ("a", 2e-4, 1),
            *(("b", d, s) for d in (1e-3, 2e-3) for s in (0, 5, 6)),
        ]
        assert study.cells[-1].config.save_every == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must map names to studies"),
        ("- a\n", "must map names to studies"),
        ("mine: [", "must be YAML"),
        ("mine:\n  sentence: a\nmine:\n  sentence: b\n", "mine is there twice"),
        (GOOD.replace("seed: 0..1", "seed: 0, seed: 1"), "seed is there twice"),
        ("mine: 3\n", "study my/mine must have a list `runs`"),
        ("mine: {runs: []}\n", "study my/mine must have a list `runs`"),
        (GOOD.replace("Does it?", ""), "study my/mine must have a sentence, got None"),
        (GOOD.replace("ours", "7"), "study my/mine must have a source, got 7"),
        (GOOD + "  grid: 3\n", "must have keys among sentence, source, runs, windows, got grid"),
        (GOOD + "    - 3\n", "block 2 must map parameters to values, got 3"),
        (GOOD + "    - {sed: 3}\n", "block 2: parameters must be among"),
        (GOOD + "    - {seed: x}\n", "block 2: seed must be a whole number, got 'x'"),
        (GOOD + "    - {seed: 5..2}\n", "block 2 must give every parameter at least one value, got none for seed"),
        (GOOD + "    - {seed: []}\n", "block 2 must give every parameter at least one value, got none for seed"),
        (GOOD + "    - {seed: 0..123456789}\n", "block 2 must be at most 10000 runs"),
        (GOOD + "    - {modulus: 2}\n", "block 2: modulus must be a whole number ≥ 3, got 2"),
        (GOOD + "    - {labels: [true, false]}\n", "block 2: labels must be one of true, random, prefix, got false"),
        (GOOD + "    - {condition: b, seed: 1}\n", "block 2 must not repeat a run, got square, seed 1 again"),
        (GOOD + "    - {condition: [b], seed: 3}\n", "block 2 must have one line of printable text as condition, got ['b']"),
        (GOOD + '    - {condition: "b\\nc", seed: 3}\n', r"one line of printable text as condition, got 'b\nc'"),
        (GOOD + '    - {condition: "b\\u001b[1m", seed: 3}\n', "one line of printable text as condition"),
        (GOOD + "  windows: 5\n", "windows must be a list of whole numbers in [3, 64], got 5"),
        (GOOD + "  windows: [20, 65]\n", "windows must be a list of whole numbers in [3, 64], got [20, 65]"),
        (GOOD.replace("mine", "a/../b"), "names of studies and their file must be"),
    ],
)
def test_own_file_with_an_error(own: Callable[[str], str], text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_study(own(text))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_file_name_becomes_a_part_of_the_study_name(tmp_path: Path) -> None:
    path = tmp_path / "my own.yaml"
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"names of studies and their file must be .* got my own in"):
        load_study(str(path))


def test_study_that_is_not_there(own: Callable[[str], str]) -> None:
    with pytest.raises(ConfigError, match=r"study must be one of quick, headline, .* got headlin"):
        load_study("headlin")
    with pytest.raises(ConfigError, match=r"study file must be readable, got /nowhere/x.yaml"):
        load_study("/nowhere/x.yaml:y")
    path = own(GOOD + GOOD.replace("mine", "other"))
    for name in (path, f"{path}:third"):
        with pytest.raises(ConfigError, match=rf"study must be one of {path}:mine, {path}:other, got (none|third)"):
            load_study(name)
    for near, told in ((f"{path}:othr", f"{path}:other"), ("headlin", "headline")):
        with pytest.raises(ConfigError, match=rf"Did you mean {told}\?$"):
            load_study(near)


def test_a_fault_in_one_study_of_a_file_does_not_block_its_others(own: Callable[[str], str]) -> None:
    path = own(GOOD + "bad: {runs: 3}\n")
    assert load_study(f"{path}:mine").name == "my/mine"
    with pytest.raises(ConfigError, match="study my/bad must have a list `runs`"):
        load_study(f"{path}:bad")
    with pytest.raises(ConfigError, match=rf"study must be one of {path}:mine, {path}:bad, got none"):
        load_study(path)


def test_windows_reach_no_further_than_the_raw_spectra(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    text = (
        'a:\n  sentence: s\n  source: s\n  windows: [30]\n  runs:\n    - {condition: c, seed: 0, spectrum_methods: "gram%s"}\n'
    )
    path.write_text(text % "")
    assert studies.load_study(f"{path}:a").windows == (30,)
    path.write_text(text % ",svd")
    with pytest.raises(ConfigError, match=r"in \[3, 20\], got \[30\]"):
        studies.load_study(f"{path}:a")
