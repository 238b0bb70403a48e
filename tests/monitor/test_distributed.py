"""Two processes: replicas, shards, and one that fails. Gram entries add over shards: each has the global spectrum."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.fsdp import FlatParameter

from grok import SpectralMonitor
from grok.numerics.sketch import sketch_error
from grok.spec.fields import ConfigError
from tests.monitor.loops import Weights, batches, loss
from tests.monitor.shards import STEPS, WORLD, model

FAST = ("ddp", "fsdp", "fsdp-each", "fsdp-resume", "fail", "fail-start")
"""Kinds that one pair of processes goes through, since to start it takes longer than all of them."""


def two(kinds: Sequence[str], folder: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Two processes go through some kinds; what each of them says of a kind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "tests.monitor.shards", ",".join(kinds), port]
    processes = [
        subprocess.Popen([*command, str(rank), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in range(WORLD)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * WORLD, "\n".join(outputs)[-3000:]
    return lambda kind: [json.loads((folder / kind / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(WORLD)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def fast(folder: Path) -> Callable[[str], list[dict[str, Any]]]:
    return two(FAST, folder)


def alone() -> tuple[Weights, dict[str, Weights]]:
    """The weights of the same training in one process."""
    network = model()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, foreach=False)
    layers = {name: Weights(network[int(name)].parameters()) for name in ("0", "2", "4")}
    every = Weights(network.parameters())
    for batch in batches(STEPS):
        optimizer.zero_grad()
        loss(network, batch).backward()
        optimizer.step()
        every()
        for one in layers.values():
            one()
    return every, layers


def near(found: Any, true: np.ndarray, tolerance: float) -> None:
    values = np.array(found, dtype=np.float64)
    np.testing.assert_array_equal(np.isnan(values), np.isnan(true))
    scale = np.nanmax(true, axis=1, keepdims=True, initial=1e-300)
    assert np.nanmax(np.abs(values - true) / scale) < tolerance


@pytest.mark.parametrize("kind", ["ddp", "fsdp", "fsdp-each", pytest.param("fsdp-batch", marks=pytest.mark.slow)])
def test_replicas_and_shards_give_the_spectrum_of_one_process(kind: str, fast: Any, folder: Path) -> None:
    """All processes train on the same batches, so that the average gradient is that of one."""
    first, second = (fast if kind in FAST else two([kind], folder))(kind)
    whole, layers = alone()
    for found in (first, second):
        near(found["eigenvalues"], whole.eigenvalues(4), 1e-4)
        np.testing.assert_allclose(found["norm"], np.linalg.norm(np.stack(whole.seen), axis=1), rtol=1e-5)
        assert list(found["layers"]) == ["0", "2", "4"]
        for block, weights in layers.items():
            near(found["layers"][block], weights.eigenvalues(4), 1e-4)
        assert found["updates"] == STEPS
    assert first["eigenvalues"] == second["eigenvalues"]
    parameters = len(whole.seen[0])
    assert (first["local"] + second["local"] == parameters) == kind.startswith("fsdp")
    rows = (folder / kind / "0.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == STEPS
    assert not (folder / kind / "1.jsonl").exists()  # one process writes


def test_shards_resume_to_the_bit(fast: Any) -> None:
    """Each process from its own state, with all that is trained made anew."""
    for found in fast("fsdp-resume"):
        assert found["whole"]["update"] == list(range(STEPS + 1))
        assert found["whole"].keys() == found["resumed"].keys()
        for column, values in found["whole"].items():
            np.testing.assert_array_equal(found["resumed"][column], values, err_msg=column)


@pytest.mark.slow
def test_sketches_of_shards_add_up(tmp_path: Path) -> None:
    first, second = two(["sketch"], tmp_path)("sketch")
    whole, _ = alone()
    found, true = np.array(first["eigenvalues"])[4:], whole.eigenvalues(4)[4:]
    assert first["eigenvalues"] == second["eigenvalues"]
    ratio = np.abs(found[:, :2] / true[:, :2] - 1)
    assert 1e-4 < ratio.max() < 2 * sketch_error(4, 32)


@pytest.mark.slow
def test_shards_and_replicas_of_one_model_are_told_apart(tmp_path: Path) -> None:
    """A replicated DTensor must not be added once for each process."""
    first, second = two(["tensor"], tmp_path)("tensor")
    assert first["eigenvalues"] == second["eigenvalues"]
    network = model()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, foreach=False)
    weights = Weights(network.parameters())
    for i in range(STEPS):
        for parameter in network.parameters():
            parameter.grad = parameter.detach() * 0.1 * (i + 1)
        optimizer.step()
        weights()
    near(first["eigenvalues"], weights.eigenvalues(4), 1e-5)


@pytest.mark.slow
def test_a_step_by_hand_is_looked_at_in_all_processes(tmp_path: Path) -> None:
    for found in two(["hand"], tmp_path)("hand"):
        assert (found["updates"], found["skipped"]) == (STEPS, STEPS)


@pytest.mark.parametrize(("kind", "updates"), [("fail", 6), ("fail-start", 0)])
def test_a_process_that_fails_turns_the_monitor_off_in_all(kind: str, updates: int, fast: Any) -> None:
    """And no process waits for it: the training goes on to its end."""
    for found in fast(kind):
        assert found["updates"] == updates
        assert found["off"] is not None
        assert len(found["told"]) == 1


def test_what_cannot_be_summed_is_refused_in_one_line() -> None:
    network = model()
    wrapped = type("FullyShardedDataParallel", (torch.nn.Sequential,), {})(*network)
    with pytest.raises(ConfigError, match=r"^model must be sharded by fully_shard, if at all, got FullyShardedDataParallel\."):
        SpectralMonitor(wrapped)
    for flat in (FlatParameter(torch.ones(3), requires_grad=True), FlatParameter(torch.ones(3), requires_grad=False)):
        with pytest.raises(ConfigError, match=r"^parameters must be sharded by fully_shard, .*got parameter_0 \(FlatP"):
            SpectralMonitor([flat])
    partial = torch.nn.Parameter(torch.ones(3))
    placement = type("P", (), {"is_partial": lambda self: True, "__repr__": lambda self: "Partial(sum)"})()
    partial.device_mesh, partial.placements = None, [placement]  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"^parameters must be sharded or replicated, got p \(Partial\(sum\)\)\."):
        SpectralMonitor({"p": partial})
