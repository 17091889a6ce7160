"""The signature of one primitive call: what PyTorch was asked to do, with shapes and no data.

A `Call` is enough to count its work (`count_flop`, `count_traffic_bytes`), to predict its time and energy, and to
replay it on a GPU. It needs no torch: dtypes are their names, tensors are `TensorSpec`s.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, TypeAlias

from irene.errors import BadInput, UnknownName
from irene.quoting import quote

# As torch writes them. Quantised, sub-byte and bit dtypes are left out: no operator of a forward pass takes them.
DTYPE_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1,
    "float4_e2m1fn_x2": 1, "complex32": 4, "complex64": 8, "complex128": 16, "bool": 1,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1,
}  # fmt: skip


def dtype_bytes(name: str) -> int:
    """Bytes of one element; raises UnknownName for a dtype that has none.

    >>> dtype_bytes("bfloat16")
    2
    """
    try:
        return DTYPE_BYTES[name]
    except KeyError:
        raise UnknownName("dtype", name, DTYPE_BYTES, hint="Its tensors cannot be counted.") from None


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape, strides (in elements) and dtype of a tensor; `weight`: a parameter or buffer; `on_host`: sent from there.

    >>> TensorSpec((8, 128), (128, 1), "bfloat16").bytes
    2048
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str
    weight: bool = False
    on_host: bool = field(default=False, repr=False)

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return dtype_bytes(self.dtype)

    @property
    def bytes(self) -> int:
        """Distinct bytes behind the tensor: a broadcast (stride 0) dimension is stored once."""
        stored = 1
        for size, stride in zip(self.shape, self.stride, strict=True):
            if stride != 0 or size == 0:
                stored *= size
        return stored * self.itemsize

    @property
    def is_contiguous(self) -> bool:
        expected = 1
        for size, stride in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True


Argument: TypeAlias = "TensorSpec | int | float | bool | str | None | tuple[Argument, ...]"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operator, as PyTorch's dispatcher saw it.

    `op` is the operator with its overload ("aten.linear.default"). Arguments that are torch dtypes, devices, layouts
    or memory formats appear as strings ("torch.float32", "device"). `is_view` says that nothing on the device is
    written, since the output shares the storage of an input or lies on the host: no kernel, but host time.
    """

    op: str
    args: tuple[Argument, ...]
    kwargs: tuple[tuple[str, Argument], ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    is_view: bool = False
    _hash: int = field(default=0, init=False, repr=False, compare=False)
    _kind: str = field(default="", init=False, repr=False, compare=False)  # that irene.primitives.kinds gave it
    _tensors: tuple[TensorSpec, ...] | None = field(default=None, init=False, repr=False, compare=False)
    is_stacked: bool = field(default=False, init=False, repr=False, compare=False)  # see irene.primitives.stacks

    def __post_init__(self) -> None:  # named arguments have no order: equal calls must be equal, and have one signature
        if len(self.kwargs) > 1:
            object.__setattr__(self, "kwargs", tuple(sorted(self.kwargs, key=lambda item: item[0])))

    def __hash__(self) -> int:  # calls are hashed often (every leaf of every tree): remember it
        if self._hash == 0:
            object.__setattr__(self, "_hash", hash((self.op, self.args, self.kwargs, self.outputs, self.is_view)) or 1)
        return self._hash

    def __eq__(self, other: object) -> bool:  # 1, 1.0 and True are equal in Python, and different calls to PyTorch
        if self is other:
            return True
        if not isinstance(other, Call):
            return NotImplemented
        return (
            self.op == other.op
            and self.is_view == other.is_view
            and self.args == other.args
            and self.kwargs == other.kwargs
            and self.outputs == other.outputs
            and _are_of_one_type(self.args, other.args)
            and _are_of_one_type(self.kwargs, other.kwargs)
        )

    def __reduce__(self) -> tuple[Any, ...]:  # hashes of strings differ between processes: never pickle one
        return Call, (self.op, self.args, self.kwargs, self.outputs, self.is_view)

    @property
    def name(self) -> str:
        """The operator without namespace and overload: 'linear'."""
        return _name_of(self.op)

    @property
    def is_in_place(self) -> bool:
        return self.name.endswith("_") and not self.name.endswith("__")

    def kwarg(self, name: str, default: Argument = None) -> Argument:
        return dict(self.kwargs).get(name, default)

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Every tensor operand, in order, those inside lists too."""
        if self._tensors is None:  # asked for by every count: remember it
            found: list[TensorSpec] = []
            for value in self.args:
                _gather(value, found)
            for _, value in self.kwargs:
                _gather(value, found)
            object.__setattr__(self, "_tensors", tuple(found))
        return self._tensors  # type: ignore[return-value]

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"op": self.op, "args": [_encode(a) for a in self.args]}
        if self.kwargs:
            data["kwargs"] = {k: _encode(v) for k, v in self.kwargs}
        data["outputs"] = [_encode(o) for o in self.outputs]
        if self.is_view:
            data["is_view"] = True
        return data

    @staticmethod
    def from_json(data: dict[str, Any]) -> Call:
        outputs = tuple(_decode(o) for o in data["outputs"])
        return Call(
            data["op"],
            tuple(_decode(a) for a in data["args"]),
            tuple((k, _decode(v)) for k, v in data.get("kwargs", {}).items()),
            tuple(o for o in outputs if isinstance(o, TensorSpec)),
            bool(data.get("is_view", False)),
        )

    @property
    def signature(self) -> str:
        """Canonical text of the call: equal texts, equal calls; the key under which rows are stored.

        It is `to_json` as JSON with sorted keys and no spaces, put together here since it is asked for in bulk.
        """
        view = ',"is_view":true' if self.is_view else ""
        named = ",".join([f"{json.dumps(name)}:{_text_of(value)}" for name, value in self.kwargs])  # kept sorted
        kwargs = f',"kwargs":{{{named}}}' if named else ""
        outputs = _text_of(self.outputs)
        return f'{{"args":{_text_of(self.args)}{view}{kwargs},"op":{json.dumps(self.op)},"outputs":{outputs}}}'


@cache
def _name_of(op: str) -> str:
    return op.split(".")[1] if "." in op else op


@lru_cache(maxsize=65536)  # the same rows are read for every fold that is held out
def read_signature(text: str) -> Call:
    """The call of a signature, parsed once. Raises BadInput for other text.

    >>> gelu = Call("aten.gelu.default", (TensorSpec((8,), (1,), "bfloat16"),))
    >>> read_signature(gelu.signature) == gelu
    True
    """
    try:
        return Call.from_json(json.loads(text))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise BadInput(f"A row's signature is no call: {quote(text)} ({type(error).__name__}).") from None


def _are_of_one_type(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (not isinstance(one, tuple) or all(map(_are_of_one_type, one, other)))


def _gather(value: Argument, found: list[TensorSpec]) -> None:
    if isinstance(value, TensorSpec):
        found.append(value)
    elif isinstance(value, tuple):
        for item in value:
            _gather(item, found)


def _encode(value: Argument) -> Any:
    if isinstance(value, TensorSpec):
        flags = [int(value.weight), 1] if value.on_host else [1] if value.weight else []
        return {"t": [list(value.shape), list(value.stride), value.dtype, *flags]}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"f": repr(value)}
    return value


def _text_of(value: Argument) -> str:
    """The JSON of `_encode(value)`, without spaces."""
    if isinstance(value, TensorSpec):
        shape, stride = (",".join([str(number) for number in numbers]) for numbers in (value.shape, value.stride))
        flags = f",{int(value.weight)},1" if value.on_host else ",1" if value.weight else ""
        return f'{{"t":[[{shape}],[{stride}],"{value.dtype}"{flags}]}}'
    if isinstance(value, tuple):
        return f"[{','.join([_text_of(item) for item in value])}]"
    if type(value) is int:
        return str(value)
    return json.dumps(_encode(value), separators=(",", ":"))


def _decode(value: Any) -> Argument:
    if isinstance(value, dict):
        if "f" in value:
            return float(value["f"])
        shape, stride, dtype, *flags = value["t"]
        return TensorSpec(tuple(shape), tuple(stride), dtype, bool(sum(flags[:1])), bool(sum(flags[1:])))
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    return value  # type: ignore[no-any-return]
