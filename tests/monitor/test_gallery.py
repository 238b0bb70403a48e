"""The examples of docs/gallery run as they are, draw, and say what the page says of them."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from grok.numerics.sketch import sketch_error

PROJECT = Path(__file__).resolve().parent.parent.parent
GALLERY = PROJECT / "docs" / "gallery"


def cnn_digits(said: str, folder: Path) -> None:
    """It learns, and the default rules give uncalibrated alarms in each layer."""
    assert float(found(r"^test accuracy (\S+), ", said)) > 0.85
    onsets = [line for line in said.splitlines() if line.startswith("onset in ")]
    assert {line.split()[2] for line in onsets} == {"0", "2", "6"}
    assert all("; uncalibrated" in line for line in onsets)


def char_transformer(said: str, folder: Path) -> None:
    """It learns; a row for each update of each block, and the error that is stated."""
    assert float(found(r"^loss (\S+) of", said)) < 0.75 * float(found(r"^loss \S+ of (\S+) at chance", said))
    rows = [json.loads(line) for line in (folder / "char_transformer.jsonl").read_text(encoding="utf-8").splitlines()]
    blocks = Counter(row["block"] for row in rows if "event" not in row)
    assert blocks == {"attention": 250, "rest": 250}
    assert found(r"at chance, (\d+) lines", said) == str(len(rows))
    assert found(r"λ to ±(\S+)$", said) == f"{sketch_error(20, 4096):.1%}"


def modular_addition(said: str, folder: Path) -> None:
    """It groks, the controls do not; the published rule says nothing of it and fires on a control."""
    accuracy, step = found(r"^test accuracy (\S+), at", said), found(r"at 0\.95 from step (\d+);", said)
    assert float(accuracy) >= 0.95
    assert 100 < int(step) <= 600
    ends = [float(end) for end in found(r"it ends at (.*)$", said).split(", ")]
    assert len(ends) == 2
    assert max(ends) < 0.8
    assert "onset in" not in said
    assert int(found(r"on gap_23 from update 100: false alarms on (\d) of 2 negatives", said)) >= 1


def lightning_module(said: str, folder: Path) -> None:
    assert "updates {'optimizer_0/all': 200, 'optimizer_1/all': 100}, 24 columns in Lightning's log" in said


def hf_trainer(said: str, folder: Path) -> None:
    assert "updates {'attention': 60, 'mlp': 60}; resumed at 30, the same to the bit: True" in said


def found(pattern: str, said: str) -> str:
    """What the group of a pattern has, which must be there once."""
    (only,) = re.findall(pattern, said, re.MULTILINE)
    return str(only)


SAYS = {one.__name__: one for one in (cnn_digits, char_transformer, modular_addition, lightning_module, hf_trainer)}
"""What each must print and write, by its name."""
MINUTE = 60
"""Seconds of a processor that the page says an example takes at most."""
NEEDS = {"lightning_module": "lightning", "hf_trainer": "transformers", "cnn_digits": "sklearn"}


def example(name: str) -> object:
    marks = [pytest.mark.slow] + ([pytest.mark.adapters] if name in ("lightning_module", "hf_trainer") else [])
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [example(name) for name in SAYS])
def test_an_example_runs_and_draws(name: str, tmp_path: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, GALLERY / f"{name}.py", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MINUTE
    SAYS[name](done.stdout, tmp_path)
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
    assert "- run: .ci/adapters\n" in (PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {line.partition(">")[0] for line in project["project"]["optional-dependencies"]["adapters"]}
    assert {line.partition("==")[0] for line in project["dependency-groups"]["adapters"]} == wanted


def test_the_complaints_name_tests_that_are_there() -> None:
    """Twenty rows, and every test that they name is in this folder, and with the parameters that they name."""
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
    cases = set(re.findall(r"`(test_\w+\[[^`]+\])`", page))
    assert len(cases) > 3
    files = [
        str(path) for path in Path(__file__).parent.glob("test_*.py") if _has(path, {case.partition("[")[0] for case in cases})
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:xdist", *files],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    collected = {line.partition("::")[2] for line in done.stdout.splitlines()}
    assert cases <= collected, cases - collected


def _has(path: Path, names: set[str]) -> bool:
    text = path.read_text(encoding="utf-8")
    return any(f"def {name}(" in text for name in names)
