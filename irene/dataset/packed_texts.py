"""Many texts that differ in their whole numbers alone, as a few templates and columns of numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irene.arrays import IntArray

_NUMBER = re.compile(r"(?<!\d)(?:0|[1-9]\d{0,17})(?!\d)")  # as `str(int)` writes it, and fits 64 bits
_OPEN, _CLOSE = "\x01", "\x02"  # around the number of a column in a template; in no JSON


@dataclass(frozen=True, slots=True, eq=False)
class PackedTexts:
    """Text `i` is `templates[template_of[i]]` with its marked places filled from row `i` of `numbers`.

    Shapes: `template_of` (texts,), `numbers` (texts, columns); places that a template does not have are 0.
    """

    templates: tuple[str, ...]
    template_of: NDArray[np.int32]
    numbers: IntArray


def pack_texts(texts: Sequence[str]) -> PackedTexts:
    """Pack texts so that `unpack_texts` gives them back. Raises ValueError if one holds a control character 1 or 2.

    Numbers that all texts of one outline share stay in the template; numbers that are always equal share a column.

    >>> packed = pack_texts(["f(3, 3, 16)", "f(12, 12, 16)"])
    >>> packed.numbers.tolist(), unpack_texts(packed)
    ([[3], [12]], ['f(3, 3, 16)', 'f(12, 12, 16)'])
    """
    if any(_OPEN in text or _CLOSE in text for text in texts):
        raise ValueError("a text holds a control character, which templates mark places with")
    members: dict[str, list[int]] = {}
    for at, text in enumerate(texts):
        members.setdefault(_NUMBER.sub(_OPEN, text), []).append(at)
    templates: list[str] = []
    columns: list[tuple[list[int], IntArray]] = []
    template_of = np.zeros(len(texts), dtype=np.int32)
    for outline, rows in members.items():
        found = np.array([_NUMBER.findall(texts[at]) for at in rows], dtype=np.int64).reshape(len(rows), -1)
        template, kept = _fill(outline, found)
        template_of[rows] = len(templates)
        templates.append(template)
        columns.append((rows, found[:, kept]))
    numbers = np.zeros((len(texts), max((own.shape[1] for _, own in columns), default=0)), dtype=np.int64)
    for rows, own in columns:
        numbers[np.ix_(rows, range(own.shape[1]))] = own
    return PackedTexts(tuple(templates), template_of, numbers)


def unpack_texts(packed: PackedTexts) -> list[str]:
    """The texts, in their order. Raises ValueError or IndexError if templates and numbers do not fit each other."""
    pieces = [re.split(f"{_OPEN}(\\d+){_CLOSE}", template) for template in packed.templates]
    texts = [""] * len(packed.template_of)
    for template, parts in enumerate(pieces):
        rows = np.flatnonzero(packed.template_of == template)
        literals = [text.replace("%", "%%") for text in parts[::2]]
        pattern = "%d".join(literals)
        own = packed.numbers[rows][:, [int(column) for column in parts[1::2]]]
        for at, values in zip(rows, own.tolist(), strict=True):
            texts[at] = pattern % tuple(values)
    return texts


def count_places(template: str) -> int:
    """How many columns of numbers a template needs."""
    return 1 + max((int(column) for column in re.findall(f"{_OPEN}(\\d+){_CLOSE}", template)), default=-1)


def _fill(outline: str, found: IntArray) -> tuple[str, list[int]]:
    """The template of an outline whose texts hold `found` (texts, places), and the places kept as columns."""
    kept: list[int] = []
    filled: list[str] = []
    for place in range(found.shape[1]):
        same = [column for column, other in enumerate(kept) if (found[:, other] == found[:, place]).all()]
        if (found[:, place] == found[0, place]).all():
            filled.append(str(found[0, place]))
        elif same:
            filled.append(f"{_OPEN}{same[0]}{_CLOSE}")
        else:
            filled.append(f"{_OPEN}{len(kept)}{_CLOSE}")
            kept.append(place)
    literals = outline.split(_OPEN)
    return "".join(text for pair in zip(literals, [*filled, ""], strict=True) for text in pair), kept
