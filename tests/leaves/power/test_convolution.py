"""What regressors see of convolutions: what decides between kernels in groups, and how hard the chip works."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.columns.grouped_convolution import GROUPED_CONVOLUTION, grouped_convolution
from irene.leaves.columns.image_convolution import IMAGE_CONVOLUTION, image_convolution
from irene.leaves.leaf_model import LeafModel, fit_leaf_model
from irene.leaves.leaf_table import LeafTable, make_table
from irene.leaves.power.convolution import convolution_members, convolution_power_matrix, convolution_power_names
from irene.primitives.call import Call, TensorSpec
from tests.predictor.made_law import gelu

SPEC = load_device("h200")
BURST_S = 1e-4


def contiguous(shape: tuple[int, ...], dtype: str) -> TensorSpec:
    return TensorSpec(shape, tuple(int(np.prod(shape[at + 1 :])) for at in range(len(shape))), dtype)


def convolve(
    batch: int, channels: int, groups: int, taps: int, positions: int = 512, dtype: str = "bfloat16", dims: int = 1
) -> Call:
    x = contiguous((batch, channels, *[positions] * dims), dtype)
    weight = contiguous((channels, channels // groups, *[taps] * dims), dtype)
    out = contiguous((batch, channels, *[positions - taps + 1] * dims), dtype)
    return Call(
        f"aten.conv{dims}d.default", (x, weight, None, (1,) * dims, (0,) * dims, (1,) * dims, groups), (), (out,)
    )


def table_of(calls: list[Call], dtype: str) -> LeafTable:
    return make_table(calls, [dtype] * len(calls), [False] * len(calls), SPEC)


def power_columns(calls: list[Call], dtype: str) -> dict[str, np.ndarray]:
    matrix = convolution_power_matrix(table_of(calls, dtype), np.arange(len(calls)), np.full(len(calls), BURST_S))
    assert np.isfinite(matrix).all()
    return dict(zip(convolution_power_names(), matrix.T, strict=True))


def test_a_chain_over_channels_and_taps_does_not_see_the_batch() -> None:
    calls = [
        convolve(1, 768, 16, 128),
        convolve(64, 768, 16, 128),
        convolve(1, 768, 16, 64),
        convolve(1, 1536, 16, 128),
    ]
    matrix = grouped_convolution(calls, ["bfloat16"] * 4, np.full(4, BURST_S), SPEC)
    chain = 2 ** matrix[:, GROUPED_CONVOLUTION.index("log2_chain_ratio")] * BURST_S
    assert chain == pytest.approx(np.array([768 * 128, 768 * 128, 768 * 64, 1536 * 128]) * 1e-9)
    np.testing.assert_array_equal(matrix[0], matrix[1])


@pytest.mark.parametrize(("positions", "filled"), [(129, 8.0), (256, 8.0), (257, 9.0), (512, 9.0)])
def test_a_span_is_filled_up_to_a_power_of_two(positions: int, filled: float) -> None:
    row = grouped_convolution([convolve(2, 64, 4, 16, positions)], ["bfloat16"], np.array([BURST_S]), SPEC)[0]
    assert row[GROUPED_CONVOLUTION.index("log2_filled_span")] == filled
    assert row[GROUPED_CONVOLUTION.index("log2_span")] == pytest.approx(np.log2(positions))


def unbatched(call: Call) -> Call:
    x, weight, *rest = call.args
    first, out = (contiguous(tensor.shape[1:], tensor.dtype) for tensor in (call.tensors[0], call.outputs[0]))
    assert isinstance(x, TensorSpec)
    return Call(call.op, (first, weight, *rest), (), (out,))


def transposed(groups: int) -> Call:
    x, weight = contiguous((2, 64, 100), "bfloat16"), contiguous((64, 32, 4), "bfloat16")
    out = contiguous((2, 32 * groups, 103), "bfloat16")
    return Call("aten.conv_transpose1d.default", (x, weight, None, (1,), (0,), (0,), groups), (), (out,))


PLAIN, IN_GROUPS, DEPTHWISE = "gemm-convolution", "gemm-convolution-in-groups", "gemm-convolution-depthwise"


def test_kernels_that_nobody_measured_are_priced_like_others() -> None:
    """Transposed and depthwise convolutions, and images in groups: neither slow chains nor power are known of them."""
    calls = [
        convolve(2, 64, 8, 16), unbatched(convolve(2, 64, 8, 16)), convolve(2, 64, 1, 3),
        unbatched(convolve(2, 64, 1, 3)), convolve(2, 64, 64, 4), transposed(1), transposed(8),
        convolve(2, 64, 8, 3, dims=2),
        unbatched(convolve(2, 64, 8, 3, dims=2)), gelu(64, 64),
    ]  # fmt: skip
    table = table_of(calls, "bfloat16")
    assert table.regressors[:9] == (*[IN_GROUPS] * 2, *[PLAIN] * 2, DEPTHWISE, *[PLAIN] * 4)
    assert convolution_members(table).tolist() == [0, 1, 2, 3]
    one, alone = (grouped_convolution([call], ["bfloat16"], np.array([BURST_S]), SPEC) for call in calls[:2])
    np.testing.assert_array_equal(one, alone)


PEAKS = {"bfloat16": SPEC.peak("bfloat16"), "tf32": SPEC.peak("tf32"), "float32": SPEC.vector_flop_per_s}


@pytest.mark.parametrize(("dtype", "peak"), PEAKS.items())
def test_products_are_a_share_of_the_peak_of_their_dtype(dtype: str, peak: float) -> None:
    call = convolve(8, 256, 1, 3, dtype="bfloat16" if dtype == "bfloat16" else "float32")
    flop_per_s = 2 * 8 * 510 * 256 * 256 * 3 / BURST_S
    columns = power_columns([call], dtype)
    assert 2 ** columns["log2_products_share"] - 0.02 == pytest.approx(flop_per_s / peak)
    assert columns["is_tf32"] == float(dtype == "tf32") and columns["is_half"] == float(dtype == "bfloat16")


def test_small_outputs_leave_multiprocessors_idle() -> None:
    busy = power_columns(
        [convolve(1, 128, 1, 1, 128), convolve(2, 128, 1, 1, 128), convolve(64, 1024, 1, 1)], "bfloat16"
    )
    assert busy["log2_busy_share"] == pytest.approx([-np.log2(132), 1 - np.log2(132), 0.0])
    image = power_columns([convolve(1, 64, 1, 3, 32, dims=2), convolve(1, 64, 4, 3, 32)], "bfloat16")
    assert image["is_image"].tolist() == [1.0, 0.0] and image["is_in_groups"].tolist() == [0.0, 1.0]


def fit_law(calls: list[Call]) -> LeafModel:
    """Convolutions of 200 W in groups and of 650 W otherwise, among kernels of 400 W."""
    others = [gelu(2**at, width) for at in range(8, 16) for width in (2048, 4096, 8192)]  # enough to learn their time
    table = table_of([*calls, *others], "bfloat16")
    watts = np.array([200.0 if call.args[6] > 1 else 650.0 for call in calls] + [400.0] * len(others))
    burst_s = table.base_s * 3
    return fit_leaf_model(table, burst_s, table, burst_s, watts, burst_s, SPEC)


def test_it_learns_what_convolutions_draw_and_needs_enough_of_them() -> None:
    calls = [convolve(b, c, g, 4) for b in (1, 3, 8) for c in (128, 320, 768) for g in (1, 2, 8, 16)]
    asked = table_of([convolve(5, 256, 1, 4), convolve(5, 256, 4, 4), gelu(300, 4096)], "bfloat16")
    model = fit_law(calls)
    assert set(model.dedicated_power) == {"convolution"}
    np.testing.assert_allclose(model.predict(asked).power_w, [650.0, 200.0, 400.0], rtol=0.1)
    assert not fit_law(calls[:19]).dedicated_power


@pytest.mark.parametrize(("mode", "dtype"), [("tf32", "float32"), ("bfloat16", "bfloat16")])
def test_what_is_beside_the_product_counts_by_the_time_that_it_took(mode: str, dtype: str) -> None:
    calls = [convolve(4, 64, 1, 3, 56, dtype, dims=2)]
    columns = power_columns(calls, mode)
    (expected,) = image_convolution(calls, [mode], np.array([BURST_S]), SPEC)
    assert [columns[name][0] for name in IMAGE_CONVOLUTION] == expected.tolist()
