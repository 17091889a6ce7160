"""Operands whose values must fit together: packed weights, weights of recurrent layers in one buffer, bags, segments.

Random bits are no 2:4 sparse weight, and offsets drawn at random end a CUDA context.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from irene.primitives.call import Call, TensorSpec

_HALVED = {"_sparse_semi_structured_linear": 1, "_sparse_semi_structured_mm": 0, "_sparse_semi_structured_addmm": 1}
_CUDNN_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}  # torch, aten/src/ATen/native/cudnn/RNN.cpp
_SEGMENTED = {"embedding_bag": 2, "_embedding_bag": 2, "_embedding_bag_forward_only": 2}


def make_packed(
    call: Call, place: int, spec: TensorSpec, device: torch.device, generator: torch.Generator
) -> torch.Tensor | None:
    """The tensor operand of number `place` where the call wants more of it than random values; else None."""
    if call.name == "_weight_int4pack_mm" and place == 1:  # eight weights of four bits in each: all bits are drawn
        bounds = torch.iinfo(torch.int32)
        drawn = torch.randint(bounds.min, bounds.max, spec.shape, device=device, generator=generator)
        return drawn.to(torch.int32)
    if call.name == "_cslt_sparse_mm" and place == 0 and device.type == "cuda":  # no other device has the library
        values = _draw_sparse((spec.shape[0], call.tensors[1].shape[0]), spec.dtype, device, generator)
        return torch._cslt_compress(values)
    halves_at = _HALVED.get(call.name)
    if halves_at is not None and place == halves_at + 1:
        from torch.sparse._semi_structured_conversions import sparse_semi_structured_from_dense_cutlass

        halves = call.tensors[halves_at]
        values = _draw_sparse((halves.shape[0], 2 * halves.shape[1]), halves.dtype, device, generator)
        places: torch.Tensor = sparse_semi_structured_from_dense_cutlass(values)[1]
        return places
    if _SEGMENTED.get(call.name) == place:  # each bag as long as the others
        ends = torch.arange(spec.numel, device=device) * call.tensors[1].numel // spec.numel
        return ends.to(getattr(torch, spec.dtype))
    if call.name == "segment_reduce" and place == 1:
        length = call.tensors[0].shape[0]
        named = dict(call.kwargs)
        if isinstance(named.get("lengths"), TensorSpec):
            return torch.full(spec.shape, length // spec.shape[-1], dtype=getattr(torch, spec.dtype), device=device)
        return (torch.arange(spec.numel, device=device) * length // (spec.numel - 1)).to(getattr(torch, spec.dtype))
    return None


def join_recurrent_weights(call: Call, args: list[Any]) -> None:
    """Lay the weights of a recurrent layer side by side in one buffer, as torch.nn's modules do for cuDNN; in place.

    Apart, cuDNN would copy them together in every call.
    """
    mode = _CUDNN_MODES.get(call.name)
    if mode is None or not isinstance(args[0], torch.Tensor) or not args[0].is_cuda:
        return
    x, hidden, weights, has_biases, layers = args[0], args[1], args[2], args[3], args[4]
    bidirectional, batch_first = args[7], args[8]
    first = hidden[0] if isinstance(hidden, list) else hidden
    per_layer = 4 if has_biases else 2
    with torch.no_grad():
        torch._cudnn_rnn_flatten_weight(
            weights, per_layer, x.shape[-1], mode, first.shape[-1], 0, layers, batch_first, bidirectional
        )


def _draw_sparse(shape: tuple[int, int], dtype: str, device: torch.device, generator: torch.Generator) -> torch.Tensor:
    """Random values, two of every four along a row zero, which two being random as well."""
    rows, columns = shape
    values = torch.randn(math.prod(shape), device=device, generator=generator).reshape(rows, columns // 4, 4)
    keys = torch.rand(values.shape, device=device, generator=generator)
    kept = keys >= keys.topk(2, dim=-1).values[..., 1:]
    values = torch.where(kept, values, torch.zeros((), device=device)).reshape(shape)
    if dtype == "int8":
        return (32 * values).round().clamp(-127, 127).to(torch.int8)
    return values.to(getattr(torch, dtype))
