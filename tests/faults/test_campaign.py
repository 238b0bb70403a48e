"""A campaign that was stopped goes on from its file, and from no other's."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.faults import campaign
from tests.faults.campaign import Try, earlier, keep, planned, table
from tests.faults.world import same

KINDS = ["a", "b", "c"]


def test_each_kind_is_tried_as_often_in_an_order_of_the_seed() -> None:
    chosen = planned(0, 9, KINDS)
    assert Counter(chosen) == {"a": 3, "b": 3, "c": 3}
    assert chosen == planned(0, 9, KINDS) != planned(1, 9, KINDS)


def test_a_stopped_campaign_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    out, done = tmp_path / "tries.json", list[int]()

    def tries(folder: Path, seed: int, chosen: list[str], first: int) -> Any:
        for number in range(first, len(chosen)):
            if number == 2 and first == 0:
                raise KeyboardInterrupt
            done.append(number)
            yield Try(chosen[number], number != 3, "" if number != 3 else "lost a run", 2.0, 4.0)

    monkeypatch.setattr(campaign, "FAULTS", dict.fromkeys(KINDS, None))
    monkeypatch.setattr(campaign, "SERVED", {})
    monkeypatch.setattr(campaign, "campaign", tries)
    words = ["--tries", "6", "--out", str(out)]
    with pytest.raises(KeyboardInterrupt):
        campaign.main(words)
    assert campaign.main(words) == 1  # the fourth did not survive
    assert done == [0, 1, 2, 3, 4, 5]
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["survived"], len(found["tries"])) == (5, 6)
    assert "| all | 6 | 5 | 0 | | |" in capsys.readouterr().out
    assert campaign.main(["--seed", "1", *words]) == 2
    assert "out must be of the same seed" in capsys.readouterr().err
    assert done == [0, 1, 2, 3, 4, 5]


def test_the_table_tells_what_a_fault_costs(tmp_path: Path) -> None:
    tries = [Try("a", True, "", 1.0, 4.0, 1, 0.9), Try("b", False, "x", 8.0, 8.0, 3, 0.0), Try("a", True, "", 6.0, 8.0, 2, 0.4)]
    keep(tmp_path / "out.json", 0, 3, tries)
    assert earlier(tmp_path / "out.json", ["a", "b", "a"]) == tries
    assert earlier(None, ["a"]) == earlier(tmp_path / "none.json", ["a"]) == []
    told = ["| a | 2 | 2 | 2 | 0.40 | 0.50 |", "| b | 1 | 0 | 3 | 0.00 | 1.00 |", "| all | 3 | 2 | 3 | | |"]
    assert table(tries).splitlines()[2:] == told


def test_two_contents_are_the_same_to_the_last_bit() -> None:
    frame = pd.DataFrame({"x": [1.0, math.nan]})
    one: dict[str, Any] = {
        "a.npz": {"w": np.array([1.0, np.nan])},
        "b.parquet": frame,
        "c.json": "{}",
        "metrics": {"m": math.nan},
    }
    assert same(one, {**one, "b.parquet": frame.copy()})
    for name, other in {
        "a.npz": {"w": np.array([np.nextafter(1.0, 2.0), np.nan])},
        "b.parquet": frame.iloc[:1],
        "c.json": "{ }",
        "metrics": {"m": 0.0},
    }.items():
        assert not same(one, one | {name: other})
    assert not same({"w": np.zeros(2)}, {"w": np.zeros(2, dtype=np.float32)})
