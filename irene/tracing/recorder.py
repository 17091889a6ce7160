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
from torch.utils._pytree import tree_leaves

from irene.errors import Untraceable
from irene.model_tree.tree import Node
from irene.primitives.call import Call
from irene.primitives.read_backs import SENDS
from irene.tracing.attention import leaf_type
from irene.tracing.encoding import encode, fills_its_storage, spec_of, storage_key
from irene.tracing.known_values import is_known
from irene.tracing.module_index import ModuleIndex
from irene.tracing.storages import Storages
from irene.tracing.strays import Strays

_CAN_INDEX = {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool}
_MADE = "_irene_made"  # on a storage


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
    """A recorded call, for the next one that asks the same.

    `is_new`: its output is one new tensor; `can_index`: one that can index another.
    """

    call: Call
    is_new: bool
    can_index: bool


class Question(NamedTuple):
    """A call as it was asked: its tensor operands, the storage of each, and what makes an equal call equal."""

    op: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    operands: list[torch.Tensor]
    storages: list[int]
    key: Any


class Recorder:
    """Collects the calls of one forward pass; `root` holds the tree once the root module has returned.

    `given` are all tensors that there are before, weights too, where that is known: others must come from calls.
    """

    def __init__(
        self, module: torch.nn.Module, index: ModuleIndex | None = None, given: Iterable[torch.Tensor] | None = None
    ) -> None:
        self.index = index or ModuleIndex(module)
        self.weights, self.has_device = self.index.weights, self.index.has_device
        self.frames: list[_Frame] = []
        self.root: Node | None = None
        self.paused = False
        self.assumes: set[str] = set()  # notes: what has to hold for the values that were read to be right
        self.keeps_padding = False  # whether sequences stay padded that a GPU might pack
        self.made_constants = False  # whether a constant was put on meta, its value unwatched
        self.has_drawn = False  # whether random numbers were drawn on the CPU, where they can decide the path
        self.lifted, self.last_path = 0, ""
        self.strays = Strays(given)
        self.storages = Storages()
        self.alive_bytes: list[int] = []  # after each leaf: of what the recorded calls have made
        self._module_calls: dict[str, int] = {}
        self._calls: dict[Call, Call] = {}
        self._answers: dict[Any, Answer] = {}

    @property
    def place(self) -> str:
        """Where the recording is, or where it stopped."""
        return f"Module {self.last_path!r}" if self.last_path else "The root module"

    # -- modules ------------------------------------------------------------------------------------------------

    def enter(self, module: torch.nn.Module) -> None:
        path = self.index.names[id(module)]
        if not self.strays.are_here:
            self.strays.note_call(path)
            return
        index = self._module_calls.get(path, 0)
        self._module_calls[path] = index + 1
        self.last_path = path
        self.frames.append(_Frame(path, type(module).__name__, index, self.index.count_parameters(module)))

    def leave(self, output: Any) -> None:
        if not self.strays.are_here:
            return
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
        """What the same call answered before.

        Without data the answer follows from the call, except where a tensor with data (a few repeat counts, say) is
        among its operands.
        """
        return self._answers.get(question.key) if all(t.is_meta for t in question.operands) else None

    def record(self, question: Question, output: Any, known: Answer | None = None) -> None:
        if not self.frames:
            return
        call = self._complete(question, output) if known is None else known.call
        if known is None or known.can_index:
            mark_indices(output)
        if self.strays.knows_tensors:
            self.strays.check_operands(question.operands, question.storages, self.place)
            self.strays.made(tensors_in((output,), {}))
        frame = self.frames[-1]
        name = call.name
        index = frame.op_counts.get(name, 0)
        frame.op_counts[name] = index + 1
        weight_ids = tuple([self.weights[key] for key in question.storages if key in self.weights])
        frame.children.append(Node("primitive", frame.path, leaf_type(call), (), call, index, 0, weight_ids))
        self.storages.born(tensors_in((output,), {}), self.weights)
        self.alive_bytes.append(self.storages.alive_bytes)

    def made_again(self, output: Any) -> None:
        """Note what a call that was not run would have returned: tensors, also in lists and dicts, take memory."""
        self.storages.born([value for value in tree_leaves(output) if isinstance(value, torch.Tensor)], self.weights)

    def has_made(self, tensor: torch.Tensor) -> bool:
        """Whether a call of the model made a tensor without data that can index, or the model was given it."""
        storage = tensor.untyped_storage()
        return hasattr(storage, _MADE) or storage._cdata in self.weights or is_known(tensor) or self.index.holds(tensor)

    def record_hidden(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: torch.Tensor) -> None:
        """A call that torch made below the level that a mode sees."""
        self.strays.made([output])
        question = self.ask(op, args, kwargs)
        if op == "aten.to.device":  # from the numbers of Python: its operand is no tensor of the model
            question = Question(op, args, kwargs, [], [], ("hidden", question.key))
        self.record(question, output, self.known_answer(question))

    def work_out(self, answer: Callable[[], Any]) -> Any:
        """An answer from values, its own calls unrecorded; Untraceable with the place where they are unknown."""
        try:
            return self.without_recording(answer)
        except Untraceable as error:
            message = str(error)
            raise Untraceable(message if message.startswith("The model") else f"{self.place} {message}") from None

    def require_runnable(self, refusal: str) -> None:
        """Raise Untraceable for a call that no GPU runs."""
        if refusal:
            raise Untraceable(f"{self.place} cannot run: {refusal}")

    def without_recording(self, make: Callable[[], Any]) -> Any:
        self.paused = True
        try:
            return make()
        finally:
            self.paused = False

    def _complete(self, question: Question, output: Any) -> Call:
        """The call with its outputs; equal calls are one object."""
        op, operands = question.op, question.operands
        tensors = tensors_in(output if isinstance(output, list | tuple) else (output,), {})
        is_sent = op in SENDS and not tensors[0].is_cpu
        args = tuple([encode(value, self.weights, is_sent) for value in question.args])
        named = tuple([(name, encode(value, self.weights)) for name, value in question.kwargs.items()])
        writes = _writes_in_place(op) or "out" in question.kwargs
        is_view = bool(tensors) and not writes and all(storage_key(t) in question.storages for t in tensors)
        if self.has_device and (operands or tensors) and all(t.is_cpu for t in (*operands, *tensors)):
            is_view = True  # numbers that a model keeps on the host: what it does with them reaches no device
        call = Call(op, args, named, tuple([spec_of(t) for t in tensors]), is_view)
        call = self._calls.setdefault(call, call)
        if all(t.is_meta for t in operands):
            is_new = bool(operands) and not is_view and not writes and isinstance(output, torch.Tensor)
            is_new = is_new and output.is_meta and fills_its_storage(output)
            can_index = any(tensor.dtype in _CAN_INDEX for tensor in tensors)
            self._answers[question.key] = Answer(call, is_new, can_index)
        return call


@cache
def _writes_in_place(op: str) -> bool:
    call = Call(op, ())
    return call.is_in_place or call.name.startswith("__i")


def mark_indices(output: Any) -> None:
    """Say of tensors that can index others that a call made them, and not a list of numbers."""
    for tensor in tensors_in((output,), {}):
        if tensor.is_meta and tensor.dtype in _CAN_INDEX:
            setattr(tensor.untyped_storage(), _MADE, True)


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
