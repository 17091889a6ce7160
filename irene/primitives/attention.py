"""The sizes inside fused attention, and the kernel family that PyTorch picks for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from irene.errors import BadInput
from irene.primitives.call import Argument, Call, TensorSpec
from irene.primitives.chip import ATTENTION_BACKENDS, AttentionBackend
from irene.primitives.shapes import broadcast, operand


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
    query, key, value = _operands(call)
    mask_at, causal_at = _ATTENTION_ARGS.get(call.name, (3, 5))
    mask: Argument = None
    if mask_at is not None:
        mask = call.args[mask_at] if len(call.args) > mask_at else call.kwarg("attn_mask", call.kwarg("attn_bias"))
    causal: Argument = call.args[causal_at] if len(call.args) > causal_at else call.kwarg("is_causal", False)
    lead = _broadcast_lead(call, query, key, value)
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


def attention_output(call: Call) -> tuple[int, ...]:
    """The shape that a call of kind 'attention' returns: (..., heads, query length, value size), batches broadcast.

    >>> query = TensorSpec((1, 4, 16, 8), (512, 128, 8, 1), "float32")
    >>> key = TensorSpec((3, 4, 9, 8), (288, 72, 8, 1), "float32")
    >>> attention_output(Call("aten.scaled_dot_product_attention.default", (query, key, key)))
    (3, 4, 16, 8)
    """
    query, key, value = _operands(call)
    return (*_broadcast_lead(call, query, key, value), query.shape[-2], value.shape[-1])


def _operands(call: Call) -> tuple[TensorSpec, TensorSpec, TensorSpec]:
    query, key, value = operand(call, 0, "query"), operand(call, 1, "key"), operand(call, 2, "value")
    if min(len(query.shape), len(key.shape), len(value.shape)) < 2 or query.shape[-1] != key.shape[-1]:
        expected = "expected (..., heads, length, size), one size for both"
        raise BadInput(f"{call.op}: query {query.shape} does not fit key {key.shape}; {expected}.")
    return query, key, value


def _broadcast_lead(call: Call, query: TensorSpec, key: TensorSpec, value: TensorSpec) -> tuple[int, ...]:
    """Batch sizes and heads of the output: those of the three operands, broadcast; grouped heads are the query's."""
    if call.name != "scaled_dot_product_attention":  # the kernels below it repeat heads themselves
        return query.shape[:-2]
    leads = [tensor.shape[:-2] for tensor in (query, key, value)]
    if call.kwarg("enable_gqa", False) and all(leads):
        heads = leads[0][-1]
        if heads % max(leads[1][-1], 1) or heads % max(leads[2][-1], 1):
            raise BadInput(f"{call.op}: {heads} query heads are no multiple of {leads[1][-1]} key heads.")
        leads = [(*lead[:-1], heads) for lead in leads]
    lead: tuple[int, ...] = ()
    for other in leads:
        merged = broadcast(lead, other)
        if merged is None:
            shapes = " and ".join(str(tensor.shape) for tensor in (query, key, value))
            raise BadInput(f"{call.op}: query, key and value of shapes {shapes} do not broadcast.")
        lead = merged
    return lead


def attention_backend(call: Call, backends: Sequence[AttentionBackend] = ATTENTION_BACKENDS) -> AttentionBackend:
    """The kernel family that PyTorch picks by default where it prefers `backends`, in this order.

    Source: `torch._fused_sdp_choice` with torch 2.11 over dtypes, masks, grouped heads and head sizes; the conditions
    are those of torch `aten/src/ATen/native/transformers/cuda/sdp_utils.cpp`. Fused kernels want a mask with
    contiguous rows, and grouped heads only where `enable_gqa` says so; the rest is plain math, which writes the scores
    to memory and is many times slower (T5's position bias, Falcon's broadcast keys).
    """
    shape, query = attention_shape(call), operand(call, 0, "query")
    leads = [operand(call, index, name).shape[:-2] for index, name in enumerate(("query", "key", "value"))]
    half = query.dtype in ("float16", "bfloat16")
    grouped = shape.heads != shape.kv_heads
    if len(query.shape) != 4 or min(shape.q_len, shape.kv_len) == 0:
        return "math"
    if any(len(lead) != 2 or lead[0] != leads[0][0] for lead in leads) or leads[0][1] != shape.heads:
        return "math"  # "To broadcast dense inputs, try using unsqueeze and expand_to before"
    lasts = [operand(call, index, name).stride[-1] for index, name in enumerate(("query", "key", "value"))]
    if lasts != [1, 1, 1] and query.shape[-1] != 1:
        return "math"  # "All fused kernels require the last dimension of the input to have stride 1"
    if shape.mask_row_stride not in (None, 1) or (grouped and not call.kwarg("enable_gqa", False)):
        return "math"
    sizes = (shape.head_size, shape.value_size)
    aligned = all(size % (8 if half else 4) == 0 for size in sizes)
    takes = {
        "cudnn": half and max(sizes) <= 256 and aligned,
        "flash": half and not shape.has_mask and max(sizes) <= 256 and sizes[0] == sizes[1],
        "efficient": not grouped and aligned and (half or query.dtype == "float32"),
        "math": True,
    }
    return next(backend for backend in backends if takes[backend])
