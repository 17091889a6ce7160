"""Factorisations, solvers, distances: cubic in the size, as textbooks count them."""

from __future__ import annotations

import pytest
import torch

from irene.primitives import Call, count_flop, is_known

N, RHS = 12, 5
SQUARE = torch.eye(N) * 2
PIVOTS = torch.arange(1, N + 1, dtype=torch.int32)
LAWS = {
    "linalg_cholesky.default": ((SQUARE,), N**3 / 3),
    "linalg_cholesky_ex.default": ((SQUARE,), N**3 / 3),
    "linalg_lu_factor.default": ((SQUARE,), 2 * N**3 / 3),
    "linalg_det.default": ((SQUARE,), 2 * N**3 / 3),
    "linalg_slogdet.default": ((SQUARE,), 2 * N**3 / 3),
    "linalg_inv.default": ((SQUARE,), 2 * N**3),
    "linalg_inv_ex.default": ((SQUARE,), 2 * N**3),
    "cholesky_inverse.default": ((SQUARE,), 2 * N**3 / 3),
    "linalg_solve.default": ((SQUARE, torch.rand(N, RHS)), 2 * N**3 / 3 + 2 * N**2 * RHS),
    "linalg_lu_solve.default": (
        (SQUARE, torch.arange(1, N + 1, dtype=torch.int32), torch.rand(N, RHS)),
        2 * N**2 * RHS,
    ),
    "cholesky_solve.default": ((torch.rand(N, RHS), SQUARE), 2 * N**2 * RHS),
    "linalg_solve_triangular.default": ((SQUARE, torch.rand(N, RHS)), N**2 * RHS),
    "triangular_solve.default": ((torch.rand(N, RHS), SQUARE), N**2 * RHS),
    "linalg_eigh.default": ((SQUARE,), 9 * N**3),
    "linalg_eigvalsh.default": ((SQUARE,), 4 * N**3 / 3),
    "linalg_eig.default": ((SQUARE,), 25 * N**3),
    "linalg_eigvals.default": ((SQUARE,), 10 * N**3),
    "linalg_matrix_exp.default": ((SQUARE,), 10 * N**3),
    "linalg_qr.default": ((torch.rand(20, N),), 2 * (2 * 20 * N**2 - 2 * N**3 / 3)),
    "linalg_svd.default": ((torch.rand(N, 20),), 14 * 20 * N**2 + 8 * N**3),
    "linalg_svdvals.default": ((torch.rand(20, N),), 4 * 20 * N**2 - 4 * N**3 / 3),
    "linalg_householder_product.default": ((torch.rand(20, N), torch.rand(N)), 2 * 20 * N**2 - 2 * N**3 / 3),
    "linalg_pinv.atol_rtol_tensor": ((torch.rand(20, N),), 16 * 20 * N**2 + 8 * N**3),
}


def _named(op: str, *args: object, **kwargs: object) -> tuple[str, tuple[object, ...], dict[str, object]]:
    known = {"linalg_solve_triangular.default": {"upper": True}, "linalg_svd.default": {"full_matrices": False}}
    return f"aten.{op}", args, {**known.get(op, {}), **kwargs}


@pytest.mark.parametrize("op", LAWS)
def test_leading_terms(op, counted):
    args, expected = LAWS[op]
    name, given, named = _named(op, *args)
    call, _ = counted(name, *given, **named)
    assert is_known(call)
    assert count_flop(call) == pytest.approx(expected, abs=1)


def test_each_matrix_of_a_batch_and_complex_ones_four_times(counted):
    one, _ = counted("aten.linalg_inv.default", torch.eye(N))
    many, _ = counted("aten.linalg_inv.default", torch.eye(N).repeat(4, 3, 1, 1))
    complex_one, _ = counted("aten.linalg_inv.default", torch.eye(N, dtype=torch.complex64))
    assert count_flop(many) == 12 * count_flop(one)
    assert count_flop(complex_one) == 4 * count_flop(one)


def test_only_the_factor_r_is_half_of_qr(counted):
    both, _ = counted("aten.linalg_qr.default", torch.rand(20, N))
    alone, _ = counted("aten.linalg_qr.default", torch.rand(20, N), "r")
    assert count_flop(both) == 2 * count_flop(alone)


@pytest.mark.parametrize(("power", "mode", "each"), [(2.0, None, 2), (2.0, 1, 2), (2.0, 2, 3), (1.0, None, 3)])
def test_distances_of_many_rows(power, mode, each, counted):
    call, _ = counted("aten.cdist.default", torch.rand(2, 40, 8), torch.rand(2, 30, 8), power, mode)
    assert count_flop(call) == each * 2 * 40 * 30 * 8


def test_distances_of_few_rows_are_no_product(counted):
    call, _ = counted("aten.cdist.default", torch.rand(20, 8), torch.rand(25, 8))
    assert count_flop(call) == 3 * 20 * 25 * 8
    among, _ = counted("aten.pdist.default", torch.rand(20, 8))
    assert count_flop(among) == 3 * (20 * 19 // 2) * 8


def test_least_squares_by_qr(counted):
    call, _ = counted("aten.linalg_lstsq.default", torch.rand(20, N), torch.rand(20, RHS))
    assert count_flop(call) == pytest.approx(2 * 20 * N**2 - 2 * N**3 / 3 + RHS * (4 * 20 * N - N**2), abs=1)
    assert isinstance(call, Call)
