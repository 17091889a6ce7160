"""What torch refuses on a GPU and takes on meta is refused; what it runs is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from irene.errors import BadInput
from irene.tracing import trace
from tests.tracing.running import Running

Program = tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]


def _zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


HALF, WHOLE, MASK = torch.bfloat16, torch.int64, torch.bool
SQUARE = _zeros(3, 3, dtype=HALF)
# Refused by the kernels of a CPU as well: torch itself is asked.
REFUSED: dict[str, Program] = {
    "softmax of whole numbers": (lambda x: x.softmax(-1), (_zeros(2, 8, dtype=WHOLE),)),
    "norm of whole numbers": (lambda x: functional.layer_norm(x, (8,)), (_zeros(2, 8, dtype=WHOLE),)),
    "activation of whole numbers": (functional.gelu, (_zeros(2, 8, dtype=WHOLE),)),
    "relu of booleans": (torch.relu, (_zeros(4, dtype=MASK),)),
    "variance of whole numbers": (torch.var, (_zeros(4, dtype=WHOLE),)),
    "bits of fractions": (torch.bitwise_not, (_zeros(4),)),
    "where by fractions": (torch.where, (_zeros(3), _zeros(3), _zeros(3))),
    "filled under fractions": (lambda x, m: x.masked_fill(m, 0.0), (_zeros(3), _zeros(3))),
    "product of booleans": (torch.mm, (_zeros(4, 4, dtype=MASK), _zeros(4, 4, dtype=MASK))),
    "bias of another size": (functional.linear, (_zeros(2, 4), _zeros(3, 4), _zeros(2))),
    "channels of a transposed convolution": (functional.conv_transpose2d, (_zeros(1, 4, 8, 8), _zeros(3, 4, 3, 3))),
    "cholesky": (torch.linalg.cholesky, (SQUARE,)),
    "qr": (lambda x: torch.linalg.qr(x)[1], (SQUARE,)),
    "svd": (torch.linalg.svdvals, (SQUARE,)),
    "eigenvalues": (torch.linalg.eigvalsh, (SQUARE,)),
    "inverse": (torch.linalg.inv, (SQUARE,)),
    "determinant": (torch.linalg.det, (SQUARE,)),
    "solve": (torch.linalg.solve, (SQUARE, SQUARE)),
    "triangular solve": (lambda a, b: torch.linalg.solve_triangular(a, b, upper=True), (SQUARE, SQUARE)),
    "least squares": (lambda a, b: torch.linalg.lstsq(a, b).solution, (SQUARE, SQUARE)),
    "distances": (lambda a, b: torch.cdist(a, b, p=1.0), (SQUARE, SQUARE)),
    "transform": (torch.fft.fft, (_zeros(4, 8, dtype=HALF),)),
    "cell of another dtype": (nn.GRUCell(4, 8), (_zeros(3, 4, dtype=HALF),)),
    "too many drawn": (lambda x: torch.multinomial(x, 9), (torch.ones(2, 4),)),
    "sum over no dimension": (lambda x: x.sum(3), (_zeros(2, 4),)),
    "mask of another size": (lambda x, m: x[m], (_zeros(3, 3), _zeros(4, dtype=MASK))),
}
# Kernels of a CPU take them, those of a GPU do not ("addmm_cuda" not implemented for 'Long').
REFUSED_ON_A_GPU: dict[str, Program] = {
    "product of whole numbers": (torch.mm, (_zeros(4, 4, dtype=WHOLE), _zeros(4, 4, dtype=WHOLE))),
    "pool of whole numbers": (lambda x: functional.avg_pool2d(x, 2), (_zeros(1, 1, 4, 4, dtype=WHOLE),)),
}
TAKEN: dict[str, Program] = {
    "softmax that casts": (lambda x: x.softmax(-1, dtype=torch.float32), (_zeros(2, 8, dtype=WHOLE),)),
    "where by a mask": (lambda m, x: torch.where(m, x, x), (_zeros(3, dtype=MASK), _zeros(3))),
    "bits of masks": (lambda m: ~m & m, (_zeros(3, dtype=MASK),)),
    "distances by a product": (torch.cdist, (_zeros(30, 4, dtype=HALF), _zeros(30, 4, dtype=HALF))),
    "transform in halves": (lambda x: torch.fft.fft(x.float()), (_zeros(4, 8, dtype=HALF),)),
    "bias of one": (functional.linear, (_zeros(2, 4), _zeros(1, 4), _zeros(1))),
    "drawn again and again": (lambda x: torch.multinomial(x, 9, replacement=True), (torch.ones(2, 4),)),
    "masked rows and columns": (lambda x, m: x[:, m], (_zeros(3, 4), torch.ones(4, dtype=MASK))),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_torch_refuses(name: str) -> None:
    function, args = REFUSED[name]
    with pytest.raises((RuntimeError, IndexError)):
        function(*args)
    with pytest.raises(BadInput):
        trace(Running(function), args)


@pytest.mark.parametrize("name", REFUSED_ON_A_GPU)
def test_refused_as_a_gpu_refuses(name: str) -> None:
    function, args = REFUSED_ON_A_GPU[name]
    with pytest.raises(BadInput, match="The root module cannot run: "):
        trace(Running(function), args)


@pytest.mark.parametrize("name", TAKEN)
def test_what_runs_is_traced(name: str) -> None:
    function, args = TAKEN[name]
    expected = function(*args)
    assert list(trace(Running(function), args).root.leaves)[-1].call.outputs[0].shape == expected.shape
