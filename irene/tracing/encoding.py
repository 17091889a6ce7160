"""Torch values -> the torch-free arguments of a `Call`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import torch

from irene.primitives.call import Argument, TensorSpec, dtype_bytes


@cache  # asked for every tensor of every call
def dtype_name(dtype: torch.dtype) -> str:
    """'bfloat16' for torch.bfloat16; raises UnknownName for a dtype whose tensors cannot be counted."""
    name = str(dtype).removeprefix("torch.")
    dtype_bytes(name)
    return name


def spec_of(tensor: torch.Tensor, weight: bool = False) -> TensorSpec:
    """Shape, strides and dtype of a tensor on any device.

    >>> spec_of(torch.empty(2, 3, device="meta"))
    TensorSpec(shape=(2, 3), stride=(3, 1), dtype='float32', weight=False)
    """
    return TensorSpec(tuple(tensor.shape), tensor.stride(), dtype_name(tensor.dtype), weight)


def encode(value: Any, weights: dict[int, int], is_sent: bool = False) -> Argument:
    """One argument; `weights` maps the storage of each parameter and buffer to its number.

    `is_sent`: the call moves those of its tensors that lie on the host to the device.
    """
    if isinstance(value, torch.Tensor):
        spec = spec_of(value, storage_key(value) in weights)
        return replace(spec, on_host=True) if is_sent and value.is_cpu and value.numel() else spec
    if isinstance(value, list | tuple):
        return tuple([encode(item, weights, is_sent) for item in value])
    if isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, torch.device):
        return "host" if value.type == "cpu" else "device"
    if isinstance(value, torch.Generator):
        return "generator"  # its text would hold an address
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)  # layouts, memory formats: their own names


def storage_key(tensor: torch.Tensor) -> int:
    """Identity of the memory behind a tensor; views of one tensor share it, on meta too."""
    return int(tensor.untyped_storage()._cdata)


def fills_its_storage(tensor: torch.Tensor) -> bool:
    """Whether `empty_strided` with its shape and strides would make just such a tensor."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    stored_bytes = tensor.itemsize * (span if tensor.numel() else 0)
    return tensor.storage_offset() == 0 and tensor.untyped_storage().nbytes() == stored_bytes
