"""How long instances are: a file with one length a line, or a distribution by name; drawn once, from a seed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from irene.arrays import IntArray
from irene.errors import BadInput, UnknownName
from irene.files import read_text
from irene.quoting import quote

_PARAMETERS = {"fixed": ("tokens",), "uniform": ("least", "most"), "lognormal": ("median", "sigma", "most")}
_MOST_TOKENS = 2**24
DISTRIBUTIONS = tuple(":".join((name, *map(str.upper, parts))) for name, parts in _PARAMETERS.items())
"""How each distribution is written."""


def draw_lengths(spec: str, count: int, seed: int) -> IntArray:
    """`count` lengths, in tokens, from a file or a named distribution.

    `spec` is a whole number (all alike), `uniform:LEAST:MOST` (both ends may come), `lognormal:MEDIAN:SIGMA:MOST`
    (rounded, from 1 to MOST), or the path of a file of whole numbers, one a line, which are taken in order, and again
    from the first where there are fewer. Raises UnknownName for another distribution, BadInput for parameters that
    mean nothing, and for a file without lengths.

    >>> draw_lengths("uniform:3:5", 4, seed=0).tolist(), draw_lengths("128", 2, seed=0).tolist()
    ([5, 4, 4, 3], [128, 128])
    """
    name, *given = spec.split(":")
    if Path(spec).is_file() or (not given and not spec.strip().isdecimal()):
        return np.resize(read_lengths(spec), count).astype(np.int64)
    if not given:
        name, given = "fixed", [spec]
    if name not in _PARAMETERS:
        hint = "A file is given by its path. Distributions: " + ", ".join(DISTRIBUTIONS) + "."
        raise UnknownName("distribution of lengths", name, _PARAMETERS, hint)
    numbers = _read_numbers(name, given, spec)
    rng = np.random.default_rng(seed)
    if name == "fixed":
        return np.full(count, int(numbers[0]), dtype=np.int64)
    if name == "uniform":
        return rng.integers(int(numbers[0]), int(numbers[1]), count, endpoint=True, dtype=np.int64)
    median, sigma, most = numbers
    drawn = np.rint(median * np.exp(sigma * rng.standard_normal(count)))
    return np.clip(drawn, 1, most).astype(np.int64)


def read_lengths(path: str) -> IntArray:
    """The whole numbers of a file, one a line; empty lines are passed over. Raises BadInput."""
    lines = [line.strip() for line in read_text(path, "file of lengths").splitlines()]
    found: list[int] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        if not (line.isascii() and line.isdecimal() and 1 <= int(line[:20]) <= _MOST_TOKENS):
            raise BadInput(
                f"{path}, line {number}: expected one whole number of 1 to {_MOST_TOKENS:,} tokens, got {quote(line)}."
            )
        found.append(int(line))
    if not found:
        raise BadInput(f"The file of lengths {quote(path)} has none: expected one whole number a line.")
    return np.array(found, dtype=np.int64)


def _read_numbers(name: str, given: list[str], spec: str) -> list[float]:
    wanted = _PARAMETERS[name]
    usage = ":".join((name, *map(str.upper, wanted)))
    try:
        numbers = [float(text) for text in given]
    except ValueError:
        numbers = []
    lengths = [n for n, what in zip(numbers, wanted, strict=False) if what != "sigma"]
    is_whole = all(math.isfinite(n) and n == int(n) and 1 <= n <= _MOST_TOKENS for n in lengths)
    is_rising = name == "fixed" or (len(lengths) == 2 and lengths[0] <= lengths[1])
    sigma_is_sane = name != "lognormal" or (len(numbers) == 3 and 0 <= numbers[1] <= 10)
    if len(numbers) != len(wanted) or not (is_whole and is_rising and sigma_is_sane):
        raise BadInput(
            f"Lengths {quote(spec)}: expected {usage}, with lengths of 1 to {_MOST_TOKENS:,} tokens, the smaller first."
        )
    return numbers
