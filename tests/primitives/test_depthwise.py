"""Which convolutions are depthwise, and whose kernel computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.columns.depthwise_convolution import DEPTHWISE_CONVOLUTION, depthwise_convolution
from irene.primitives.call import Call, TensorSpec
from irene.primitives.depthwise import is_depthwise, takes_library_kernel
from irene.primitives.forms import form_of
from tests.predictor.made_law import tensor


def convolve(
    channels: int = 64, taps: tuple[int, ...] = (3, 3), *, per_group: int = 1, batch: int = 8, width: int = 28,
    dtype: str = "float16", stride: int = 1, dilation: int = 1, channels_last: bool = False, transposed: bool = False,
) -> Call:  # fmt: skip
    sides = (width,) * len(taps)
    x = tensor((batch, channels, *sides), dtype)
    if channels_last:
        x = TensorSpec(x.shape, (channels * width * width, 1, channels * width, channels), dtype)
    if transposed:
        *rest, last, least = x.stride
        x = TensorSpec(x.shape, (*rest, least, last), dtype)
    weight = tensor((channels, per_group, *taps), dtype, weight=True)
    ones = (1,) * len(taps)
    args: tuple[Any, ...] = (
        x, weight, None, (stride,) * len(taps), tuple(tap // 2 for tap in taps), tuple(dilation * one for one in ones),
        channels // per_group,
    )  # fmt: skip
    out = tensor((batch, channels, *(-(-side // stride) for side in sides)), dtype)
    return Call(f"aten.conv{len(taps)}d.default", args, (), (out,))


def test_each_channel_alone() -> None:
    assert is_depthwise(convolve()) and is_depthwise(convolve(taps=(5,)))
    assert not is_depthwise(convolve(per_group=4)) and not is_depthwise(convolve(per_group=64))
    one = convolve(channels=1)
    assert not is_depthwise(one)  # plain: there is one channel only
    x = tensor((8, 64))
    assert not is_depthwise(Call("aten.gelu.default", (x,), (), (x,)))


@pytest.mark.parametrize(
    ("given", "library"),
    [
        ({}, True),
        ({"dtype": "bfloat16"}, False),
        ({"dtype": "float32"}, False),
        ({"dtype": "float32", "channels_last": True}, True),
        ({"channels": 16}, False),
        ({"taps": (7, 7)}, False),
        ({"taps": (3, 5)}, False),
        ({"taps": (3,)}, True),
        ({"taps": (3,), "transposed": True}, True),
        ({"taps": (3,), "transposed": True, "dtype": "bfloat16"}, False),
        ({"dtype": "bfloat16", "transposed": True}, False),  # rows and columns swapped: channels still come first
        ({"taps": (3,), "stride": 2}, False),
        ({"dilation": 2}, False),
        ({"width": 6}, False),
        ({"stride": 2}, False),
        ({"stride": 2, "batch": 1}, True),
        ({"stride": 2, "channels": 256}, True),
        ({"stride": 2, "channels": 256, "width": 14}, False),
        ({"stride": 2, "channels": 512, "width": 14}, True),
        ({"stride": 3}, False),
    ],
)
def test_the_library_takes_what_torch_gives_it(given: dict[str, Any], library: bool) -> None:
    assert takes_library_kernel(convolve(**given)) == library


def test_the_two_kernels_are_two_forms() -> None:
    forms = {form_of(convolve(dtype=dtype)) for dtype in ("float16", "bfloat16")}
    assert forms == {"aten.conv2d 2d depthwise of the library", "aten.conv2d 2d depthwise"}
    assert form_of(convolve(channels_last=True)) == "aten.conv2d 2d depthwise channels last"


@pytest.mark.parametrize("taps", [(3,), (3, 3)])
def test_without_a_batch_it_is_a_batch_of_one(taps: tuple[int, ...]) -> None:
    one = convolve(taps=taps, batch=1)
    x, out = (tensor(spec.shape[1:], spec.dtype) for spec in (one.tensors[0], one.outputs[0]))
    alone = Call(one.op, (x, *one.args[1:]), (), (out,))
    assert is_depthwise(alone) and takes_library_kernel(alone) and form_of(alone) == form_of(one)
    spec = load_device("h200")
    columns = [depthwise_convolution([call], ["float16"], np.array([5e-6]), spec) for call in (one, alone)]
    np.testing.assert_array_equal(*columns)
    assert dict(zip(DEPTHWISE_CONVOLUTION, columns[0][0], strict=True))["log2_channels"] == 6
