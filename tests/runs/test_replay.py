"""Replay: the state of a tracked run at an epoch, rebuilt from its config alone."""

import pytest
import torch

from grok.runs.replay import replay
from grok.spec.fields import ConfigError
from grok.store import files as checkpoint
from grok.store.store import StoreError


@pytest.mark.parametrize("epoch", [0, 20, 40, 64])
def test_a_replayed_epoch_has_the_bits_of_the_checkpoint(finished, tmp_path, epoch):
    out = tmp_path / "state.safetensors"
    result = replay(finished.store, finished.outcome.run_id, epoch, out)
    assert (result.epoch, result.identical, result.largest) == (epoch, True, 0.0)
    stored, facts = checkpoint.load(finished.root / "checkpoints" / f"epoch-{epoch:05d}.safetensors")
    rebuilt, rebuilt_facts = checkpoint.load(out)
    assert facts == rebuilt_facts
    assert all(torch.equal(stored[name], rebuilt[name]) for name in ("w", "v"))


def test_the_last_checkpoint_is_the_default_and_the_line_says_so(finished):
    result = replay(finished.store, finished.outcome.run_id)
    assert result.line() == f"run={finished.outcome.run_id} epoch=64 identical=yes largest_difference=0"


def test_a_changed_checkpoint_is_told(store, finish, tiny):
    run = finish(store, tiny())
    path = run.root / "checkpoints" / "epoch-00020.safetensors"
    tensors, facts = checkpoint.load(path)
    tensors["v"][3, 4] += 0.5
    checkpoint.save(path, tensors, facts)
    result = replay(store, run.outcome.run_id, 20)
    assert not result.identical
    assert result.largest == pytest.approx(0.5, rel=1e-6)
    assert "identical=no" in result.line()
    assert replay(store, run.outcome.run_id, 40).identical
    path.with_name(".epoch-00099.safetensors.abc").write_bytes(b"being written when the process died")
    assert replay(store, run.outcome.run_id).epoch == 64


def test_an_epoch_without_checkpoint_is_refused_with_those_that_have_one(finished):
    with pytest.raises(ConfigError, match=r"until must be a checkpoint epoch of the run \(0, 20, 40, 64\), got 21"):
        replay(finished.store, finished.outcome.run_id, 21)


def test_an_unknown_run_is_refused(finished):
    with pytest.raises(StoreError, match="run must exist in"):
        replay(finished.store, "f" * 32)


def test_replay_leaves_the_store_as_it_was(finished):
    before = finished.run.raw.to_dictionary()
    replay(finished.store, finished.outcome.run_id, 20)
    assert finished.run.raw.to_dictionary() == before
