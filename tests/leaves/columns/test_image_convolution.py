"""Columns of dense convolutions: each by its formula, and which layouts and sizes count as what."""

from __future__ import annotations

import math
from typing import Any

import pytest

from irene.hardware.devices import load_device
from irene.leaves.columns.image_convolution import IMAGE_CONVOLUTION, image_convolution
from irene.primitives.call import Call, TensorSpec

_SPEC = load_device("h200")
_BASE_S = 1e-5
_FLOOR_S = _SPEC.kernel_floor_s


def _images(n: int, c: int, h: int, w: int, dtype: str, is_last: bool) -> TensorSpec:
    stride = (c * h * w, 1, w * c, c) if is_last else (c * h * w, h * w, w, 1)
    return TensorSpec((n, c, h, w), stride, dtype)


def _columns(
    channels: int = 64, side: int = 28, wide: int = 96, taps: int = 1, step: int = 1, *,
    is_last: bool = False, has_bias: bool = False, dtype: str = "bfloat16", groups: int = 1,
) -> dict[str, Any]:  # fmt: skip
    kept = "float32" if dtype == "tf32" else dtype
    x = _images(4, channels, side, side, kept, is_last)
    weight = _images(wide, channels // groups, taps, taps, kept, False)
    bias = TensorSpec((wide,), (1,), kept) if has_bias else None
    out = _images(4, wide, -(-side // step), -(-side // step), kept, is_last)
    half = (taps // 2, taps // 2)
    call = Call("aten.conv2d.default", (x, weight, bias, (step, step), half, (1, 1), groups), (), (out,))
    (row,) = image_convolution([call], [dtype], [_BASE_S], _SPEC)  # type: ignore[arg-type]
    return {"x": x, "weight": weight, "out": out, **dict(zip(IMAGE_CONVOLUTION, row.tolist(), strict=True))}


def _seconds(columns: dict[str, Any], name: str) -> float:
    """What a ratio is of, seconds."""
    seconds: float = 2.0 ** columns[name] * _BASE_S
    return seconds


def test_evenness_is_of_channels_of_a_group_and_of_positions() -> None:
    got = _columns(channels=48, side=14, wide=160, groups=2)
    evens = [got[f"log2_even_{part}"] for part in ("in", "out", "image")]
    assert evens == [3.0, 4.0, 2.0], "of 24 channels, of 80 and of 196 positions"
    assert _columns(channels=512)["log2_even_in"] == 6.0


def test_channels_last_are_not_laid_out_anew() -> None:
    got, last = _columns(taps=3), _columns(taps=3, is_last=True)
    assert (got["has_channels_last"], last["has_channels_last"]) == (0.0, 1.0)
    assert last["log2_layout_ratio"] == 0.0
    moved_s = 2 * (got["x"].bytes + got["out"].bytes) / _SPEC.hbm_bytes_per_s
    assert got["log2_layout_ratio"] == pytest.approx(math.log2(1 + moved_s / _BASE_S))
    more_s = _seconds(got, "log2_summed_ratio") - _seconds(last, "log2_summed_ratio")
    assert more_s == pytest.approx(moved_s + 2 * _FLOOR_S)


@pytest.mark.parametrize(
    ("given", "is_laid_out"),
    [
        ({}, False), ({"side": 27}, True), ({"channels": 60}, True), ({"step": 2}, True), ({"taps": 3}, True),
        ({"taps": 3, "dtype": "float32"}, False), ({"taps": 3, "dtype": "tf32"}, True),
    ],
)  # fmt: skip
def test_what_tensor_cores_cannot_read_is_laid_out_anew(given: dict[str, Any], is_laid_out: bool) -> None:
    """One element at stride 1, of even channels and positions, is a plain product; vector units take either layout."""
    first, last = (_seconds(_columns(**given, is_last=is_last), "log2_summed_ratio") for is_last in (False, True))
    assert (first > 1.01 * last) == is_laid_out


def test_a_bias_is_a_pass_of_its_own() -> None:
    got, plain = _columns(has_bias=True), _columns()
    pass_s = 2 * got["out"].bytes / _SPEC.hbm_bytes_per_s
    assert plain["log2_bias_ratio"] == 0.0
    assert got["log2_bias_ratio"] == pytest.approx(math.log2(1 + pass_s / _BASE_S))
    more_s = _seconds(got, "log2_summed_ratio") - _seconds(plain, "log2_summed_ratio")
    assert more_s == pytest.approx(3 * pass_s + _FLOOR_S)


def test_a_stride_beyond_the_taps_skips_elements() -> None:
    got = _columns(step=2)
    bytes_touched = got["x"].bytes / 4 + got["weight"].bytes + got["out"].bytes
    assert _seconds(got, "log2_touched_ratio") == pytest.approx(bytes_touched / _SPEC.hbm_bytes_per_s)
    assert _seconds(got, "log2_result_ratio") == pytest.approx(got["out"].bytes / _SPEC.hbm_bytes_per_s)
    assert (got["log2_step"], got["is_of_one_element"], _columns()["is_of_one_element"]) == (1.0, 0.0, 1.0)
    overlapping = _columns(step=2, taps=3)
    whole = sum(overlapping[name].bytes for name in ("x", "weight", "out"))
    assert _seconds(overlapping, "log2_touched_ratio") == pytest.approx(whole / _SPEC.hbm_bytes_per_s)


def test_a_chain_is_as_long_as_waves_and_filled_channels() -> None:
    """3 channels count as 8; 4 x 112 x 112 positions by 96 are 1568 tiles of 64 x 64, and 196 of 256 x 128."""
    got = _columns(channels=3, side=112, taps=5)
    links = [_seconds(got, f"log2_chain_ratio_{tile}") / 20e-9 for tile in ("64x64", "128x128", "256x128")]
    assert links == pytest.approx([count * 25 * 8 for count in (12, 3, 2)])
    assert _columns(channels=64)["log2_chain_ratio_64x64"] == pytest.approx(math.log2(64 * 20e-9 / _BASE_S))


@pytest.mark.parametrize(("dtype", "step_s"), [("bfloat16", 4e-9), ("tf32", 9e-9), ("float32", 24e-9)])
def test_the_sum_is_of_traffic_or_product_and_of_one_chain(dtype: str, step_s: float) -> None:
    got = _columns(channels=512, wide=1024, taps=3, is_last=True, dtype=dtype)
    flop = 2 * 4 * 28 * 28 * 1024 * 512 * 9
    peak = _SPEC.vector_flop_per_s if dtype == "float32" else _SPEC.peak(dtype)
    product_s = max(flop / peak, _seconds(got, "log2_touched_ratio"))
    assert _seconds(got, "log2_summed_ratio") == pytest.approx(product_s + 512 * 9 * step_s + _FLOOR_S)


def test_a_transposed_one_has_its_weight_the_other_way_round() -> None:
    x, out = _images(1, 48, 8, 8, "bfloat16", False), _images(1, 32, 16, 16, "bfloat16", False)
    weight = _images(48, 32, 2, 2, "bfloat16", False)
    call = Call("aten.conv_transpose2d.input", (x, weight, None, (4, 4)), (), (out,))
    (row,) = image_convolution([call], ["bfloat16"], [_BASE_S], _SPEC)  # type: ignore[arg-type]
    got = dict(zip(IMAGE_CONVOLUTION, row.tolist(), strict=True))
    assert (got["log2_even_in"], got["log2_even_out"]) == (4.0, 5.0)
    whole = x.bytes + weight.bytes + out.bytes
    assert _seconds(got, "log2_touched_ratio") == pytest.approx(whole / _SPEC.hbm_bytes_per_s)
    assert got["log2_chain_ratio_64x64"] == pytest.approx(math.log2(48 * 20e-9 / _BASE_S)), "its K is the channels"


def test_the_sum_of_a_thin_one_is_its_traffic() -> None:
    got = _columns(channels=64, side=112, wide=8, is_last=True)
    assert _seconds(got, "log2_summed_ratio") == pytest.approx(
        _seconds(got, "log2_touched_ratio") + 64 * 4e-9 + _FLOOR_S
    )


def test_along_time_no_layout_is_summed() -> None:
    """Regressors learn what a layout costs there from thousands of rows of their own."""
    x, out = (TensorSpec((2, width, 100), (width * 100, 100, 1), "bfloat16") for width in (64, 96))
    weight = TensorSpec((96, 64, 3), (192, 3, 1), "bfloat16")
    call = Call("aten.conv1d.default", (x, weight, None, (1,), (1,)), (), (out,))
    (row,) = image_convolution([call], ["bfloat16"], [_BASE_S], _SPEC)  # type: ignore[arg-type]
    got = dict(zip(IMAGE_CONVOLUTION, row.tolist(), strict=True))
    assert got["log2_layout_ratio"] > 0
    traffic_s = _seconds(got, "log2_touched_ratio")
    assert _seconds(got, "log2_summed_ratio") == pytest.approx(traffic_s + 64 * 3 * 4e-9 + _FLOOR_S, rel=1e-6)
