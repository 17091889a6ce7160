"""The sizes inside fused attention, and the kernel family that PyTorch picks for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from irene.errors import BadInput
from irene.primitives.call import Argument, Call, TensorSpec
from irene.primitives.shapes import operand

AttentionBackend = Literal["cudnn", "flash", "efficient", "math"]


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """Query (batch, heads, q_len, head_size) against keys of `kv_heads` heads and `kv_len` positions."""

    batch: int
    heads: int
    kv_heads: int
    q_len: int
    kv_len: int
    head_size: int
    value_size: int
    is_causal: bool
    has_mask: bool
    mask_row_stride: int | None = None

    @property
    def flop(self) -> int:
        """Both products in full, as torch's FlopCounterMode counts them: causal does not halve."""
        return 2 * self.batch * self.heads * self.q_len * self.kv_len * (self.head_size + self.value_size)

    @property
    def executed_flop(self) -> int:
        """Products that a kernel that skips masked blocks has to do: about half where causal (top-left aligned)."""
        if not self.is_causal:
            return self.flop
        rows = min(self.q_len, self.kv_len)
        pairs = rows * (rows + 1) // 2 + (self.q_len - rows) * self.kv_len
        return 2 * self.batch * self.heads * pairs * (self.head_size + self.value_size)


# Where a fused operator takes (mask, is_causal); None: it takes no mask.
_ATTENTION_ARGS: dict[str, tuple[int | None, int]] = {
    "scaled_dot_product_attention": (3, 5),
    "_scaled_dot_product_attention_math": (3, 5),
    "_scaled_dot_product_flash_attention": (None, 4),
    "_scaled_dot_product_flash_attention_for_cpu": (None, 4),
    "_scaled_dot_product_efficient_attention": (3, 6),
    "_scaled_dot_product_cudnn_attention": (3, 6),
    "_scaled_dot_product_fused_attention_overrideable": (3, 5),
}


def attention_shape(call: Call) -> AttentionShape:
    """Sizes of a call of kind 'attention'. Raises BadInput where query, key or value is missing or does not fit.

    >>> q = TensorSpec((8, 12, 128, 64), (98304, 64, 768, 1), "bfloat16")
    >>> attention_shape(Call("aten.scaled_dot_product_attention.default", (q, q, q, None, 0.0, True))).is_causal
    True
    """
    query, key, value = operand(call, 0, "query"), operand(call, 1, "key"), operand(call, 2, "value")
    if min(len(query.shape), len(key.shape), len(value.shape)) < 2 or query.shape[-1] != key.shape[-1]:
        expected = "expected (..., heads, length, size), one size for both"
        raise BadInput(f"{call.op}: query {query.shape} does not fit key {key.shape}; {expected}.")
    mask_at, causal_at = _ATTENTION_ARGS.get(call.name, (3, 5))
    mask: Argument = None
    if mask_at is not None:
        mask = call.args[mask_at] if len(call.args) > mask_at else call.kwarg("attn_mask", call.kwarg("attn_bias"))
    causal: Argument = call.args[causal_at] if len(call.args) > causal_at else call.kwarg("is_causal", False)
    lead = query.shape[:-2]
    heads = lead[-1] if len(lead) > 1 else 1
    return AttentionShape(
        batch=math.prod(lead) // max(heads, 1),
        heads=heads,
        kv_heads=key.shape[-3] if len(key.shape) > 3 else 1,
        q_len=query.shape[-2],
        kv_len=key.shape[-2],
        head_size=query.shape[-1],
        value_size=value.shape[-1],
        is_causal=bool(causal),
        has_mask=isinstance(mask, TensorSpec),
        mask_row_stride=mask.stride[-1] if isinstance(mask, TensorSpec) and mask.shape[-1:] != (1,) else None,
    )


def attention_backend(call: Call) -> AttentionBackend:
    """The kernel family that PyTorch picks by default on a Hopper GPU.

    Source: `torch._fused_sdp_choice` on an H200 with torch 2.11 over dtypes, masks, grouped heads and head sizes; the
    conditions are those of torch `aten/src/ATen/native/transformers/cuda/sdp_utils.cpp`. Fused kernels want a mask with
    contiguous rows, and grouped heads only where `enable_gqa` says so; the rest is plain math, which writes the scores
    to memory and is many times slower (T5's position bias, Falcon's broadcast keys).
    """
    shape, query = attention_shape(call), operand(call, 0, "query")
    half = query.dtype in ("float16", "bfloat16")
    grouped = shape.heads != shape.kv_heads
    if len(query.shape) != 4 or min(shape.q_len, shape.kv_len) == 0:
        return "math"
    if shape.mask_row_stride not in (None, 1) or (grouped and not call.kwarg("enable_gqa", False)):
        return "math"
    sizes = (shape.head_size, shape.value_size)
    if half and max(sizes) <= 256 and all(size % 8 == 0 for size in sizes):
        return "cudnn"
    if half and not shape.has_mask and max(sizes) <= 256 and sizes[0] == sizes[1]:
        return "flash"
    aligned = all(size % (8 if half else 4) == 0 for size in sizes)
    if not grouped and aligned and (half or query.dtype == "float32"):
        return "efficient"
    return "math"
