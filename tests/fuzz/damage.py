"""Damage: one flipped bit, a cut, a value of another kind at one place of a JSON file, a name of odd characters."""

from __future__ import annotations

import json
from random import Random
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 1.5, -0.0, 1e308, 10**12, 10**30, 10**400, "", "x", "0", "aten.linear.default",
    "\ud800", "\x1b[2J", "=1+1", "<b>", "a" * 20_000, [], [[]], [None], [1, 2], {}, {"a": 1}, {"f": "nan"},
    {"t": [[1], [1], "float32"]}, {"t": [[10**9, 10**9], [1, 1], "float32"]},
)  # fmt: skip
ODD_WORDS = (
    "", "-1", "0", "1", "7", "999999999999", "1e9", "nan", "inf", "x", "'", "--", "-", "=", ",", ":", "1,2,4", "%s",
    "64:512:64", "9:1", "\x1b]0;a\x07", "\u202eabc", "\u00e4", "x" * 5000, "../..", "/dev/null", "/dev/zero",
    "/dev/full", "/proc/self/mem", "h200", "gpt2", "bert-base-uncased", "float32", "tf32", "int8", "cuda_graph", "json",
    "csv", "FR", "+", "none",
)  # fmt: skip


def flip_bit(content: bytes, draw: Random) -> bytes:
    """One bit another."""
    damaged = bytearray(content)
    bit = draw.randrange(8 * len(content))
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def change_value(data: Any, draw: Random) -> str:
    """JSON text of the value with another one at one place, a key renamed, taken away or doubled."""
    spots: list[tuple[Any, Any]] = []
    stack = [data]
    while stack:
        value = stack.pop()
        keys = list(value) if isinstance(value, dict) else range(len(value))
        spots += [(value, key) for key in keys]
        stack += [value[key] for key in keys if isinstance(value[key], (dict, list))]
    if not spots:
        return json.dumps(data)
    where, key = draw.choice(spots)
    way = draw.randrange(6)
    if way == 0:
        del where[key]
    elif way == 1 and isinstance(where, dict):
        where[draw.choice(["x", "", "\x1b[2J", str(key) + "s"])] = where.pop(key)
    elif way == 2 and isinstance(where, list):
        where.append(where[key])
    elif way == 3 and isinstance(where[key], (int, float)) and not isinstance(where[key], bool):
        where[key] = draw.choice(
            [-where[key], where[key] + 1, where[key] * 10**6, where[key] / 3, float("nan"), float("inf")]
        )
    else:
        where[key] = draw.choice(ODD_VALUES)
    return json.dumps(data)


def write_otherwise(data: Any, draw: Random, *, in_one_line: bool = False) -> str:
    """JSON text of the same value: keys in another order, other spaces, other escapes."""

    def shuffle(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffle(value[key]) for key in draw.sample(list(value), len(value))}
        return [shuffle(item) for item in value] if isinstance(value, list) else value

    return json.dumps(
        shuffle(data), indent=None if in_one_line else draw.choice([None, 0, 1]), ensure_ascii=draw.random() < 0.5
    )


def break_text(text: str, draw: Random) -> str:
    """The text cut, or with a piece of it doubled, moved or replaced."""
    at, to = sorted(draw.randrange(len(text) + 1) for _ in range(2))
    way = draw.randrange(4)
    if way == 0:
        return text[:at]
    if way == 1:
        return text[:to] + text[at:]
    if way == 2:
        return text[:at] + text[to:]
    return text[:at] + draw.choice(["\0", "[" * 5000, "{", '"', "NaN", "\ufeff", "1" * 5000]) + text[at:]
