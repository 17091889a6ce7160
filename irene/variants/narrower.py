"""Weights, or weights and activations, of fewer bits, and weights of which half are zero."""

from __future__ import annotations

from typing import Any

from irene.errors import BadInput
from irene.variants.low_precision.making import make_fp8, make_int4, make_int8
from irene.variants.low_precision.packed_linear import replace_linears
from irene.variants.low_precision.weight_only import LookedUpLinear, SparseLinear
from irene.variants.registry import register_variant


@register_variant(
    "fp8", "Micikevicius et al., FP8 Formats, arXiv 2209.05433; DeepSeek-V3, arXiv 2412.19437", of_modules=True
)
def fp8(module: Any, scales: str = "row", activations: str = "dynamic") -> Any:
    """Products by `_scaled_mm`; scales of a tensor, row or block; activations scaled as they come or static."""
    return make_fp8(module, scales, activations, ())


@register_variant(
    "int8", "Dettmers et al., LLM.int8(), arXiv 2208.07339; Xiao et al., SmoothQuant, arXiv 2211.10438", of_modules=True
)
def int8(module: Any, kind: str = "dynamic", outliers: int = 6) -> Any:
    """Kind dynamic (`_int_mm`), outliers (bitsandbytes), weights (dequantised) or fused (`_weight_int8pack_mm`)."""
    return make_int8(module, kind, outliers, ())


_INT4_SOURCES = (
    "Frantar et al., GPTQ, arXiv 2210.17323; Lin et al., AWQ, arXiv 2306.00978; Dettmers et al., QLoRA, 2305.14314"
)


@register_variant("int4", _INT4_SOURCES, of_modules=True)
def int4(module: Any, kind: str = "gptq", group: int = 0, kernel: str = "dequantise") -> Any:
    """Weights as gptq, awq, groups, nf4 or mxfp4, dequantised, or fused (by bytes); torch: its own fused kernel."""
    if group < 0:
        raise BadInput(f"+int4: a group has 1 input or more, got {group}.")
    return make_int4(module, kind, group, kernel, ())


@register_variant("lut", "Park et al., nuQmm / LUT-GEMM, arXiv 2206.09557", of_modules=True)
def lut(module: Any, bits: int = 4, group: int = 128) -> Any:
    """Weights as so many scaled signs, sums of activations looked up: known by the bytes alone, and flagged."""
    if not 1 <= bits <= 8 or group < 8 or group % 8:
        raise BadInput(f"+lut: expected 1 to 8 bits and groups of a multiple of 8, got {bits} and {group}.")
    return replace_linears(module, lambda linear: LookedUpLinear(linear, bits, group), "lut")


@register_variant(
    "sparse", "Mishra et al., Accelerating Sparse Deep Neural Networks, arXiv 2104.08378", of_modules=True
)
def sparse(module: Any) -> Any:
    """Two of every four weights kept, in torch's semi-structured kernel: half of the multiplies, 9/16 of the bytes."""
    return replace_linears(module, SparseLinear, "sparse")
