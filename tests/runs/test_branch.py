"""A run that branches from a stored state gets to the bits of the same config trained from its start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from grok.runs.branch import branch
from grok.runs.saving import get
from grok.runs.train import train_tracked
from grok.spec.fields import ConfigError
from grok.store.run import TrackedRun
from grok.store.store import Store
from tests.training.test_sequences import small

PARENT = small(keep_states=(4, 8), save_every=5)


def table(store: Store, run_id: str, path: str) -> pd.DataFrame:
    content = get(TrackedRun(store.client, run_id), path).content
    assert isinstance(content, pd.DataFrame)
    return content


@pytest.fixture(scope="module")
def parent(session_store: Store) -> str:
    """Read it only."""
    (outcome,) = train_tracked([PARENT], session_store)
    return outcome.run_id


def test_a_branch_equals_the_same_config_from_its_start(store: Store) -> None:
    (outcome,) = train_tracked([PARENT], store)
    parent = outcome.run_id
    start = branch(store, parent, 8, {"weight_decay": "0", "switch_state": "reset"})
    assert (start.config.switch_at, start.config.switch_weight_decay, start.config.weight_decay) == (8, 0.0, 1.0)
    (branched,) = train_tracked([start.config], store, branch=start)
    (straight,) = train_tracked([start.config], store)
    for path in ("history.parquet", "steps.parquet"):
        pd.testing.assert_frame_equal(table(store, branched.run_id, path), table(store, straight.run_id, path))
    ours, theirs = (get(TrackedRun(store.client, run.run_id), "edge/ledger-0002.npz").content for run in (branched, straight))
    for name, array in dict(theirs).items():
        np.testing.assert_array_equal(dict(ours)[name], array, err_msg=name)
    parents = table(store, parent, "steps.parquet")
    pd.testing.assert_frame_equal(
        table(store, branched.run_id, "steps.parquet")[["loss/train"]].iloc[:9], parents[["loss/train"]].iloc[:9]
    )


def test_states_leave_the_rows_of_windows_behind(session_store: Store, parent: str) -> None:
    run = TrackedRun(session_store.client, parent)
    assert run.list_files("states") == ["states/step-00004.safetensors", "states/step-00008.safetensors"]
    state = get(run, "states/step-00008.safetensors")
    assert not [name for name in state.content if str(name).endswith(".ring")]
    assert Path(state.path).suffix == ".safetensors"


@pytest.mark.parametrize(
    ("step", "given", "said"),
    [
        (6, {}, r"at must be a step whose state the run has \(4, 8\), got 6\. .* --keep-states 6 --force"),
        (8, {"seed": "3"}, "parameters must be among epochs, weight_decay, .* with --branch-from, got seed"),
        (8, {"weight_decay": "0", "switch_weight_decay": "1"}, "weight_decay must be given once"),
        (8, {"epochs": "8"}, "switch_at must be below 8, the run's last step, got 8"),
    ],
)
def test_what_is_no_branch_is_refused(session_store: Store, parent: str, step: int, given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        branch(session_store, parent, step, given)
