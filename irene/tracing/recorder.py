"""Record every outermost operator call of a forward pass, under the module call that made it.

Under `torch.inference_mode()` a `TorchDispatchMode` sees operators as the profiler's outermost `aten` events do:
`linear`, `layer_norm`, `reshape`, `to` whole. What a GPU would answer differently from a meta tensor is substituted,
one operator each: the layout that attention kernels return, expert products in any dtype, and values read back.

Large models repeat a few dozen distinct calls thousands of times, and torch works out the shape of each in Python: the
answer to a call on meta tensors is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from irene.errors import Untraceable
from irene.model_tree.tree import Node
from irene.primitives.call import Call
from irene.tracing.attention import attend_on_meta
from irene.tracing.data_dependent import answer_from_values
from irene.tracing.encoding import encode, spec_of, storage_key
from irene.tracing.fused import rescale_on_meta
from irene.tracing.known_values import expression_of, remember

_ENDS_OF_CONSTRUCTION = {"aten.lift_fresh.default", "aten.detach_.default"}
# The interpreter of scripted functions asks these of a tensor; no other way of asking reaches the dispatcher.
_QUESTIONS = {"aten.size.default", "aten.size.int", "aten.stride.default", "aten.stride.int", "aten.dim.default"}


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
class _Answer:
    """A recorded call, for the next one that asks the same; `is_new`: its output is one new tensor."""

    call: Call
    is_new: bool


class Recorder:
    """Collects the calls of one forward pass; `root` holds the tree once the root module has returned."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.names: dict[int, str] = {id(m): name for name, m in module.named_modules()}
        self.parameters: dict[int, int] = {}
        self.weights: dict[int, int] = {}
        self.has_device = True  # whether the model lies on another device than the host
        for tensor in (*module.parameters(), *module.buffers()):
            self.weights.setdefault(storage_key(tensor), len(self.weights))
            self.has_device &= not tensor.is_cpu
        self.frames: list[_Frame] = []
        self.root: Node | None = None
        self.paused = False
        self.assumes = False  # whether a value was read that follows from balanced experts
        self.lifted = 0
        self.last_path = ""
        self._module_calls: dict[str, int] = {}
        self._calls: dict[Call, Call] = {}
        self._answers: dict[Call, _Answer] = {}

    @property
    def place(self) -> str:
        """Where the recording is, or where it stopped."""
        return f"Module {self.last_path!r}" if self.last_path else "The root module"

    # -- modules ------------------------------------------------------------------------------------------------

    def enter(self, module: torch.nn.Module) -> None:
        path = self.names.get(id(module))
        if path is None:  # a module made on the fly, outside the tree: name it under its caller
            path = f"{self.frames[-1].path}.<{type(module).__name__}>" if self.frames else ""
        index = self._module_calls.get(path, 0)
        self._module_calls[path] = index + 1
        self.last_path = path
        self.frames.append(_Frame(path, type(module).__name__, index, self._count_parameters(module)))

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

    def _count_parameters(self, module: torch.nn.Module) -> int:
        count = self.parameters.get(id(module))
        if count is None:
            count = sum(p.numel() for p in module.parameters())  # parameters() yields each distinct one once
            self.parameters[id(module)] = count
        return count

    def work_out(self, answer: Callable[[], Any]) -> Any:
        """An answer from values, its own calls unrecorded; Untraceable with the place where they are unknown."""
        try:
            return _without_recording(self, answer)
        except Untraceable as error:
            message = str(error)
            raise Untraceable(message if message.startswith("The model") else f"{self.place} {message}") from None

    # -- primitives ---------------------------------------------------------------------------------------------

    def describe(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """The call as it was asked, without its outputs."""
        named = tuple((name, encode(value, self.weights)) for name, value in kwargs.items())
        return Call(op, tuple(encode(value, self.weights) for value in args), named)

    def known_answer(self, asked: Call, operands: list[torch.Tensor]) -> _Answer | None:
        """What the same call answered before. Without data the answer follows from the call, except where a tensor
        with data (a few repeat counts, say) is among its operands."""
        return self._answers.get(asked) if all(t.is_meta for t in operands) else None

    def record(self, asked: Call, operands: list[torch.Tensor], output: Any, known: _Answer | None = None) -> None:
        if not self.frames:
            return
        call = self._complete(asked, operands, output) if known is None else known.call
        frame = self.frames[-1]
        index = frame.op_counts.get(call.name, 0)
        frame.op_counts[call.name] = index + 1
        weight_ids = tuple(self.weights[key] for key in (storage_key(t) for t in operands) if key in self.weights)
        frame.children.append(Node("primitive", frame.path, call.op, (), call, index, 0, weight_ids))

    def _complete(self, asked: Call, operands: list[torch.Tensor], output: Any) -> Call:
        """The call with its outputs; equal calls are one object."""
        tensors = _tensors_in(output if isinstance(output, list | tuple) else (output,), {})
        storages = {storage_key(t) for t in operands}
        writes = asked.is_in_place or asked.name.startswith("__i") or any(name == "out" for name, _ in asked.kwargs)
        is_view = bool(tensors) and not writes and all(storage_key(t) in storages for t in tensors)
        if self.has_device and (operands or tensors) and all(t.is_cpu for t in (*operands, *tensors)):
            is_view = True  # numbers that a model keeps on the host: what it does with them reaches no device
        call = Call(asked.op, asked.args, asked.kwargs, tuple(spec_of(t) for t in tensors), is_view)
        call = self._calls.setdefault(call, call)
        if operands and all(t.is_meta for t in (*operands, *tensors)):
            is_new = not is_view and not writes and isinstance(output, torch.Tensor) and _fills_its_storage(output)
            self._answers[asked] = _Answer(call, is_new)
        return call


class DispatchRecorder(TorchDispatchMode):
    """Hands every outermost operator call to a recorder, and answers those that meta tensors cannot."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorder = self.recorder
        op = str(func)
        if recorder.paused or op in _QUESTIONS:
            return func(*args, **kwargs)
        operands = _tensors_in(args, kwargs)
        asked = recorder.describe(op, args, kwargs)
        on_meta = bool(operands) and operands[0].is_meta
        known = recorder.known_answer(asked, operands) if on_meta else None
        answer = answer_from_values(op, func, args, kwargs) if on_meta else None
        if answer is not None:
            recorder.assumes |= any(e is not None and e.assumed for e in map(expression_of, operands))
            output, known = recorder.work_out(answer), None
        elif on_meta and op in _SUBSTITUTES:
            output = _SUBSTITUTES[op](*args, **kwargs)
        else:
            output = _empty_like(known.call) if known is not None and known.is_new else _run(func, args, kwargs)
            if on_meta or _makes_meta(output):
                remember(func, args, kwargs, operands, output)
        if op in _ENDS_OF_CONSTRUCTION:
            _record_hidden_construction(recorder, op, operands[0])
        recorder.record(asked, operands, output, known)
        return output


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call itself. A GPU takes numbers on the CPU (tensors of no dimension) beside its own; meta may not."""
    try:
        return func(*args, **kwargs)
    except RuntimeError as error:
        if "device" not in str(error):
            raise
        moved = tree_map(lambda v: v.to("meta") if isinstance(v, torch.Tensor) and v.dim() == 0 else v, (args, kwargs))
        return func(*moved[0], **moved[1])


def _tensors_in(args: Iterable[Any], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(item for item in value if isinstance(item, torch.Tensor))
    return found


def _fills_its_storage(tensor: torch.Tensor) -> bool:
    """Whether `empty_strided` with its shape and strides would make just such a tensor."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    stored_bytes = tensor.itemsize * (span if tensor.numel() else 0)
    return tensor.storage_offset() == 0 and tensor.untyped_storage().nbytes() == stored_bytes


def _empty_like(call: Call) -> torch.Tensor:
    spec = call.outputs[0]
    return torch.empty_strided(spec.shape, spec.stride, dtype=getattr(torch, spec.dtype), device="meta")


def _makes_meta(output: Any) -> bool:
    return isinstance(output, torch.Tensor) and output.is_meta


def _record_hidden_construction(recorder: Recorder, op: str, tensor: torch.Tensor) -> None:
    """`torch.tensor(...)` works below the level that a mode sees, all but its end: add what came before.

    The profiler shows empty, to, lift_fresh, detach_ each time. A mode sees the last two for a tensor on the CPU, and
    `detach_` alone for one on another device. In a forward pass nothing else calls them.
    """
    is_seen = recorder.lifted == storage_key(tensor)
    recorder.lifted = 0 if op == "aten.detach_.default" else storage_key(tensor)
    if is_seen:
        return
    _record_construction(recorder, tensor)
    if op == "aten.detach_.default":
        recorder.record(recorder.describe("aten.lift_fresh.default", (tensor,), {}), [tensor], tensor)


def _record_construction(recorder: Recorder, tensor: torch.Tensor) -> None:
    options = {"dtype": tensor.dtype, "device": tensor.device}
    recorder.record(recorder.describe("aten.empty.memory_format", (list(tensor.shape),), options), [], tensor)
    recorder.record(recorder.describe("aten.to.device", (tensor, tensor.device, tensor.dtype), {}), [], tensor)


def record_list_index(recorder: Recorder, numbers: list[Any], device: torch.device) -> None:
    """The tensor that a list of numbers is turned into to index another, where the profiler shows three operators."""
    if not recorder.paused:
        made = _without_recording(recorder, partial(torch.tensor, numbers, device=device))
        _record_construction(recorder, made)
        recorder.record(recorder.describe("aten.lift_fresh.default", (made,), {}), [made], made)


def _without_recording(recorder: Recorder, make: Callable[[], Any]) -> Any:
    recorder.paused = True
    try:
        return make()
    finally:
        recorder.paused = False


def _multiply_groups_on_meta(x: torch.Tensor, weight: torch.Tensor, offs: Any = None, **_: Any) -> torch.Tensor:
    """`_grouped_mm` refuses float32 on meta but not on a GPU."""
    return x.new_empty((x.shape[0], weight.shape[-1]))


_SUBSTITUTES: dict[str, Callable[..., Any]] = {
    "aten._transform_bias_rescale_qkv.default": rescale_on_meta,
    "aten._masked_softmax.default": lambda scores, *_, **__: torch.empty_like(scores),
    "aten.scaled_dot_product_attention.default": attend_on_meta,
    "aten._grouped_mm.default": _multiply_groups_on_meta,
}
