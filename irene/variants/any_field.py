"""Any field of a config, by its own name."""

from __future__ import annotations

import json
from typing import Any

from irene.errors import BadInput, UnknownName
from irene.quoting import quote
from irene.variants.fields import text_of
from irene.variants.registry import register_variant


@register_variant("set", "the fields of a transformers config")
def set_fields(config: Any, **fields: str) -> Any:
    """Fields of the config, as JSON or plain text: +set:num_hidden_layers=6,hidden_act=relu."""
    if not fields:
        raise BadInput("+set: expected fields of the config, as in '+set:num_hidden_layers=6'.")
    for name, text in fields.items():
        owner = next((part for part in (config, text_of(config)) if name in _fields_of(part)), None)
        if owner is None:
            known = sorted(_fields_of(config) | _fields_of(text_of(config)))
            raise UnknownName(f"field of a {config.model_type} config", name, known)
        value, before = _read(text), getattr(owner, name)
        if _is_number(before) and not _is_number(value):
            raise BadInput(f"+set: {name} is a number ({before}), got {quote(text)}.")
        setattr(owner, name, value)
    return config


def _fields_of(config: Any) -> set[str]:
    return {name for name in (*vars(config), *getattr(config, "attribute_map", {})) if not name.startswith("_")}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text
