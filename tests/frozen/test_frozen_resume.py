"""Runs that older code began go on to the end that they would have had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from grok.runs.train import train_tracked
from grok.spec.config import RunConfig
from grok.store import files as checkpoint
from grok.store.prior import find_prior
from tests.conftest import Answer, Contents
from tests.frozen.closeness import assert_close
from tests.frozen.configs import CONFIGS, STOPS
from tests.frozen.frozen_store import Frozen

SAVED = STOPS | {"failed": 16}
"""Epoch of the state that a run goes on from."""


@dataclass(frozen=True)
class Before:
    """What a stopped run has.

    Attributes:
        points: by metric, (step, value, time of logging). files: bytes of the checkpoints up to the saved epoch.
        table: rows of the history in the state. ranked: pairs that it has chosen, if any.
    """

    points: dict[str, list[tuple[int, float, int]]]
    files: dict[str, bytes]
    table: pd.DataFrame
    ranked: np.ndarray | None


def points(frozen: Frozen, run_id: str) -> dict[str, list[tuple[int, float, int]]]:
    names = frozen.store.get(run_id).data.metrics
    histories = {name: frozen.store.client.get_metric_history(run_id, name) for name in names}
    return {name: sorted((p.step, p.value, p.timestamp) for p in history) for name, history in histories.items()}


def before(frozen: Frozen, run_id: str) -> Before:
    root = frozen.root(run_id)
    (state,) = (root / "resume").glob("*.safetensors")
    tensors, facts = checkpoint.load(state)
    kept = [path for path in root.rglob("*epoch-*.safetensors") if path.parent.name != "resume"]
    kept = [path for path in kept if int(path.stem.split("-")[-1]) <= facts["epoch"]]
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in kept}
    table = pd.DataFrame(tensors["history"].numpy(), columns=facts["columns"])
    ranked = tensors["ranked_pairs"].numpy() if "ranked_pairs" in tensors else None
    return Before(points(frozen, run_id), files, table, ranked)


@pytest.mark.parametrize("name", SAVED)
def test_a_stopped_run_goes_on_to_where_it_would_have_come(own: Frozen, contents: Callable[..., Contents], name: str) -> None:
    config, run_id, runs = CONFIGS[name], own.ids[name], own.count()
    own.store.client.set_tag(run_id, "grok.code_version", "older")
    stopped = before(own, run_id)
    assert len(stopped.table) == SAVED[name]
    prior = find_prior(own.store, config)  # also of the run that a process of another host seems to hold
    assert prior is not None
    assert (prior.run_id, prior.done) == (run_id, False)
    asked: list[None] = []
    (outcome,) = train_tracked([config], own.store, resume=[prior], should_stop=lambda: bool(asked.append(None)))
    assert len(asked) == (config.epochs or 0) - SAVED[name] + 1  # once an epoch from the saved one on, none before
    assert (outcome.run_id, outcome.state, own.count()) == (run_id, "complete", runs)
    run = own.store.get(run_id)
    assert (run.info.status, run.data.tags["grok.state"]) == ("FINISHED", "complete")
    assert "grok.error" not in run.data.tags
    assert "code_version" in run.data.tags["grok.resumed_with"]
    assert RunConfig.from_strings(run.data.params).resolved() == config.resolved()  # what came later reads as its default
    assert len(run.inputs.dataset_inputs) == 2
    found = contents(own.store, run_id)
    assert not [path for path in found.files if path.startswith(("resume/", "failure"))]
    assert_kept(own, run_id, stopped, found)
    if name == "ranked":
        assert_ranked(stopped, found)
    (straight,) = train_tracked([config], own.store)
    assert_close(found, contents(own.store, straight.run_id), config)


def assert_kept(frozen: Frozen, run_id: str, stopped: Before, found: Contents) -> None:
    """What was there before the stop is there, bit for bit: points, checkpoints, rows of the history."""
    now = points(frozen, run_id)
    for name, history in stopped.points.items():
        assert set(history) <= set(now[name]), name
        assert len({step for step, _, _ in now[name]}) == len(now[name]), name
    root = frozen.root(run_id)
    assert {path: (root / path).read_bytes() for path in stopped.files} == stopped.files
    rows = found.tables["history.parquet"].loc[: len(stopped.table) - 1, list(stopped.table)]
    known = stopped.table.notna()  # raw spectra of the block that was open came after the stop
    pd.testing.assert_frame_equal(rows.where(known), stopped.table, check_exact=True)


def assert_ranked(stopped: Before, found: Contents) -> None:
    """Pairs are ranked at epoch 150 and the run was stopped at 157: the same pairs, in the same order, to the end."""
    table = found.tables["repulsion_pairs.parquet"]
    assert table["epoch"].min() == 150
    assert stopped.ranked is not None
    for epoch, group in table.groupby("epoch"):
        np.testing.assert_array_equal(group[["j", "l"]].to_numpy(), stopped.ranked, err_msg=str(epoch))


def test_the_command_line_goes_on_with_a_named_run(own: Frozen, command: Callable[..., Answer]) -> None:
    """From its id alone: the config is read from the params that are stored."""
    answer = command("--resume", own.ids["dead"])
    assert (answer.status, answer.words["run"], answer.words["state"]) == (0, own.ids["dead"], "complete"), answer.err
    stored = own.store.get(own.ids["dead"]).data.params
    assert RunConfig.from_strings(stored).hash == CONFIGS["dead"].hash
