"""The examples of docs/gallery run as they are, draw, and say what the page says of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
GALLERY = PROJECT / "docs" / "gallery"
SAYS = {
    "cnn_digits": "uncalibrated",
    "char_transformer": "at chance",
    "modular_addition": "at 0.95 from step",
    "lightning_module": "updates {'optimizer_0/all': 200, 'optimizer_1/all': 100}, 22 columns in Lightning's log",
    "hf_trainer": "updates {'attention': 60, 'mlp': 60}; resumed at 30, the same to the bit: True",
}
"""A part of what each prints."""
NEEDS = {"lightning_module": "lightning", "hf_trainer": "transformers", "cnn_digits": "sklearn"}


def example(name: str) -> object:
    marks = [pytest.mark.slow] + ([pytest.mark.adapters] if name in ("lightning_module", "hf_trainer") else [])
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [example(name) for name in SAYS])
def test_an_example_runs_and_draws(name: str, tmp_path: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    done = subprocess.run(
        [sys.executable, GALLERY / f"{name}.py", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert SAYS[name] in done.stdout
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_every_example_has_its_picture_and_its_place_on_the_page() -> None:
    page = (GALLERY / "index.md").read_text(encoding="utf-8")
    assert {path.stem for path in GALLERY.glob("*.py")} == set(SAYS)
    for name in SAYS:
        assert (GALLERY / f"{name}.png").is_file()
        assert f"({name}.py)" in page
        assert f"({name}.png)" in page


def test_a_job_of_its_own_has_the_libraries_and_runs_everything() -> None:
    """Pinned; it fails where one is not there, as the tests would skip it."""
    script = (PROJECT / ".ci" / "adapters").read_text(encoding="utf-8")
    assert os.access(PROJECT / ".ci" / "adapters", os.X_OK)
    assert '\npython -m pytest -n 2 -m "adapters or slow" tests/monitor\n' in script
    assert '\npython -c "import lightning, transformers, accelerate, ignite"' in script
    assert (PROJECT / ".ci" / "run").read_text(encoding="utf-8").endswith("\n.ci/adapters\n")
    assert "- run: .ci/adapters\n" in (PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {line.partition(">")[0] for line in project["project"]["optional-dependencies"]["adapters"]}
    assert {line.partition("==")[0] for line in project["dependency-groups"]["adapters"]} == wanted


def test_the_complaints_name_tests_that_are_there() -> None:
    """Twenty rows, and every test that they name is in this folder."""
    import re

    page = (PROJECT / "docs" / "monitor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*", page, re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, 21))
    there = {
        name
        for path in Path(__file__).parent.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)", page))
    assert len(named) > 20
    assert named <= there, named - there
