"""Every docs/howto/KIND.md does what it says, and a text that says what is not so fails; `howto_checks` says how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.project.howto_checks import CHECKS, follow

HOWTO = Path(__file__).resolve().parent.parent.parent / "docs" / "howto"
KINDS = ["claim", "detector", "figure", "network", "optimizer", "recorder", "signal", "study", "task"]
"""What a contributor can add."""


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Makes a store of this test's own, when it is asked for."""
    return lambda: request.getfixturevalue("store")


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_is_one_file_and_works(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[[], Any]
) -> None:
    follow(kind, (HOWTO / f"{kind}.md").read_text(encoding="utf-8"), tmp_path, monkeypatch, place)


def test_every_check_has_its_text() -> None:
    assert sorted(CHECKS) == KINDS == sorted(path.stem for path in HOWTO.glob("*.md") if path.stem != "index")


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("detector", "log_gap[:, 1:] - log_gap[:, :-1] > jump", "log_gap[:, 1:] - log_gap[:, :-1] > 9 + jump"),
        ("detector", "my_detectors:jump`", "my_detectors:jumps`"),
        ("detector", "--mode search --rule slope,", "--mood search --rule slope,"),
        ("detector", "--rule slope,my_detectors:jump", "--rule slope,my_detectors:hits"),
        ("signal", 'needs=("features",)', 'needs=("attention",)'),
        ("signal", 'find("my_signals:', 'find("my_signal:'),
        ("task", "manual_seed(seed)", "manual_seed(0)"),
        ("task", "pairs[:, 0] - pairs[:, 1]", "pairs[:, 0] + pairs[:, 1]"),
        ("task", "--task my_tasks:subtraction", "--task my_tasks:modular_subtraction"),
        ("network", ".mul_(2 / residual", ".mul_(1 / residual"),
        ("network", 'layers=("u",)', 'layers=("w",)'),
        ("network", "--network my_networks:linear", "--networks my_networks:linear"),
        ("optimizer", ".sub_(direction", ".add_(direction"),
        ("optimizer", 'state["average"] = torch', 'state["averages"] = torch'),
        ("optimizer", "--optimizer my_optimizers:Lion", "--optimiser my_optimizers:Lion"),
        ("recorder", "return dict(self.start), {", "return {}, {"),
        ("recorder", '{"table": list(self.table)}', '{"table": self.table[1:]}'),
        ("recorder", 'artifacts=("distance.parquet",)', 'artifacts=("distances.parquet",)'),
        ("recorder", "--recorders my_recorders:distance", "--recorders my_recorders:Distance"),
        ("study", "weight_decay: [", "weight_decoy: ["),
        ("study", "cells=9", "cells=6"),
        ("study", "--study my_studies.yaml:decay", "--study my_studies.yaml:decays"),
        ("claim", 'sources.take("headline", condition="grok")', 'sources.take("headline", condition="groks")'),
        ("claim", "epochs < PRINTED", "epochs > PRINTED"),
        ("claim", "--claims my_claims:CLAIMS", "--claims my_claims:PRINTED"),
        ("figure", 'tables["epochs"]["fire_epoch"]', 'tables["epochs"]["fires"]'),
        ("figure", '["condition"] == "grok"', '["condition"] == "eta0"'),
        ("figure", "--claims my_figures:PANELS", "--panels my_figures:PANELS"),
    ],
)
def test_a_text_that_says_what_is_not_so_fails(
    kind: str, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Callable[[], Any]
) -> None:
    text = (HOWTO / f"{kind}.md").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises((AssertionError, KeyError, ValueError, SystemExit)):
        follow(kind, text.replace(old, new), tmp_path, monkeypatch, place)
