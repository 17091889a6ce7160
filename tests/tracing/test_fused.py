"""torch's own Transformer modules: the operators inside their fused fast paths, as an H200 runs them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

from irene.model_tree.tree import ModelTree
from irene.primitives.work import count_work
from irene.tracing import trace


def ops(tree: ModelTree) -> list[str]:
    return [leaf.call.name for leaf in tree.root.leaves if leaf.call]


def matmul_flop(tree: ModelTree) -> int:
    return sum(count_work(leaf.call).matmul_flop for leaf in tree.root.leaves if leaf.call)


def encoder_layer(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, **options)


def test_encoder_layer_runs_its_fused_operators() -> None:
    counts = Counter(ops(trace(encoder_layer(), torch.randn(2, 8, 64))))
    assert counts["linear"] == 2 and counts["_addmm_activation"] == counts["addmm"] == 1
    assert counts["scaled_dot_product_attention"] == 1 and counts["add_"] == 2 and counts["layer_norm"] == 2


@pytest.mark.parametrize("norm_first", [False, True])
def test_fused_and_plain_paths_multiply_the_same(norm_first: bool) -> None:
    """Independent: the plain path is torch's own Python code."""
    layer, x = encoder_layer(norm_first=norm_first, activation="gelu"), torch.randn(2, 8, 64)
    fused = trace(layer, x)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        plain = trace(layer, x)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert ops(fused) != ops(plain)
    assert matmul_flop(fused) == matmul_flop(plain) > 0
    assert fused.root.parameters == plain.root.parameters
    last = [leaf.call.outputs[0].shape for tree in (fused, plain) for leaf in [list(tree.root.leaves)[-1]] if leaf.call]
    assert last[0] == last[1] == (2, 8, 64)


@pytest.mark.parametrize("reason", ["odd heads", "sequence first", "training's dropout stays off", "decoder"])
def test_what_has_no_fast_path_takes_the_plain_one(reason: str) -> None:
    x = torch.randn(2, 8, 66 if reason == "odd heads" else 64)
    modules: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]] = {
        "odd heads": (nn.TransformerEncoderLayer(66, 3, batch_first=True), (x,)),
        "sequence first": (nn.TransformerEncoderLayer(64, 4), (x,)),
        "training's dropout stays off": (encoder_layer(bias=False), (x,)),
        "decoder": (nn.TransformerDecoderLayer(64, 4, batch_first=True), (x, torch.randn(2, 8, 64))),
    }
    module, inputs = modules[reason]
    assert "_addmm_activation" not in ops(trace(module, inputs))


def test_a_mask_or_weights_asked_for_leave_the_fused_attention() -> None:
    x = torch.randn(2, 8, 64)
    attention = nn.MultiheadAttention(64, 4, batch_first=True)
    plain = ops(trace(attention, {"query": x, "key": x, "value": x, "need_weights": False}))
    assert "scaled_dot_product_attention" in plain and "softmax" not in plain
    asked = ops(trace(attention, {"query": x, "key": x, "value": x}))
    assert "softmax" in asked and asked[-2:] == ["sum", "div_"]
    mask = torch.zeros(8, 8, dtype=torch.bool)
    masked = ops(trace(attention, {"query": x, "key": x, "value": x, "need_weights": False, "attn_mask": mask}))
    assert "_masked_softmax" in masked


def test_padding_masks_keep_the_encoder_padded() -> None:
    """On a GPU it may pack sequences by the lengths in the mask, which are data: the tree shows them padded."""
    encoder = nn.TransformerEncoder(encoder_layer(), 2).eval()
    mask = torch.zeros(2, 8, dtype=torch.bool)
    tree = trace(encoder, {"src": torch.randn(2, 8, 64), "src_key_padding_mask": mask})
    plain = trace(encoder, torch.randn(2, 8, 64))
    assert matmul_flop(tree) == matmul_flop(plain) > 0
    assert "shown padded" in tree.notes[0] and plain.notes == ()


def test_torch_is_as_it_was_afterwards() -> None:
    before = (torch._native_multi_head_attention, torch._transformer_encoder_layer_fwd, torch.tensor)
    trace(encoder_layer(), torch.randn(2, 8, 64))
    assert (torch._native_multi_head_attention, torch._transformer_encoder_layer_fwd, torch.tensor) == before
    assert torch.utils.backend_registration._privateuse1_backend_name == "privateuseone"
    assert "__getitem__" not in vars(torch.Tensor)
