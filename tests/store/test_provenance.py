"""Which code made a run: git's commit in a checkout, what the environment says elsewhere; and what it is to the last byte."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from grok import _beside
from grok.store import provenance
from grok.store.provenance import GIVEN_VERSION, code_digest, code_tags


def test_a_copy_outside_a_checkout_says_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    monkeypatch.delenv(GIVEN_VERSION, raising=False)
    assert code_tags() == {"code_version": "unknown", "code_dirty": "unknown"}
    monkeypatch.setenv(GIVEN_VERSION, " abc123 ")
    assert code_tags() == {"code_version": "abc123", "code_dirty": "unknown"}


def test_a_checkout_says_its_own_commit_whatever_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        person = ("-c", "user.name=a", "-c", "user.email=a@b")
        run = subprocess.run(["git", "-C", str(tmp_path), *person, *words], capture_output=True, text=True, check=True)
        return run.stdout.strip()

    git("init")
    (tmp_path / "file").write_text("one", encoding="utf-8")
    git("add", "file")
    git("commit", "-m", "One")
    monkeypatch.setattr(provenance, "PROJECT", tmp_path.resolve())
    monkeypatch.setenv(GIVEN_VERSION, "abc123")
    assert code_tags() == {"code_version": git("rev-parse", "HEAD"), "code_dirty": "false"}
    (tmp_path / "file").write_text("two", encoding="utf-8")
    assert code_tags()["code_dirty"] == "true"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three packages and another with libraries, as `code_digest` is to find them."""
    for name in ("grok/store", "grok/__pycache__", "analysis/templates", "entry_points"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "MLproject").touch()
    for name in provenance.LIBRARIES:
        (tmp_path / "site" / f"{name}-1.0.dist-info").mkdir(parents=True)
    monkeypatch.setattr(_beside, "PACKAGE", tmp_path / "grok")
    monkeypatch.setattr(provenance.sys, "path", ["/nowhere", str(tmp_path / "site"), str(tmp_path)])
    return tmp_path


def test_what_makes_results_is_known_by_its_bytes(sources: Path) -> None:
    """New files count too, what Python keeps for itself does not."""
    seen = [code_digest()]
    assert len(seen[0]) == 64
    for name in ("grok/a.py", "grok/store/a.py", "analysis/templates/a.j2", "entry_points/a.py"):
        for text in ("", "x"):
            (sources / name).write_text(text, encoding="utf-8")
            seen.append(code_digest())
    (sources / "grok/a.py").rename(sources / "grok/b.py")
    seen.append(code_digest())
    (sources / "site" / "torch-1.0.dist-info").rename(sources / "site" / "torch-1.1.dist-info")
    seen.append(code_digest())
    assert len(set(seen)) == len(seen)
    for name in ("grok/__pycache__/a.pyc", "grok/.a.py.swp", "more.py", "site/more.py"):
        (sources / name).write_text("x", encoding="utf-8")
        assert code_digest() == seen[-1]


def test_so_is_python(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest()
    monkeypatch.setattr(provenance.sys, "version", "3.99")
    assert code_digest() not in ("", before)


def test_where_it_cannot_be_told_there_is_none(sources: Path) -> None:
    (sources / "grok" / "a.py").symlink_to(sources / "nowhere")
    assert code_digest() == ""
    (sources / "grok" / "a.py").unlink()
    assert code_digest()
    (sources / "site" / "torch-1.0.dist-info").rmdir()
    assert code_digest() == ""


def test_it_is_the_same_in_another_process_and_names_the_versions_that_are_installed() -> None:
    names = {"torch", "mlflow", "pandas", "importlib.metadata"}
    words = f"import sys, grok.store.provenance as p; print(p.code_digest(), *{names} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True, cwd=provenance.PROJECT)
    assert run.stdout.split() == [code_digest()]
    found = [name.partition("-") for place in sys.path for name in provenance._installed(place)]
    installed = {name: version.rpartition(".")[0] for name, _, version in found}
    assert installed == {name: importlib.metadata.version(name) for name in provenance.LIBRARIES}
