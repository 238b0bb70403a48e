"""Sums over the pieces of each block, and over the processes that hold their shards. Shapes: G blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from grok.monitor.pieces import Piece


class ShardsError(RuntimeError):
    """Some process that holds shards has failed; it is raised in all of them at the same batch."""


def meshes(pieces: Sequence[Piece]) -> list[tuple[Any, tuple[int, ...]]]:
    """Each way in which parameters are sharded, once, in the same order in every process."""
    shardings = (piece.sharding for piece in pieces if piece.sharding is not None and piece.sharding[1])
    return list(dict.fromkeys(shardings))


def added(blocks: Sequence[Sequence[Piece]], parts: list[Any], width: int, failure: BaseException | None) -> np.ndarray:
    """(G, width): what each piece gives, summed by block, over processes too; a failure in any of them is one in all.

    Args:
        blocks: pieces of each block. parts: of each piece, in order; None for zeros. width: numbers of each.
        failure: of this process.

    Raises:
        ShardsError: if this process, or another that holds shards, failed.
    """
    pieces = [piece for block in blocks for piece in block]
    places = [b for b, block in enumerate(blocks) for _ in block]
    out = np.zeros((len(blocks), width))
    flat = [np.zeros(width) if part is None else np.asarray(part, dtype=np.float64).reshape(width) for part in parts]
    failed = float(failure is not None)
    for mesh, dims in meshes(pieces):
        mine = [i for i, piece in enumerate(pieces) if piece.sharding is not None and piece.sharding == (mesh, dims)]
        summed = reduced(np.concatenate((*(flat[i] for i in mine), [failed])), mesh, dims)
        for place, i in enumerate(mine):
            flat[i] = summed[place * width : (place + 1) * width]
        failed = max(failed, float(summed[-1]))
    if failed:
        raise ShardsError("a process that holds shards has failed") from failure
    for b, values in zip(places, flat, strict=True):
        out[b] += values
    return out


def reduced(values: np.ndarray, mesh: Any, dims: tuple[int, ...], *, largest: bool = False) -> np.ndarray:
    """The sum of some numbers, or the largest of each, over the processes along some dimensions of a mesh."""
    import torch.distributed as dist

    device = mesh.device_type if mesh.device_type == "cpu" else f"{mesh.device_type}:{torch.cuda.current_device()}"
    tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).to(device)
    for dim in dims:
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX if largest else dist.ReduceOp.SUM, group=mesh.get_group(dim))
    return tensor.cpu().numpy()
