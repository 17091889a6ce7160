"""variants: named changes of a config or a module, to see what an idea costs before anybody trains it.

`irene predict bert-base-uncased+layers:6` on the command line is `irene.variants.layers(6)(config)` in Python; changes
stack from left to right. Each file registers a few (`irene.variants.registry`); 'irene variants' lists them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_FILES = (
    "depth", "widths", "vocabulary", "any_field", "key_value_heads", "attention_reach", "attention_kernels", "sharing",
    "multiplexing", "adapters", "experts", "soft_prompts", "matrix_embeddings", "text_to_text", "narrower",
    "packed_kernels",
)  # fmt: skip


def load_all() -> None:
    """Register every variant that comes with irene; the files are read once."""
    for file in _FILES:
        import_module(f"irene.variants.{file}")


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module 'irene.variants' has no attribute {name!r}")
    from irene.variants.registry import VARIANTS

    load_all()
    spelled = name.replace("_", "-")  # `encoder_decoder` in Python
    if name not in VARIANTS and spelled not in VARIANTS:
        raise AttributeError(f"module 'irene.variants' has no attribute {name!r}; 'irene variants' lists them")
    return VARIANTS.get(name) or VARIANTS[spelled]


def __dir__() -> list[str]:
    from irene.variants.registry import VARIANTS

    load_all()
    return sorted({*globals(), *(name.replace("-", "_") for name in VARIANTS)})
