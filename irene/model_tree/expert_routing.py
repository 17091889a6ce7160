"""How a router sends tokens to experts, as asked for: a text that a workload keeps, and the shares that it stands for.

'balanced' is what is taken where nothing is said: every expert is busy, and loads deviate as untrained routers' do.
'zipf:S' gives the expert of rank r a share that goes as r to the power of -S: all alike at 0. 'histogram:[...]' has a
number for each expert, how many tokens it got, or a list of such lists, one a layer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from irene.arrays import FloatArray
from irene.errors import BadInput
from irene.files import read_json
from irene.quoting import quote

BALANCED = "balanced"
_ZIPF, _HISTOGRAM = "zipf:", "histogram:"
_STEEPEST = 20.0  # beyond it the first expert has all but a millionth
_EXPECTED = "expected balanced, zipf:S (zipf:0: all alike, at random; zipf:1.2: skewed), or a JSON file of counts"
_COUNTS = "one number of tokens for each expert, or a list of such lists, one a layer"


def read_routing(given: Any) -> str:
    """The text of a routing given as a text, as the path of a JSON file of counts, or as the counts. Raises BadInput.

    >>> read_routing("zipf:1.50"), read_routing([6, 2, 0, 0])
    ('zipf:1.5', 'histogram:[[6.0,2.0,0.0,0.0]]')
    """
    if isinstance(given, str) and (given == BALANCED or given.startswith((_ZIPF, _HISTOGRAM))):
        return check_routing(given)
    if isinstance(given, str | Path):
        return _from_counts(_read_file(Path(given).expanduser()), str(given))
    return _from_counts(given.tolist() if isinstance(given, np.ndarray) else given, "expert_routing")


def check_routing(text: Any) -> str:
    """The text of a routing in its one spelling. Raises BadInput for any other text."""
    if text == BALANCED:
        return BALANCED
    if isinstance(text, str) and text.startswith(_ZIPF):
        try:
            exponent = float(text.removeprefix(_ZIPF))
        except ValueError:
            exponent = math.nan
        if not 0 <= exponent <= _STEEPEST:
            raise BadInput(f"expert_routing {quote(text)}: zipf takes an exponent from 0 to {_STEEPEST:g}: zipf:1.2.")
        return f"{_ZIPF}{exponent:g}"
    if isinstance(text, str) and text.startswith(_HISTOGRAM):
        try:
            return _from_counts(json.loads(text.removeprefix(_HISTOGRAM)), "expert_routing")
        except (ValueError, RecursionError):
            pass
    raise BadInput(f"expert_routing: {_EXPECTED}; got {quote(text)}.")


@lru_cache(maxsize=64)
def expert_shares(routing: str, experts: int) -> FloatArray:
    """The share of a layer's rows that each expert gets: (layers, experts), each row sums to 1.

    Raises BadInput for a histogram of another number of experts, and for 'balanced', which has no shares.

    >>> expert_shares("zipf:1", 3).round(2).tolist()
    [[0.55, 0.27, 0.18]]
    """
    if routing.startswith(_ZIPF):
        counts = np.arange(1, experts + 1, dtype=np.float64)[None] ** -float(routing.removeprefix(_ZIPF))
    elif routing.startswith(_HISTOGRAM):
        counts = np.array(json.loads(routing.removeprefix(_HISTOGRAM)), dtype=np.float64)
        if counts.shape[1] != experts:
            raise BadInput(
                f"expert_routing: the histogram is of {counts.shape[1]} experts, the model has {experts} a layer; "
                "give one number for each."
            )
    else:
        raise BadInput(f"expert_routing: {_EXPECTED}; got {quote(routing)}.")
    shares: FloatArray = counts / counts.sum(axis=1, keepdims=True)
    shares.flags.writeable = False
    return shares


def describe_routing(routing: str) -> str:
    """A routing in words.

    >>> describe_routing("histogram:[[6.0,2.0]]"), describe_routing("zipf:1.2")
    ('experts by a histogram', 'experts zipf:1.2')
    """
    return "experts by a histogram" if routing.startswith(_HISTOGRAM) else f"experts {routing}"


def _from_counts(counts: Any, where: str) -> str:
    """The text of a histogram. Raises BadInput for what is none."""
    is_list = isinstance(counts, Sequence) and not isinstance(counts, str) and len(counts) > 0
    layers = [counts] if is_list and not isinstance(counts[0], Sequence) else counts
    if not is_list or not all(_is_layer(layer) and len(layer) == len(layers[0]) for layer in layers):
        raise BadInput(f"{where}: {_COUNTS}, at least 0 and not all 0, is expected; got {quote(counts)}.")
    numbers = [[float(number) for number in layer] for layer in layers]
    return _HISTOGRAM + json.dumps(numbers, separators=(",", ":"))


def _is_layer(layer: Any) -> bool:
    if not isinstance(layer, Sequence) or isinstance(layer, str):
        return False
    is_number = all(isinstance(n, int | float) and not isinstance(n, bool) and 0 <= n < math.inf for n in layer)
    return is_number and 0 < sum(layer) < math.inf


def _read_file(path: Path) -> Any:
    if not path.is_file():
        raise BadInput(f"expert_routing: {_EXPECTED}; got {quote(str(path))}, which is no file.")
    return read_json(path, "histogram of experts")
