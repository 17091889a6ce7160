"""Factorisations, solvers and distances: the leading terms of their usual algorithms, in real FLOP.

Source: G. H. Golub, C. F. Van Loan, "Matrix Computations", 4th edition (algorithms 3.2.1, 4.2.1, 5.2.1, figures 8.6.1
and 7.5.6), and LAPACK Working Note 41, appendix C. Of a batch, each matrix; complex ones cost four times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from irene.primitives.call import Call, TensorSpec
from irene.primitives.flop import register_flop
from irene.primitives.shapes import operand

# FLOP of one (m, n) matrix, m >= n.
_Law = Callable[[int, int], float]
_LAWS: dict[str, _Law] = {
    "linalg_cholesky linalg_cholesky_ex cholesky linalg_ldl_factor linalg_ldl_factor_ex": lambda m, n: n**3 / 3,
    "linalg_lu linalg_lu_factor linalg_lu_factor_ex linalg_det det _linalg_det linalg_slogdet slogdet "
    "_linalg_slogdet": lambda m, n: m * n**2 - n**3 / 3,
    "linalg_inv linalg_inv_ex inverse": lambda m, n: 2 * n**3,
    "cholesky_inverse": lambda m, n: 2 * n**3 / 3,
    "geqrf linalg_householder_product orgqr": lambda m, n: 2 * m * n**2 - 2 * n**3 / 3,
    "linalg_svdvals": lambda m, n: 4 * m * n**2 - 4 * n**3 / 3,
    "linalg_pinv": lambda m, n: 16 * m * n**2 + 8 * n**3,  # singular vectors, then their product
    "linalg_eigvalsh": lambda m, n: 4 * n**3 / 3,
    "linalg_eig": lambda m, n: 25 * n**3,
    "linalg_eigvals _linalg_eigvals": lambda m, n: 10 * n**3,
    "linalg_matrix_exp matrix_exp": lambda m, n: 10 * n**3,  # five products, a polynomial of degree 18
}


def _count_by(law: _Law, matrix: TensorSpec) -> int:
    short, long = sorted(matrix.shape[-2:])
    matrices = math.prod(matrix.shape[:-2]) * (4 if matrix.dtype.startswith("complex") else 1)
    return round(matrices * law(long, short))


def _register(names: str, law: _Law) -> None:
    register_flop(*(f"aten.{name}" for name in names.split()))(lambda call: _count_by(law, operand(call, 0, "self")))


for _names, _law in _LAWS.items():
    _register(_names, _law)


@register_flop("aten.linalg_qr", "aten.qr")
def _count_qr(call: Call) -> int:
    """The factor R, and as much again for Q unless only R is asked for."""
    times = 1 if call.kwarg("mode", call.args[1] if len(call.args) > 1 else "reduced") == "r" else 2
    return times * _count_by(lambda m, n: 2 * m * n**2 - 2 * n**3 / 3, operand(call, 0, "A"))


@register_flop("aten.linalg_svd", "aten._linalg_svd", "aten.svd")
def _count_svd(call: Call) -> int:
    return _count_by(lambda m, n: 14 * m * n**2 + 8 * n**3, operand(call, 0, "A"))


@register_flop("aten.linalg_eigh", "aten._linalg_eigh")
def _count_eigh(call: Call) -> int:
    return _count_by(lambda m, n: 9 * n**3, operand(call, 0, "A"))


@register_flop("aten.linalg_solve", "aten.linalg_solve_ex", "aten._linalg_solve_ex")
def _count_solve(call: Call) -> int:
    """Factors of (n, n), then two triangular solves for every column."""
    matrix = operand(call, 0, "A")
    return _count_by(lambda m, n: 2 * n**3 / 3, matrix) + 2 * _solve_once(call, matrix)


@register_flop("aten.cholesky_solve", "aten.linalg_lu_solve", "aten.linalg_ldl_solve")
def _count_solve_factored(call: Call) -> int:
    """Two triangular solves for every column."""
    return 2 * _solve_once(call, operand(call, 1 if call.name == "cholesky_solve" else 0, "input2"))


@register_flop("aten.linalg_solve_triangular", "aten.triangular_solve")
def _count_triangular_solve(call: Call) -> int:
    """n^2 FLOP per right-hand side: (..., n, n) against (..., n, r); `triangular_solve` takes them the other way."""
    return _solve_once(call, operand(call, 1 if call.name == "triangular_solve" else 0, "A"))


@register_flop("aten.linalg_lstsq")
def _count_least_squares(call: Call) -> int:
    """By QR: factors of (m, n), then a product with Q and a triangular solve for every column."""
    matrix, columns = operand(call, 0, "self"), operand(call, 1, "b")
    rhs = columns.shape[-1] if len(columns.shape) == len(matrix.shape) else 1
    return _count_by(lambda m, n: 2 * m * n**2 - 2 * n**3 / 3 + rhs * (4 * m * n - n**2), matrix)


@register_flop("aten.ormqr")
def _count_reflections(call: Call) -> int:
    """K reflections of length m over every column of the product."""
    return 4 * operand(call, 2, "input3").numel * operand(call, 1, "input2").shape[-1]


@register_flop("aten.cdist", "aten._cdist_forward", "aten._euclidean_dist", "aten.pdist", "aten._pdist_forward")
def _count_distances(call: Call) -> int:
    """Euclidean distances of many rows come from one product, 2 a pair and coordinate; others take 3.

    Source of when: torch `aten/src/ATen/native/Distance.cpp` (more than 25 rows on either side).
    """
    x = operand(call, 0, "x1")
    pairs = call.outputs[0].numel if call.outputs else x.numel
    is_product = call.name == "_euclidean_dist"
    if call.name in ("cdist", "_cdist_forward"):
        power = call.args[2] if len(call.args) > 2 else call.kwarg("p", 2.0)
        mode = call.args[3] if len(call.args) > 3 else call.kwarg("compute_mode")
        rows = max(x.shape[-2], operand(call, 1, "x2").shape[-2])
        is_product = power == 2 and (mode == 1 or (mode in (None, 0) and rows > 25))
    return (2 if is_product else 3) * pairs * x.shape[-1]


def _solve_once(call: Call, matrix: TensorSpec) -> int:
    times = 4 if matrix.dtype.startswith("complex") else 1
    return times * max(matrix.shape[-1], 1) * (call.outputs[0].numel if call.outputs else matrix.numel)
