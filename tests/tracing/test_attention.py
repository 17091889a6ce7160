"""Attention on meta tensors: the shape that torch returns, and the layout that a GPU's kernel leaves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from irene.model_tree.serialization import tree_from_json, tree_to_json
from irene.reporting.rendering import render
from irene.reporting.work_table import work_table
from irene.tracing import trace
from irene.tracing.attention import attend_on_meta

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
