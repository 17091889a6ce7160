"""Which of the library's implementations of attention runs."""

from __future__ import annotations

from typing import Any

from irene.errors import UnknownName
from irene.variants.registry import register_variant

_KNOWN = ("eager", "sdpa")


@register_variant("attention", "transformers, attn_implementation; Dao et al., FlashAttention, arXiv 2205.14135")
def attention(config: Any, kernels: str) -> Any:
    """'sdpa': fused kernels where they fit; 'eager': products and softmax, scores written to memory."""
    if kernels not in _KNOWN:
        raise UnknownName("attention implementation", kernels, _KNOWN)
    config._attn_implementation = kernels
    return config
