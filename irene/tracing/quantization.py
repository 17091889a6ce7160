"""What a config says of quantised weights: in a few words, as the program that is priced, and the dense twin without.

`transformers` reads `quantization_config` when it loads weights; `from_config` leaves it out without a word. What
`irene.variants.low_precision` knows a program for is built as that; of the rest, a trace shows the dense twin, and what
is left out is kept beside the tree, for whoever prices it.
Keys and values: https://huggingface.co/docs/transformers/main_classes/quantization.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from irene.variants.low_precision.checkpoints import Program, find_program, method_of, read_settings

_KEYS = ("quantization_config", "compression_config")
_DETAILS = (
    "fmt",
    "format",
    "bits",
    "group_size",
    "weight_block_size",
    "activation_scheme",
    "quant_algo",
    "bnb_4bit_quant_type",
)


def describe_quantization(config: Any) -> str:
    """How a checkpoint of this config, or of a part of it, stores its weights; '' where nothing is quantised.

    >>> describe_quantization({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}})
    'gptq (bits 4, group_size 128)'
    """
    found = [_describe(settings) for _, _, settings in _quantised_parts(config)]
    return ", ".join(dict.fromkeys(words for words in found if words))


def describe_unpriced(config: Any) -> str:
    """As `describe_quantization`, where the program that runs such weights is not modelled; '' where it is."""
    return "" if _programs(config) is not None else describe_quantization(config)


def describe_program(config: Any) -> str:
    """How quantised weights are stored and which program is priced, in a sentence; '' where none is."""
    words = "; ".join(dict.fromkeys(program.words for program in _programs(config) or ()))
    return f"Quantised weights, {describe_quantization(config)}, priced as {words}." if words else ""


def apply_quantization(module: Any, config: Any) -> Any:
    """The module with the layers of its checkpoint's program; as it is where nothing is quantised, or none is known."""
    for program in _programs(config) or ():
        module = program.apply(module)
    return module


def _programs(config: Any) -> list[Program] | None:
    """The programs of all quantised parts; None where one is not modelled."""
    is_fused = getattr(config, "irene_fused_kernels", False)
    parts = [settings for _, _, settings in _quantised_parts(config) if _describe(settings)]
    found = [find_program(settings, is_fused) for settings in parts]
    return None if None in found else [program for program in found if program is not None]


def without_quantization(config: Any) -> Any:
    """A copy of a transformers config that builds the dense model."""
    dense = copy.deepcopy(config)
    for part, key, _ in list(_quantised_parts(dense)):
        if isinstance(part, dict):
            del part[key]
        else:
            delattr(part, key)
    return dense


def _quantised_parts(config: Any) -> Iterator[tuple[Any, str, Any]]:
    """Each (sub-)config that has settings of a quantisation, their key, and the settings."""
    values = config if isinstance(config, dict) else vars(config)
    for key, value in list(values.items()):
        if key in _KEYS:
            if value:
                yield config, key, value
        elif isinstance(value, dict) or hasattr(value, "model_type"):
            yield from _quantised_parts(value)


def _describe(given: Any) -> str:
    """'fp8 (fmt e4m3, weight_block_size 128 x 128)' of the settings that a checkpoint has beside its weights."""
    settings = read_settings(given)
    if settings is None:
        return type(given).__name__
    method, bits = method_of(settings)
    details = [f"{bits} bits"] if bits else []
    details += [f"{name} {_write(settings[name])}" for name in _DETAILS if settings.get(name) is not None]
    return f"{method} ({', '.join(details)})" if details and method else method


def _write(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
