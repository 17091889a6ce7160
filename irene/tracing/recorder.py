"""Record every outermost operator call of a forward pass, under the module call that made it.

Under `torch.inference_mode()` a `TorchDispatchMode` sees operators as the profiler's outermost `aten` events do:
`linear`, `layer_norm`, `reshape`, `to` whole. What a GPU would answer differently from a meta tensor is substituted, one
operator each: the layout that attention kernels return, expert products in any dtype, and values read back.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from irene.errors import Untraceable
from irene.model_tree.tree import Node
from irene.primitives.call import Call
from irene.tracing.attention import attend_on_meta
from irene.tracing.encoding import encode, spec_of, storage_key
from irene.tracing.known_values import expression_of, remember

_READS_VALUE = {"aten.item.default", "aten._local_scalar_dense.default", "aten.is_nonzero.default"}


@dataclass(slots=True)
class _Frame:
    """A module call in progress."""

    path: str
    type: str
    call_index: int
    parameters: int
    children: list[Node] = field(default_factory=list)
    op_counts: dict[str, int] = field(default_factory=dict)


class Recorder:
    """Collects the calls of one forward pass; `root` holds the tree once the root module has returned."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.names: dict[int, str] = {id(m): name for name, m in module.named_modules()}
        self.parameters: dict[int, int] = {}
        self.weights: dict[int, int] = {}
        for tensor in (*module.parameters(), *module.buffers()):
            self.weights.setdefault(storage_key(tensor), len(self.weights))
        self.frames: list[_Frame] = []
        self.root: Node | None = None
        self.paused = False
        self.last_path = ""
        self._module_calls: dict[str, int] = {}
        self._calls: dict[Call, Call] = {}

    # -- modules ------------------------------------------------------------------------------------------------

    def enter(self, module: torch.nn.Module) -> None:
        path = self.names.get(id(module))
        if path is None:  # a module made on the fly, outside the tree: name it under its caller
            path = f"{self.frames[-1].path}.<{type(module).__name__}>" if self.frames else ""
        index = self._module_calls.get(path, 0)
        self._module_calls[path] = index + 1
        self.last_path = path
        self.frames.append(_Frame(path, type(module).__name__, index, self._count_parameters(module)))

    def leave(self) -> None:
        frame = self.frames.pop()
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

    # -- primitives ---------------------------------------------------------------------------------------------

    def record(self, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], operands: list[torch.Tensor], output: Any) -> None:
        if not self.frames:
            return
        tensors = [t for t in (output if isinstance(output, list | tuple) else (output,)) if isinstance(t, torch.Tensor)]
        storages = {storage_key(t) for t in operands}
        writes = op.split(".")[1].endswith("_") or "out" in kwargs
        is_view = bool(tensors) and not writes and all(storage_key(t) in storages for t in tensors)
        call = Call(
            op,
            tuple(encode(a, self.weights) for a in args),
            tuple((name, encode(value, self.weights)) for name, value in kwargs.items()),
            tuple(spec_of(t) for t in tensors),
            is_view,
        )
        call = self._calls.setdefault(call, call)
        frame = self.frames[-1]
        index = frame.op_counts.get(call.name, 0)
        frame.op_counts[call.name] = index + 1
        weight_ids = tuple(self.weights[key] for key in (storage_key(t) for t in operands) if key in self.weights)
        frame.children.append(Node("primitive", frame.path, op, (), call, index, 0, weight_ids))


class _DispatchRecorder(TorchDispatchMode):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorder = self.recorder
        if recorder.paused:
            return func(*args, **kwargs)
        op = str(func)
        operands = _tensors_in(args, kwargs)
        on_meta = bool(operands) and operands[0].is_meta
        if on_meta and op in _READS_VALUE:
            output = _read_value(func, operands[0], recorder)
        elif on_meta and op in _SUBSTITUTES:
            output = _SUBSTITUTES[op](*args, **kwargs)
        else:
            output = func(*args, **kwargs)
            if on_meta or _makes_meta(output):
                remember(func, args, kwargs, operands, output)
        if op == "aten.detach_.default":
            _record_hidden_construction(recorder, operands[0])
        recorder.record(op, args, kwargs, operands, output)
        return output


def _tensors_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(item for item in value if isinstance(item, torch.Tensor))
    return found


def _makes_meta(output: Any) -> bool:
    return isinstance(output, torch.Tensor) and output.is_meta


def _record_hidden_construction(recorder: Recorder, tensor: torch.Tensor) -> None:
    """`torch.tensor(...)` works below the level that a mode sees, all but its last step, `detach_`: add what came before.

    In a forward pass nothing else calls `detach_`; the profiler shows empty, to, lift_fresh, detach_ each time.
    """
    dtype = {"dtype": tensor.dtype, "device": tensor.device}
    recorder.record("aten.empty.memory_format", (list(tensor.shape),), dtype, [], tensor)
    recorder.record("aten.to.device", (tensor, tensor.device, tensor.dtype), {}, [], tensor)
    recorder.record("aten.lift_fresh.default", (tensor,), {}, [tensor], tensor)


def _multiply_groups_on_meta(x: torch.Tensor, weight: torch.Tensor, offs: Any = None, **_: Any) -> torch.Tensor:
    """`_grouped_mm` refuses float32 on meta but not on a GPU."""
    return x.new_empty((x.shape[0], weight.shape[-1]))


_SUBSTITUTES = {
    "aten.scaled_dot_product_attention.default": attend_on_meta,
    "aten._grouped_mm.default": _multiply_groups_on_meta,
}


def _read_value(func: Any, tensor: torch.Tensor, recorder: Recorder) -> Any:
    expression = expression_of(tensor)
    if expression is None:
        where = recorder.frames[-1].path if recorder.frames else ""
        raise Untraceable(
            f"'{where or 'the root module'}' reads the value of a tensor that depends on weights ({func}); without "
            "weights it is unknown. A model whose path depends on its data cannot be traced."
        )
    recorder.paused = True
    try:
        return func(expression.compute())
    finally:
        recorder.paused = False


@contextmanager
def recording(recorder: Recorder) -> Any:
    """Everything called inside is recorded; hooks are removed whatever happens."""
    hooks = torch.nn.modules.module
    with ExitStack() as stack:
        pre = hooks.register_module_forward_pre_hook(lambda module, _: recorder.enter(module))
        stack.callback(pre.remove)
        post = hooks.register_module_forward_hook(lambda *_: recorder.leave(), always_call=True)
        stack.callback(post.remove)
        stack.enter_context(torch.inference_mode())
        stack.enter_context(_DispatchRecorder(recorder))
        yield recorder
