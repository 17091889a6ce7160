"""What a checkpoint's `quantization_config` says -> the program that is priced: its layers replaced, and in words.

Keys and values: https://huggingface.co/docs/transformers/main_classes/quantization, and compressed-tensors'
`config_groups`. What no program is known for is None: it is refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from irene.errors import BadInput

_SEPARATE = "activations are quantised in kernels of their own, which serving engines fuse"
_UNPACKED = "weights dequantised into a 16-bit product in every call, by operators of torch"
_FUSED = "a fused kernel, known by its bytes alone"


@dataclass(frozen=True, slots=True)
class Program:
    """Which program runs quantised weights: `apply` replaces a module's layers, `words` say by what.

    With `fused` kernels, those that unpack weights inside the product.
    """

    words: str
    apply: Callable[[Any], Any]


def read_settings(settings: Any) -> Mapping[str, Any] | None:
    """The settings that a checkpoint has beside its weights, as a mapping; None for another kind of object."""
    settings = settings.to_dict() if hasattr(settings, "to_dict") else settings
    return settings if isinstance(settings, Mapping) else None


def method_of(settings: Mapping[str, Any]) -> tuple[str, int | None]:
    """The method's name, and for bitsandbytes its bits; ('', None) where it is switched off.

    >>> method_of({"load_in_8bit": True})
    ('bitsandbytes', 8)
    """
    bits = next((n for n in (4, 8) if settings.get(f"load_in_{n}bit") or settings.get(f"_load_in_{n}bit")), None)
    method = settings.get("quant_method") or ("bitsandbytes" if "load_in_8bit" in settings or bits else "")
    method = str(getattr(method, "value", method))  # an enum in the library's own settings
    if method.startswith("bitsandbytes"):
        return ("bitsandbytes", bits) if bits else ("", None)
    return method or "an unnamed method", None


def find_program(given: Any, is_fused: bool = False) -> Program | None:
    """The program for the settings of a checkpoint; None where none is modelled.

    >>> find_program({"quant_method": "awq", "bits": 4, "group_size": 128}).words.partition(":")[0]
    'awq'
    >>> find_program({"quant_method": "aqlm"}) is None
    True
    """
    settings = read_settings(given)
    if settings is None:
        return None
    method, bits = method_of(settings)
    read = _METHODS.get(method)
    return None if read is None else read({**settings, "bits": bits or settings.get("bits", 4)}, is_fused)


def _fp8(settings: Mapping[str, Any], is_fused: bool) -> Program | None:
    block, scheme = settings.get("weight_block_size"), str(settings.get("activation_scheme") or "dynamic")
    if (block and list(block) != [128, 128]) or scheme not in ("dynamic", "static") or settings.get("expert_dtype"):
        return None
    if block and scheme == "static":
        return None
    return _narrow("fp8", "block" if block else "tensor", scheme, _kept(settings))


def _fbgemm(settings: Mapping[str, Any], is_fused: bool) -> Program | None:
    return _narrow("fbgemm_fp8", "row", "dynamic", _kept(settings))


def _gptq(settings: Mapping[str, Any], is_fused: bool) -> Program | None:
    return _packed("gptq", "gptq", settings, is_fused)


def _awq(settings: Mapping[str, Any], is_fused: bool) -> Program | None:
    return _packed("awq", "awq", settings, is_fused)


def _bitsandbytes(settings: Mapping[str, Any], is_fused: bool) -> Program | None:
    kept = tuple(settings.get("llm_int8_skip_modules") or ())
    if settings["bits"] == 8:
        return _in_int8("bitsandbytes", "outliers", kept)
    is_double = bool(settings.get("bnb_4bit_use_double_quant"))
    stored = "nf4-double" if is_double else "nf4"
    return _packed("bitsandbytes", stored, {"modules_to_not_convert": kept, "bits": 4}, is_fused)


def _mxfp4(settings: Mapping[str, Any], is_fused: bool) -> Program | None:
    from irene.variants.low_precision.packed_experts import pack_experts

    if is_fused:
        return None  # of experts, no fused kernel is modelled

    def apply(module: Any) -> Any:
        if not pack_experts(module, "mxfp4", 32, _kept(settings)):
            raise BadInput(f"mxfp4 stores experts, and {type(module).__name__} has none that irene knows.")
        return module

    return Program(f"mxfp4: experts' {_UNPACKED}; all else is dense", apply)


def _compressed(settings: Mapping[str, Any], is_fused: bool) -> Program | None:
    groups = settings.get("config_groups") or {}
    kinds = {_scheme_of(group) for group in groups.values()} if isinstance(groups, Mapping) else set()
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    kept = tuple(settings.get("ignore") or ())
    if kind is None:
        return None
    name, *rest = kind
    if name == "fp8":
        return _narrow("compressed-tensors", rest[0], rest[1], kept)
    if name == "int4":
        return _packed("compressed-tensors", "groups", {"group_size": rest[0], "ignore": kept, "bits": 4}, is_fused)
    return _in_int8("compressed-tensors", rest[0], kept)


def _scheme_of(group: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """('fp8', scales, activations), ('int8', kind) or ('int4', inputs of a group); None for another."""
    weights, given = group.get("weights") or {}, group.get("input_activations")
    bits, kind, strategy = (weights.get(key) for key in ("num_bits", "type", "strategy"))
    if kind == "float" and bits == 8 and given and given.get("num_bits") == 8:
        scales = {"tensor": "tensor", "channel": "row", "block": "block"}.get(str(strategy))
        is_static = not given.get("dynamic", True)
        if scales is None or (is_static and scales != "tensor"):
            return None
        return "fp8", scales, "static" if is_static else "dynamic"
    if kind == "int" and bits == 8:
        return "int8", "dynamic" if given else "weights"
    if kind == "int" and bits == 4 and not given:
        return "int4", int(weights.get("group_size") or -1)
    return None


def _narrow(method: str, scales: str, activations: str, kept: tuple[str, ...]) -> Program:
    from irene.variants.low_precision.making import make_fp8

    of = {"tensor": "tensor", "row": "row", "block": "block of 128 x 128"}[scales]
    words = f"{method}: products by torch._scaled_mm with a scale for each {of}; {_SEPARATE}; experts by "
    words += "torch._scaled_grouped_mm with a scale for each row"
    return Program(words, lambda module: make_fp8(module, scales, activations, kept))


def _in_int8(method: str, kind: str, kept: tuple[str, ...]) -> Program:
    from irene.variants.low_precision.making import make_int8

    by = {
        "outliers": f"torch._int_mm, 6 columns apart in 16 bits; {_SEPARATE}",
        "dynamic": f"torch._int_mm; {_SEPARATE}",
        "weights": _UNPACKED,
    }[kind]
    return Program(f"{method}: products by {by}", lambda module: make_int8(module, kind, 6, kept))


def _packed(method: str, stored: str, settings: Mapping[str, Any], is_fused: bool) -> Program | None:
    from irene.variants.low_precision.making import make_int4

    group = settings.get("group_size", settings.get("q_group_size", 0))
    if settings["bits"] != 4 or not isinstance(group, int):
        return None
    kernel, by = ("fused", _FUSED) if is_fused else ("dequantise", _UNPACKED)
    return Program(f"{method}: {by}", lambda module: make_int4(module, stored, group or 0, kernel, _kept(settings)))


def _kept(settings: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(settings.get("modules_to_not_convert") or settings.get("ignore") or ())


_METHODS: Mapping[str, Callable[[Mapping[str, Any], bool], Program | None]] = {
    "fp8": _fp8, "fbgemm_fp8": _fbgemm, "gptq": _gptq, "awq": _awq, "bitsandbytes": _bitsandbytes, "mxfp4": _mxfp4,
    "compressed-tensors": _compressed,
}  # fmt: skip
