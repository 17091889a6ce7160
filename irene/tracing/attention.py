"""Which kernel `scaled_dot_product_attention` runs on a GPU, its name on the leaf, and the layout of what it returns.

PyTorch chooses flash, memory-efficient or plain ("math") attention from dtype, mask and head size. The choice matters
twice: the kernels differ several-fold in cost, and flash returns heads interleaved (B, S, H, D in memory), so that the
`transpose(1, 2).contiguous()` that follows in every model is free, or is a copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from irene.model_tree.tree import Node
from irene.primitives.attention import attention_backend, attention_output
from irene.primitives.call import Argument, Call, TensorSpec
from irene.primitives.read_backs import reads_back
from irene.primitives.shapes import broadcast
from irene.tracing.encoding import spec_of

ATTENTION_OP = "aten.scaled_dot_product_attention.default"
BIASED = (
    "Attention adds a position bias of its own for each head. Here its rows lie together, and a fused kernel takes it; "
    "releases of transformers up to 5.17 leave them apart, and plain attention then writes its scores to memory: up to "
    "2.6 times the joules of a T5, and several times its memory."
)


def leaf_type(call: Call) -> str:
    """The type of a call's leaf: its operator, and for attention the kernel family that a Hopper GPU takes for it.

    A leaf that the host waits for says so.

    >>> from irene.primitives.call import TensorSpec
    >>> query = TensorSpec((1, 12, 128, 64), (98304, 8192, 64, 1), "bfloat16")
    >>> leaf_type(Call(ATTENTION_OP, (query, query, query)))
    'aten.scaled_dot_product_attention.default[cudnn]'
    """
    if reads_back(call):
        return f"{call.op}[host wait]"
    return f"{call.op}[{attention_backend(call)}]" if call.op == ATTENTION_OP else call.op


def position_bias_notes(config: Any, leaves: Iterable[Node]) -> tuple[str, ...]:
    """A sentence where a fused kernel takes the buckets of relative positions, as T5 has them, as a mask of numbers.

    Another release of transformers lays the same numbers out in another way, and another kernel runs.
    """
    if getattr(config, "relative_attention_num_buckets", None) is None:
        return ()
    calls = {leaf.call for leaf in leaves if leaf.call is not None and leaf.call.op == ATTENTION_OP}
    return (BIASED,) if any(_is_biased(call) for call in calls) else ()


def _is_biased(call: Call) -> bool:
    mask = call.args[3] if len(call.args) > 3 else call.kwarg("attn_mask")
    if not isinstance(mask, TensorSpec) or mask.dtype == "bool" or len(mask.shape) < 3:
        return False
    return min(mask.shape[-3:-1]) > 1 and attention_backend(call) != "math"


def attend_on_meta(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """An empty output with the shape and strides that the GPU's kernel would return.

    Raises BadInput, or RuntimeError with torch's words, for operands that torch refuses.
    """
    specs: tuple[Argument, ...] = tuple(
        None if tensor is None else spec_of(tensor) for tensor in (query, key, value, attn_mask)
    )
    call = Call(ATTENTION_OP, (*specs, dropout_p, is_causal), (("enable_gqa", enable_gqa),))
    shape = attention_output(call)
    _check_operands(query, key, value, attn_mask, (*shape[:-1], key.shape[-2]))
    backend = attention_backend(call)
    if backend == "math" or len(shape) != 4:
        return query.new_empty(shape)
    if backend == "flash" and shape[-1] % 8:  # it pads the head to a multiple of 8 and returns a slice of that
        padded = (*shape[:-1], math.ceil(shape[-1] / 8) * 8)
        return query.new_empty(padded)[..., : shape[-1]]
    # The memory-efficient kernel interleaves the heads, (B, S, H, D) in memory; the others follow the query.
    order = [0, 2, 1, 3]
    if backend != "efficient":
        strides = query.stride()
        order = sorted(range(4), key=lambda dim: (-strides[dim], dim))
    inverse = [order.index(dim) for dim in range(4)]
    return query.new_empty([shape[dim] for dim in order]).permute(inverse)


def _check_operands(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scores: tuple[int, ...]
) -> None:
    """As torch checks them: `validate_sdpa_input` in `native/transformers/attention.cpp`, and the products after it."""
    if not query.dtype == key.dtype == value.dtype:
        got = f"{query.dtype}, {key.dtype} and {value.dtype}"
        raise RuntimeError(f"Expected query, key and value of one dtype, got {got}.")
    if key.shape[-2] != value.shape[-2]:
        raise RuntimeError(f"Expected as many keys as values, got {key.shape[-2]} and {value.shape[-2]}.")
    if mask is None:
        return
    if mask.dtype not in (torch.bool, torch.float32, query.dtype):
        raise RuntimeError(f"Expected attn_mask of bool, float or the query's dtype {query.dtype}, got {mask.dtype}.")
    if broadcast(tuple(mask.shape), scores) != scores:
        raise RuntimeError(f"The attn_mask of shape {tuple(mask.shape)} does not broadcast to the scores, {scores}.")
