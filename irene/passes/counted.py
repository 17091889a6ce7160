"""A pass with a count: the calls that run once, how often they do, and what that is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from irene.model_tree.tree import ModelTree
from irene.primitives.call import Call


@dataclass(frozen=True, slots=True)
class Pass:
    """`count` runs of one tree, one after the other: `name` says which part of the workload they are.

    Each pass settles into a steady state of its own, with its own wait for the host and its own clock. Where it
    `becomes` something, the calls of the tree stand for what they become: the same ones of other sizes.
    """

    tree: ModelTree
    count: int = 1
    name: str = "forward"
    becomes: Mapping[Call, Call] | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"Pass {self.name!r}: a count of at least 1 is expected, got {self.count}.")
