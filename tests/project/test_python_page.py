"""`docs/python.md` runs, block by block, on a store with one run."""

from __future__ import annotations

import re
from typing import Any

import matplotlib
import pytest

from tests.conftest import PROJECT, TINY, Finished

SHORTER = {"window=30": "window=20", "epochs=250": "epochs=25"}
"""What a tiny run's band has, and what takes seconds."""


def test_the_page_runs(finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.store.uri)
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    text = (PROJECT / "docs" / "python.md").read_text(encoding="utf-8")
    for old, new in SHORTER.items():
        assert old in text
        text = text.replace(old, new)
    names: dict[str, Any] = {"__name__": "page", "RUN_ID": finished.outcome.run_id, "STUDY": None}
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    assert names["run"].id == finished.outcome.run_id
    assert names["scores"].shape == (2, TINY.modulus)
    assert finished.outcome.run_id in set(names["table"]["run_id"])
    assert len(names["axes"]) == 3
    assert names["axes"][0].lines
    assert capsys.readouterr().out.startswith("epoch 25: test accuracy ")
    plt.close("all")
