"""Precision as a GPU would have it: autocast followed, mixed operands refused, settings that are left out said."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.amp.autocast_mode import autocast

import irene
from irene.errors import BadInput, UnknownName, Untraceable
from irene.tracing import trace

HALF, BRAIN = torch.float16, torch.bfloat16
ORIGINAL = autocast.__init__, autocast.__enter__, autocast.__exit__


class Function(nn.Module):
    """A function as a module, with a linear layer of eight beside it."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(8, 8), function

    def forward(self, *args: Any) -> Any:
        return self.function(self, *args)


def dtypes_of(function: Any, *args: torch.Tensor) -> list[tuple[str, str]]:
    """Each call of a function and the dtype of its first output."""
    leaves = trace(Function(function), args).root.leaves
    return [(leaf.name, leaf.call.outputs[0].dtype) for leaf in leaves if leaf.call is not None]


@pytest.mark.parametrize("device", ["cuda", "that of the input"])
def test_autocast_inside_a_forward_is_followed(device: str) -> None:
    def run(self: Function, x: torch.Tensor) -> Any:
        with torch.autocast(x.device.type if device != "cuda" else device, dtype=BRAIN):
            y = self.linear(self.linear(x))
            z = nn.functional.layer_norm(y, (8,)) + torch.softmax(y, -1) + y.sum() + torch.cat([y, x[:, :8]]).sum()
            with torch.autocast("cuda", enabled=False):
                return z @ z.T

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns where it finds no GPU: not here
        found = dtypes_of(run, torch.zeros(2, 8))
    casts = [name for name, _ in found if name.startswith("to#")]
    assert casts[:3] == ["to#0", "to#1", "to#2"], "input, weight and bias, the weights once for both calls"
    assert [dtype for name, dtype in found if name.startswith("linear")] == ["bfloat16", "bfloat16"]
    wide = {name: dtype for name, dtype in found if name.split("#")[0] in ("layer_norm", "softmax", "sum", "cat")}
    assert set(wide.values()) == {"float32"} and len(wide) == 5
    assert found[-1] == ("matmul#0", "float32")
    assert (autocast.__init__, autocast.__enter__, autocast.__exit__) == ORIGINAL


def test_autocast_costs_about_what_half_precision_costs() -> None:
    def run(self: Function, x: torch.Tensor) -> Any:
        with torch.autocast("cuda", dtype=BRAIN):
            return x @ x

    x = torch.empty(4096, 4096, device="meta")
    mixed = irene.predict(Function(run), x, execution="cuda_graph")
    half = irene.predict(Function(lambda _, x: x @ x).bfloat16(), x.bfloat16(), execution="cuda_graph", dtype=BRAIN)
    assert half.energy_j < mixed.energy_j < 2.5 * half.energy_j


def test_autocast_around_is_said_or_followed() -> None:
    with torch.autocast("cpu", dtype=BRAIN):
        assert "autocast" in trace(nn.Linear(8, 8), torch.zeros(2, 8)).notes[0]
    torch.set_autocast_enabled("cuda", True)  # what a context does where there is a GPU
    try:
        tree = trace(nn.Linear(8, 8), torch.zeros(2, 8))
    finally:
        torch.set_autocast_enabled("cuda", False)
    assert list(tree.root.leaves)[-1].call.outputs[0].dtype == "float16" and not tree.notes  # type: ignore[union-attr]


ROWS = torch.zeros(2, 8)
REFUSED = {
    "linear": (lambda self, x: self.linear(x), ROWS.to(BRAIN), "float32"),
    "matmul": (lambda _, x: x @ x.T.to(HALF), ROWS, "float16"),
    "layer_norm": (lambda self, x: nn.functional.layer_norm(x, (8,), self.linear.bias), ROWS.to(BRAIN), "one dtype"),
    "group_norm": (lambda self, x: nn.functional.group_norm(x, 2, self.linear.bias), ROWS.to(HALF), "one dtype"),
    "conv1d": (lambda _, x: nn.functional.conv1d(x[None], x[:, :2, None].to(BRAIN)), ROWS.T, "one dtype"),
    "product of whole numbers": (lambda _, x: x.long() @ x.long().T, ROWS, "int64"),
    "gelu of whole numbers": (lambda _, x: nn.functional.gelu(x.long()), ROWS, "int64"),
    "fft in bfloat16": (lambda _, x: torch.fft.rfft(x), ROWS.to(BRAIN), "BFloat16|bfloat16"),
    "fft of nine in float16": (lambda _, x: torch.fft.rfft(x, 9), ROWS.to(HALF), "powers of two"),
    "cholesky in bfloat16": (lambda _, x: torch.linalg.cholesky(x.T @ x), ROWS.to(BRAIN), "bfloat16"),
    "cdist of few points": (lambda _, x: torch.cdist(x, x), ROWS.to(HALF), "float16"),
    "float8": (lambda _, x: x.to(torch.float8_e4m3fn) @ x.T.to(torch.float8_e4m3fn), ROWS, "float8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_gpu_runs_is_refused(name: str) -> None:
    function, x, words = REFUSED[name]
    with pytest.raises(Untraceable, match=words):
        trace(Function(function), x)


def test_what_a_gpu_runs_is_not_refused() -> None:
    def run(self: Function, x: torch.Tensor) -> Any:
        wide = x.float()
        nn.functional.batch_norm(x, wide[0], wide[0], wide[0], wide[0])  # statistics are kept in float32
        torch.fft.rfft(x)  # eight is a power of two
        torch.fft.fftshift(x.bfloat16())
        torch.cdist(x.repeat(20, 1), x)  # many points: by a product
        return self.linear(wide) * x + torch.arange(8, device=x.device)

    assert trace(Function(run), ROWS.to(HALF)).root.children


def test_a_module_is_of_the_dtype_asked_for() -> None:
    linear = nn.Linear(8, 8)
    assert trace(linear, ROWS).workload.dtype == "float32"
    assert trace(linear, ROWS, dtype="tf32").workload.dtype == "tf32"
    assert trace(linear.to(BRAIN), ROWS.to(BRAIN), dtype=BRAIN).workload.dtype == "bfloat16"
    with pytest.raises(BadInput, match="weights are bfloat16"):
        trace(linear, ROWS.to(BRAIN), dtype="tf32")
    with pytest.raises(UnknownName, match="Unknown dtype 'float8'"):
        trace(linear, ROWS.to(BRAIN), dtype="float8")
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        assert trace(linear.float(), ROWS).workload.dtype == "tf32"
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


def test_settings_that_are_left_out_are_said() -> None:
    dropout = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1))
    assert "train()" in trace(dropout, ROWS).notes[0]
    assert not trace(dropout.eval(), ROWS).notes and not trace(nn.Linear(8, 8), ROWS).notes
    inside = Function(torch.compile(lambda self, x: self.linear(x)))
    for compiled in (torch.compile(nn.Linear(8, 8)), inside):
        assert "torch.compile" in trace(compiled, ROWS).notes[0]


@pytest.mark.parametrize("last", ["input", "weight"])
def test_channels_last_goes_on_as_on_a_gpu_and_is_said(last: str) -> None:
    convolution, x = nn.Conv2d(4, 8, 3), torch.zeros(2, 4, 9, 9)
    model = nn.Sequential(convolution, nn.ReLU())
    assert not trace(model, x).notes
    if last == "weight":
        convolution.to(memory_format=torch.channels_last)
    else:
        x = x.to(memory_format=torch.channels_last)
    tree = trace(model, x)
    assert [leaf.call.outputs[0].stride[1] for leaf in tree.root.leaves if leaf.call is not None] == [1, 1]
    assert "channels_last" in tree.notes[0]
