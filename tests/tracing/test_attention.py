"""Attention on meta tensors: the shape that torch returns, and the layout that a GPU's kernel leaves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig

import irene
from irene.errors import BadInput
from irene.model_tree.serialization import tree_from_json, tree_to_json
from irene.primitives import Call, attention_backend, count_flop
from irene.reporting.rendering import render
from irene.reporting.work_table import work_table
from irene.tracing import trace
from irene.tracing.attention import BIASED, attend_on_meta
from irene.tracing.encoding import spec_of
from tests.tracing.tiny_models import tiny_config

sizes = st.integers(1, 5)


@given(sizes, st.sampled_from([(1, 1), (4, 4), (4, 2)]), sizes, sizes, st.integers(1, 9), st.integers(1, 9))
def test_shape_is_that_of_torch(
    batch: int, heads: tuple[int, int], queries: int, keys: int, size: int, value_size: int
) -> None:
    tensors = [torch.zeros(batch, heads[0], queries, size)]
    tensors += [torch.zeros(batch, heads[1], keys, width) for width in (size, value_size)]
    grouped = heads[0] != heads[1]
    query, key, value = tensors
    expected = scaled_dot_product_attention(query, key, value, enable_gqa=grouped)
    query, key, value = (tensor.to("meta") for tensor in tensors)
    output = attend_on_meta(query, key, value, enable_gqa=grouped)
    assert (output.shape, output.dtype, output.is_meta) == (expected.shape, expected.dtype, True)


@pytest.mark.parametrize(
    ("query", "key", "value"),
    [
        ((1, 4, 16, 8), (3, 4, 16, 8), (3, 4, 16, 8)),  # learned queries that every sample shares
        ((3, 4, 16, 8), (1, 4, 9, 8), (1, 4, 9, 6)),
        ((3, 4, 16, 8), (3, 1, 9, 8), (3, 1, 9, 8)),  # one head of keys for all
        ((2, 1, 16, 8), (2, 4, 9, 8), (1, 4, 9, 8)),
        ((4, 16, 8), (2, 4, 9, 8), (4, 9, 8)),
        ((16, 8), (9, 8), (9, 8)),
    ],
)
def test_operands_broadcast_as_torch_does(query: tuple, key: tuple, value: tuple) -> None:
    """FLOP and shape are those of the products that torch makes of them; kernels that fuse them want equal batches."""
    tensors = [torch.rand(shape) for shape in (query, key, value)]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.inference_mode():
        expected = scaled_dot_product_attention(*tensors)
    specs = tuple(spec_of(tensor) for tensor in tensors)
    call = Call("aten.scaled_dot_product_attention.default", specs, (), (spec_of(expected),))
    assert attend_on_meta(*[tensor.to("meta") for tensor in tensors]).shape == expected.shape
    assert count_flop(call) == counter.get_total_flops()
    assert attention_backend(call) == "math"


def _zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


KEYS = _zeros(2, 4, 6, 8)
REFUSED = {
    "heads": ((_zeros(1, 8, 6, 8), _zeros(1, 3, 6, 8), _zeros(1, 3, 6, 8)), {}),
    "grouped heads": ((_zeros(1, 8, 6, 8), _zeros(1, 3, 6, 8), _zeros(1, 3, 6, 8)), {"enable_gqa": True}),
    "batches": ((_zeros(3, 4, 6, 8), KEYS, KEYS), {}),
    "head sizes": ((KEYS, _zeros(2, 4, 6, 16), KEYS), {}),
    "dtypes": ((KEYS, KEYS, KEYS.bfloat16()), {}),
    "whole numbers": ((KEYS.long(), KEYS.long(), KEYS.long()), {}),
    "an integer mask": ((KEYS, KEYS, KEYS, _zeros(6, 6, dtype=torch.int64)), {}),
    "a mask of other sizes": ((KEYS, KEYS, KEYS, _zeros(3, 6)), {}),
    "a mask of more samples": ((KEYS[:1], KEYS[:1], KEYS[:1], _zeros(2, 1, 6, 6)), {}),
    "one dimension": ((_zeros(8), _zeros(8), _zeros(8)), {}),
}


class Attending(torch.nn.Module):
    def __init__(self, **kwargs: bool) -> None:
        super().__init__()
        self.kwargs = kwargs

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return scaled_dot_product_attention(*tensors, **self.kwargs)


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_refuses_is_refused(name: str) -> None:
    tensors, kwargs = REFUSED[name]
    with pytest.raises((RuntimeError, IndexError)), sdpa_kernel(SDPBackend.MATH):
        scaled_dot_product_attention(*tensors, **kwargs)
    with pytest.raises(BadInput):
        trace(Attending(**kwargs), tensors)


def test_more_values_than_keys_are_refused() -> None:
    """The fused kernel of a CPU does not look; the products of a GPU's do not fit."""
    with pytest.raises(BadInput, match="as many keys as values"):
        trace(Attending(), (KEYS, KEYS, _zeros(2, 4, 7, 8)))


@pytest.mark.parametrize("name", ["flash_attention_2", "flex_attention"])
def test_attention_that_a_config_names_need_not_be_installed(name: str) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    plain, named = (LlamaConfig(vocab_size=99, **sizes) for _ in range(2))
    named._attn_implementation = name
    trees = [trace(config, seq_len=8) for config in (plain, named)]
    assert [leaf.call for leaf in trees[0].root.leaves] == [leaf.call for leaf in trees[1].root.leaves]
    assert not trees[0].notes and name in trees[1].notes[0]
    assert named._attn_implementation == name


@pytest.mark.parametrize(
    ("dtype", "size", "masked", "plain", "strides"),
    [
        (torch.bfloat16, 64, False, False, (24576, 64, 768, 1)),  # cuDNN: as the query, heads interleaved
        (torch.bfloat16, 64, True, False, (24576, 64, 768, 1)),
        (torch.bfloat16, 64, False, True, (24576, 2048, 64, 1)),
        (torch.float32, 64, False, False, (24576, 64, 768, 1)),  # memory-efficient: interleaved, whatever the query is
        (torch.float32, 64, False, True, (24576, 64, 768, 1)),
        (torch.bfloat16, 66, False, True, (27648, 2304, 72, 1)),  # flash: a slice of heads padded to 72
        (torch.float64, 64, False, False, (24576, 2048, 64, 1)),  # plain math: contiguous
    ],
)
def test_layout(dtype: torch.dtype, size: int, masked: bool, plain: bool, strides: tuple[int, ...]) -> None:
    query = torch.empty(2, 32, 12, size, dtype=dtype, device="meta").transpose(1, 2)
    query = query.contiguous() if plain else query
    mask = torch.ones(1, 1, 32, 32, dtype=torch.bool, device="meta") if masked else None
    assert attend_on_meta(query, query, query, mask).stride() == strides


@pytest.mark.parametrize(
    ("dtype", "size", "is_causal", "family"),
    [
        (torch.bfloat16, 64, True, "cudnn"),
        (torch.bfloat16, 66, True, "flash"),
        (torch.float32, 64, False, "efficient"),
        (torch.float64, 64, False, "math"),
    ],
)
def test_the_leaf_names_its_kernels(dtype: torch.dtype, size: int, is_causal: bool, family: str) -> None:
    class Attention(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return scaled_dot_product_attention(x, x, x, is_causal=is_causal)

    tree = trace(Attention(), torch.empty(1, 2, 16, size, dtype=dtype))
    assert [leaf.type for leaf in tree.root.leaves] == [f"aten.scaled_dot_product_attention.default[{family}]"]
    assert f"scaled_dot_product_attention#0 [{family}]" in render(work_table(tree))
    assert tree_from_json(tree_to_json(tree)) == tree


@pytest.mark.parametrize(("dtype", "is_view"), [("bfloat16", True), ("float64", False)])
def test_the_layout_decides_whether_heads_are_copied_together(dtype: str, is_view: bool) -> None:
    class Attention(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            heads = x.view(2, 8, 4, 16).transpose(1, 2)
            return scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).reshape(2, 8, 64)

    (*_, last) = trace(Attention(), torch.zeros(2, 8, 64, dtype=getattr(torch, dtype))).root.leaves
    assert last.call is not None and last.call.name == "reshape"
    assert last.call.is_view == is_view


def test_a_position_bias_says_that_releases_differ() -> None:
    """A T5 adds one to its scores, and a Llama none."""
    noted = {kind: BIASED in trace(tiny_config(kind), batch_size=2, seq_len=8).notes for kind in ("t5", "llama")}
    assert noted == {"t5": True, "llama": False}
    assert BIASED in irene.predict(tiny_config("t5"), batch_size=2, seq_len=8, new_tokens=2).tree.notes
