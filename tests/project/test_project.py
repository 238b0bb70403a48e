"""The project as its user meets it: MLproject, pins, command lines, README, CI, and who may import what."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from entry_points import mlproject as writer
from entry_points import train
from entry_points.cli import OneLineParser
from entry_points.generate import config_from, mlproject
from grok.spec.config import RunConfig
from grok.spec.fields import flag
from grok.spec.plugins import ROOMS
from grok.spec.studies import registry

PROJECT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("grok", "analysis", "entry_points")
"""Each may import itself and those before it."""
OWNERS = {
    "mlflow": {"grok/store"},
    "requests": {"grok/store"},
    "loky": {"grok/runs/fanout.py"},
    "dask": {"grok/runs/fanout.py"},
    "distributed": {"grok/runs/fanout.py"},
    "matplotlib": {"analysis/figures", "grok/monitor/plot.py"},
    "optuna": {"analysis/sensitivity"},
    "sklearn": {"grok/numerics/probes.py"},
}
"""The files, or the packages, that may import a dependency; `grok/store/served.py` is read by MLflow itself."""
NOT_DEFAULT = {
    "activation": "tanh",
    "weight_decay": "0.003",
    "labels": "random",
    "n_train": "77",
    "modulus": "13",
    "width": "33",
    "learning_rate": "0.004",
    "optimizer": "muon",
    "epochs": "191",
    "seed": "5",
    "window": "7",
    "max_window": "31",
    "slope_lag": "9",
    "slope_threshold": "0.06",
    "first_epoch": "12",
    "top_pairs": "23",
    "pair_ranking": "epoch_150",
    "checkpoint_epochs": "3,40",
    "observe_every": "8",
    "repulsion_every": "6",
    "delta_w": "full",
    "spectrum_methods": "gram,svd",
    "precision": "float64",
    "device": "cpu",
    "threads": "2",
    "save_every": "17",
    "task": "my_task:TASK",
    "network": "my_network:NETWORK",
    "recorders": "a:RECORDER,b:RECORDER",
    "signals": "a:SIGNAL",
    "detector": "my_detector:DETECTOR",
    "options": "depth=2;name=x y",
    "rounding": "mkl-64-2-reversed",
    "decay_off_at": "9",
    "decay_on_at": "21",
    "batch_size": "5",
    "clip": "2.0",
    "beta_2": "0.9",
    "evaluate_every": "7",
    "eval_sequences": "11",
    "initial_scale": "4.0",
    "data_folder": "here",
    "switch_at": "20",
    "switch_weight_decay": "0.5",
    "switch_state": "reset",
    "switch_update": "aligned",
    "keep_states": "30",
    "log_every": "3",
    "temperature": "2.0",
    "clamp_norm": "30.0",
    "clamp_at": "20",
    "signal_every": "5",
    "costly_every": "2",
}
TINY = {
    "activation": "x2",
    "weight_decay": "2e-4",
    "modulus": "11",
    "width": "32",
    "epochs": "20",
    "top_pairs": "20",
    "max_window": "20",
    "window": "6",
    "slope_lag": "3",
    "first_epoch": "8",
    "threads": "1",
    "device": "cpu",
}
"""Parameters of an `mlflow run` that trains in a second: an alias and a float in raw form among them."""


@functools.cache
def entry_points() -> dict[str, Any]:
    """MLproject's entry points by name."""
    return dict(yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))["entry_points"])


def words(name: str, values: dict[str, str]) -> list[str]:
    """The argv that MLflow makes of an entry point's command; each value is quoted for the shell."""
    given = {key: str(parameter["default"]) for key, parameter in entry_points()[name]["parameters"].items()} | values
    return shlex.split(entry_points()[name]["command"].format(**{k: shlex.quote(v) for k, v in given.items()}))


def parser_of(name: str) -> OneLineParser:
    """The argument parser of `python -m entry_points.NAME`; `main` takes the flags of `study`."""
    module = importlib.import_module(f"entry_points.{'study' if name == 'main' else name}")
    parser: OneLineParser = module.parser()
    return parser


# MLproject and the config


def test_mlproject_is_written_from_the_flags() -> None:
    text = (PROJECT / "MLproject").read_text(encoding="utf-8")
    assert text == mlproject(), "it is written by: python -m entry_points.mlproject"


def test_mlproject_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(writer, "PATH", tmp_path / "MLproject")
    assert [writer.main([]), writer.main([])] == [0, 0]
    assert capsys.readouterr().out == "out=MLproject changed=yes\nout=MLproject changed=no\n"
    assert (tmp_path / "MLproject").read_text(encoding="utf-8") == mlproject()


def test_train_declares_every_field_with_its_default_and_type() -> None:
    parameters = entry_points()["train"]["parameters"]
    assert {name: str(parameter["default"]) for name, parameter in parameters.items()} == RunConfig().to_strings()
    types = {f.name: str(f.type) if str(f.type) in ("int", "float") else "string" for f in dataclasses.fields(RunConfig)}
    assert {name: parameter["type"] for name, parameter in parameters.items()} == types


def test_the_distinctive_values_cover_every_field_and_differ_from_the_defaults() -> None:
    other, default = RunConfig.from_strings(NOT_DEFAULT).to_strings(), RunConfig().to_strings()
    assert other.keys() == NOT_DEFAULT.keys()
    assert [name for name in default if other[name] == default[name]] == []


@pytest.mark.parametrize("name", sorted(NOT_DEFAULT))
def test_every_train_parameter_reaches_the_config(name: str) -> None:
    """With all values distinctive, and this one alone at its default: what is declared but not passed shows."""
    default = RunConfig().to_strings()
    beside = [other for other in NOT_DEFAULT if other.startswith("switch_")] if name == "switch_at" else []  # need it
    for values in (NOT_DEFAULT, NOT_DEFAULT | {one: default[one] for one in (name, *beside)}):
        argv = words("train", values)
        assert argv[:3] == ["python", "-m", "entry_points.train"]
        assert getattr(config_from(train.parser().parse_args(argv[3:]), RunConfig), name) == getattr(
            RunConfig.from_strings(values), name
        )


@pytest.mark.parametrize("name", sorted(yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))["entry_points"]))
def test_an_entry_point_passes_each_parameter_once_as_its_flag(name: str) -> None:
    """The defaults parse, every parameter is in the command, and its flag bears its name."""
    spec = entry_points()[name]
    argv = words(name, {})
    assert argv[:3] == ["python", "-m", f"entry_points.{name}"]
    parser_of(name).parse_args(argv[3:])
    command = spec["command"].split()
    for parameter in spec["parameters"]:
        assert command.count(f"{{{parameter}}}") == 1, f"{parameter} is declared and not passed once"
        assert command[command.index(f"{{{parameter}}}") - 1] == flag(parameter)


def test_main_declares_every_flag_that_takes_a_value_with_its_default() -> None:
    defaults = {a.dest: str(a.default) for a in parser_of("main")._actions if a.nargs != 0}
    assert {name: str(parameter["default"]) for name, parameter in entry_points()["main"]["parameters"].items()} == defaults


def test_the_environment_is_that_of_conda_yaml() -> None:
    """Without this line the bare `mlflow run` asks for pyenv instead."""
    assert yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))["conda_env"] == "conda.yaml"


# pins


def pins() -> dict[str, str]:
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_every_runtime_dependency_is_pinned_to_the_version_that_is_tested() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["registry"]]
    assert set(pins()) == {re.split(r"[<>=!~\[ ]", dependency)[0] for dependency in declared}
    assert pins() == {name: version(name).partition("+")[0] for name in pins()}


def test_conda_takes_its_packages_from_the_same_pins() -> None:
    """And its text names the pins' digest: MLflow makes a new conda environment only when the text changes."""
    text = (PROJECT / "conda.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["dependencies"] == ["python=3.11", "pip", {"pip": ["-r requirements.txt"]}]
    digest = hashlib.sha256((PROJECT / "requirements.txt").read_bytes()).hexdigest()
    assert re.findall(r"[0-9a-f]{64}", text) == [digest], f"write into conda.yaml: requirements.txt sha256 {digest}"


def test_no_lock_file_changes_what_uv_installs() -> None:
    """MLflow's uv manager installs from a uv.lock beside MLproject, if there is one, and leaves conda.yaml aside."""
    assert not (PROJECT / "uv.lock").exists()


def test_the_lock_file_has_the_pins_and_a_hash_for_each_package() -> None:
    text = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.findall(r"^([a-z0-9._-]+)==([^ ;\\\n]+)(.*\n(?:    --hash=sha256:[0-9a-f]{64}.*\n)*)", text, re.MULTILINE)
    assert all("--hash" in rest for _, _, rest in entries)
    locked = {name: version for name, version, _ in entries}
    assert {name: locked.get(name) for name in pins()} == pins()


def test_the_group_of_the_tests_is_the_extra_of_the_tests() -> None:
    """The README installs the one, `pip install --group dev` the other."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["dependency-groups"]["test"] == project["project"]["optional-dependencies"]["test"]


# imports


def imported(source: str) -> set[str]:
    """Dotted names of all that a module imports, inside functions too; relative imports are kept with their dots."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@functools.cache
def modules() -> dict[str, set[str]]:
    """Imports of every module of the three packages, by path."""
    paths = [path for package in PACKAGES for path in sorted((PROJECT / package).rglob("*.py"))]
    return {path.relative_to(PROJECT).as_posix(): imported(path.read_text(encoding="utf-8")) for path in paths}


def strays(path: str, names: set[str]) -> list[str]:
    """What a module imports and may not: a package that comes after its own, or the tests."""
    own = PACKAGES.index(path.partition("/")[0])
    later = {*PACKAGES[own + 1 :], "tests", "benchmarks"}
    return sorted(name for name in names if name.startswith(".") or name.split(".")[0] in later)


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a.b as c\nfrom d.e import f\nfrom . import g\ndef h():\n    from i import j\n    import k, l"
    assert imported(source) == {"a.b", "d.e", ".", "i", "k", "l"}
    assert strays("grok/x.py", {"analysis.figures", "grok.tasks.modular", "torch"}) == ["analysis.figures"]
    assert strays("analysis/x.py", {"entry_points", "grok", ".queries"}) == [".queries", "entry_points"]
    assert strays("entry_points/x.py", {"grok", "analysis", "entry_points.cli"}) == []


def test_imports_point_from_entry_points_to_analysis_to_grok() -> None:
    found = modules()
    assert len(found) > 20
    assert {path: stray for path, names in found.items() if (stray := strays(path, names))} == {}


@pytest.mark.parametrize("dependency", sorted(OWNERS))
def test_a_dependency_has_one_owner(dependency: str) -> None:
    importers = {path for path, names in modules().items() if dependency in {name.split(".")[0] for name in names}}
    assert {path for path in importers if not {path, path.rpartition("/")[0]} & OWNERS[dependency]} == set()


def test_plug_ins_of_a_room_do_not_import_each_other() -> None:
    """A file of a room is added, moved or left out alone: it imports the room's base and helpers with an underscore only."""
    for room in ROOMS:
        for name in room.names:
            path = PROJECT / room.package.replace(".", "/") / f"{name}.py"
            siblings = {i for i in imported(path.read_text(encoding="utf-8")) if i.startswith(f"{room.package}.")}
            own = {
                i for i in siblings if i != f"{room.package}.base" and not i.removeprefix(f"{room.package}.").startswith("_")
            }
            assert own == set(), path


# command lines


@pytest.mark.parametrize("name", sorted(yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))["entry_points"]))
def test_help_answers_without_heavy_imports_and_names_every_flag(name: str) -> None:
    program = (
        "import runpy, sys\n"
        f"sys.argv = ['entry_points.{name}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('entry_points.{name}', run_name='__main__')\n"
        "finally:\n"
        "    print('loaded:', *sorted({'torch', 'mlflow', 'pandas', 'matplotlib', 'optuna'} & set(sys.modules)))\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "loaded:"
    missing = [p for p in entry_points()[name]["parameters"] if not re.search(rf"^  {flag(p)}\b", answer.stdout, re.MULTILINE)]
    assert missing == []
    assert answer.stderr == ""


# README and CI


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def readme_commands() -> list[str]:
    """The README's shell lines."""
    return [line for block in blocks("sh") for line in block.splitlines() if line and not line.startswith("#")]


def test_ci_runs_the_test_command_of_the_readme() -> None:
    (command,) = [line for line in readme_commands() if "pytest" in line and "venv" in line]
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"\n{command} || exit 1\n" in script
    assert os.access(PROJECT / ".ci" / "run", os.X_OK)
    for check in ("ruff check", "ruff format --check", "mypy"):
        assert f"\n{check}\n" in script


def test_readme_sets_up_and_trains_in_one_command() -> None:
    """It installs the pins and ends in the command that the tests below run with `--env-manager local`."""
    (command,) = [line for line in readme_commands() if "venv" in line and "mlflow run" in line]
    assert "pip install -r requirements.txt" in command
    assert command.endswith("&& mlflow run . -e train -P activation=relu --env-manager local")


def test_readme_is_one_screen_to_a_result_and_its_figure() -> None:
    """The first commands, and the main figure, before anything else is explained; the long tables are pages of the docs."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    first = text.splitlines()[:40]
    assert any("docs/figures/headline.png" in line for line in first)
    assert any("mlflow run . -e train" in line for line in first)


def test_the_table_of_studies_is_the_registry() -> None:
    """Each study with its number of runs, in its order."""
    text = (PROJECT / "docs" / "studies.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([\w-]+)` \| .+ \| (\d+) \|$", text, re.MULTILINE)
    assert told == [(name, str(len(study.cells))) for name, study in registry().items()]


def test_readme_commands_name_entry_points_and_parameters_that_exist() -> None:
    seen = set()
    for line in readme_commands():
        for part in line.split("&&"):
            argv = shlex.split(part, comments=True)
            argv = argv[next((i for i, word in enumerate(argv) if "=" not in word), 0) :]
            if argv[:2] == ["mlflow", "run"]:
                name = argv[argv.index("-e") + 1] if "-e" in argv else "main"
                values = dict(argv[i + 1].split("=", 1) for i, word in enumerate(argv) if word == "-P")
                assert values.keys() <= entry_points()[name]["parameters"].keys(), line
                parser_of(name).parse_args(words(name, values)[3:])
                seen.add("mlflow")
            elif argv[:2] == ["python", "-m"] and argv[2].startswith("entry_points."):
                parser_of(argv[2].removeprefix("entry_points.")).parse_args([word for word in argv[3:] if word != "--help"])
                seen.add("python")
    assert seen == {"mlflow", "python"}


def test_readme_library_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    (example, three_lines) = blocks("python")
    assert example.count("epochs=250") == 1
    exec(example.replace("epochs=250", "epochs=25"), {"__name__": "example"})
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"epoch 25: test accuracy \d\.\d\d, λ₁ \d\.\d\de-\d\d, λ₂/λ₃ \d+\.\d", line)
    names: dict[str, Any] = {"model": torch.nn.Linear(3, 2)}
    names["optimizer"] = torch.optim.Adam(names["model"].parameters())

    def train(steps: int = 12) -> None:
        for _ in range(steps):
            names["model"](torch.randn(4, 3)).square().sum().backward()
            names["optimizer"].step()

    exec(three_lines, names | {"train": train})
    assert re.fullmatch(r"\[\S+ +\S+ +\S+\] \d\S*", capsys.readouterr().out.strip())


# mlflow run

STUB = """\
#!/usr/bin/env bash
# Stands in for conda: an environment is a name in a file, and activating one puts this interpreter first.
echo "$PWD: $*" >> "$MLFLOW_CONDA_HOME/calls"
case "$1 $2" in
  "env list") echo "{\\"envs\\": [$(cat "$MLFLOW_CONDA_HOME/envs" 2>/dev/null)]}" ;;
  "env create") test "$5" = --file && test -f "$6" && echo "\\"/envs/$4\\"" > "$MLFLOW_CONDA_HOME/envs" ;;
esac
"""
ACTIVATE = 'conda() { test "$1" = activate && grep -q "$2" "$MLFLOW_CONDA_HOME/envs" && export PATH="$STUB_PYTHON:$PATH"; }\n'
"""The stub's shell function; it fails if the environment was not created."""


@pytest.fixture
def conda_home(tmp_path: Path) -> Path:
    """A folder that MLflow takes for a conda installation."""
    home = tmp_path / "conda"
    for path, text in (("bin/conda", STUB), ("etc/profile.d/conda.sh", ACTIVATE)):
        (home / path).parent.mkdir(parents=True)
        (home / path).write_text(text, encoding="utf-8")
        (home / path).chmod(0o755)
    return home


@pytest.fixture
def mlflow_run(store: Any) -> Callable[..., Any]:
    """`mlflow_run(*options, **environment)`: train the tiny config by `mlflow run . -e train`; the run it left."""

    def run(*options: str, **environment: str) -> Any:
        parameters = [word for name, value in TINY.items() for word in ("-P", f"{name}={value}")]
        variables = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | environment
        answer = subprocess.run(
            [sys.executable, "-m", "mlflow", "run", ".", "-e", "train", *parameters, *options],
            cwd=PROJECT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr[-4000:]
        (run,) = store.client.search_runs([e.experiment_id for e in store.client.search_experiments()])
        return run

    return run


def assert_trained(store: Any, run: Any) -> None:
    """The run is complete, its params mean the config, and its artifacts are there."""
    assert run.info.status == "FINISHED"
    assert run.data.tags["grok.state"] == "complete"
    assert run.data.tags["mlflow.project.entryPoint"] == "train"
    assert run.data.params == RunConfig().to_strings() | TINY  # as given: what `mlflow run` has logged is never changed
    assert RunConfig.from_strings(run.data.params) == RunConfig.from_strings(TINY)
    assert run.data.tags["grok.config_hash"] == RunConfig.from_strings(TINY).hash
    assert "history.parquet" in {entry.path for entry in store.client.list_artifacts(run.info.run_id)}
    assert [m.step for m in store.client.get_metric_history(run.info.run_id, "accuracy/test")] == list(range(21))


def test_mlflow_run_in_the_activated_environment(store: Any, mlflow_run: Callable[..., Any]) -> None:
    assert_trained(store, mlflow_run("--env-manager", "local"))


@pytest.mark.slow
def test_bare_mlflow_run_takes_conda(store: Any, mlflow_run: Callable[..., Any], conda_home: Path, tmp_path: Path) -> None:
    """Without an option: conda is asked for an environment from conda.yaml, and the training runs in it."""
    system = tmp_path / "path"  # no python but the one that activation brings
    system.mkdir()
    for tool in ("bash", "git", "cat", "grep"):
        (system / tool).symlink_to(str(shutil.which(tool)))
    run = mlflow_run(PATH=str(system), MLFLOW_CONDA_HOME=str(conda_home), STUB_PYTHON=str(Path(sys.executable).parent))
    assert_trained(store, run)
    assert run.data.tags["mlflow.project.env"] == "conda"
    created = [line.split() for line in (conda_home / "calls").read_text(encoding="utf-8").splitlines() if "create -n" in line]
    assert [Path(call[-1]) for call in created] == [PROJECT / "conda.yaml"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv on the PATH")
def test_mlflow_run_with_uv(store: Any, mlflow_run: Callable[..., Any], tmp_path: Path) -> None:
    """uv builds the environment from the pins, several hundred megabytes of them."""
    run = mlflow_run("--env-manager", "uv", MLFLOW_ENV_ROOT=str(tmp_path / "envs"))
    assert_trained(store, run)
    assert run.data.tags["mlflow.project.env"] == "uv"
