"""The physics under a leaf, before anything is learned."""

from __future__ import annotations

import pytest

from irene.hardware.devices import load_device
from irene.hardware.roofline import roofline_s
from irene.leaves.ideal_time import base_duration_s
from irene.leaves.leaf_table import make_table
from irene.primitives.attention import attention_backend
from irene.primitives.call import Call, TensorSpec
from irene.primitives.work import count_work
from tests.predictor.made_law import attention, gelu, linear

SPEC = load_device("h200")


@pytest.mark.parametrize("call", [linear(4096, 4096, 4096), linear(8, 4096, 4096), gelu(4096, 4096)])
def test_a_roofline_and_a_floor(call: object) -> None:
    assert (
        base_duration_s(call, "bfloat16", SPEC) == roofline_s(count_work(call), "bfloat16", SPEC) + SPEC.kernel_floor_s
    )


def test_dtypes_have_their_own_peaks() -> None:
    call = linear(8192, 8192, 8192, "float32")
    assert base_duration_s(call, "float32", SPEC) > 5 * base_duration_s(call, "tf32", SPEC)


def test_attention_by_backend() -> None:
    """A mask whose rows are not contiguous forbids the fused kernels: plain math writes its scores to memory."""
    fused, plain = attention(1024), attention(1024, mask=TensorSpec((8, 12, 1024, 1024), (1, 8, 96, 98304), "bfloat16"))
    assert (attention_backend(fused), attention_backend(plain)) == ("cudnn", "math")
    assert base_duration_s(plain, "bfloat16", SPEC) > 5 * base_duration_s(fused, "bfloat16", SPEC)


@pytest.mark.parametrize("at", range(3))
def test_attention_over_transposed_heads_is_plain_math(at: int) -> None:
    """Products with 2:4 sparse weights leave channels far apart: no fused kernel takes such a query, key or value."""
    near = TensorSpec((8, 12, 128, 64), (98304, 64, 768, 1), "bfloat16")
    far = TensorSpec((8, 12, 128, 64), (128, 65536, 1, 1024), "bfloat16")
    operands = tuple(far if at == place else near for place in range(3))
    op = "aten.scaled_dot_product_attention.default"
    assert attention_backend(Call(op, (near,) * 3)) == "cudnn"
    assert attention_backend(Call(op, operands)) == "math"


def test_a_scan_down_columns_waits_for_each_row() -> None:
    """Positions of tokens within an expert's buffer: 10,240 rows of 32 columns, one load after the other."""
    x = TensorSpec((10240, 32), (32, 1), "int64")
    down, along = (base_duration_s(made("cumsum.default", x, dim), "bfloat16", SPEC) for dim in (0, -1))
    assert down - along == pytest.approx(10240 * SPEC.library.load_latency_s)
    assert base_duration_s(made("cumsum_.default", x, 0), "bfloat16", SPEC) == down
    one_row = TensorSpec((1, 10240, 1), (10240, 1, 1), "int64")
    assert base_duration_s(made("cumsum.default", one_row, 1), "bfloat16", SPEC) < 3e-6
    wide = TensorSpec((100, 1_000_000), (1_000_000, 1), "float32")
    turns = -(-1954 * 512 // (SPEC.sm_count * SPEC.chip.threads_per_sm))  # blocks of 512 columns
    more_s = base_duration_s(made("cumsum.default", wide, 0), "float32", SPEC) - 2 * wide.bytes / SPEC.hbm_bytes_per_s
    assert more_s == pytest.approx(100 * turns * SPEC.library.load_latency_s + SPEC.kernel_floor_s)


def test_a_scan_along_rows_takes_turns_only_where_rows_are_many_and_short() -> None:
    """Of 8 experts a mask of 12,730 tokens took 82 us; of 32 experts one of 14,224 tokens 7 us."""

    def seconds(rows: int, length: int) -> float:
        call = made("cumsum.default", TensorSpec((rows, length), (length, 1), "int64"), -1)
        return base_duration_s(call, "bfloat16", SPEC)

    assert seconds(14224, 32) < 5e-6
    tall_s = seconds(12730, 8)
    assert 82.4e-6 / 1.5 < tall_s < 82.4e-6 * 1.5
    assert seconds(2**13, 8) > 10 * seconds(2**12, 8)  # ten doublings apart, and nine


def test_a_layer_norm_gives_each_row_a_block_however_short() -> None:
    """200,704 rows of 96 took 314 us, though their bytes are there in 16."""

    def seconds(rows: int, width: int) -> float:
        return base_duration_s(
            made("layer_norm.default", TensorSpec((rows, width), (width, 1), "bfloat16"), (width,)), "bfloat16", SPEC
        )

    assert 314e-6 / 1.6 < seconds(200704, 96) < 314e-6
    by_rows_s = seconds(200704, 96) - bytes_s(4 * 200704 * 96) - SPEC.kernel_floor_s
    assert seconds(2 * 200704, 48) - bytes_s(4 * 200704 * 96) - SPEC.kernel_floor_s == pytest.approx(
        2 * by_rows_s, 1e-3
    )
    image = TensorSpec((8, 56, 56, 96), (56 * 56 * 96, 56 * 96, 96, 1), "bfloat16")
    assert base_duration_s(made("layer_norm.default", image, (96,)), "bfloat16", SPEC) == seconds(8 * 56 * 56, 96)


def test_depthwise_convolutions_multiply_on_the_vector_units() -> None:
    x, weight = TensorSpec((8, 64, 112, 112), (802816, 12544, 112, 1), "bfloat16"), (64, 1, 31, 31)
    kernel = TensorSpec(weight, (961, 961, 31, 1), "bfloat16", weight=True)
    call = made("conv2d.default", x, kernel, None, (1, 1), (15, 15), (1, 1), 64)
    assert base_duration_s(call, "bfloat16", SPEC) > count_work(call).flop / SPEC.vector_flop_per_s


def test_causal_attention_does_about_half() -> None:
    full, causal = (base_duration_s(attention(4096, causal=c), "bfloat16", SPEC) for c in (False, True))
    assert causal == pytest.approx(full / 2, rel=0.05)


def test_float32_attention_runs_on_the_vector_units_even_as_tf32() -> None:
    call = attention(2048, dtype="float32")
    assert base_duration_s(call, "float32", SPEC) == base_duration_s(call, "tf32", SPEC)


def test_the_base_does_not_know_whether_weights_are_cold() -> None:
    call = linear(8, 4096, 4096)
    table = make_table([call, call], ["bfloat16"] * 2, [False, True], SPEC)
    assert table.base_s[0] == table.base_s[1]
    assert table.cold.tolist() == [False, True]


def made(op: str, x: TensorSpec, *args: object, out: TensorSpec | None = None) -> Call:
    return Call(f"aten.{op}", (x, *args), (), (out or x,))


def bytes_s(count: float) -> float:
    return count / SPEC.hbm_bytes_per_s


IMAGE = TensorSpec((8, 64, 64, 256), (64 * 64 * 256, 64 * 256, 256, 1), "bfloat16")


def test_a_roll_passes_over_its_tensor_once_a_dimension() -> None:
    one, two = (made("roll.default", IMAGE, shifts, dims) for shifts, dims in (((3,), (1,)), ((3, 3), (1, 2))))
    once_s = base_duration_s(one, "bfloat16", SPEC)
    assert base_duration_s(made("roll.default", IMAGE, (3,)), "bfloat16", SPEC) == once_s, "flat, without dimensions"
    assert once_s == pytest.approx(bytes_s(2 * IMAGE.bytes) + SPEC.kernel_floor_s)
    assert base_duration_s(two, "bfloat16", SPEC) == pytest.approx(2 * once_s)


def test_padding_fills_before_it_copies_and_padding_nothing_is_a_copy() -> None:
    padded = TensorSpec((8, 72, 64, 256), (72 * 64 * 256, 64 * 256, 256, 1), "bfloat16")
    nothing, less = (made("pad.default", IMAGE, (0, 0, 0, 0, 0, cut)) for cut in (0, -8))
    assert base_duration_s(less, "bfloat16", SPEC) == base_duration_s(nothing, "bfloat16", SPEC)
    some = made("pad.default", IMAGE, (0, 0, 0, 0, 0, 8), out=padded)
    mirrored = made("pad.default", IMAGE, (0, 0, 0, 0, 0, 8), "reflect", out=padded)
    assert base_duration_s(nothing, "bfloat16", SPEC) == pytest.approx(bytes_s(2 * IMAGE.bytes) + SPEC.kernel_floor_s)
    filling_s = base_duration_s(some, "bfloat16", SPEC) - base_duration_s(mirrored, "bfloat16", SPEC)
    assert filling_s == pytest.approx(bytes_s(padded.bytes) + SPEC.kernel_floor_s)


def test_a_group_norm_reads_its_input_twice() -> None:
    x = TensorSpec((8, 512, 4096), (512 * 4096, 4096, 1), "bfloat16")
    assert base_duration_s(made("group_norm.default", x, 512), "bfloat16", SPEC) > bytes_s(3 * x.bytes)


def test_a_weight_norm_of_the_last_dimension_walks_over_rows() -> None:
    """wav2vec2's: 36,864 rows of 128 taps take some 200 us on an H200, where the bytes alone would take 5."""
    weight = TensorSpec((768, 48, 128), (48 * 128, 128, 1), "bfloat16", weight=True)
    norms = TensorSpec((1, 1, 128), (128, 128, 1), "bfloat16", weight=True)
    walked, by_channel, of_all = (made("_weight_norm.default", weight, norms, dim) for dim in (2, 0, -1))
    assert 1e-4 < base_duration_s(walked, "bfloat16", SPEC) < 3e-4
    assert base_duration_s(by_channel, "bfloat16", SPEC) < 1e-5
    assert base_duration_s(of_all, "bfloat16", SPEC) < 1e-5, "-1 is the norm over everything, another kernel"
