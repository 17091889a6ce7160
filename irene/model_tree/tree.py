"""The module tree of a model: a node is a *call* of the model, of a module or of a primitive.

ALBERT's one layer called twelve times is twelve nodes. Trees are frozen values: predictions stand beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from irene.model_tree.memory import Memory
from irene.model_tree.workload import Workload, describe_workload
from irene.primitives.call import Call
from irene.showing import Shown

NodeKind = Literal["model", "module", "primitive"]


@dataclass(frozen=True, slots=True)
class Node:
    """One call.

    `path` is the dotted name of the module as in `named_modules()` ('' for the root); `type` is the
    module's class or the primitive's operator, with the kernel family behind it for attention ('...default[cudnn]').

    `call_index` counts earlier calls of the same module (0 for the first); for a primitive, `path` is the module that
    made the call and `call_index` counts earlier calls of the same op within that module call. `weight_ids` number
    the distinct parameters and buffers that a primitive reads, so that reuse can be seen. `parameters` counts the
    distinct parameters of the module and all modules below it. `count` is how often the call is made, with all below it
    and other sizes each time: a decode step stands for all of its kind.
    """

    kind: NodeKind
    path: str
    type: str
    children: tuple[Node, ...] = ()
    call: Call | None = None
    call_index: int = 0
    parameters: int = 0
    weight_ids: tuple[int, ...] = ()
    count: int = 1

    @property
    def name(self) -> str:
        """Last part of the path; a primitive's is its op and number, 'linear#0'."""
        if self.kind == "primitive":
            assert self.call is not None
            return f"{self.call.name}#{self.call_index}"
        last = self.path.rsplit(".", 1)[-1] or self.type
        return f"{last}@{self.call_index}" if self.call_index else last

    def walk(self) -> Iterator[Node]:
        """This node and all below it, parents first, children in call order."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    @property
    def leaves(self) -> Iterator[Node]:
        return (node for node in self.walk() if node.kind == "primitive")


@dataclass(frozen=True, slots=True)
class ModelTree(Shown):
    """A traced model: its root call, the workload it was traced for, and the versions that traced it.

    `quantization` says how the checkpoint stores its weights where the tree shows the dense twin of a quantised model;
    '' where the tree shows the model itself. `stored_as` says it where the tree shows the program of quantised weights.
    `left_out` names towers (of images, of sound) that no input reached.
    `memory` is what the workload needs, where that was traced.
    """

    root: Node
    model: str
    workload: Workload
    versions: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = field(default=())
    quantization: str = ""
    left_out: str = ""
    memory: Memory | None = None
    stored_as: str = ""

    def __repr__(self) -> str:
        nodes = sum(1 for _ in self.root.walk())
        return f"<ModelTree {self.model} ({describe_workload(self.workload)}): {nodes:,} nodes>"

    def with_workload(self, **changes: object) -> ModelTree:
        return replace(self, workload=replace(self.workload, **changes))  # type: ignore[arg-type]
