"""The work of a call in one small value: FLOP and bytes, added with `+` up the tree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from irene.primitives.call import Call
from irene.primitives.flop import count_flop
from irene.primitives.kinds import is_product
from irene.primitives.traffic import split_traffic


@dataclass(frozen=True, slots=True)
class Work:
    """FLOP and bytes of a call or of many.

    `flop` counts all arithmetic, `matmul_flop` the part that tensor cores do (products, recurrent layers). Bytes are
    split by what they are: `weight_bytes` of parameters read, `read_bytes` of activations read, `write_bytes`.

    >>> Work(2, 2, 8, 4, 4) + Work(1)
    Work(flop=3, matmul_flop=2, weight_bytes=8, read_bytes=4, write_bytes=4)
    >>> sum([Work(1), Work(2)], Work()).flop
    3
    """

    flop: int = 0
    matmul_flop: int = 0
    weight_bytes: int = 0
    read_bytes: int = 0
    write_bytes: int = 0

    @property
    def traffic_bytes(self) -> int:
        """All bytes: weights and activations read, outputs written."""
        return self.weight_bytes + self.read_bytes + self.write_bytes

    @property
    def vector_flop(self) -> int:
        """Arithmetic outside matrix products, which CUDA cores do."""
        return self.flop - self.matmul_flop

    @property
    def flop_per_byte(self) -> float:
        """Arithmetic intensity; 0 for work that moves no bytes."""
        return self.flop / self.traffic_bytes if self.traffic_bytes else 0.0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.flop + other.flop,
            self.matmul_flop + other.matmul_flop,
            self.weight_bytes + other.weight_bytes,
            self.read_bytes + other.read_bytes,
            self.write_bytes + other.write_bytes,
        )

    def __mul__(self, times: int) -> Work:
        """The same work `times` times.

        >>> (Work(3) * 2).flop
        6
        """
        return Work(
            self.flop * times,
            self.matmul_flop * times,
            self.weight_bytes * times,
            self.read_bytes * times,
            self.write_bytes * times,
        )


def count_work(call: Call) -> Work:
    """FLOP and bytes of one call. Pure; remembered per distinct call.

    >>> from irene.primitives.call import TensorSpec
    >>> x = TensorSpec((4, 8), (8, 1), "float32")
    >>> count_work(Call("aten.silu.default", (x,), (), (x,)))
    Work(flop=128, matmul_flop=0, weight_bytes=0, read_bytes=128, write_bytes=128)
    """
    return _count(call) if call.is_stacked else _count_once(call)


def _count(call: Call) -> Work:
    flop = count_flop(call)
    weight_bytes, read_bytes, write_bytes = split_traffic(call)
    return Work(flop, flop if is_product(call) else 0, weight_bytes, read_bytes, write_bytes)


_count_once = lru_cache(maxsize=131_072)(_count)  # a model of hundreds of layers has a few hundred distinct calls
