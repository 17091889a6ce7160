"""The module tree of a model: a node is a *call* of the model, of a module or of a primitive.

ALBERT's one layer called twelve times is twelve nodes. Trees are frozen values: predictions stand beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from irene.primitives.call import Call

Kind = Literal["model", "module", "primitive"]


@dataclass(frozen=True, slots=True)
class Workload:
    """What the model is asked to do.

    `seq_len` counts tokens (of the encoder, where there are two); `None` where the config fixes the input (images).
    `new_tokens` > 0 means a generation. `execution` is 'eager' or 'cuda_graph'.
    """

    batch_size: int = 1
    seq_len: int | None = 128
    decoder_seq_len: int | None = None
    dtype: str = "bfloat16"
    task: str = "base"
    execution: str = "eager"
    new_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """One call. `path` is the dotted name of the module as in `named_modules()` ('' for the root); `type` is the
    module's class or the primitive's operator, with the kernel family behind it for attention ('...default[cudnn]').

    `call_index` counts earlier calls of the same module (0 for the first); for a primitive, `path` is the module that
    made the call and `call_index` counts earlier calls of the same op within that module call. `weight_ids` number
    the distinct parameters and buffers that a primitive reads, so that reuse can be seen. `parameters` counts the
    distinct parameters of the module and all modules below it.
    """

    kind: Kind
    path: str
    type: str
    children: tuple[Node, ...] = ()
    call: Call | None = None
    call_index: int = 0
    parameters: int = 0
    weight_ids: tuple[int, ...] = ()

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
class ModelTree:
    """A traced model: its root call, the workload it was traced for, and the versions that traced it."""

    root: Node
    model: str
    workload: Workload
    versions: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = field(default=())

    def with_workload(self, **changes: object) -> ModelTree:
        return replace(self, workload=replace(self.workload, **changes))  # type: ignore[arg-type]
