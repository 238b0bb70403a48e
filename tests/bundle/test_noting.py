"""What a bundle takes along is what the report reads, of every rounding that it judges by."""

from __future__ import annotations

from typing import Any

import pytest

from analysis import papers
from analysis.bundle.noting import read_by_report
from analysis.exhibits import evaluate
from analysis.exhibits.model import NOTES, REPRODUCED, Claim, Measured
from analysis.exhibits.sources import Sources


def test_claims_are_held_over_roundings_too(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measure(sources: Sources) -> Measured:
        asked.append(sources.rounding)
        sources.run_ids["a"] = None
        sources.replaced = int(sources.rounding is not None)
        return Measured("1", REPRODUCED)

    one = Claim("one", "It is one.", "ours", "1", "as it is", ("headline",), "always", measure, kind=NOTES)
    for name in ("CLAIMS", "QUESTIONS", "ERRATA", "PANELS"):
        monkeypatch.setattr(papers, name, (one,) if name == "CLAIMS" else ())
    monkeypatch.setattr(evaluate, "replicates", lambda: ("mkl-256-1", "onednn-512-1"))
    monkeypatch.setattr(Sources, "changed", lambda self, rounding: True)
    read_by_report(store)
    assert asked == [None, "mkl-256-1", "onednn-512-1"]
