"""What attention allocates inside itself, beside what torch's own profiler sees it allocate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.profiler import profile

from irene.primitives import Call, TensorSpec
from irene.primitives.inner_memory import bytes_beyond_output, plain_attention_bytes
from irene.tracing.encoding import spec_of

_OP = "aten.scaled_dot_product_attention.default"
_BATCH, _HEADS = 4, 6


def _tensor(heads: int, length: int, size: int, dtype: torch.dtype, interleaved: bool) -> torch.Tensor:
    """Interleaved: the heads of a position lie together, as projections leave them."""
    made = torch.zeros(_BATCH, heads, length, size, dtype=dtype)
    return made.transpose(1, 2).contiguous().transpose(1, 2) if interleaved else made


def _seen_peak_bytes(work: Callable[[], torch.Tensor]) -> int:
    with torch.inference_mode(), profile(profile_memory=True) as seen:
        work()
    alive = peak = 0
    for event in seen.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    return peak


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("key_heads", [_HEADS, 2])
@pytest.mark.parametrize(
    ("queries", "keys", "size", "value_size"),
    [
        (256, 256, 32, 32),  # most is alive in the softmax
        (64, 48, 256, 256),  # in the product that makes the scores
        (64, 16, 32, 512),  # in the product with the values
    ],
)
@pytest.mark.parametrize("is_causal", [True, False])
def test_plain_attention_takes_what_torch_takes(
    dtype: torch.dtype, interleaved: bool, key_heads: int, queries: int, keys: int, size: int, value_size: int,
    is_causal: bool,
) -> None:  # fmt: skip
    query = _tensor(_HEADS, queries, size, dtype, interleaved)
    key = _tensor(key_heads, keys, size, dtype, interleaved)
    value = _tensor(key_heads, keys, value_size, dtype, interleaved)
    bias = None if is_causal else torch.zeros(1, keys, queries, _HEADS, dtype=dtype).permute(0, 3, 2, 1)
    is_grouped = key_heads != _HEADS
    specs = tuple(None if tensor is None else spec_of(tensor) for tensor in (query, key, value, bias))
    call = Call(_OP, (*specs, 0.0, is_causal), (("enable_gqa", is_grouped),))
    math = torch.ops.aten._scaled_dot_product_attention_math
    seen = _seen_peak_bytes(lambda: math(query, key, value, bias, 0.0, is_causal, None, enable_gqa=is_grouped)[0])
    assert plain_attention_bytes(call) == pytest.approx(seen, rel=0.01)


def test_a_key_for_all_batches_is_not_copied_for_each() -> None:
    query, key = torch.zeros(4, 16, 64), torch.zeros(1, 200, 64)
    call = Call(_OP, (spec_of(query), spec_of(key), spec_of(key)))
    math = torch.ops.aten._scaled_dot_product_attention_math
    assert plain_attention_bytes(call) == pytest.approx(_seen_peak_bytes(lambda: math(query, key, key)[0]), rel=0.01)


def test_what_a_kernel_returns_is_counted_once() -> None:
    """T5's bias until transformers 5.17 has rows that do not lie together, which no fused kernel takes."""
    query = TensorSpec((8, 12, 512, 64), (393216, 32768, 64, 1), "bfloat16")
    rows = (
        TensorSpec((1, 12, 512, 512), stride, "bfloat16") for stride in ((12, 1, 6144, 12), (12 * 2**18, 2**18, 512, 1))
    )
    plain, fused = (Call(_OP, (query, query, query, bias)) for bias in rows)
    assert bytes_beyond_output(plain) == plain_attention_bytes(plain) - query.bytes
    assert bytes_beyond_output(fused) == bytes_beyond_output(Call("aten.gelu.default", (query,))) == 0
    mask = TensorSpec((8, 1, 512, 512), (2**18, 2**18, 512, 1), "bool")
    assert bytes_beyond_output(Call(_OP, (query, query, query, mask))) == 2 * mask.bytes


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("dtype", "asked"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float32)])
def test_a_softmax_casts_its_operand_first(name: str, dtype: torch.dtype, asked: torch.dtype) -> None:
    scores = torch.zeros(64, 512, dtype=dtype)
    with torch.inference_mode():
        made = torch.softmax(scores, -1, dtype=asked)
    call = Call(f"aten.{name}.int", (spec_of(scores), -1, str(asked)), (), (spec_of(made),))
    seen = _seen_peak_bytes(lambda: getattr(torch, name)(scores, -1, dtype=asked))
    assert bytes_beyond_output(call) + made.nbytes == seen
    half = TensorSpec((64, 512), (512, 1), "float16")  # a GPU's kernel casts as it reads
    assert bytes_beyond_output(Call(f"aten.{name}.int", (half, -1, "torch.float32"), (), (spec_of(made),))) == 0
