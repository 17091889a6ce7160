"""Real tensors for a recorded call: random data, valid indices, the recorded shapes, strides and dtypes."""

from __future__ import annotations

import zlib
from typing import Any

import torch

from irene.errors import BadInput, Untraceable
from irene.measuring.expert_routing import choose_experts, draw_loads, offsets_of
from irene.measuring.packed_operands import join_recurrent_weights, make_packed
from irene.primitives.call import Argument, Call, TensorSpec
from irene.primitives.expert_calls import GROUPED_PRODUCTS, is_expert_gather

_INDEXED_ALONG_DIM = {
    "gather", "index_select", "take_along_dim", "scatter", "scatter_add", "scatter_reduce", "index_add", "index_copy",
    "index_fill", "index_reduce",
}  # fmt: skip
_TORCH_VALUES = {"torch.contiguous_format", "torch.channels_last", "torch.preserve_format", "torch.strided"}


def make_operands(
    call: Call, device: torch.device, generator: torch.Generator, load_deviation: float | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments to replay `call` with. Floats are drawn from a normal distribution.

    The experts of a grouped product get equal loads, or loads drawn with about `load_deviation`; a gather of experts'
    weights chooses all equally often. Raises BadInput where a call has no experts that could have the deviation.
    """
    limits = _index_limits(call)
    counter = iter(range(10_000))

    def build(value: Argument) -> Any:
        if isinstance(value, TensorSpec):
            place = next(counter)
            packed = make_packed(call, place, value, device, generator)
            return make_tensor(value, device, generator, limits.get(place)) if packed is None else packed
        if isinstance(value, tuple):
            return [build(item) for item in value]
        if isinstance(value, str):
            return _torch_value(value, device)
        return value

    args = [build(value) for value in call.args]
    kwargs = {name: build(value) for name, value in call.kwargs}
    join_recurrent_weights(call, args)
    if kwargs.get("generator") == "generator":
        kwargs["generator"] = generator
    offsets = offsets_of(args, kwargs) if call.op in GROUPED_PRODUCTS else None
    if offsets is not None:
        _route_rows(call, offsets, load_deviation, generator.initial_seed())
    elif is_expert_gather(call):
        rows, experts = call.tensors[1].shape[0], call.tensors[0].shape[0]
        args[1][0].copy_(torch.tensor(choose_experts(rows, experts, generator.initial_seed())))
    if offsets is None and load_deviation is not None:
        raise BadInput(f"{call.op} routes no rows to experts: its case takes no load_deviation, got {load_deviation}.")
    return args, kwargs


def make_tensor(
    spec: TensorSpec, device: torch.device, generator: torch.Generator, limit: int | None = None
) -> torch.Tensor:
    """A random tensor with the shape, strides and dtype of `spec`; integers below `limit` (default 8).

    Integers of 8 bits are quantised values: normal in int8, all alike in uint8 (two of four bits).
    """
    dtype: torch.dtype = getattr(torch, spec.dtype)
    span = 1 + sum((size - 1) * stride for size, stride in zip(spec.shape, spec.stride, strict=True))
    if 0 in spec.shape:
        span = 0
    if dtype.is_complex:
        storage = torch.empty(span, dtype=torch.complex64, device=device).normal_(generator=generator).to(dtype)
    elif dtype.is_floating_point:
        storage = torch.empty(span, dtype=dtype if dtype.itemsize > 1 else torch.bfloat16, device=device)
        storage = storage.normal_(0.0, 1.0, generator=generator).to(dtype)
    elif dtype == torch.bool:
        storage = torch.randint(0, 2, (span,), device=device, generator=generator).to(torch.bool)
    elif dtype == torch.int8 and limit is None:
        storage = torch.empty(span, device=device).normal_(0.0, 32.0, generator=generator)
        storage = storage.round().clamp(-127, 127).to(dtype)
    else:
        limit = 256 if limit is None and dtype == torch.uint8 else limit
        storage = torch.randint(0, max(1, limit or 8), (span,), device=device, generator=generator).to(dtype)
    return storage.as_strided(spec.shape, spec.stride)


def _index_limits(call: Call) -> dict[int, int]:
    """Upper bounds of index tensors, by their place among the call's tensors: one beyond ends a CUDA context."""
    tensors, name = call.tensors, call.name.removesuffix("_").removeprefix("_")
    if name in ("embedding", "embedding_bag"):
        return {1: tensors[0].shape[0]}
    if name == "take":
        return {1: tensors[0].numel}
    if name in _INDEXED_ALONG_DIM:
        place = 2 if name == "take_along_dim" else 1
        dim = call.args[place] if len(call.args) > place else call.kwarg("dim")
        return {1: tensors[0].shape[dim] if isinstance(dim, int) and tensors[0].shape else tensors[0].numel}
    if name in ("index", "index_put", "unsafe_index", "index_put_impl"):
        indices = call.args[1]
        assert isinstance(indices, tuple)
        limits, place = {}, 1
        for dim, index in enumerate(indices):
            if isinstance(index, TensorSpec):
                if index.dtype == "bool":
                    reason = "has an output that depends on data; not replayed"
                    raise Untraceable(f"{call.op} with a boolean mask {reason}.")
                limits[place] = tensors[0].shape[dim]
                place += 1
        return limits
    if name == "one_hot":
        return {0: int(call.args[1]) if len(call.args) > 1 and isinstance(call.args[1], int) else 8}
    return {}


def _route_rows(call: Call, offsets: torch.Tensor, deviation: float | None, seed: int) -> None:
    """Write where each expert's rows end. Each call draws its own loads, hot and cold weights the same."""
    rows, experts = call.tensors[0].shape[0], offsets.shape[0]
    loads = draw_loads(rows, experts, deviation, seed ^ zlib.crc32(call.signature.encode()))
    offsets.copy_(torch.tensor(loads, dtype=offsets.dtype).cumsum(0))


def _torch_value(text: str, device: torch.device) -> Any:
    if text == "device":
        return device
    if text == "host":
        return torch.device("cpu")
    if text in _TORCH_VALUES or text.startswith("torch."):
        return getattr(torch, text.removeprefix("torch."))
    return text
