"""How often the store is asked: each visit is a request to a server."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.visits import cell_visits, counted, train_visits


def test_a_cells_trip_asks_the_store_no_oftener_than_this(store: Any, tiny: Any) -> None:
    """A new cell: to take it, to write what it found, and three looks whether it is ours still and not asked to stop."""
    new, done = cell_visits(store, tiny(save_every=0, checkpoint_epochs=(64,)))
    assert new["search_runs"] == new["create_run"] == 1
    assert new["get_run"] <= 3
    assert new.total() <= 21
    assert (done["create_run"], done["update_run"], done["log_batch"]) == (0, 0, 0)
    assert done.total() <= 4


def test_the_command_of_a_run_that_is_done_asks_once_for_it(store: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.figures.run_figures", lambda *tables: {})
    calls = train_visits(tiny())
    assert (calls["search_runs"], calls["get_run"]) == (1, 0)
    assert calls.total() <= 3


def test_a_call_inside_another_is_one_visit(store: Any) -> None:
    with counted() as calls:
        store.client.get_experiment(store.experiment_id)
        store.find({"kind": "train"})
        store.client.set_tag(store.create("x", {}).run_id, "grok.x", "1")
    assert calls == {
        "get_experiment": 1,
        "search_experiments": 1,
        "search_runs": 1,
        "create_run": 1,
        "set_tag": 1,
        **({"set_experiment_tag": calls["set_experiment_tag"]} if calls["set_experiment_tag"] else {}),
    }
