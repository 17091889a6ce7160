"""Sizes that no config can mean: a model of minus one layers does no work, one of 10^400 layers is never built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from irene.errors import BadConfig
from irene.quoting import quote

_COUNTS = re.compile(
    r"(.*_)?(layers|heads|experts|blocks)|n_layer|n_head|n_embd|n_ctx|d_model|d_kv|d_ff|ffn_dim|depth|.*hidden_(size|dim)"
    r"|(moe_)?intermediate_size|vocab_size|embedding_size"
)
_POSITIONS = {"max_position_embeddings", "n_positions", "max_target_positions", "max_source_positions"}
# Modules are made one by one; the deepest Transformer that was trained has 2,500 sublayers in 1,000 layers (DeepNet,
# arXiv 2203.00555).
_STACKED = re.compile(r"(.*_)?(layers|blocks|stages)|n_layer|depths?")
_EXPERTS = re.compile(r"(.*_)?experts")
_MOST_STACKED, _MOST_EXPERTS = 4096, 65_536  # Doge has 16,384 experts
_MOST = 10**12  # of anything else: a vector of so many numbers fills any accelerator
_DEEPEST = 20  # objects inside each other


def check_sizes(config: Any, kind: str = "") -> None:
    """Raise BadConfig for a size that nobody can mean, in a config or one inside it, or in what a file says of one.

    >>> check_sizes({"model_type": "bert", "num_hidden_layers": -1})
    Traceback (most recent call last):
    irene.errors.BadConfig: This bert config has num_hidden_layers = -1; expected at least 0.
    """
    _check(config, kind, _DEEPEST)


def _check(config: Any, kind: str, deeper: int) -> None:
    values = config if isinstance(config, Mapping) else vars(config)
    if not deeper:
        raise BadConfig(f"This {_name(kind)} config has more than {_DEEPEST} objects inside each other.")
    kind = str(values.get("model_type") or getattr(config, "model_type", "") or kind or type(config).__name__)
    for name, value in values.items():
        if isinstance(value, Mapping) or hasattr(value, "model_type"):
            _check(value, kind, deeper - 1)
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int):
                _check_number(kind, str(name), number)


def _check_number(kind: str, name: str, number: int) -> None:
    least = 1 if name in _POSITIONS else 0 if _COUNTS.fullmatch(name) else None
    most = _MOST_STACKED if _STACKED.fullmatch(name) else _MOST_EXPERTS if _EXPERTS.fullmatch(name) else _MOST
    if least is not None and number < least:
        expected = f"at least {least}"
    elif number > most:
        expected = f"at most {most:,}"
    else:
        return
    # Python writes no number of more than 4,300 digits
    got = str(number) if abs(number) < 10**30 else f"about {'-' * (number < 0)}2^{number.bit_length()}"
    raise BadConfig(f"This {_name(kind)} config has {_name(name)} = {got}; expected {expected}.")


def _name(text: str) -> str:
    return text if re.fullmatch(r"[\w-]{1,60}", text) else quote(text, 60)
