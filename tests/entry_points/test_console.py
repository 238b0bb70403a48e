"""The command `grok`: every entry point with its own flags, spelled as it is called, and nobody's packages in the way."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import grok
from entry_points import console
from grok import _beside
from tests.conftest import PROJECT


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`run(*words)`: the command in this process; its status, output and error."""

    def called(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            console.main(list(words))
        text = capsys.readouterr()
        return int(left.value.code or 0), text.out, text.err

    return called


def test_it_has_every_command_of_the_project(run: Any) -> None:
    declared = yaml.safe_load((PROJECT / "MLproject").read_text(encoding="utf-8"))["entry_points"]
    assert declared.keys() <= console.COMMANDS.keys()
    status, out, _ = run("--help")
    assert status == 0
    for name, told in console.COMMANDS.items():
        assert callable(importlib.import_module(f"entry_points.{name}").main)
        assert re.search(rf"^  {name} +{re.escape(told)}$", out, re.MULTILINE)
    assert run()[1] == out


def test_it_says_its_version(run: Any) -> None:
    assert run("--version") == (0, f"grok-registry {grok.__version__}\n", "")
    assert f"version: {grok.__version__}\n" in (PROJECT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in console.COMMANDS if name != "rebase"])
def test_help_is_that_of_the_command_as_it_is_called_here(run: Any, name: str) -> None:
    status, out, err = run(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: grok {name} ")
    assert "python -m entry_points" not in out
    for flag in importlib.import_module(f"entry_points.{name}").parser()._option_string_actions:
        assert flag in out


def test_a_command_runs_with_its_flags_and_refusals_name_what_can_be_run(run: Any, store: Any) -> None:
    status, out, _ = run("study", "--study", "quick", "--plan")
    assert status == 0
    assert out.splitlines()[-1].startswith("study=quick cells=8 ")
    status, _, err = run("analyze", "--study", "headline")
    assert status == 2
    assert "Run one first: grok study --study headline." in err
    assert run("train", "--seed", "x")[0] == 2
    assert run("train", "--sed", "1")[2] == "error: unrecognized arguments: --sed 1. Did you mean --seed? See --help.\n"
    assert "got rleu. Did you mean relu?" in run("train", "--activation", "rleu")[2]
    assert "got adm. Did you mean adam?" in run("train", "--optimizer", "adm")[2]


def test_a_command_that_is_not_there_is_refused(run: Any) -> None:
    assert run("trian")[0] == 2
    assert "got trian. Did you mean train?" in run("trian")[2]
    assert "See grok --help." in run("xyzzy")[2]
    assert "completion must be of one of bash, zsh, tcsh, got fish" in run("completion", "fish")[2]


def test_completion_knows_every_command_and_flag(run: Any) -> None:
    parser = console.parser()
    (commands,) = [action for action in parser._actions if action.dest == "command"]
    assert list(commands.choices) == list(console.COMMANDS)
    assert "--weight-decay" in commands.choices["train"]._option_string_actions
    if importlib.util.find_spec("shtab") is None:
        assert "pip install shtab" in run("completion", "bash")[2]
    else:
        status, out, _ = run("completion", "bash")
        assert status == 0
        assert "--weight-decay" in out


def test_a_strangers_analysis_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = ModuleType("analysis")
    stranger.__file__ = "/somewhere/analysis/__init__.py"
    monkeypatch.setitem(sys.modules, "analysis", stranger)
    with pytest.raises(ImportError, match="analysis must be that of grok-registry, got /somewhere"):
        _ = grok.analysis
    monkeypatch.undo()
    assert grok.analysis.__name__ == "analysis"
    assert _beside.folder() == PROJECT


@pytest.mark.slow
def test_the_wheel_installs_no_package_but_grok_and_its_command_works_anywhere(tmp_path: Path) -> None:
    source, wheels, home = tmp_path / "source", tmp_path / "wheels", tmp_path / "home"
    shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns(".*", "docs", "tests", "mlruns", "*.db", "build"))
    pip = [sys.executable, "-m", "pip", "-q"]
    alone = ["--no-build-isolation"] if int(version("setuptools").split(".")[0]) >= 77 else []  # as pyproject.toml asks
    subprocess.run([*pip, "wheel", str(source), "--no-deps", *alone, "-w", str(wheels)], check=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.split("/")[0] for name in names} == {"grok", f"grok_registry-{grok.__version__}.dist-info"}
    ours = [path for top in ("grok", *_beside.NAMES) for path in (PROJECT / top).rglob("*.py")]
    assert sum(name.endswith(".py") for name in names) == len(ours)
    assert any(name.endswith("analysis/report/templates/report.css") for name in names)
    assert "grok/spec/studies/xu.yaml" in names
    subprocess.run([*pip, "install", str(wheel), "--no-deps", "--no-index", "--target", str(home)], check=True)
    (tmp_path / "analysis.py").write_text("raise RuntimeError('somebody else')\n", encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(home), "MLFLOW_TRACKING_URI": ""}
    command = [sys.executable, str(home / "bin" / "grok")]

    def call(*words: str) -> str:
        answer = subprocess.run([*command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    tiny = "--modulus 11 --width 32 --epochs 20 --max-window 20 --window 6 --slope-lag 3 --first-epoch 8 --threads 1"
    assert call("--version") == f"grok-registry {grok.__version__}\n"
    assert " state=complete " in call("train", *tiny.split())
    assert (tmp_path / "mlflow.db").is_file()
    program = "import grok; (run,) = grok.analysis.runs()['run_id']; print(grok.load_run(run).history.shape[0])"
    command = [sys.executable, "-c", program]
    (tmp_path / "analysis.py").unlink()
    assert call() == "21\n"
