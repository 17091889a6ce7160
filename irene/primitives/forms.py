"""The form of a call: its operator and how its operands lie, without sizes.

What was timed in one form says less of another. A matrix product runs other kernels where K is not the near dimension
of an operand; a convolution where it is grouped, depthwise or has its channels last; attention by backend; a pass over
memory where a tensor is not dense.
"""

from __future__ import annotations

from irene.primitives.attention import attention_backend
from irene.primitives.call import Call, TensorSpec
from irene.primitives.collectives import exchange_of
from irene.primitives.depthwise import is_depthwise, steps_of, takes_library_kernel
from irene.primitives.kinds import kind_of, packet_of
from irene.primitives.shapes import gemm_shape, is_transposed


def form_of(call: Call) -> str:
    """A short text, equal for calls of one operator and layout.

    >>> x, w = TensorSpec((4, 8), (8, 1), "float32"), TensorSpec((16, 8), (8, 1), "float32")
    >>> form_of(Call("aten.linear.default", (x, w))), form_of(Call("aten.gelu.default", (x,), (), (x,)))
    ('aten.linear nt', 'aten.gelu dense')
    """
    kind, packet = kind_of(call), packet_of(call)
    complex_mark = " complex" if any(tensor.dtype.startswith("complex") for tensor in call.tensors) else ""
    host_mark = " from the host" if any(tensor.on_host for tensor in call.tensors) else ""
    return f"{packet} {_layout_of(call, kind)}{complex_mark}{host_mark}"


def _layout_of(call: Call, kind: str) -> str:
    if kind == "attention":
        return attention_backend(call)
    if kind == "collective":
        return f"{exchange_of(call).ranks} ranks"
    if kind == "convolution":
        shape, weight = gemm_shape(call), call.tensors[1]
        groups = f"dense{_taps_of(call)}" if shape.batch == 1 else "depthwise" if shape.n == 1 else "grouped"
        if is_depthwise(call) and call.tensors[0].is_contiguous and takes_library_kernel(call):
            groups = "depthwise of the library"
        last = "" if call.tensors[0].is_contiguous else " channels last"
        return f"{len(weight.shape) - 2}d {groups}{' transposed' if is_transposed(call) else ''}{last}"
    if kind in ("gemm", "grouped_gemm") and packet_of(call) != "aten.einsum":
        shape = gemm_shape(call)
        return ("n" if shape.a_k_contiguous else "t") + ("t" if shape.b_k_contiguous else "n")
    return "dense" if all(_is_dense(tensor) for tensor in (*call.tensors, *call.outputs)) else "strided"


def _taps_of(call: Call) -> str:
    """Whether windows overlap: a product of pixels, one of patches, or of windows, by other kernels each."""
    taps = call.tensors[1].shape[2:]
    if max(taps, default=1) == 1:
        return " of one tap"
    is_cut = all(step >= tap for step, tap in zip(steps_of(call, 3, "stride"), taps, strict=True))
    return " of patches" if is_cut and not is_transposed(call) else ""


def _is_dense(tensor: TensorSpec) -> bool:
    """Whether its memory has no holes, in whatever order its dimensions lie; or it repeats what is stored once."""
    span = 1 + sum((size - 1) * abs(stride) for size, stride in zip(tensor.shape, tensor.stride, strict=True))
    return tensor.numel <= 1 or tensor.bytes >= span * tensor.itemsize
