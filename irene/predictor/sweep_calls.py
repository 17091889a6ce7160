"""The distinct calls of many points, as a stack, and which of them each leaf of each point is, weights hot or cold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from irene.arrays import BoolArray, IntArray, distinct_rows
from irene.predictor.reuse import WeightUses, find_cold
from irene.primitives.call import Call
from irene.primitives.patterns import Pattern, split_call
from irene.primitives.stacks import CallStack, Form, numbers_of
from irene.primitives.work import count_work

if TYPE_CHECKING:
    from irene.tracing.short_traces import Outline
    from irene.tracing.trace_blocks import TraceBlock

_A_VIEW = Call("aten.alias.default", (), (), (), is_view=True)  # stands for every view
_LEAVES_AT_ONCE = 500_000  # of all points of a part: some arrays of four megabytes each


@dataclass(frozen=True, slots=True, eq=False)
class AlikePoints:
    """Points of one outline whose leaves fall into the same classes: equal leaves at every point, as cold or as hot.

    `points` (points,) says which they are, `class_of_leaf` (leaves,) is in call order, and `keys` (points, classes) are
    twice the number of a distinct call, plus one where its weights are cold.
    """

    outline: int
    points: IntArray
    class_of_leaf: IntArray
    keys: IntArray


def stack_calls(patterns: Sequence[Pattern], blocks: Sequence[TraceBlock]) -> tuple[CallStack, list[IntArray]]:
    """The distinct calls of some blocks, and of each block which its slots are, shape (points, slots).

    Views stand for each other: none launches a kernel, moves bytes or costs anything but the host's time.
    """
    asked: dict[int, list[tuple[int, int]]] = {}  # of each pattern: blocks and slots
    for at, block in enumerate(blocks):
        for slot, pattern in enumerate(block.patterns):
            if not patterns[pattern].is_view:
                asked.setdefault(pattern, []).append((at, slot))
    view = split_call(_A_VIEW)[0]
    forms = [Form(view, np.zeros(1, dtype=np.int64), np.zeros((1, 0), dtype=np.int64))]
    found = [np.zeros((len(block.points), len(block.patterns)), dtype=np.int64) for block in blocks]
    count = 1
    for pattern, places in asked.items():
        every = np.concatenate([blocks[at].numbers[slot] for at, slot in places])
        first, rows = distinct_rows(every)
        forms.append(Form(patterns[pattern], np.arange(count, count + len(first)), every[first]))
        ends = np.cumsum([len(blocks[at].points) for at, _ in places])
        for (at, slot), own in zip(places, np.split(rows, ends[:-1]), strict=True):
            found[at][:, slot] = count + own
        count += len(first)
    return CallStack(tuple(forms)), found


def find_alike(
    calls: CallStack, blocks: Sequence[TraceBlock], call_of_slot: Sequence[IntArray], outlines: Sequence[Outline],
    uses: Sequence[WeightUses], l2_bytes: float,
) -> Iterator[AlikePoints]:  # fmt: skip
    """The points of some blocks, so many at a time that arrays over their leaves stay small.

    `call_of_slot` is as `stack_calls` gives it; `uses` are by outline.
    """
    traffic_bytes, weight_bytes = numbers_of(_count_bytes, calls, 2)
    for block, called in zip(blocks, call_of_slot, strict=True):
        slot_of_leaf = block.slot_of_place[outlines[block.outline].place_of_leaf]
        step = max(_LEAVES_AT_ONCE // max(len(slot_of_leaf), 1), 1)
        for start in range(0, len(block.points), step):
            own = called[start : start + step]
            of_leaves = own[:, slot_of_leaf]
            cold = find_cold(uses[block.outline], traffic_bytes[of_leaves], weight_bytes[of_leaves], l2_bytes)
            slot_of_class, cold_of_class, class_of_leaf = _classes_of(slot_of_leaf, cold)
            keys = 2 * own[:, slot_of_class] + cold_of_class
            yield AlikePoints(block.outline, block.points[start : start + step], class_of_leaf, keys)


def _count_bytes(call: Call) -> tuple[int, int]:
    work = count_work(call)
    return work.traffic_bytes, work.weight_bytes


def _classes_of(slot_of_leaf: IntArray, cold: BoolArray) -> tuple[IntArray, BoolArray, IntArray]:
    """Leaves that are one slot, and cold at the same points, are one class.

    The slot of each class (classes,), where it is cold (points, classes), and the class of each leaf (leaves,).
    """
    packed = np.packbits(cold, axis=0).T  # (leaves, bytes)
    numbers: dict[tuple[int, bytes], int] = {}
    found = [
        numbers.setdefault((slot, row.tobytes()), len(numbers))
        for slot, row in zip(slot_of_leaf.tolist(), packed, strict=True)
    ]
    class_of_leaf = np.array(found, dtype=np.int64)
    _, first = np.unique(class_of_leaf, return_index=True)
    return slot_of_leaf[first], cold[:, first], class_of_leaf
