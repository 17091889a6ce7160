"""Torch values -> the torch-free arguments of a `Call`."""

from __future__ import annotations

from typing import Any

import torch

from irene.primitives.call import Argument, TensorSpec

DTYPE_NAMES = {value: name for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
# Several names point to one dtype (torch.half is torch.float16): keep the long one that states its width.
for _name in ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"):
    DTYPE_NAMES[getattr(torch, _name)] = _name


def spec_of(tensor: torch.Tensor, weight: bool = False) -> TensorSpec:
    """Shape, strides and dtype of a tensor on any device.

    >>> spec_of(torch.empty(2, 3, device="meta"))
    TensorSpec(shape=(2, 3), stride=(3, 1), dtype='float32', weight=False)
    """
    return TensorSpec(tuple(tensor.shape), tensor.stride(), DTYPE_NAMES[tensor.dtype], weight)


def encode(value: Any, weights: dict[int, int]) -> Argument:
    """One argument; `weights` maps the storage of each parameter and buffer to its number."""
    if isinstance(value, torch.Tensor):
        return spec_of(value, storage_key(value) in weights)
    if isinstance(value, list | tuple):
        return tuple(encode(item, weights) for item in value)
    if isinstance(value, torch.dtype):
        return f"torch.{DTYPE_NAMES[value]}"
    if isinstance(value, torch.device):
        return "device"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)  # layouts, memory formats, generators: their own names


def storage_key(tensor: torch.Tensor) -> int:
    """Identity of the memory behind a tensor; views of one tensor share it, on meta too."""
    return int(tensor.untyped_storage()._cdata)
