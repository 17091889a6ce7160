"""The sizes inside matrix products: batch, M, N and K of a GEMM, of a convolution, of a grouped GEMM.

Every rule that needs the sizes of a product reads them here, so that FLOP, bytes and features cannot disagree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from irene.errors import BadInput
from irene.primitives.call import Argument, Call, TensorSpec
from irene.primitives.kinds import packet_of
from irene.primitives.packed_products import PACKED_PRODUCTS, packed_sizes


@dataclass(frozen=True, slots=True)
class GemmShape:
    """`batch` independent products of (M, K) by (K, N); sizes in elements.

    `a_k_contiguous` and `b_k_contiguous` say whether K is the dimension with stride 1 of each operand (a weight of
    `linear`, stored (N, K), is; GPT-2's `Conv1D` weight, stored (K, N), is not): they choose the kernel's layout.
    """

    batch: int
    m: int
    n: int
    k: int
    a_k_contiguous: bool = True
    b_k_contiguous: bool = True
    has_bias: bool = False

    @property
    def flop(self) -> int:
        """2 x batch x M x N x K: one multiply-add is 2 FLOP."""
        return 2 * self.batch * self.m * self.n * self.k


def operand(call: Call, index: int, name: str = "") -> TensorSpec:
    """The tensor at position `index` (or under keyword `name`). Raises BadInput if there is none."""
    value = call.args[index] if index < len(call.args) else call.kwarg(name)
    if not isinstance(value, TensorSpec):
        raise BadInput(f"{call.op}: expected a tensor as argument {index} ({name or 'positional'}), got {value!r}.")
    return value


def _is_tensor(call: Call, index: int, name: str) -> bool:
    value = call.args[index] if index < len(call.args) else call.kwarg(name)
    return isinstance(value, TensorSpec)


def _k_contiguous(tensor: TensorSpec, dim: int) -> bool:
    return tensor.shape[dim] == 1 or tensor.stride[dim] == 1


def gemm_shape(call: Call) -> GemmShape:
    """Sizes of a call of kind 'gemm', 'convolution' (as an implicit GEMM) or 'grouped_gemm' (one batch per expert).

    >>> x, w = TensorSpec((8, 128, 768), (98304, 768, 1), "bfloat16"), TensorSpec((3072, 768), (768, 1), "bfloat16")
    >>> shape = gemm_shape(Call("aten.linear.default", (x, w)))
    >>> shape.batch, shape.m, shape.n, shape.k
    (1, 1024, 3072, 768)

    Raises BadInput for an operator that is no product, or whose operands are not tensors.
    """
    packet = packet_of(call)
    name = packet.split(".", 1)[1]
    if name == "linear":
        return _linear_shape(call)
    if name in ("addmm", "baddbmm", "addbmm", "addmv", "_addmm_activation"):
        return _product(operand(call, 1, "batch1"), operand(call, 2, "batch2"), has_bias=True)
    if name in ("mm", "bmm", "mv", "matmul", "linalg_matmul", "dot", "vdot", "_int_mm"):
        return _product(operand(call, 0, "self"), operand(call, 1, "other"))
    if name == "_scaled_mm":
        return _product(operand(call, 0, "self"), operand(call, 1, "mat2"), _is_tensor(call, 4, "bias"))
    if name in PACKED_PRODUCTS:
        size = packed_sizes(call)
        return GemmShape(1, size.m, size.n, size.k, size.a_k_contiguous, True, size.has_bias)
    if name == "inner":  # contracts the last dimension of both
        a, b = operand(call, 0), operand(call, 1)
        return GemmShape(1, math.prod(a.shape[:-1]), math.prod(b.shape[:-1]), a.shape[-1] if a.shape else 1)
    if name == "einsum":
        return _einsum_shape(call)
    if name == "tensordot":
        return _tensordot_shape(call)
    if name == "bilinear":  # y = x1 W x2, W (N, K1, K2): the product with W dominates
        a, b = operand(call, 0), operand(call, 2)
        return GemmShape(1, math.prod(a.shape[:-1]), b.shape[0] * b.shape[2], b.shape[1], has_bias=True)
    if "conv" in name:
        return _convolution_shape(call)
    if "grouped_mm" in name:
        return _grouped_shape(call)
    raise BadInput(f"{call.op} is no matrix product: expected a call of kind gemm, convolution or grouped_gemm.")


def _linear_shape(call: Call) -> GemmShape:
    x, weight = operand(call, 0, "input"), operand(call, 1, "weight")
    n = weight.shape[0] if len(weight.shape) == 2 else 1
    bias = _is_tensor(call, 2, "bias")
    return GemmShape(1, math.prod(x.shape[:-1]), n, x.shape[-1], _k_contiguous(x, -1), _k_contiguous(weight, -1), bias)


def _product(a: TensorSpec, b: TensorSpec, has_bias: bool = False) -> GemmShape:
    """A (..., M, K) times b (..., K, N) with matmul's rules for vectors and for broadcast batches."""
    if len(b.shape) == 1:
        return GemmShape(1, math.prod(a.shape[:-1]), 1, b.shape[0], _k_contiguous(a, -1), _k_contiguous(b, 0), has_bias)
    n, b_contiguous = b.shape[-1], _k_contiguous(b, -2)
    if len(a.shape) == 1:
        return GemmShape(math.prod(b.shape[:-2]), 1, n, a.shape[0], True, b_contiguous, has_bias)
    k, a_contiguous = a.shape[-1], _k_contiguous(a, -1)
    if len(b.shape) == 2:  # matmul folds a's leading dimensions into M: one product
        return GemmShape(1, math.prod(a.shape[:-1]), n, k, a_contiguous, b_contiguous, has_bias)
    batch = math.prod(broadcast(a.shape[:-2], b.shape[:-2]) or a.shape[:-2])
    return GemmShape(batch, a.shape[-2], n, k, a_contiguous, b_contiguous, has_bias)


def broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that both broadcast to; None where there is none."""
    length = max(len(a), len(b))
    a, b = (1,) * (length - len(a)) + a, (1,) * (length - len(b)) + b
    if any(x != y and 1 not in (x, y) for x, y in zip(a, b, strict=True)):
        return None
    return tuple(y if x == 1 else x for x, y in zip(a, b, strict=True))


def _einsum_shape(call: Call) -> GemmShape:
    """Of an einsum, its largest pairwise product; `einsum_products` lists them all."""
    return max(einsum_products(call), key=lambda shape: shape.flop, default=GemmShape(1, 0, 0, 0))


def einsum_products(call: Call) -> tuple[GemmShape, ...]:
    """The products of an einsum, contracted from left to right as `torch.einsum` does without opt_einsum.

    An einsum that sums no common index has no product. Raises BadInput for an equation that does not fit.
    """
    equation = call.args[0] if call.args else None
    operands = call.tensors
    if not isinstance(equation, str):
        raise BadInput(f"{call.op}: expected an equation like 'bij,bjk->bik', got {equation!r}.")
    terms, dots, output = equation.replace(" ", "").partition("->")
    labels = [_expand_ellipsis(term, len(t.shape)) for term, t in zip(terms.split(","), operands, strict=False)]
    if len(labels) != len(operands) or any(len(x) != len(t.shape) for x, t in zip(labels, operands, strict=False)):
        raise BadInput(f"{call.op}: equation {equation!r} does not fit operands {[t.shape for t in operands]}.")
    sizes: dict[str, int] = {}
    for label, tensor in zip(labels, operands, strict=True):
        for index, size in zip(label, tensor.shape, strict=True):
            sizes[index] = max(sizes.get(index, 1), size)
    everything = [index for label in labels for index in label]
    if not dots:  # implicit output: the labels that occur once, and the ellipsis
        kept = {index for index in everything if everything.count(index) == 1 or index.isdigit()}
    elif "..." in output:
        kept = set(output.replace("...", "")) | {index for index in everything if index.isdigit()}
    else:
        kept = set(output)
    products: list[GemmShape] = []
    left = set(labels[0]) if labels else set()
    for position, label in enumerate(labels[1:], start=1):
        later = kept.union(*labels[position + 1 :])
        right = set(label)
        a, b = left & (right | later), right & (left | later)  # what only one operand has is summed away first
        shared = a & b
        if shared - later:  # where no common index is summed, torch multiplies element by element
            groups = (shared & later, a - b, b - a, shared - later)
            batch, m, n, k = (math.prod(sizes[index] for index in group) for group in groups)
            products.append(GemmShape(batch, m, n, k))
        left = (a | b) & later
    return tuple(products)


def _expand_ellipsis(term: str, rank: int) -> tuple[str, ...]:
    """Labels of one operand; dimensions under '...' become digits, aligned at the right as broadcasting does."""
    head, dots, tail = term.partition("...")
    hidden = rank - len(head) - len(tail) if dots else 0
    return (*head, *(str(9 - hidden + i) for i in range(hidden)), *tail)


def _tensordot_shape(call: Call) -> GemmShape:
    a, b = operand(call, 0, "self"), operand(call, 1, "other")
    dims = call.args[2] if len(call.args) > 2 else call.kwarg("dims_self")
    contracted = dims if isinstance(dims, tuple) else ()
    k = math.prod(a.shape[d] for d in contracted if isinstance(d, int))
    return GemmShape(1, a.numel // max(k, 1), b.numel // max(k, 1), k)


def _convolution_shape(call: Call) -> GemmShape:
    """As an implicit GEMM: batch = groups, M = positions, N = output channels, K = inputs of one output."""
    x, weight = operand(call, 0, "input"), operand(call, 1, "weight")
    if not call.outputs:
        raise BadInput(f"{call.op}: expected the output's shape to be recorded with the call.")
    out = call.outputs[0]
    spatial = len(weight.shape) - 2
    positions_at = x if is_transposed(call) else out
    channels_at = len(x.shape) - spatial - 1
    samples = x.shape[0] if channels_at else 1
    m = samples * math.prod(positions_at.shape[channels_at + 1 :])
    taps = math.prod(weight.shape[2:])
    bias = _is_tensor(call, 2, "bias")
    if is_transposed(call):  # weight (C_in, C_out / groups, ...)
        groups = max(out.shape[channels_at] // max(weight.shape[1], 1), 1)
        return GemmShape(groups, m, weight.shape[1] * taps, weight.shape[0] // groups, True, False, bias)
    groups = max(x.shape[channels_at] // max(weight.shape[1], 1), 1)  # weight (C_out, C_in / groups, ...)
    return GemmShape(groups, m, weight.shape[0] // groups, weight.shape[1] * taps, has_bias=bias)


def is_transposed(call: Call) -> bool:
    """Whether a convolution is a transposed one: its weight is (C_in, C_out / groups, ...)."""
    if call.name in ("convolution", "_convolution"):
        flag: Argument = call.args[6] if len(call.args) > 6 else call.kwarg("transposed", False)
        return bool(flag)
    return "transpose" in call.name


def _grouped_shape(call: Call) -> GemmShape:
    """Experts as batch, M = mean rows of an expert that is hit (rounded up); `flop` is counted elsewhere, exactly."""
    x, weight = operand(call, 0, "input"), operand(call, 1, "mat2")
    hit, rows = experts_hit(call), (x.shape[-2] if len(x.shape) > 1 else 1)
    if len(x.shape) == 3 or len(weight.shape) == 2:  # dense batches, or groups along K (a gradient)
        return _product(x, weight)
    n, k = weight.shape[-1], weight.shape[-2]
    return GemmShape(hit, -(-rows // hit), n, k, _k_contiguous(x, -1), _k_contiguous(weight, -2))


def experts_hit(call: Call) -> int:
    """The most experts that a grouped product can touch: all of them, or one per row where rows are fewer."""
    x, weight = operand(call, 0, "input"), operand(call, 1, "mat2")
    if len(weight.shape) < 3:
        return 1
    return max(min(weight.shape[0], x.shape[-2]) if len(x.shape) == 2 else weight.shape[0], 1)


_PARTS_OF_COMPLEX = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}


def compute_dtype(call: Call) -> str:
    """The dtype that a call computes in: that of its first floating-point operand, else of its first tensor.

    Complex numbers are computed in the dtype of their two parts. Whether a float32 product runs as TF32 is a setting of
    the process and not in the call: the caller says so.
    Raises BadInput if the call has no tensor at all.
    """
    tensors = call.tensors or call.outputs
    for tensor in tensors:
        if "float" in tensor.dtype:
            return tensor.dtype
        if tensor.dtype in _PARTS_OF_COMPLEX:
            return _PARTS_OF_COMPLEX[tensor.dtype]
    if not tensors:
        raise BadInput(f"{call.op} has neither operands nor outputs that are tensors: it computes in no dtype.")
    return tensors[0].dtype
