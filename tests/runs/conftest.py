"""Tiny studies and their command line, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entry_points import cli
from grok.spec.config import RunConfig
from tests.conftest import TINY, Answer

GRID = [("grok", {"seed": "0..1"}), ("eta0", {"weight_decay": "0.0", "seed": 0})]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """`write(blocks, **keys)`: a study file of tiny runs; returns its path."""

    def make(blocks: list[tuple[str, dict[str, Any]]] = GRID, **keys: Any) -> str:
        base = {k: v for k, v in TINY.to_strings().items() if v != RunConfig().to_strings()[k]}
        runs = [{"condition": condition, **base, **changes} for condition, changes in blocks]
        text = {"tiny": {"sentence": "Tiny.", "source": "ours", "runs": runs, **keys}}
        path = tmp_path / "own.yaml"
        path.write_text(repr(text), encoding="utf-8")
        return str(path)

    return make


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`study(path, *flags)`: the study command line in this process, sequential unless said otherwise."""
    from entry_points import study

    monkeypatch.setattr("analysis.figures.run_figures", lambda *tables: {})  # tested elsewhere; half of a tiny run's time

    def run(path: str, *flags: str) -> Answer:
        backend = () if "--backend" in flags else ("--backend", "sequential")
        monkeypatch.setattr(sys, "argv", ["study", "--study", path, *backend, *flags])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.run_main(study.main)
        text = capsys.readouterr()
        return Answer(left.value.code if isinstance(left.value.code, int) else 1, text.out, text.err)

    return run


def training_runs(store: Any) -> list[Any]:
    return store.find({"kind": "train"})
