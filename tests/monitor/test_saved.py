"""A monitor's state in a file: it goes on to the same bits, nothing in it is code, and a broken one is one line."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from grok import SpectralMonitor
from grok.monitor import saved
from grok.spec.fields import ConfigError
from tests.helpers.references import one_thread  # noqa: F401
from tests.monitor.loops import batches, loss, network

MANY = 1 << 30


def steps(model: Any, optimizer: Any, count: int, first: int) -> None:
    for batch in list(batches(first + count))[first:]:
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()


@pytest.mark.parametrize("sketch", ["never", "count"])
def test_a_monitor_goes_on_from_a_file_to_the_same_bits(tmp_path: Path, sketch: str) -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    settings: dict[str, Any] = {"window": 3, "blocks": "layer", "strict": True, "sketch": sketch}
    whole = SpectralMonitor(model, **settings).attach(optimizer)
    steps(model, optimizer, 5, 0)
    saved.save(tmp_path / "state.safetensors", whole.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]
    resumed = SpectralMonitor(model, **settings)
    resumed.load_state_dict(saved.load(tmp_path / "state.safetensors", MANY))
    resumed.attach(optimizer)
    steps(model, optimizer, 4, 5)
    assert resumed.updates == whole.updates == {"0": 9, "2": 9}
    for block in whole.blocks:
        for name, column in whole.columns(block).items():
            np.testing.assert_array_equal(resumed.columns(block)[name], column, err_msg=name)


def test_a_state_keeps_its_names_numbers_and_tensors(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    state = {
        "items": {"tensor": "a", "items": [1, None, True, 0.1 + 0.2, float("inf"), []]},
        "tensors": [shared, shared, shared[1:], torch.ones(2, 2).T, torch.tensor(3), torch.empty(0, 5)],
    }
    saved.save(tmp_path / "state.safetensors", state)
    read = saved.load(tmp_path / "state.safetensors", MANY)
    assert read["items"] == state["items"]
    for one, other in zip(read["tensors"], state["tensors"], strict=True):
        assert isinstance(other, torch.Tensor)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert torch.equal(one, other)
    with pytest.raises(TypeError, match="3 for a name in a monitor's state"):
        saved.save(tmp_path / "state.safetensors", {"a": {3: 1}})
    assert torch.equal(saved.load(tmp_path / "state.safetensors", MANY)["tensors"][0], shared)


def test_a_file_that_is_no_state_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"

    def refused(words: str, most: int = MANY) -> None:
        with pytest.raises(ConfigError, match=f"state must be a whole file of a monitor, got .*{words}") as told:
            saved.load(path, most)
        assert "\n" not in str(told.value)

    refused("FileNotFoundError")
    path.write_bytes(pickle.dumps({"state": 1}))
    refused(r"a header of \d+ bytes in a file of 25")
    for text in ("[]", "{", json.dumps({"items": 3}), json.dumps({"tensor": "9"}), json.dumps({"items": {"a": {"b": 1}}}), "3"):
        save_file({"0": torch.zeros(2)}, path, metadata={saved.STATE: text})
        refused("Error")
    save_file({"0": torch.zeros(2)}, path)
    refused("TypeError")
    saved.save(path, {"a": torch.zeros(1000)})
    refused("4000 bytes of tensors, at most 3999 are read", 3999)
    os.truncate(path, 10**12)
    refused(r"\d+ bytes of tensors, at most")
    save_file({"0": torch.zeros(2)}, path, metadata={saved.STATE: "[" * 4 * 10**6})
    refused("bytes of JSON that may take")
