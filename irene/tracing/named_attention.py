"""Attention that a config names, from a package that this machine need not have: traced as torch's own.

`_attn_implementation` may say flash_attention_2, flash_attention_3, flex_attention or a kernel from a hub. Which of
them is installed here says nothing about the GPU. Products and traffic are the same; torch's fused kernels follow the
same algorithm (Dao, "FlashAttention-2", 2023).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

_KEY = "_attn_implementation_internal"
_OWN = (None, "eager", "sdpa")


def with_own_attention(config: Any) -> Any:
    """A copy of a transformers config that names no attention but torch's own; the config itself where it does not."""
    if not any(True for _ in _parts_that_name(config)):
        return config
    plain = copy.deepcopy(config)
    for part in list(_parts_that_name(plain)):
        setattr(part, _KEY, None)  # the library's default for the architecture
    return plain


def attention_notes(config: Any) -> tuple[str, ...]:
    """One sentence where a config names attention that is traced as torch's own."""
    names = sorted({getattr(part, _KEY) for part in _parts_that_name(config)})
    if not names:
        return ()
    return (f"The config names attention '{', '.join(names)}': traced as torch's own, which does the same products.",)


def _parts_that_name(config: Any) -> Iterator[Any]:
    """Each (sub-)config with attention from elsewhere."""
    if getattr(config, _KEY, None) not in _OWN:
        yield config
    for value in list(vars(config).values()):
        if hasattr(value, "model_type"):
            yield from _parts_that_name(value)
