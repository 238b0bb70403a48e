"""Which code made a run: git's commit in a checkout, what the environment says elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grok.store import provenance
from grok.store.provenance import GIVEN_VERSION, code_tags


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
