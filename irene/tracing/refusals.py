"""What torch refuses on a GPU, though its meta kernels do not look: masks that are none, sizes, whole numbers.

Which dtypes of floating-point operands have kernels is in `gpu_dtypes`. Sources: torch's checks in
`aten/src/ATen/native` (TensorCompare.cpp, Distributions.cpp, NaiveConvolutionTranspose) and the dtypes that its CUDA
kernels are compiled for (the AT_DISPATCH lists of `native/cuda`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def unmet_condition(op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Why torch does not run a call, in words that follow 'Module ... cannot run: '; '' where it does.

    >>> unmet_condition("aten.bitwise_not.default", (torch.empty(3, device="meta"),), {})
    'bitwise_not takes whole numbers and booleans, got float32.'
    """
    name = op.split(".")[1]
    name = name if name.startswith("__") else name.rstrip("_")
    check = _CHECKS.get(name)
    reason = check(name, args, kwargs) if check is not None and args else None
    return f"{name} {reason}." if reason else ""


def _wants_real(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    x = args[0]
    if not isinstance(x, torch.Tensor) or x.is_floating_point() or x.is_complex():
        return None
    if isinstance(kwargs.get("dtype"), torch.dtype):  # cast first
        return None
    return f"takes floating-point numbers, got {_short(x.dtype)}"


def _wants_bits(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    for x in args[:2]:
        if isinstance(x, torch.Tensor) and (x.is_floating_point() or x.is_complex()):
            return f"takes whole numbers and booleans, got {_short(x.dtype)}"
    return None


def _wants_a_mask(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    if len(args) < 2:
        return None
    mask = args[1] if name == "masked_fill" else args[0]
    allowed = (torch.bool,) if name == "masked_fill" else (torch.bool, torch.uint8)
    if isinstance(mask, torch.Tensor) and mask.dtype not in allowed:
        return f"takes a boolean mask, got {_short(mask.dtype)}"
    return None


def _wants_no_boolean(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    return "takes no booleans" if isinstance(args[0], torch.Tensor) and args[0].dtype == torch.bool else None


def _wants_one_dtype(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """A cell's input and its matrices."""
    dtypes = {x.dtype for x in (args[0], *args[2:]) if isinstance(x, torch.Tensor)}
    return f"takes operands of one dtype, got {' and '.join(sorted(map(_short, dtypes)))}" if len(dtypes) > 1 else None


def _wants_enough(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Of multinomial(x, samples, replacement=False)."""
    replaces = args[2] if len(args) > 2 else kwargs.get("replacement", False)
    if not replaces and args[1] > args[0].shape[-1]:
        return f"cannot draw {args[1]} of {args[0].shape[-1]} without replacement"
    return None


def _wants_matching_bias(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Of linear(x, weight, bias)."""
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    outputs = args[1].shape[0] if args[1].dim() == 2 else 1
    if isinstance(bias, torch.Tensor) and bias.dim() and bias.shape[-1] not in (1, outputs):
        return f"cannot add a bias of {tuple(bias.shape)} to {outputs} outputs"
    return None


def _wants_its_channels(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """conv_transpose(x, weight (C_in, C_out / groups, ...), ...); x has a batch or has none."""
    x, weight = args[0], args[1]
    channels = x.shape[1 - (weight.dim() - x.dim())]
    return None if channels == weight.shape[0] else f"takes {weight.shape[0]} channels, got {channels}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


_Check = Callable[[str, tuple[Any, ...], dict[str, Any]], str | None]
_NAMES: dict[_Check, str] = {
    _wants_real: """layer_norm group_norm instance_norm rms_norm std std_mean var var_mean adaptive_avg_pool1d
        adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d avg_pool2d avg_pool3d upsample_bilinear2d upsample_bicubic2d
        upsample_linear1d upsample_trilinear3d log_sigmoid linalg_vector_norm bernoulli scaled_dot_product_attention
        matrix_exp linalg_matrix_exp cdist""",
    _wants_bits: """bitwise_and bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift __and__
        __or__ __xor__ __iand__ __ior__ __ixor__""",
    _wants_a_mask: "where masked_fill",
    _wants_no_boolean: "relu",
    _wants_one_dtype: "lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell",
    _wants_enough: "multinomial",
    _wants_matching_bias: "linear",
    _wants_its_channels: "conv_transpose1d conv_transpose2d conv_transpose3d",
}
_CHECKS: dict[str, _Check] = {name: check for check, names in _NAMES.items() for name in names.split()}
