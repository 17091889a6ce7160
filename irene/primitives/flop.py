"""How much arithmetic a call is: pure functions from shapes to FLOP, one per kind, in a registry.

One multiply-add is 2 FLOP. Matrix products (GEMM, convolution, attention, grouped GEMM) are counted exactly as
`torch.utils.flop_counter.FlopCounterMode` counts them: no bias, no softmax, causal attention in full. Everything else
is a small count per element (an elementwise kernel 1, a softmax 5, a layer norm 8): such calls are bound by memory,
and the count only says that their arithmetic is not free.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from irene.primitives.attention import attention_shape
from irene.primitives.call import Call
from irene.primitives.collectives import exchange_of
from irene.primitives.kinds import is_product, kind_of, packet_of
from irene.primitives.shapes import einsum_products, gemm_shape, operand

FlopRule = Callable[[Call], int]
_RULES: dict[str, FlopRule] = {}

# FLOP per element, where it is not one: additions, multiplications, comparisons; an exponential, root or division is 1.
FLOP_PER_ELEMENT: dict[str, int] = {
    "aten.relu": 1, "aten.relu6": 2, "aten.hardtanh": 2, "aten.leaky_relu": 2, "aten.threshold": 1, "aten.prelu": 2,
    "aten.sigmoid": 3, "aten.silu": 4, "aten.tanh": 5, "aten.gelu": 8, "aten.mish": 8, "aten.softplus": 4,
    "aten.elu": 3, "aten.selu": 4, "aten.hardswish": 5, "aten.hardsigmoid": 4, "aten.glu": 5,
    "aten.rms_norm": 4, "aten._fused_rms_norm": 4, "aten.batch_norm": 4, "aten._weight_norm": 4,
    "aten._native_batch_norm_legit_no_training": 4,
    "aten.log_softmax": 5, "aten._log_softmax": 5,
    "aten.var": 3, "aten.std": 3, "aten.var_mean": 3, "aten.std_mean": 3, "aten.linalg_vector_norm": 2, "aten.norm": 2,
    "aten.logsumexp": 4, "aten.addcmul": 3, "aten.addcdiv": 3, "aten.lerp": 3,
}  # fmt: skip
_PER_COMPLEX_ELEMENT = {"aten.mul": 6, "aten.multiply": 6, "aten.div": 11, "aten.divide": 11, "aten.square": 6}
_DEFAULT_PER_ELEMENT = {"norm": 8, "softmax": 5, "activation": 4, "elementwise": 1, "reduction": 1, "random": 10}


def register_flop(*keys: str) -> Callable[[FlopRule], FlopRule]:
    """Register a rule for kinds ('gemm') or operators ('mylib.scan', without overload; it wins over its kind's rule).

    Raises ValueError if a key has a rule already: two rules for one operator would depend on the order of imports.

    >>> @register_flop("doctest.scan")
    ... def _count_scan(call: Call) -> int:
    ...     return 3 * call.outputs[0].numel
    """

    def register(rule: FlopRule) -> FlopRule:
        for key in keys:
            if key in _RULES:
                raise ValueError(f"{key!r} already has a FLOP rule ({_RULES[key].__name__}); keys are registered once.")
            _RULES[key] = rule
        return rule

    return register


def count_flop(call: Call) -> int:
    """FLOP of one call; 0 for calls that do no arithmetic (views, copies, fills, gathers).

    Recurrent layers, linear algebra and Fourier transforms have rules in files of their own, loaded with the room.
    An unknown operator counts one per element of its largest tensor, so that it is never free.

    >>> from irene.primitives.call import TensorSpec
    >>> x, w = TensorSpec((4, 8), (8, 1), "float32"), TensorSpec((16, 8), (8, 1), "float32")
    >>> count_flop(Call("aten.linear.default", (x, w)))
    1024
    """
    kind = kind_of(call)
    if kind == "view":
        return 0
    rule = _RULES.get(packet_of(call)) or _RULES[kind]
    return rule(call)


def count_matmul_flop(call: Call) -> int:
    """FLOP of matrix products alone: `count_flop` for the matmul family, 0 for every other call.

    Source: torch `torch/utils/flop_counter.py`; BERT-base, batch 8, 128 tokens, sums to 178,787,450,880.
    """
    return count_flop(call) if is_product(call) else 0


def count_executed_flop(call: Call) -> int:
    """As `count_flop`, but causal attention counts only the positions that a fused kernel does not skip."""
    return attention_shape(call).executed_flop if kind_of(call) == "attention" else count_flop(call)


# -- matrix products ----------------------------------------------------------------------------------------------


@register_flop("gemm", "convolution")
def _count_gemm(call: Call) -> int:
    return gemm_shape(call).flop * _real_products(call)


def _real_products(call: Call) -> int:
    """A complex product is four real ones; torch's counter counts it as one."""
    return 4 if any(tensor.dtype.startswith("complex") for tensor in call.tensors) else 1


@register_flop("aten.bilinear")
def _count_bilinear(call: Call) -> int:
    """Two contractions, x1 W and then with x2: rows x (K1 x K2 x N + K2 x N) multiply-adds, W (N, K1, K2)."""
    x, weight = operand(call, 0, "input1"), operand(call, 2, "weight")
    outputs, first, second = weight.shape
    return 2 * math.prod(x.shape[:-1]) * second * outputs * (first + 1)


@register_flop("aten.einsum")
def _count_einsum(call: Call) -> int:
    return sum(shape.flop for shape in einsum_products(call)) * _real_products(call)


@register_flop("attention")
def _count_attention(call: Call) -> int:
    return attention_shape(call).flop


@register_flop("grouped_gemm")
def _count_grouped_gemm(call: Call) -> int:
    """Each row meets one expert: 2 S K N, however the rows are divided; dense batches as bmm."""
    x, weight = operand(call, 0, "input"), operand(call, 1, "mat2")
    if len(x.shape) == 3 and len(weight.shape) == 2:  # (E, M, K) by columns divided among experts
        return 2 * x.shape[1] * x.shape[2] * weight.shape[-1]
    return 2 * x.numel * weight.shape[-1]


# -- everything else ----------------------------------------------------------------------------------------------


def _largest_numel(call: Call) -> int:
    return max((t.numel for t in (*call.tensors, *call.outputs)), default=0)


def flop_per_element(call: Call) -> int:
    """FLOP per element of the operator's rule; 1 where its kind has none. Complex numbers take two or more for one."""
    packet = packet_of(call)
    per_element = FLOP_PER_ELEMENT.get(packet, _DEFAULT_PER_ELEMENT.get(kind_of(call), 1))
    if any(tensor.dtype.startswith("complex") for tensor in call.tensors):
        return _PER_COMPLEX_ELEMENT.get(packet, 2 * per_element)
    return per_element


@register_flop("elementwise", "activation", "random")
def _count_per_output(call: Call) -> int:
    numel = call.outputs[0].numel if call.outputs else _largest_numel(call)
    return flop_per_element(call) * numel


@register_flop("norm", "softmax", "reduction")
def _count_per_input(call: Call) -> int:
    tensors = call.tensors
    return flop_per_element(call) * (tensors[0].numel if tensors else _largest_numel(call))


@register_flop(
    *(f"aten.{pool}_pool{dims}d" for pool in ("avg", "max") for dims in (1, 2, 3)),
    *(f"aten.max_pool{dims}d_with_indices" for dims in (1, 2, 3)),
)
def _count_pool(call: Call) -> int:
    """One addition or comparison per tap of every output's window, a side of which is no longer than the tensor's."""
    dims = int(call.name.removesuffix("_with_indices")[-2])
    window = call.args[1] if len(call.args) > 1 else call.kwarg("kernel_size", 1)
    sides = window if isinstance(window, tuple) else (window,)
    taps = [side for side in sides if isinstance(side, int)]
    lengths = operand(call, 0, "self").shape[-dims:]
    taken = [min(tap, length) for tap, length in zip(taps * dims if len(taps) == 1 else taps, lengths, strict=False)]
    return call.outputs[0].numel * math.prod(taken) if call.outputs else _largest_numel(call)


@register_flop("sort")
def _count_sort(call: Call) -> int:
    """N log2(n) comparisons, n the length of what is sorted (the last dimension, the usual one)."""
    tensor = operand(call, 0, "self")
    length = tensor.shape[-1] if tensor.shape else 1
    return tensor.numel * max(math.ceil(math.log2(max(length, 1))), 1)


@register_flop("copy", "fill", "embedding")
def _count_nothing(call: Call) -> int:
    return 0


@register_flop("aten.index_add", "aten.scatter_add", "aten.scatter_reduce", "aten.index_reduce")
def _count_accumulation(call: Call) -> int:
    """One addition per element that is scattered: the source, the last tensor operand."""
    return call.tensors[-1].numel if call.tensors else 0


@register_flop("aten.embedding_bag", "aten._embedding_bag")
def _count_bags(call: Call) -> int:
    """One addition (or comparison) per element of every row that is taken."""
    return operand(call, 1, "indices").numel * operand(call, 0, "weight").shape[-1]


@register_flop("collective")
def _count_collective(call: Call) -> int:
    """One addition for each element that a rank adds to its own: (n - 1) / n of them on a ring of n ranks."""
    exchange = exchange_of(call)
    return call.tensors[0].numel * (exchange.ranks - 1) // exchange.ranks if exchange.reduces else 0


@register_flop("other", "unknown")
def _count_roughly(call: Call) -> int:
    """One per element of the largest tensor: not known better, and never zero."""
    return _largest_numel(call)
