"""The calls of one forward pass, collected under the module calls that made them; `dispatch` hands them in.

Large models repeat a few dozen distinct calls thousands of times, and torch works out the shape of each in Python: the
answer to a call on meta tensors is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import torch

from irene.errors import Untraceable
from irene.model_tree.tree import Node
from irene.primitives.call import Call
from irene.tracing.attention import leaf_type
from irene.tracing.encoding import encode, spec_of, storage_key


@dataclass(slots=True)
class _Frame:
    """A module call in progress."""

    path: str
    type: str
    call_index: int
    parameters: int
    children: list[Node] = field(default_factory=list)
    op_counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A recorded call, for the next one that asks the same; `is_new`: its output is one new tensor."""

    call: Call
    is_new: bool


class Question(NamedTuple):
    """A call as it was asked: its tensor operands, the storage of each, and what makes an equal call equal."""

    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    operands: list[torch.Tensor]
    storages: list[int]
    key: Any


class ModuleIndex:
    """What a recorder looks up in a module: the same in every pass."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.names: dict[int, str] = {id(m): name for name, m in module.named_modules()}
        self.weights: dict[int, int] = {}
        self.has_device = True  # whether the model lies on another device than the host
        # Held: a model that casts a weight as it runs frees the old one, whose key an activation would take over.
        self._storages: list[torch.UntypedStorage] = []
        for tensor in (*module.parameters(), *module.buffers()):
            self.weights.setdefault(storage_key(tensor), len(self.weights))
            self._storages.append(tensor.untyped_storage())
            self.has_device &= not tensor.is_cpu
        self._parameters: dict[int, dict[int, int]] = {}

    def count_parameters(self, module: torch.nn.Module) -> int:
        """Elements of the distinct parameters at or below a module."""
        return sum(self._distinct_parameters(module).values())

    def _distinct_parameters(self, module: torch.nn.Module) -> dict[int, int]:
        """Elements of each distinct parameter at or below a module."""
        sizes = self._parameters.get(id(module))
        if sizes is None:
            sizes = {id(p): p.numel() for p in module._parameters.values() if p is not None}
            for child in module._modules.values():
                if child is not None:
                    sizes.update(self._distinct_parameters(child))
            self._parameters[id(module)] = sizes
        return sizes


class Recorder:
    """Collects the calls of one forward pass; `root` holds the tree once the root module has returned."""

    def __init__(self, module: torch.nn.Module, index: ModuleIndex | None = None) -> None:
        self.index = index or ModuleIndex(module)
        self.weights, self.has_device = self.index.weights, self.index.has_device
        self.frames: list[_Frame] = []
        self.root: Node | None = None
        self.paused = False
        self.assumes: set[str] = set()  # notes: what has to hold for the values that were read to be right
        self.keeps_padding = False  # whether sequences stay padded that a GPU might pack
        self.lifted = 0
        self.last_path = ""
        self._module_calls: dict[str, int] = {}
        self._calls: dict[Call, Call] = {}
        self._answers: dict[Any, Answer] = {}

    @property
    def place(self) -> str:
        """Where the recording is, or where it stopped."""
        return f"Module {self.last_path!r}" if self.last_path else "The root module"

    # -- modules ------------------------------------------------------------------------------------------------

    def enter(self, module: torch.nn.Module) -> None:
        path = self.index.names.get(id(module))
        if path is None:  # a module made on the fly, outside the tree: name it under its caller
            path = f"{self.frames[-1].path}.<{type(module).__name__}>" if self.frames else ""
        index = self._module_calls.get(path, 0)
        self._module_calls[path] = index + 1
        self.last_path = path
        self.frames.append(_Frame(path, type(module).__name__, index, self.index.count_parameters(module)))

    def leave(self, output: Any) -> None:
        frame = self.frames.pop()
        if output is not None and self.frames:  # None after an error: then `last_path` stays where it happened
            self.last_path = self.frames[-1].path
        kind = "module" if self.frames else "model"
        node = Node(kind, frame.path, frame.type, tuple(frame.children), None, frame.call_index, frame.parameters)  # type: ignore[arg-type]
        if self.frames:
            self.frames[-1].children.append(node)
        else:
            self.root = node

    # -- primitives ---------------------------------------------------------------------------------------------

    def ask(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Question:
        """The call, with what two calls must share to be the same call to torch."""
        operands = tensors_in(args, kwargs)
        storages = [storage_key(tensor) for tensor in operands]
        tensors = tuple(
            [(t.shape, t.stride(), t.dtype, key in self.weights) for t, key in zip(operands, storages, strict=True)]
        )
        rest = tuple([_without_tensors(value) for value in args])
        named = tuple([(name, _without_tensors(value)) for name, value in kwargs.items()]) if kwargs else ()
        return Question(op, args, kwargs, operands, storages, (op, tensors, rest, named))

    def known_answer(self, question: Question) -> Answer | None:
        """What the same call answered before. Without data the answer follows from the call, except where a tensor
        with data (a few repeat counts, say) is among its operands."""
        return self._answers.get(question.key) if all(t.is_meta for t in question.operands) else None

    def record(self, question: Question, output: Any, known: Answer | None = None) -> None:
        if not self.frames:
            return
        call = self._complete(question, output) if known is None else known.call
        frame = self.frames[-1]
        name = call.name
        index = frame.op_counts.get(name, 0)
        frame.op_counts[name] = index + 1
        weight_ids = tuple([self.weights[key] for key in question.storages if key in self.weights])
        frame.children.append(Node("primitive", frame.path, leaf_type(call), (), call, index, 0, weight_ids))

    def record_hidden(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: torch.Tensor) -> None:
        """A call that torch made below the level that a mode sees."""
        question = self.ask(op, args, kwargs)
        if op == "aten.to.device":  # from the numbers of Python: its operand is no tensor of the model
            question = Question(op, args, kwargs, [], [], question.key)
        self.record(question, output, self.known_answer(question))

    def work_out(self, answer: Callable[[], Any]) -> Any:
        """An answer from values, its own calls unrecorded; Untraceable with the place where they are unknown."""
        try:
            return self.without_recording(answer)
        except Untraceable as error:
            message = str(error)
            raise Untraceable(message if message.startswith("The model") else f"{self.place} {message}") from None

    def without_recording(self, make: Callable[[], Any]) -> Any:
        self.paused = True
        try:
            return make()
        finally:
            self.paused = False

    def _complete(self, question: Question, output: Any) -> Call:
        """The call with its outputs; equal calls are one object."""
        op, operands = question.op, question.operands
        args = tuple([encode(value, self.weights) for value in question.args])
        named = tuple([(name, encode(value, self.weights)) for name, value in question.kwargs.items()])
        tensors = tensors_in(output if isinstance(output, list | tuple) else (output,), {})
        writes = _writes_in_place(op) or "out" in question.kwargs
        is_view = bool(tensors) and not writes and all(storage_key(t) in question.storages for t in tensors)
        if self.has_device and (operands or tensors) and all(t.is_cpu for t in (*operands, *tensors)):
            is_view = True  # numbers that a model keeps on the host: what it does with them reaches no device
        call = Call(op, args, named, tuple([spec_of(t) for t in tensors]), is_view)
        call = self._calls.setdefault(call, call)
        if all(t.is_meta for t in operands):
            is_new = bool(operands) and not is_view and not writes and isinstance(output, torch.Tensor)
            is_new = is_new and output.is_meta and _fills_its_storage(output)
            self._answers[question.key] = Answer(call, is_new)
        return call


@cache
def _writes_in_place(op: str) -> bool:
    call = Call(op, ())
    return call.is_in_place or call.name.startswith("__i")


def tensors_in(args: Iterable[Any], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """Tensors among the arguments of an operator, those in lists too."""
    found: list[torch.Tensor] = []
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend([item for item in value if isinstance(item, torch.Tensor)])
    return found


def _without_tensors(value: Any) -> Any:
    """An argument as part of a key: 1, 1.0 and True are equal in Python, and different calls to torch."""
    if isinstance(value, torch.Tensor):
        return torch.Tensor
    if isinstance(value, list | tuple):
        return tuple([_without_tensors(item) for item in value])
    return type(value), value


def _fills_its_storage(tensor: torch.Tensor) -> bool:
    """Whether `empty_strided` with its shape and strides would make just such a tensor."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    stored_bytes = tensor.itemsize * (span if tensor.numel() else 0)
    return tensor.storage_offset() == 0 and tensor.untyped_storage().nbytes() == stored_bytes
