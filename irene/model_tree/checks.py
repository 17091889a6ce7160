"""Calls and workloads read strictly from the JSON of a saved tree, a saved prediction or a plan."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from functools import cache
from typing import Any, get_args, get_type_hints

from irene.errors import BadInput
from irene.fields import MOST_WHOLE, Field
from irene.model_tree.memory import Memory
from irene.model_tree.workload import Workload
from irene.primitives.call import DTYPE_BYTES, Call
from irene.quoting import quote

MOST_DEPTH = 200
"""Modules in modules: no model has a tenth of it, and what walks a tree by recursion stays within Python's limit."""
MOST_ELEMENTS = 2**48
"""Of one tensor, and of one size: 500 TB in bfloat16. Products of a few such numbers are still finite floats."""
MOST_ROUTING = 10**7
"""Characters of a routing: a histogram of thousands of experts in each of a hundred layers."""
_OPERATOR = re.compile(r"\w+(\.\w+)*")
_CALL_KEYS = ("op", "args", "outputs")
_WORKLOAD_KEYS = ("batch_size", "seq_len", "decoder_seq_len", "dtype", "task", "execution", "new_tokens")


def read_workload(field: Field) -> Workload:
    """A workload; what newer fields than the first seven leave out keeps its default."""
    found = field.keys(_WORKLOAD_KEYS, (f.name for f in fields(Workload))).items()
    most = {"expert_routing": MOST_ROUTING}
    given = {n: _read_as(hint, found[n], most.get(n, 200)) for n, hint in _workload_hints().items() if n in found}
    try:
        return Workload(**given)
    except BadInput as problem:
        raise field.error(f"{field.source}: at {field.path}: {problem}") from None


def read_memory(field: Field) -> Memory:
    """What `Memory.to_json` gave; the peak follows from the rest."""
    return Memory(**{name: field[name].whole() for name in ("weights", "kv_cache", "activations")})


def read_call(field: Field) -> Call:
    """A call whose tensors have known dtypes and whole sizes; unknown keys are errors."""
    field.keys(_CALL_KEYS, ("kwargs", "is_view"))
    op = field["op"]
    if not _OPERATOR.fullmatch(op.text(most=200)):
        op.fail("an operator such as 'aten.linear.default'")
    for argument in (*field["args"].list(), *field["outputs"].list()):
        _check_argument(argument)
    if (named := field.get("kwargs")) is not None:
        for argument in named.items().values():
            _check_argument(argument)
    if (is_view := field.get("is_view")) is not None:
        is_view.flag()
    return Call.from_json(field.value)


@cache
def _workload_hints() -> dict[str, Any]:
    return get_type_hints(Workload)


def _read_as(hint: Any, field: Field, most: int) -> Any:
    members = get_args(hint) or (hint,)
    if field.value is None and type(None) in members:
        return None
    return field.text(most=most) if str in members else field.whole()


def _check_argument(field: Field) -> None:
    value = field.value
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, list):
        for item in field.list():
            _check_argument(item)
    elif isinstance(value, dict):
        if set(value) == {"f"}:
            field["f"].text(among=("inf", "-inf", "nan"))
        elif set(value) == {"t"}:
            _check_tensor(field["t"])
        else:
            field.fail('a tensor {"t": [shape, stride, dtype]} or a float {"f": text}')
    elif isinstance(value, int) and not isinstance(value, bool):
        field.whole(-MOST_WHOLE - 1)
    elif isinstance(value, float):
        field.number()
    elif isinstance(value, str):
        field.text()


def _check_tensor(field: Field) -> None:
    spec = field.value
    if not isinstance(spec, list) or len(spec) < 3 or spec[3:] not in ([], [1], [0, 1], [1, 1]):
        field.fail("a tensor [shape, stride, dtype], then 1 for a weight, then 1 for one that the host sends")
    shape, stride, dtype = spec[:3]
    for sizes in (shape, stride):
        whole = isinstance(sizes, list) and all(type(size) is int and 0 <= size <= MOST_ELEMENTS for size in sizes)
        if not whole or len(sizes) != len(shape):
            field.fail(f"shape and stride: two lists of whole numbers up to {MOST_ELEMENTS}, equally long")
    if math.prod(shape) > MOST_ELEMENTS:
        field.fail(f"a tensor of at most {MOST_ELEMENTS} elements")
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        field.fail(f"a dtype of {', '.join(DTYPE_BYTES)}", quote(dtype))
