"""Universal Binary JSON as XGBoost writes it, both ways: long arrays of numbers go through NumPy at once.

Text JSON of a survey's trees takes two seconds a booster, this a tenth of one. Only what XGBoost itself made is read
here; files that may come from anybody are arrays (see `irene.leaves.learners.boosted_trees`).
Format: https://ubjson.org, with counts and key lengths as 64 bit integers.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The format's letter of each type of number, and the type: the format is big-endian.
_TYPES = {"U": ">u1", "i": ">i1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_LETTERS = {np.dtype(name).newbyteorder("="): letter for letter, name in _TYPES.items()}


def to_ubjson(value: Any) -> bytes:
    """Objects, lists, texts, integers and one-dimensional NumPy arrays of numbers.

    >>> from_ubjson(to_ubjson({"a": [1, "b"], "c": np.array([1.5, 2.5], dtype="float32")}))
    {'a': [1, 'b'], 'c': array([1.5, 2.5], dtype=float32)}
    """
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def from_ubjson(raw: bytes) -> Any:
    """The value; typed arrays become NumPy arrays. Raises ValueError or struct.error for what XGBoost never writes."""
    value, end = _read(raw, 0)
    if end != len(raw):
        raise ValueError(f"expected {end} bytes, got {len(raw)}")
    return value


def _write(value: Any, parts: list[bytes]) -> None:
    if isinstance(value, dict):
        parts.append(b"{")
        for key, item in value.items():
            parts.append(_counted(key))
            _write(item, parts)
        parts.append(b"}")
    elif isinstance(value, list):
        parts.append(b"[#L" + struct.pack(">q", len(value)))
        for item in value:
            _write(item, parts)
    elif isinstance(value, str):
        parts.append(b"S" + _counted(value))
    elif isinstance(value, int):
        parts.append(b"L" + struct.pack(">q", value))
    else:
        letter = _LETTERS[value.dtype]
        parts.append(f"[${letter}#L".encode() + struct.pack(">q", len(value)))
        parts.append(np.ascontiguousarray(value, dtype=_TYPES[letter]).tobytes())


def _counted(text: str) -> bytes:
    raw = text.encode()
    return b"L" + struct.pack(">q", len(raw)) + raw


def _read(raw: bytes, at: int) -> tuple[Any, int]:
    letter, at = chr(raw[at]), at + 1
    if letter == "{":
        found = {}
        while raw[at : at + 1] != b"}":
            key, at = _read_text(raw, at)
            found[key], at = _read(raw, at)
        return found, at + 1
    if letter == "[":
        return _read_array(raw, at)
    if letter == "S":
        return _read_text(raw, at)
    if letter in "TF":
        return letter == "T", at
    if letter in _TYPES:
        dtype = np.dtype(_TYPES[letter])
        return np.frombuffer(raw, dtype, 1, at)[0].item(), at + dtype.itemsize
    raise ValueError(f"byte {at - 1}: unknown type {letter!r}")


def _read_array(raw: bytes, at: int) -> tuple[list[Any] | NDArray[Any], int]:
    if raw[at : at + 1] == b"$":
        dtype = np.dtype(_TYPES[chr(raw[at + 1])])
        count, at = _read(raw, at + 3)
        return np.frombuffer(raw, dtype, count, at).astype(dtype.newbyteorder("=")), at + count * dtype.itemsize
    if raw[at : at + 1] == b"#":
        count, at = _read(raw, at + 1)
        items = []
        for _ in range(count):
            item, at = _read(raw, at)
            items.append(item)
        return items, at
    raise ValueError(f"byte {at}: expected a list with a count")


def _read_text(raw: bytes, at: int) -> tuple[str, int]:
    length, at = _read(raw, at)
    return raw[at : at + length].decode(), at + length
