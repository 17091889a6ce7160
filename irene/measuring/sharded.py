"""A sharded model on a rank, as transformers itself shards it, with random weights of local size.

The library shards what it loads from a checkpoint. Here the model is built without memory, sharded by the same
function and plan, and each rank draws its own share: a model of 70 billion parameters never stands whole on one GPU. A
model that the library has no plan for is built whole and cut by the rule that its trace follows.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import distributed

from irene.tracing.building import build_model
from irene.tracing.inputs import torch_dtype
from irene.tracing.parallel_plan import find_plan
from irene.tracing.sharding import shard_model

_DEVIATION = 0.02  # of drawn weights: the initializer_range of most configs


def build_sharded(config: Any, task: str, dtype: str, device: torch.device, gpus: int, seed: int) -> Any:
    """This rank's share of a model, in eval mode; the process group must be open, and all ranks must call it.

    Raises BadInput where the model cannot be shared by so many.
    """
    rank = distributed.get_rank()
    torch.manual_seed(seed)
    whole = build_model(config, task, torch_dtype(dtype), "meta")
    plan, is_planned = find_plan(whole, gpus)
    if not is_planned:
        whole = build_model(config, task, torch_dtype(dtype), str(device))
        shard_model(whole, gpus, rank)
        return whole
    tied = _untie(whole)  # as the library does it: shared weights are joined after they are loaded
    _apply_plan(whole, plan, device, gpus)
    torch.manual_seed(seed + rank)
    _materialise(whole, device)
    for path, other in tied:
        _tie(whole, path, other)
    return whole.eval()


def _apply_plan(model: Any, plan: dict[str, str], device: torch.device, gpus: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from transformers.distributed.tensor_parallel import apply_tensor_parallelism

    mesh = init_device_mesh(device.type, (gpus,))
    takes_plan = (
        "tp_plan" in inspect.signature(apply_tensor_parallelism).parameters
    )  # releases before 5.21 read the model's
    apply_tensor_parallelism(model, mesh, plan) if takes_plan else apply_tensor_parallelism(model, mesh)


def _materialise(model: Any, device: torch.device) -> None:
    """Memory and random numbers for each parameter, local ones for those that are sharded; buffers as the library's."""
    from torch.distributed.tensor import DTensor

    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in made:
                is_sharded = isinstance(parameter, DTensor)
                local = _draw(parameter.to_local() if is_sharded else parameter, name, device)
                if is_sharded:
                    local = DTensor.from_local(
                        local, parameter.device_mesh, parameter.placements, run_check=False, shape=parameter.shape,
                        stride=parameter.stride(),
                    )  # fmt: skip
                made[id(parameter)] = torch.nn.Parameter(local, requires_grad=False)
            module._parameters[name] = made[id(parameter)]
        is_empty = any(buffer is not None and buffer.is_meta for buffer in module._buffers.values())
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = torch.ones_like(buffer, device=device)
        if is_empty and not module._parameters:
            model._init_weights(module)  # rotary frequencies and the like


def _draw(like: torch.Tensor, name: str, device: torch.device) -> torch.Tensor:
    made = torch.empty(like.shape, dtype=like.dtype, device=device)
    if like.dim() > 1:
        return made.normal_(0.0, _DEVIATION)
    return made.fill_(0.0 if name == "bias" else 1.0)


def _untie(model: torch.nn.Module) -> list[tuple[str, str]]:
    """Give each parameter memory of its own; paths of those that were one, the first with each other one."""
    first: dict[int, str] = {}
    pairs = []
    for path, parameter in list(model.named_parameters(remove_duplicate=False)):
        if first.setdefault(id(parameter), path) != path:
            pairs.append((first[id(parameter)], path))
            above, _, name = path.rpartition(".")
            model.get_submodule(above)._parameters[name] = torch.nn.Parameter(parameter.clone(), requires_grad=False)
    return pairs


def _tie(model: torch.nn.Module, path: str, other: str) -> None:
    """Make two parameters one again, where both are cut alike."""
    one, (above, _, name) = model.get_parameter(path), other.rpartition(".")
    module = model.get_submodule(above)
    alike = getattr(one, "placements", None) == getattr(module._parameters[name], "placements", None)
    if alike:
        module._parameters[name] = one
