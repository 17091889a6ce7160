"""Every outermost operator call of a forward pass, caught as torch dispatches it, handed to a recorder.

Under `torch.inference_mode()` a `TorchDispatchMode` sees operators as the profiler's outermost `aten` events do:
`linear`, `layer_norm`, `reshape`, `to` whole. Operators that nobody listed and that torch itself only writes in others
are taken apart. What a GPU would answer differently from a meta tensor is substituted,
one operator each: the layout that attention kernels return, expert products in any dtype, and values read back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from irene.primitives.call import Call
from irene.primitives.kinds import is_known
from irene.tracing.attention import attend_on_meta
from irene.tracing.autocasting import Autocast, current_dtype
from irene.tracing.convolution_layout import lay_out
from irene.tracing.data_dependent import answer_from_values
from irene.tracing.encoding import storage_key
from irene.tracing.fused import rescale_on_meta
from irene.tracing.gpu_dtypes import refusal_of
from irene.tracing.index_range import check_indices
from irene.tracing.known_values import expression_of, remember
from irene.tracing.quick_shapes import quick_output
from irene.tracing.recorder import Recorder
from irene.tracing.refusals import unmet_condition

_ENDS_OF_CONSTRUCTION = {"aten.lift_fresh.default", "aten.detach_.default"}
_INDEXING = {"aten.index.Tensor", "aten.index_put_.default"}
# The interpreter of scripted functions asks these of a tensor; no other way of asking reaches the dispatcher.
_QUESTIONS = {"aten.size.default", "aten.size.int", "aten.stride.default", "aten.stride.int", "aten.dim.default"}
_CONVOLUTIONS = {
    "aten.conv2d.default", "aten.conv2d.padding", "aten.conv3d.default", "aten.conv3d.padding",
    "aten.conv_transpose2d.input", "aten.conv_transpose3d.input", "aten.convolution.default",
}  # fmt: skip
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_NAMES: dict[int, str] = {}  # of operators, which live as long as torch; it puts each name together anew when asked


class DispatchRecorder(TorchDispatchMode):
    """Hands every outermost operator call to a recorder, and answers those that meta tensors cannot."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self._autocast = Autocast()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:  # nothing is compiled here: the guard would only cost time in every call
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorder = self.recorder
        op = _NAMES.get(id(func)) or _NAMES.setdefault(id(func), str(func))
        if recorder.paused or op in _QUESTIONS:
            return func(*args, **kwargs)
        lower = current_dtype()
        if lower is not None:
            args, kwargs = self._autocast.cast(op, args, kwargs, lower, self._cast)
        else:
            self._autocast.forget()
        if _is_decomposed(func):
            with self:  # what it is made of comes here, call by call
                return func.decompose(*args, **kwargs)
        question = recorder.ask(op, args, kwargs)
        operands = question.operands
        on_meta = bool(operands) and operands[0].is_meta
        known = recorder.known_answer(question) if on_meta or not operands else None
        if on_meta and known is None:
            recorder.require_runnable(refusal_of(op, args, operands) or unmet_condition(op, args, kwargs))
        if on_meta:
            check_indices(op, args, kwargs, recorder.place)
        answer = answer_from_values(op, func, args, kwargs) if on_meta else None
        if answer is not None:
            recorder.assumes.update(*(e.assumed for e in map(expression_of, operands) if e is not None))
            output, known = recorder.work_out(answer), None
        elif on_meta and op in _SUBSTITUTES:
            output = _SUBSTITUTES[op](*args, **kwargs)
        else:
            output = _empty_like(known.call) if known is not None and known.is_new else _run(func, op, args, kwargs)
            if op in _CONVOLUTIONS and on_meta and known is None:
                output = lay_out(output, *operands[:2])
            if on_meta or (isinstance(output, torch.Tensor) and output.is_meta):
                remember(func, args, kwargs, operands, output)
                recorder.has_drawn |= _draws(func) and _is_readable(output)
            else:
                recorder.has_drawn |= _draws(func)
        if op in _INDEXING and on_meta:
            _record_list_indices(recorder, args[1])
        if op in _ENDS_OF_CONSTRUCTION:
            _record_hidden_construction(recorder, op, operands[0])
        recorder.record(question, output, known)
        return output

    def _cast(self, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        with self:  # recorded: autocast's casts are kernels like others
            return tensor.to(dtype)


@cache
def _is_decomposed(func: Any) -> bool:
    """Whether nobody listed an operator that torch writes in others on every device: `multi_dot`, `matrix_power`.

    It has no kernel of its own, so that its work is theirs.
    """
    return not is_known(Call(str(func), ())) and func.has_kernel_for_dispatch_key(_COMPOSITE)


@cache
def _draws(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


def _is_readable(output: Any) -> bool:
    """Whether its values would be worked out on the CPU where somebody asks: of `rand_like` of what is known."""
    return isinstance(output, torch.Tensor) and expression_of(output) is not None


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
    recorder.made_constants |= tensor.is_meta
    _record_construction(recorder, tensor)
    if op == "aten.detach_.default":
        recorder.record_hidden("aten.lift_fresh.default", (tensor,), {}, tensor)


def _record_construction(recorder: Recorder, tensor: torch.Tensor) -> None:
    options = {"dtype": tensor.dtype, "device": tensor.device}
    recorder.record_hidden("aten.empty.memory_format", (list(tensor.shape),), options, tensor)
    numbers = torch.empty(tensor.shape, dtype=tensor.dtype)  # on the host, where Python's numbers become a tensor
    recorder.record_hidden("aten.to.device", (numbers, tensor.device, tensor.dtype), {}, tensor)


def _record_list_indices(recorder: Recorder, indices: Any) -> None:
    """The tensors that lists of numbers were turned into to index another, where the profiler shows three operators.

    On meta no mode sees them made: they are those that nothing else made.
    """
    for index in indices:
        if isinstance(index, torch.Tensor) and index.is_meta and not recorder.has_made(index):
            _record_construction(recorder, index)
            recorder.record_hidden("aten.lift_fresh.default", (index,), {}, index)


def _multiply_groups_on_meta(x: torch.Tensor, weight: torch.Tensor, offs: Any = None, **_: Any) -> torch.Tensor:
    """`_grouped_mm` refuses float32 on meta but not on a GPU."""
    return x.new_empty((x.shape[0], weight.shape[-1]))


def _multiply_int4_on_meta(x: torch.Tensor, weight: torch.Tensor, group: int, scales: torch.Tensor) -> torch.Tensor:
    """`_weight_int4pack_mm` asks on meta what only torch's fake tensors answer; scales are (K / group, N, 2)."""
    return x.new_empty((x.shape[0], scales.shape[1]))


def _solve_least_squares_on_meta(a: torch.Tensor, b: torch.Tensor, *_: Any, **__: Any) -> list[torch.Tensor]:
    """Outputs of `linalg_lstsq` with the one driver that a GPU has: no rank, no singular values."""
    rows, columns = a.shape[-2:]
    lead = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2] if b.dim() == a.dim() else b.shape[:-1])
    right = b.shape[-1:] if b.dim() == a.dim() else ()
    if b.shape[-1 - len(right)] != rows:
        raise RuntimeError(f"linalg.lstsq: {tuple(a.shape)} does not fit {tuple(b.shape)}.")
    residuals = a.new_empty((*lead, *right) if rows > columns else (0,))
    return [a.new_empty((*lead, columns, *right)), residuals, a.new_empty(0, dtype=torch.int64), a.new_empty(0)]


_SUBSTITUTES: dict[str, Callable[..., Any]] = {
    "aten._transform_bias_rescale_qkv.default": rescale_on_meta,
    "aten._masked_softmax.default": lambda scores, *_, **__: torch.empty_like(scores),
    "aten.scaled_dot_product_attention.default": attend_on_meta,
    "aten.linalg_lstsq.default": _solve_least_squares_on_meta,
    "aten._grouped_mm.default": _multiply_groups_on_meta,
    "aten._weight_int4pack_mm.default": _multiply_int4_on_meta,
}
