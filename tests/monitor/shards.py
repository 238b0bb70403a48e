"""Run by test_distributed in two processes: python -m tests.monitor.shards KIND,KIND PORT RANK FOLDER."""

from __future__ import annotations

import copy
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from grok import SpectralMonitor
from grok.monitor.sinks import JsonLines
from tests.monitor.loops import batches, loss

STEPS, WORLD = 12, 2


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3), nn.Tanh(), nn.Linear(3, 2))


def shard(network: nn.Module, kind: str) -> nn.Module:
    """The model as each kind of parallelism has it."""
    from torch.distributed.device_mesh import init_device_mesh

    if kind == "ddp":
        return nn.parallel.DistributedDataParallel(network)
    if kind.startswith(("fsdp", "sketch", "fail", "hand")):
        from torch.distributed.fsdp import fully_shard

        if kind == "fsdp-each":  # as its documentation has it: each call makes a mesh of its own
            for module in network:
                if isinstance(module, nn.Linear):
                    fully_shard(module, mesh=init_device_mesh("cpu", (WORLD,)))
        fully_shard(network, mesh=init_device_mesh("cpu", (WORLD,)))
    if kind == "tensor":
        from torch.distributed.tensor import Replicate, Shard, distribute_tensor

        mesh = init_device_mesh("cpu", (WORLD,))
        for i, module in enumerate(m for m in network if isinstance(m, nn.Linear)):
            for name, parameter in list(module.named_parameters()):
                placement = Shard(0) if i == 0 else Replicate()
                module.register_parameter(name, nn.Parameter(distribute_tensor(parameter.detach(), mesh, [placement])))
    return network


def run(kind: str, rank: int, folder: Path) -> dict[str, Any]:
    network = shard(model(), kind)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, foreach=False)
    settings: dict[str, Any] = {"sketch": "count", "sketch_width": 32} if kind == "sketch" else {}
    settings["strict"] = not kind.startswith("fail")
    by_layer = SpectralMonitor(network, 4, blocks="layer", **settings)
    monitor = SpectralMonitor(network, 4, batch=3 if kind == "fsdp-batch" else 1, **settings)
    monitor.sinks.append(JsonLines(folder / f"{rank}.jsonl"))
    told: list[str] = []
    if kind == "hand":
        monitor.update()
    elif not kind.startswith("fail"):
        by_layer.attach(optimizer)
    if kind != "hand":
        monitor.attach(optimizer)
    if kind == "fail-start" and rank == 1:
        monitor._clocks[""].pieces[0].start = lambda: 1 / 0  # type: ignore[method-assign,assignment]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i, batch in enumerate(batches(STEPS)):
            if kind == "fail" and rank == 1 and i == 6:
                monitor._clocks[""].pieces[0].push = lambda: 1 / 0  # type: ignore[method-assign,assignment]
            optimizer.zero_grad()
            if kind == "tensor":
                for parameter in network.parameters():
                    parameter.grad = parameter.detach() * 0.1 * (i + 1)
            else:
                loss(network, batch).backward()
            optimizer.step()
            if kind == "hand":
                monitor.update()
                monitor.update()  # changes nothing
        told = [str(one.message) for one in caught if "SpectralMonitor" in str(one.message)]
    monitor.detach()
    return {
        "eigenvalues": monitor.eigenvalues().tolist(),
        "norm": monitor.columns()["weight_norm"].tolist(),
        "layers": {block: by_layer.eigenvalues(block).tolist() for block in by_layer.blocks},
        "updates": monitor.updates["all"],
        "skipped": monitor.skipped,
        "off": monitor.off,
        "told": told,
        "local": sum(p.to_local().numel() if hasattr(p, "to_local") else p.numel() for p in network.parameters()),
    }


def resume(kind: str, rank: int, folder: Path) -> dict[str, Any]:
    """All steps in one go; and the second half by new objects, to which the states after the first half were given."""

    def made() -> tuple[nn.Module, torch.optim.Optimizer, SpectralMonitor]:
        network = shard(model(), kind)
        return (
            network,
            torch.optim.AdamW(network.parameters(), lr=1e-2, foreach=False),
            SpectralMonitor(network, 4, strict=True),
        )

    def train(network: nn.Module, optimizer: torch.optim.Optimizer, part: slice) -> None:
        for batch in list(batches(STEPS))[part]:
            optimizer.zero_grad()
            loss(network, batch).backward()
            optimizer.step()

    whole = made()
    whole[2].attach(whole[1])
    train(whole[0], whole[1], slice(0, STEPS // 2))
    states = [copy.deepcopy(one.state_dict()) for one in whole[:2]]
    torch.save(whole[2].state_dict(), folder / f"{rank}.pt")
    train(whole[0], whole[1], slice(STEPS // 2, STEPS))
    later = made()
    for one, state in zip(later, [*states, torch.load(folder / f"{rank}.pt")], strict=True):
        one.load_state_dict(state)
    later[2].attach(later[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as where the weights are not those of the state
        train(later[0], later[1], slice(STEPS // 2, STEPS))
    return {
        name: {column: values.tolist() for column, values in monitor.columns().items()}
        for name, monitor in (("whole", whole[2]), ("resumed", later[2]))
    }


def main() -> None:
    kinds, port, rank, folder = sys.argv[1].split(","), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank), "WORLD_SIZE": str(WORLD)}
    dist.init_process_group("gloo", rank=rank, world_size=WORLD)
    try:
        for kind in kinds:
            (folder / kind).mkdir(exist_ok=True)
            (folder / kind / f"{rank}.json").write_text(
                json.dumps((resume if kind == "fsdp-resume" else run)(kind, rank, folder / kind)), encoding="utf-8"
            )
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
    os._exit(0)  # all is written; a thread of gloo that waits for a process that failed would abort the interpreter's own end
