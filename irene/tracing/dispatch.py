"""Every outermost operator call of a forward pass, caught as torch dispatches it, handed to a recorder.

Under `torch.inference_mode()` a `TorchDispatchMode` sees operators as the profiler's outermost `aten` events do:
`linear`, `layer_norm`, `reshape`, `to` whole. What a GPU would answer differently from a meta tensor is substituted,
one operator each: the layout that attention kernels return, expert products in any dtype, and values read back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from irene.primitives.call import Call
from irene.tracing.attention import attend_on_meta
from irene.tracing.data_dependent import answer_from_values
from irene.tracing.encoding import storage_key
from irene.tracing.fused import rescale_on_meta
from irene.tracing.known_values import expression_of, remember
from irene.tracing.quick_shapes import quick_output
from irene.tracing.recorder import Recorder

_ENDS_OF_CONSTRUCTION = {"aten.lift_fresh.default", "aten.detach_.default"}
# The interpreter of scripted functions asks these of a tensor; no other way of asking reaches the dispatcher.
_QUESTIONS = {"aten.size.default", "aten.size.int", "aten.stride.default", "aten.stride.int", "aten.dim.default"}
_NAMES: dict[int, str] = {}  # of operators, which live as long as torch; it puts each name together anew when asked


class DispatchRecorder(TorchDispatchMode):
    """Hands every outermost operator call to a recorder, and answers those that meta tensors cannot."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # nothing is compiled here: the guard would only cost time in every call
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorder = self.recorder
        op = _NAMES.get(id(func)) or _NAMES.setdefault(id(func), str(func))
        if recorder.paused or op in _QUESTIONS:
            return func(*args, **kwargs)
        question = recorder.ask(op, args, kwargs)
        operands = question.operands
        on_meta = bool(operands) and operands[0].is_meta
        known = recorder.known_answer(question) if on_meta or not operands else None
        answer = answer_from_values(op, func, args, kwargs) if on_meta else None
        if answer is not None:
            recorder.assumes.update(*(e.assumed for e in map(expression_of, operands) if e is not None))
            output, known = recorder.work_out(answer), None
        elif on_meta and op in _SUBSTITUTES:
            output = _SUBSTITUTES[op](*args, **kwargs)
        else:
            output = _empty_like(known.call) if known is not None and known.is_new else _run(func, op, args, kwargs)
            if on_meta or (isinstance(output, torch.Tensor) and output.is_meta):
                remember(func, args, kwargs, operands, output)
        if op in _ENDS_OF_CONSTRUCTION:
            _record_hidden_construction(recorder, op, operands[0])
        recorder.record(question, output, known)
        return output


def _run(func: Any, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call itself. A GPU takes numbers on the CPU (tensors of no dimension) beside its own; meta may not."""
    output = quick_output(op, args, kwargs)
    if output is not None:
        return output
    try:
        return func(*args, **kwargs)
    except RuntimeError as error:
        if "device" not in str(error):
            raise
        moved = tree_map(lambda v: v.to("meta") if isinstance(v, torch.Tensor) and v.dim() == 0 else v, (args, kwargs))
        return func(*moved[0], **moved[1])


def _empty_like(call: Call) -> torch.Tensor:
    spec = call.outputs[0]
    return torch.empty_strided(spec.shape, spec.stride, dtype=getattr(torch, spec.dtype), device="meta")


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
        recorder.record_hidden("aten.lift_fresh.default", (tensor,), {}, tensor)


def _record_construction(recorder: Recorder, tensor: torch.Tensor) -> None:
    options = {"dtype": tensor.dtype, "device": tensor.device}
    recorder.record_hidden("aten.empty.memory_format", (list(tensor.shape),), options, tensor)
    recorder.record_hidden("aten.to.device", (tensor, tensor.device, tensor.dtype), {}, tensor)


def record_list_index(recorder: Recorder, numbers: list[Any], device: torch.device) -> None:
    """The tensor that a list of numbers is turned into to index another, where the profiler shows three operators."""
    if not recorder.paused:
        made = recorder.without_recording(partial(torch.tensor, numbers, device=device))
        _record_construction(recorder, made)
        recorder.record_hidden("aten.lift_fresh.default", (made,), {}, made)


def _multiply_groups_on_meta(x: torch.Tensor, weight: torch.Tensor, offs: Any = None, **_: Any) -> torch.Tensor:
    """`_grouped_mm` refuses float32 on meta but not on a GPU."""
    return x.new_empty((x.shape[0], weight.shape[-1]))


_SUBSTITUTES: dict[str, Callable[..., Any]] = {
    "aten._transform_bias_rescale_qkv.default": rescale_on_meta,
    "aten._masked_softmax.default": lambda scores, *_, **__: torch.empty_like(scores),
    "aten.scaled_dot_product_attention.default": attend_on_meta,
    "aten._grouped_mm.default": _multiply_groups_on_meta,
}
