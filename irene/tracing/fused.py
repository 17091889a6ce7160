"""What fused operators of torch run inside, so that their insides are leaves like all others.

In eval mode `nn.TransformerEncoderLayer` and `nn.MultiheadAttention` call one fused operator each on a GPU (their "fast
path"). It is a C++ function over ordinary operators and some kernels of its own: written out here in those operators,
on meta tensors, which is what the profiler shows below the fused operator's own event. Source of the order of
operators: torch `aten/src/ATen/native/transformers/transformer.cpp` and `cuda/attention.cu`, checked by
experiments/leaves-against-profiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch

from irene.primitives.attention import attention_backend
from irene.primitives.call import Call
from irene.tracing.encoding import spec_of

# Backends under which the fused attention goes on to scaled_dot_product_attention; else it multiplies by itself.
_DELEGATED = ("flash", "efficient", "cudnn")


@contextmanager
def fast_paths(keeps_padding: Callable[[], None]) -> Iterator[None]:
    """Meta tensors count as a GPU's in the modules that have a fast path, and its fused operators are written out.

    With a padding mask whose rows end in padding, the encoder packs its sequences into a nested tensor. Their lengths
    are data, so they stay padded, and `keeps_padding` is told.
    """

    def asks_for_packing(*_: torch.Tensor) -> bool:
        keeps_padding()
        return False

    with (
        # The modules ask whether a tensor is on the CPU, a CUDA device, or the device that this names.
        mock.patch.object(torch.utils.backend_registration, "_privateuse1_backend_name", "meta"),
        mock.patch.object(torch, "_transformer_encoder_layer_fwd", encode_layer),
        mock.patch.object(torch, "_native_multi_head_attention", attend),
        mock.patch.object(torch, "_nested_tensor_from_mask_left_aligned", asks_for_packing),
    ):
        yield


def encode_layer(
    src: torch.Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor,
    proj_weight: torch.Tensor,
    proj_bias: torch.Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: torch.Tensor,
    norm_bias_1: torch.Tensor,
    norm_weight_2: torch.Tensor,
    norm_bias_2: torch.Tensor,
    ffn_weight_1: torch.Tensor,
    ffn_bias_1: torch.Tensor,
    ffn_weight_2: torch.Tensor,
    ffn_bias_2: torch.Tensor,
    mask: torch.Tensor | None = None,
    mask_type: int | None = None,
) -> torch.Tensor:
    """The operators of `aten::_transformer_encoder_layer_fwd`; src (batch, length, embed_dim), as the output."""

    def norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.layer_norm(x, (embed_dim,), weight, bias, eps, True)

    x = norm(src, norm_weight_1, norm_bias_1) if norm_first else src
    x, _ = attend(
        x, x, x, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, mask, False, True, mask_type
    )
    x.add_(src)
    if not norm_first:
        x = norm(x, norm_weight_1, norm_bias_1)
    residual = x
    if norm_first:
        x = norm(x, norm_weight_2, norm_bias_2)
    batch, length, _ = x.shape
    hidden = torch._addmm_activation(
        ffn_bias_1, x.view(batch * length, embed_dim), ffn_weight_1.t(), beta=1, alpha=1, use_gelu=use_gelu
    ).view(batch, length, -1)
    flat = hidden.view(batch * length, -1)
    x = torch.addmm(ffn_bias_2, flat, ffn_weight_2.t()).view(batch, length, -1)
    x.add_(residual)
    return x if norm_first else norm(x, norm_weight_2, norm_bias_2)


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    embed_dim: int,
    num_head: int,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor,
    proj_weight: torch.Tensor,
    proj_bias: torch.Tensor,
    mask: torch.Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The operators of `aten::_native_multi_head_attention` on a GPU; query = key = value (batch, length, width)."""
    batch, length, _ = query.shape
    head_size = embed_dim // num_head
    if head_size % 8 == 0 and not need_weights:
        heads = query.view(batch, -1, num_head, head_size).transpose(1, 2)
        for _ in range(2):  # the same views of key and of value: sizes to choose the kernel by
            query.view(batch, -1, num_head, head_size).transpose(1, 2)
        spec = spec_of(heads)
        backend = attention_backend(Call("aten.scaled_dot_product_attention.default", (spec, spec, spec)))
        if mask is None and backend in _DELEGATED:
            chunks = torch.nn.functional.linear(query, qkv_weight, qkv_bias).chunk(3, -1)
            q, k, v = (chunk.view(batch, -1, num_head, head_size).transpose(1, 2) for chunk in chunks)
            y = torch.nn.functional.scaled_dot_product_attention(q, k, v, None, 0.0, False)
            y = y.transpose(1, 2).reshape(batch, -1, embed_dim)
            return torch.nn.functional.linear(y, proj_weight, proj_bias), None
    qkv = torch.matmul(query, qkv_weight.t())
    q, k, v = torch._transform_bias_rescale_qkv(qkv, qkv_bias, num_head)
    rows = batch * num_head
    scores = torch.bmm(q.view(rows, length, head_size), k.view(rows, length, head_size).transpose(1, 2))
    scores = scores.view(batch, num_head, length, length)
    scores = scores.softmax(-1) if mask is None else torch._masked_softmax(scores, mask, 3, mask_type)
    y = torch.bmm(scores.view(rows, length, length), v.view(rows, length, head_size))
    y = y.view(batch, num_head, length, head_size).permute(0, 2, 1, 3).contiguous().view(batch * length, embed_dim)
    output = torch.addmm(proj_bias, y, proj_weight.t()).view(batch, length, embed_dim)
    if not need_weights:
        return output, None
    return output, scores.sum(1).div_(num_head) if average_attn_weights else scores


def rescale_on_meta(qkv: torch.Tensor, qkv_bias: torch.Tensor, num_heads: int) -> list[torch.Tensor]:
    """Outputs of `aten::_transform_bias_rescale_qkv`: three of (batch, heads, length, head size), in one buffer."""
    batch, length, width = qkv.shape
    packed = qkv.new_empty((3 * batch, num_heads, length, width // 3 // num_heads))
    return list(packed.split(batch))
