"""What follows a model's name: `+variant`, `+variant:value` and `+variant:key=value,key=value`, any number of times."""

from __future__ import annotations

from irene.errors import BadInput, UnknownName
from irene.quoting import quote
from irene.variants import load_all
from irene.variants.registry import VARIANTS, Change


def split_variants(text: str) -> tuple[str, tuple[Change, ...]]:
    """The name before the first '+', and the changes after it in order. Raises UnknownName or BadInput.

    >>> name, changes = split_variants("bert-base-uncased+layers:6+set:hidden_act=relu")
    >>> name, [str(change) for change in changes]
    ('bert-base-uncased', ['+layers:count=6', '+set:hidden_act=relu'])
    """
    name, *parts = text.split("+")
    if not parts:
        return text, ()
    if not name:
        raise BadInput(f"{quote(text)}: expected a model's name before the first '+'.")
    load_all()
    return name, tuple(_read(part, text) for part in parts)


def _read(part: str, text: str) -> Change:
    name, _, rest = part.partition(":")
    if name not in VARIANTS:
        raise UnknownName("variant", name, VARIANTS, "'irene variants' lists them.")
    values, named = [], {}
    for piece in rest.split(",") if rest else ():
        key, equals, value = piece.partition("=")
        if equals and key and value:
            named[key] = value
        elif equals or not piece:
            raise BadInput(f"{quote(text)}: expected '+{name}:value' or '+{name}:key=value', got {quote(piece)}.")
        else:
            values.append(piece)
    return VARIANTS[name](*values, **named)
