"""`analysis.runs` and `analysis.tidy`: the runs of a study in a line, whichever way it is spelled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import analysis
from grok.spec.fields import ConfigError
from tests.conftest import TINY
from tests.reading.test_evidence import add_run

GRID = "tiny:\n  sentence: Tiny.\n  source: ours\n  runs:\n    - {condition: grok, seed: 0..1, BASE}\n"


@pytest.fixture
def mine(store: Any, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    """A store with the two runs of a study of one's own, one of them made for it, and its spelling."""
    base = {k: v for k, v in TINY.to_strings().items() if k not in ("seed", "n_train")}
    text = GRID.replace("BASE", ", ".join(f"{k}: '{v}'" for k, v in base.items()))
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    add_run(store, tiny(seed=0), study="mine/tiny")
    add_run(store, tiny(seed=1), study="")
    add_run(store, tiny(seed=2), study="")
    return store, "mine.yaml:tiny"


def test_runs_of_a_study_of_ones_own_by_the_spelling_that_trains_it(mine: tuple[Any, str]) -> None:
    store, study = mine
    assert list(analysis.runs(study, store=store)["seed"]) == [0, 1]
    assert list(analysis.runs("mine/tiny", store=store)["seed"]) == [0]  # what the store alone knows
    assert sorted(analysis.runs(store=store)["seed"]) == [0, 1, 2]
    assert list(analysis.runs(study, store=store, seed=(1, 2))["seed"]) == [1]
    assert list(analysis.runs(study, store=store, condition="eta0")["seed"]) == []


def test_tidy_has_the_same_runs_a_row_per_epoch(mine: tuple[Any, str]) -> None:
    store, study = mine
    table = analysis.tidy(study, ["accuracy/test"], store=store)
    assert list(table) == ["run_id", "condition", "activation", "weight_decay", "seed", "epoch", "accuracy/test"]
    assert set(table["run_id"]) == set(analysis.runs(study, store=store)["run_id"])
    assert len(table) == 2 * (TINY.epochs + 1)
    assert set(table["condition"]) == {"grok"}
    assert len(analysis.tidy(store=store)) == 3 * (TINY.epochs + 1)


def test_what_is_not_there_is_refused(mine: tuple[Any, str]) -> None:
    store, study = mine
    with pytest.raises(ConfigError, match=r"study must be one of .*headline.*, got nope"):
        analysis.tidy("nope", store=store)
    with pytest.raises(ConfigError, match="got nope"):
        analysis.runs("nope", store=store)
    with pytest.raises(ConfigError, match=r"columns of runs must be among .*seed.*, got sead"):
        analysis.runs(study, store=store, sead=1)
    with pytest.raises(AttributeError, match="no attribute 'runz'"):
        analysis.runz  # noqa: B018
