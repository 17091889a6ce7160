"""What fused operators of torch run inside, so that their insides are leaves like all others.

In eval mode `nn.TransformerEncoderLayer` and `nn.MultiheadAttention` call one fused operator each on a GPU (their "fast
path"). It is a C++ function over ordinary operators and some kernels of its own: written out here in those operators,
on meta tensors, which is what the profiler shows below the fused operator's own event. Source of the order of
operators: torch `aten/src/ATen/native/transformers/transformer.cpp` and `cuda/attention.cu`, checked by
experiments/leaves-against-profiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch

from irene.primitives.attention import attention_backend
from irene.primitives.call import Call
from irene.tracing.encoding import spec_of

# Backends under which the fused attention goes on to scaled_dot_product_attention; else it multiplies by itself.
_HAVE_FAST_PATHS = (torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer, torch.nn.TransformerEncoder)
_DELEGATED = ("flash", "efficient", "cudnn")


class _Seen:
    """A module as one function sees it: with some of its names changed. The module itself stays as it is."""

    def __init__(self, module: Any, **changed: Any) -> None:
        self.__dict__.update(changed)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextmanager
def fast_paths(modules: Iterable[torch.nn.Module], hook: int, keeps_padding: Callable[[], None]) -> Iterator[None]:
    """Meta tensors count as a GPU's in those of the modules that have a fast path; its fused operators are written out.

    With a padding mask whose rows end in padding, the encoder packs its sequences into a nested tensor. Their lengths
    are data, so they stay padded, and `keeps_padding` is told. A module with hooks leaves its fast path: those with the
    number `hook` do not count. While this lasts, each such module is of a class of its own.
    """
    changed = [(module, type(module)) for module in modules if isinstance(module, _HAVE_FAST_PATHS)]
    seen = _surroundings(hook, keeps_padding)
    classes = {kind: _class_that_sees(seen, kind) for kind in {kind for _, kind in changed}}
    try:
        for module, kind in changed:
            module.__class__ = classes[kind]
        yield
    finally:
        for module, kind in changed:
            module.__class__ = kind


def _surroundings(hook: int, keeps_padding: Callable[[], None]) -> dict[str, Any]:
    """What the forwards with a fast path find by these names."""

    def asks_for_packing(*_: torch.Tensor) -> bool:
        keeps_padding()
        return False

    def count(values: Any) -> int:
        return len(values) - (isinstance(values, dict) and hook in values)

    # The modules ask whether a tensor is on the CPU, a CUDA device, or the device that this names.
    registration = _Seen(torch.utils.backend_registration, _privateuse1_backend_name="meta")
    seen = _Seen(
        torch,
        utils=_Seen(torch.utils, backend_registration=registration),
        overrides=_Seen(torch.overrides, has_torch_function=lambda _: False),  # our own mode is none of the model's
        _transformer_encoder_layer_fwd=encode_layer,
        _native_multi_head_attention=attend,
        _nested_tensor_from_mask_left_aligned=asks_for_packing,
    )
    return {"torch": seen, "len": count}


def _class_that_sees(seen: dict[str, Any], kind: type) -> type:
    """The class, with the forward of torch's module below it seeing another torch, for `super().forward()` as well."""
    base = next(base for base in kind.__mro__ if base in _HAVE_FAST_PATHS)
    names = {**base.forward.__globals__, **seen}
    for name, helper in base.forward.__globals__.items():  # the small functions beside it: one asks for the device
        if isinstance(helper, FunctionType) and helper.__globals__ is base.forward.__globals__:
            names[name] = _with_names(helper, names)
    copied = _with_names(base.forward, names)
    between = type(base.__name__, (base,), {"forward": copied, "__module__": base.__module__})
    bases = (between,) if kind is base else (kind, between)
    return type(kind.__name__, bases, {"__module__": kind.__module__})


def _with_names(function: Any, names: dict[str, Any]) -> FunctionType:
    """The same function in other surroundings."""
    made = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


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
