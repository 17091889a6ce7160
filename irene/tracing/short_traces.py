"""The calls of one traced point, and the tree without numbers that many points share: values, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from irene.arrays import IntArray
from irene.model_tree.graph import FlatTree
from irene.primitives.patterns import Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A tree without the numbers in its calls: `flat` is that of one traced point with this outline.

    `place_of_leaf` has for each leaf its place among the leaves of a short trace; `launches` says which of the calls
    there that may do nothing launch a kernel.
    """

    flat: FlatTree
    place_of_leaf: IntArray
    launches: tuple[bool, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ShortTrace:
    """The calls of one point: for each distinct one its pattern and numbers, and for each leaf which one it is.

    Leaves are those of the short trace; `Outline.place_of_leaf` leads there from all leaves.
    """

    outline: int
    patterns: tuple[int, ...]
    numbers: tuple[Numbers, ...]
    call_of_place: tuple[int, ...]
