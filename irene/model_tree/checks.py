"""Checked reading of a saved tree's JSON values: each error says where, what was expected and what was found."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from irene.errors import BadInput
from irene.primitives.call import DTYPE_BYTES, Call

T = TypeVar("T")
_MISSING: Any = object()


def fail(where: str, expected: str, got: Any) -> NoReturn:
    """Raise `BadInput` for a value of a saved tree."""
    text = repr(got)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    raise BadInput(f"Saved tree: at {where}, expected {expected}, got {shown}.")


def take(data: dict[str, Any], key: str, kind: type[T], where: str, default: T = _MISSING) -> T:
    """The value of a key, of the JSON type that `kind` names."""
    value = data.get(key, default)
    if value is _MISSING:
        fail(where, f"a key {key!r}", sorted(data))
    if not isinstance(value, kind):
        fail(f"{where}.{key}", {list: "a list", dict: "an object", str: "a text"}[kind], value)  # type: ignore[index]
    return value


def take_count(data: dict[str, Any], key: str, where: str, default: int = _MISSING) -> int:
    """A whole number of 0 or more."""
    value = data.get(key, default)
    if value is _MISSING:
        fail(where, f"a key {key!r}", sorted(data))
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        fail(f"{where}.{key}", "a whole number of 0 or more", value)
    return value


def take_call(data: Any, where: str) -> Call:
    """A call whose tensors have known dtypes and whole sizes; unknown keys are errors."""
    if not isinstance(data, dict):
        fail(where, "an object", data)
    unknown = sorted(set(data) - {"op", "args", "kwargs", "outputs", "is_view"})
    if unknown:
        raise BadInput(f"Saved tree: unknown key {unknown[0]!r} in {where}.")
    take(data, "op", str, where)
    for value in (take(data, "args", list, where), take(data, "outputs", list, where)):
        _check_argument(value, where)
    for value in take(data, "kwargs", dict, where, {}).values():
        _check_argument(value, where)
    if not isinstance(data.get("is_view", False), bool):
        fail(f"{where}.is_view", "true or false", data["is_view"])
    return Call.from_json(data)


def _check_argument(value: Any, where: str) -> None:
    if isinstance(value, list):
        for item in value:
            _check_argument(item, where)
    elif isinstance(value, dict):
        if set(value) == {"f"}:
            if value["f"] not in ("inf", "-inf", "nan"):
                fail(where, "a float 'inf', '-inf' or 'nan'", value)
        elif set(value) == {"t"}:
            _check_tensor(value["t"], where)
        else:
            fail(where, 'a tensor {"t": [shape, stride, dtype]} or a float {"f": text}', value)


def _check_tensor(spec: Any, where: str) -> None:
    if not isinstance(spec, list) or len(spec) not in (3, 4) or (len(spec) == 4 and spec[3] != 1):
        fail(where, "a tensor [shape, stride, dtype] or [shape, stride, dtype, 1]", spec)
    shape, stride, dtype = spec[:3]
    for sizes in (shape, stride):
        whole = isinstance(sizes, list) and all(type(size) is int and size >= 0 for size in sizes)
        if not whole or len(sizes) != len(shape):
            fail(where, "shape and stride: two lists of whole numbers, equally long", spec)
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        fail(where, f"a dtype of {', '.join(DTYPE_BYTES)}", dtype)
