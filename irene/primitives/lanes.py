"""Whole numbers of many calls as one: arithmetic goes lane by lane, so that a rule written for one call serves many.

Where a rule asks a question that lanes answer differently (`if stride == 1`), it cannot go on with all of them:
`Parted` says which lanes say yes, and the rule is asked again for either side. What no lane can be sure of (a hash, a
function of C, a number beyond 64 bits) raises `NotInLanes`: then each call is asked alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irene.arrays import BoolArray

_MOST_WHOLE = 2.0**62  # nearer to the end of int64 no product is trusted
_MOST_EXACT = 2**53  # whole numbers up to it are floats without rounding


class NotInLanes(ArithmeticError):
    """The rule needs each number by itself."""


class Parted(Exception):
    """A question whose answer differs from lane to lane: `yes` (lanes,)."""

    def __init__(self, yes: BoolArray) -> None:
        super().__init__("lanes differ")
        self.yes = yes


def _operator(
    name: str, compute: Callable[[Any, Any], NDArray[Any]], turned: bool = False
) -> Callable[[Lanes, Any], Lanes]:
    def apply(own: Lanes, other: Any) -> Lanes:
        left, right = own.values, other.values if isinstance(other, Lanes) else other
        if not isinstance(right, int | float | np.ndarray):
            return NotImplemented  # type: ignore[no-any-return]
        return Lanes(compute(right, left) if turned else compute(left, right))

    apply.__name__ = name
    return apply


def _times(left: Any, right: Any) -> NDArray[Any]:
    product: NDArray[Any] = np.multiply(left, right)
    if product.dtype == np.int64 and np.abs(np.multiply(left, right, dtype=np.float64)).max(initial=0.0) > _MOST_WHOLE:
        raise NotInLanes
    return product


def _whole(compute: Callable[[Any, Any], NDArray[Any]]) -> Callable[[Any, Any], NDArray[Any]]:
    def apply(left: Any, right: Any) -> NDArray[Any]:
        if np.any(np.equal(right, 0)):
            raise NotInLanes
        return compute(left, right)

    return apply


def _over(left: Any, right: Any) -> NDArray[Any]:
    """Python rounds a ratio of whole numbers once, NumPy each of them before."""
    if np.any(np.equal(right, 0)):
        raise NotInLanes
    are_whole = all(np.asarray(side).dtype.kind in "iu" for side in (left, right))
    if are_whole and max(np.abs(left).max(initial=0), np.abs(right).max(initial=0)) > _MOST_EXACT:
        raise NotInLanes
    ratio: NDArray[Any] = np.true_divide(left, right)
    return ratio


class Lanes:
    """A number of each of many calls, `values` (lanes,): sizes as int64, times as float64, answers as bool.

    >>> rows = Lanes(np.array([3, 8]))
    >>> (-(-rows // 4) * 2.5).values.tolist()
    [2.5, 5.0]
    >>> bool(rows > 1)
    True
    """

    __slots__ = ("values",)
    __array_ufunc__ = None  # arrays leave the operators to this class
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    __add__ = __radd__ = _operator("add", np.add)
    __sub__, __rsub__ = _operator("sub", np.subtract), _operator("rsub", np.subtract, turned=True)
    __mul__ = __rmul__ = _operator("mul", _times)
    __floordiv__ = _operator("floordiv", _whole(np.floor_divide))
    __rfloordiv__ = _operator("rfloordiv", _whole(np.floor_divide), turned=True)
    __mod__, __rmod__ = _operator("mod", _whole(np.mod)), _operator("rmod", _whole(np.mod), turned=True)
    __truediv__, __rtruediv__ = _operator("truediv", _over), _operator("rtruediv", _over, turned=True)
    __lt__, __le__ = _operator("lt", np.less), _operator("le", np.less_equal)
    __gt__, __ge__ = _operator("gt", np.greater), _operator("ge", np.greater_equal)
    __eq__ = _operator("eq", np.equal)  # type: ignore[assignment]
    __ne__ = _operator("ne", np.not_equal)  # type: ignore[assignment]

    def __neg__(self) -> Lanes:
        return Lanes(-self.values)

    def __abs__(self) -> Lanes:
        return Lanes(np.abs(self.values))

    def __bool__(self) -> bool:
        yes = self.values != 0
        if yes.all():
            return True
        if not yes.any():
            return False
        raise Parted(yes)
