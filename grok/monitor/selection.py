"""Which parameters a monitor reads, in which blocks; what it leaves out, by name and reason; what it refuses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from grok.spec.fields import ConfigError, refuse

Parameters = nn.Module | Tensor | Mapping[str, Tensor] | Iterable[Any]
"""A model, or tensors: by name, as (name, tensor), or one after the other."""
Blocks = str | Mapping[str, str]
"""`all`, `layer`, or a regular expression by the block's name."""
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex32, torch.complex64, torch.complex128)
"""Of parameters that torch can subtract and sum."""
FROZEN = "frozen"
"""Why a parameter of a model is left out that no gradient is taken of."""
NO_FLOAT64 = ("mps",)
"""Kinds of devices without float64, in which products are taken."""
WRAPPED = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|module)\.")
"""What torch.compile and data parallelism put before a parameter's name."""


@dataclass(frozen=True)
class Selection:
    """The parameters that are read.

    Attributes:
        parameters: by name, each once.
        blocks: names of the parameters of each block.
        left_out: the reason, by the name of each parameter that is not read.
        frozen: those of them that might be trained later, by name.
    """

    parameters: dict[str, Tensor]
    blocks: dict[str, list[str]]
    left_out: dict[str, str]
    frozen: dict[str, Tensor] = field(default_factory=dict)

    def of(self, wanted: Iterable[Tensor]) -> Selection:
        """What of it some tensors make up: the blocks that are left, of parameters that are among them."""
        ids = {id(tensor) for tensor in wanted}
        kept = {name: p for name, p in self.parameters.items() if id(p) in ids}
        blocks = {block: [name for name in names if name in kept] for block, names in self.blocks.items()}
        return Selection(kept, {block: names for block, names in blocks.items() if names}, {}, self.frozen)


def select(model: Parameters, blocks: Blocks) -> Selection:
    """The parameters of a model, or the tensors, that can be read.

    Tied weights count once, under the first of their names. Frozen and uninitialised parameters are left out.

    Args:
        model: an nn.Module, one tensor, or several.
        blocks: `all` for one of all parameters, `layer` for one of each module's own parameters, or regular expressions that
            are searched for in the names; a parameter may be in several blocks or in none.

    Raises:
        ConfigError: if nothing is left, a block is empty, or a parameter is sparse, quantised or of a kind that is not known.
    """
    parameters: dict[str, Tensor] = {}
    left_out: dict[str, str] = {}
    frozen: dict[str, Tensor] = {}
    wanted = _expressions(blocks)
    places: dict[tuple[Any, ...], str] = {}
    for name, parameter in _named(model):
        try:
            reason = _unread(name, parameter, isinstance(model, nn.Module))
        except ConfigError:
            if wanted is None or any(expression.search(name) for expression in wanted.values()):
                raise
            reason = "in no block, and not to be read"
        if reason == FROZEN:
            frozen[name] = parameter
        if reason is None:
            twin = places.setdefault(_place(parameter), name)
            reason = None if twin == name else f"tied to {twin}"
        if reason is None:
            parameters[name] = parameter
        else:
            left_out[name] = reason
    if not parameters:
        found = ", ".join(f"{name} ({reason})" for name, reason in list(left_out.items())[:3]) or "none"
        refuse(
            "model", "have a parameter that is trained", found, "Pass the model that is trained, after its first forward pass"
        )
    return Selection(parameters, _blocks(parameters, blocks, wanted), left_out, frozen)


def local(parameter: Tensor) -> Tensor:
    """The part of a parameter that this process holds, as a flat real tensor outside autograd: a view where that can be."""
    here: Tensor = parameter.detach()
    if is_sharded(here):
        here = here.to_local()  # type: ignore[attr-defined]
    if here.is_complex():
        here = torch.view_as_real(here)
    return here.reshape(-1)


def is_sharded(parameter: Tensor) -> bool:
    """Whether it is a DTensor; torch.distributed is not imported to find out."""
    return hasattr(parameter, "device_mesh") and hasattr(parameter, "placements")


def sharding(parameter: Tensor) -> tuple[Any, tuple[int, ...]] | None:
    """The mesh of a DTensor and the mesh dimensions over which its shards add up; None for a plain tensor."""
    if not is_sharded(parameter):
        return None
    placements = parameter.placements  # type: ignore[attr-defined]
    dims = tuple(i for i, placement in enumerate(placements) if not placement.is_replicate())
    return parameter.device_mesh, dims  # type: ignore[attr-defined]


def _named(model: Parameters) -> Iterable[tuple[str, Tensor]]:
    """Names as they are in the plain model, each with its parameter; a tied one comes once for each name."""
    if isinstance(model, nn.Module):
        for module in model.modules():
            if type(module).__name__ == "FullyShardedDataParallel":
                refuse("model", "be sharded by fully_shard, if at all", "FullyShardedDataParallel", "Use FSDP2's fully_shard")
        whole = list(model.named_parameters(remove_duplicate=False))
        plain = [WRAPPED.sub("", name) for name, _ in whole]
        seen = Counter(plain)
        for (name, parameter), short in zip(whole, plain, strict=True):
            yield (short if seen[short] == 1 else name), parameter  # a part of the model may be called `module` too
        return
    if isinstance(model, str | bytes) or not isinstance(model, Iterable):
        refuse("model", "be an nn.Module or tensors", type(model).__name__, "Pass model or model.parameters()")
    several: Iterable[Any] = [model] if isinstance(model, Tensor) else model
    told: set[str] = set()
    for i, pair in enumerate(several.items() if isinstance(several, Mapping) else several):
        name, parameter = pair if isinstance(pair, tuple) and len(pair) == 2 else (f"parameter_{i}", pair)
        if not isinstance(parameter, Tensor):
            refuse("model", "be an nn.Module or tensors", type(parameter).__name__, "Pass model or model.parameters()")
        if str(name) in told:
            refuse("model", "have one tensor for each name", f"{name} twice", "Name them apart")
        told.add(str(name))
        yield str(name), parameter


def _unread(name: str, parameter: Tensor, frozen_counts: bool) -> str | None:
    """Why a parameter is left out, or None.

    Raises:
        ConfigError: if it would have to be read and cannot be.
    """
    if is_lazy(parameter):
        return "not initialised yet"
    if frozen_counts and not parameter.requires_grad:
        return FROZEN
    if getattr(parameter, "_is_flat_param", False):  # its type says nothing: torch gives an nn.Parameter
        refuse("parameters", "be sharded by fully_shard, if at all", f"{name} (FlatParameter)", "Use FSDP2's fully_shard")
    if parameter.device.type in NO_FLOAT64:
        kind = parameter.device.type
        refuse("parameters", "be on a device with float64", f"{name} on {kind}", "Train on the CPU or CUDA")
    if parameter.layout != torch.strided:
        refuse("parameters", "be dense", f"{name} ({parameter.layout})", "Leave it out: blocks={'dense': 'its names'}")
    if parameter.is_quantized or not (parameter.is_floating_point() or parameter.is_complex()):
        refuse(
            "parameters", "be floating point", f"{name} ({parameter.dtype}, quantised)", "Pass the parameters that are trained"
        )
    if parameter.dtype not in DTYPES:
        kind = str(parameter.dtype).removeprefix("torch.")
        refuse("parameters", "be in 16, 32 or 64 bits", f"{name} ({kind})", "Pass the weights that it is rounded from")
    if is_sharded(parameter):
        partial = [p for p in parameter.placements if p.is_partial()]  # type: ignore[attr-defined]
        if partial:
            refuse("parameters", "be sharded or replicated", f"{name} ({partial[0]})", "Redistribute it")
    elif type(parameter) not in (Tensor, nn.Parameter, nn.Buffer):
        kind = type(parameter).__name__
        refuse("parameters", "be plain tensors or DTensors", f"{name} ({kind}, quantised?)", "Pass those that are trained")
    return None if parameter.numel() else "empty"


def _place(parameter: Tensor) -> tuple[Any, ...]:
    """Equal for parameters that are the same numbers in memory: of its own, as `local` copies what is not contiguous."""
    here: Tensor = parameter.detach()
    if is_sharded(here):
        here = here.to_local()  # type: ignore[attr-defined]
    if not here.numel() or not here.data_ptr():  # meta and lazy devices tell no address
        return (id(parameter),)
    return (parameter.device, here.data_ptr(), here.dtype, tuple(parameter.shape), parameter.stride())


def _expressions(blocks: Blocks) -> dict[str, re.Pattern[str]] | None:
    """The regular expressions of the blocks, by name; None for `all` and `layer`.

    Raises:
        ConfigError: if they are none of these.
    """
    if isinstance(blocks, str) and blocks in ("all", "layer"):
        return None
    if not isinstance(blocks, Mapping) or not blocks:
        refuse("blocks", "be all, layer or a mapping of names to regular expressions", blocks or "nothing", "Pick one")
    found = {}
    for block, pattern in blocks.items():
        try:
            found[block] = re.compile(pattern)
        except (re.error, TypeError) as error:
            refuse("blocks", "be regular expressions", f"{pattern} ({error})", "Correct it")
    return found


def _blocks(
    parameters: Mapping[str, Tensor], blocks: Blocks, wanted: Mapping[str, re.Pattern[str]] | None
) -> dict[str, list[str]]:
    if blocks == "all":
        return {"all": list(parameters)}
    if wanted is None:
        layers: dict[str, list[str]] = {}
        for name in parameters:
            layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
        return layers
    found = {}
    for block, expression in wanted.items():
        found[block] = [name for name in parameters if expression.search(name)]
        if not found[block]:
            near = ", ".join(list(parameters)[:3])
            refuse(
                "blocks",
                "each match a parameter that is trained",
                f"{block}: {expression.pattern}",
                f"Names are such as {near}",
            )
    return found
