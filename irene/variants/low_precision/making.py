"""A module's layers made anew in low precision: what variants and checkpoints both ask for."""

from __future__ import annotations

from functools import partial
from typing import Any

from irene.errors import BadInput, UnknownName
from irene.variants.low_precision.eight_bits import Float8Linear, Int8Linear, Int8WeightLinear, OutlierInt8Linear
from irene.variants.low_precision.four_bits import FORMATS
from irene.variants.low_precision.packed_experts import Float8Experts, Unpacked, narrow_experts, pack_experts
from irene.variants.low_precision.packed_linear import PackedLinear, replace_linears, require_multiple
from irene.variants.low_precision.passes import BLOCK
from irene.variants.low_precision.weight_only import FourBitLinear, TorchInt4Linear

_SCALES, _ACTIVATIONS = ("tensor", "row", "block"), ("dynamic", "static")
_INT8 = ("dynamic", "outliers", "weights", "fused")
_KERNELS = ("dequantise", "fused")


def make_fp8(module: Any, scales: str, activations: str, kept: tuple[str, ...]) -> Any:
    """As the variant; modules that `kept` fits stay as they are."""
    _require("scales", scales, _SCALES)
    _require("activations", activations, _ACTIVATIONS)
    if activations == "static" and scales != "tensor":
        raise BadInput(f"+fp8: static activations have one scale a tensor; scales={scales} scales them as they come.")
    step = BLOCK if scales == "block" else 16

    def make(linear: Any) -> Any:
        require_multiple(linear, "fp8", step, 16)
        return Float8Linear(linear, scales, activations == "static")

    changed = narrow_experts(module, kept)
    return _replace_beside(changed, module, make, "fp8", kept)


def make_int8(module: Any, kind: str, outliers: int, kept: tuple[str, ...]) -> Any:
    """As the variant; modules that `kept` fits stay as they are."""
    _require("kind of int8", kind, _INT8)
    if outliers < 1:
        raise BadInput(f"+int8: expected 1 outlier or more, got {outliers}.")

    def make(linear: Any) -> Any:
        if kind in ("weights", "fused"):
            return Int8WeightLinear(linear, kind == "fused")
        require_multiple(linear, "int8", 8, 8)
        return Int8Linear(linear) if kind == "dynamic" else OutlierInt8Linear(linear, outliers)

    return replace_linears(module, make, "int8", kept)


def make_int4(module: Any, kind: str, group: int, kernel: str, kept: tuple[str, ...]) -> Any:
    """As the variant; modules that `kept` fits stay as they are. With a group of -1 each output has one scale."""
    _require("kind of int4", kind, (*FORMATS, "torch"))
    _require("kernel", kernel, _KERNELS)
    if kind == "torch":
        return replace_linears(module, lambda linear: TorchInt4Linear(linear, group or 128), "int4", kept)
    size = group or FORMATS[kind].group
    changed = pack_experts(module, kind, size, kept)
    make = partial(FourBitLinear, stored=kind, group=size, is_fused=kernel == "fused")
    return _replace_beside(changed, module, make, "int4", kept)


def require_wide(module: Any) -> None:
    """Raise BadInput for a module with layers in low precision: how several GPUs would share these is not modelled."""
    if any(isinstance(part, PackedLinear | Float8Experts | Unpacked) for part in module.modules()):
        raise BadInput(
            "Several GPUs share no weights in low precision here; ask for one GPU, or for a checkpoint's dense twin "
            "(--dequantized)."
        )


def _replace_beside(changed: int, module: Any, make: Any, variant: str, kept: tuple[str, ...]) -> Any:
    """Replace linear layers, of which there may be none where experts were changed."""
    try:
        return replace_linears(module, make, variant, kept)
    except BadInput:
        if changed and not _has_linears(module):
            return module
        raise


def _has_linears(module: Any) -> bool:
    return any(type(part).__name__ == "Linear" for part in module.modules())


def _require(what: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise UnknownName(what, given, known)
