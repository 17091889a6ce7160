"""What a GPU refuses although meta tensors take it: operands of several dtypes, and dtypes that it has no kernel for.

Meta kernels work out shapes and hardly look at dtypes; a model that no GPU runs would be priced. Each rule is one of
torch's CUDA kernels (`aten/src/ATen/native/cuda`, and the checks of `native/LinearAlgebraUtils.h`, `SpectralOps.cpp`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

_PRODUCTS = set("linear matmul mm mv bmm dot vdot addmm addmv addbmm baddbmm _grouped_mm".split())
_CONVOLUTIONS = set(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution _convolution".split()
)
# Kernels that read each operand as the dtype of the first. Batch and RMS norms take weights in another.
_ONE_DTYPE = (
    _PRODUCTS
    | _CONVOLUTIONS
    | set("layer_norm native_layer_norm group_norm native_group_norm cdist grid_sampler index_add index_copy".split())
)
_FLOATING = (
    _PRODUCTS
    | _CONVOLUTIONS
    | set("softmax log_softmax gelu silu mish elu celu selu leaky_relu softplus hardswish hardsigmoid glu".split())
)
# LAPACK's routines are those of float32 and float64.
_WIDE = set(
    "cholesky linalg_cholesky linalg_cholesky_ex cholesky_inverse cholesky_solve inverse linalg_inv linalg_inv_ex det "
    "linalg_det logdet slogdet linalg_slogdet linalg_solve linalg_solve_ex linalg_solve_triangular triangular_solve "
    "linalg_lu linalg_lu_factor linalg_lu_factor_ex linalg_lu_solve lu_solve qr linalg_qr geqrf ormqr "
    "linalg_householder_product linalg_eig linalg_eigvals linalg_eigh linalg_eigvalsh svd linalg_svd linalg_svdvals "
    "linalg_lstsq linalg_pinv pinverse linalg_matrix_rank linalg_cond linalg_ldl_factor pdist ctc_loss".split()
)
_NO_BFLOAT16 = {"complex", "polar", "view_as_complex", "stft", "istft"}
_FLOAT8 = tuple(getattr(torch, name) for name in dir(torch) if name.startswith("float8_"))


def refusal_of(op: str, args: tuple[Any, ...], operands: Sequence[torch.Tensor]) -> str:
    """Why a GPU does not run a call, in words that follow 'Module ... cannot run: '; '' where it does.

    >>> x, w = torch.empty(2, 8, device="meta"), torch.empty(8, 8, dtype=torch.bfloat16, device="meta")
    >>> refusal_of("aten.linear.default", (x, w), [x, w])
    'linear takes operands of one dtype, got float32 and bfloat16. Convert the inputs or the module (.to(dtype)).'
    """
    name = _rules_of(op)
    if not name:
        return ""
    dtypes = list(dict.fromkeys(t.dtype for t in operands if t.is_floating_point() or t.is_complex()))
    if len(dtypes) > 1 and name in _ONE_DTYPE:
        words = " and ".join(_name(dtype) for dtype in dtypes)
        return f"{name} takes operands of one dtype, got {words}. Convert the inputs or the module (.to(dtype))."
    first = operands[0].dtype if operands else torch.float32
    is_cast = any(isinstance(value, torch.dtype) for value in args)  # softmax(x, dim, dtype) casts first
    is_integer = not (first.is_floating_point or first.is_complex or is_cast)
    if (name in _FLOATING and (is_integer or first in _FLOAT8)) or (name in _WIDE and is_integer):
        return f"{name} has no kernel for {_name(first)} on a GPU. Convert to a floating dtype first."
    if first == torch.bfloat16 and (name in _NO_BFLOAT16 or name.startswith(("fft_", "_fft_"))):
        return f"{name} has no kernel for bfloat16 on a GPU. Convert to float32 first."
    if first in (torch.float16, torch.bfloat16) and (name in _WIDE or (name == "cdist" and _is_direct(args))):
        return f"{name} has no kernel for {_name(first)} on a GPU. Convert to float32 first."
    if first == torch.float16 and name.startswith("fft_") and not _is_power_of_two(name, args):
        return f"{name} in float16 takes sizes that are powers of two on a GPU, got {tuple(operands[0].shape)}."
    return ""


@cache
def _rules_of(op: str) -> str:
    """The name of an operator that a rule looks at; '' for all others."""
    name = op.split(".")[1].removesuffix("_")
    known = _ONE_DTYPE | _FLOATING | _WIDE | _NO_BFLOAT16
    is_transform = name.startswith(("fft_", "_fft_")) and not name.endswith(("shift", "freq"))
    return name if name in known or is_transform else ""


def _is_direct(args: tuple[Any, ...]) -> bool:
    """Whether `cdist` runs its own kernel: for other norms than the Euclidean, and for few points; else a product."""
    rows = [args[0].shape[-2], args[1].shape[-2]]
    p, mode = (args[2] if len(args) > 2 else 2.0), (args[3] if len(args) > 3 else None)
    return p != 2 or mode == 2 or (not mode and max(rows) <= 25)


def _is_power_of_two(name: str, args: tuple[Any, ...]) -> bool:
    """Whether every size is one that cuFFT transforms in half precision."""
    shape, sizes = args[0].shape, args[1] if len(args) > 1 else None
    if sizes is None:
        dims = args[2] if len(args) > 2 and args[2] is not None else (-2, -1) if name.endswith("2") else (-1,)
        if name.endswith("n") and not (len(args) > 2 and args[2] is not None):
            dims = tuple(range(len(shape)))
        dims = (dims,) if isinstance(dims, int) else tuple(dims)
        sizes = [shape[dim] for dim in dims]
        if name.startswith(("fft_irfft", "fft_hfft")):
            sizes[-1] = 2 * (sizes[-1] - 1)
    sizes = [sizes] if isinstance(sizes, int) else sizes
    return all(size & (size - 1) == 0 for size in sizes)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
