"""What regressors see of norms, pools and resizings of images: sorts, layouts, and how long each worker walks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irene.hardware.devices import load_device
from irene.leaves.columns.image_passes import IMAGE_PASSES, image_passes
from irene.leaves.kernel_sets import known_by, regressor_of
from irene.leaves.leaf_table import make_table
from irene.leaves.power.image_passes import IMAGES, image_power_matrix, image_power_names
from irene.measuring.programs import on_meta, record_module, record_program
from irene.primitives.call import Call
from irene.primitives.image_passes import IMAGE_SORTS, image_sort
from irene.primitives.kinds import kind_of

SPEC = load_device("h200")
BASE_S = 1e-6
pool = torch.nn.functional


def images(*shape: int, last: bool = False) -> torch.Tensor:
    layout = torch.channels_last if last else torch.contiguous_format
    return on_meta(shape, "float32").to(memory_format=layout)


def columns(call: Call) -> dict[str, float]:
    row = image_passes([call], ["float32"], np.array([BASE_S]), SPEC)[0]
    assert np.isfinite(row).all()
    return dict(zip(IMAGE_PASSES, row.tolist(), strict=True))


def walk(call: Call) -> tuple[int, int]:
    """Elements that a worker goes through, and workers."""
    seen = columns(call)
    return round(2 ** seen["log2_walk"]), round(2 ** seen["log2_walkers"])


def resized(x: torch.Tensor, mode: str) -> Call:
    return record_program(lambda x: pool.interpolate(x, scale_factor=2.0, mode=mode), [x])[-1]


def group_norm(groups: int, x: torch.Tensor) -> Call:
    with torch.device("meta"):
        return record_module(torch.nn.GroupNorm(groups, x.shape[1]).eval(), (x,))[-1]


X = images(4, 64, 28, 28)
CALLS = {
    "batch_norm": record_module(torch.nn.BatchNorm2d(64, device="meta").eval(), (X,))[-1],
    "group_norm": group_norm(8, X),
    "instance_norm": record_module(torch.nn.InstanceNorm2d(64), (X,))[-1],
    "max_pool": record_program(lambda x: pool.max_pool2d(x, 3, 2, 1), [X])[-1],
    "avg_pool": record_program(lambda x: pool.avg_pool2d(x, 3, 2, 1), [X])[-1],
    "adaptive": record_program(lambda x: pool.adaptive_avg_pool2d(x, 7), [X])[-1],
    "plane_mean": record_program(lambda x: pool.adaptive_avg_pool2d(x, 1), [X])[-1],
    "nearest": resized(X, "nearest"),
    "linear": resized(X, "bilinear"),
    "cubic": resized(X, "bicubic"),
}


@pytest.mark.parametrize("sort", IMAGE_SORTS)
def test_each_sort_is_told_from_the_others_and_has_kernels_of_its_own(sort: str) -> None:
    call = CALLS[sort]
    seen = columns(call)
    assert [own for own in IMAGE_SORTS if seen[f"is_{own}"]] == [sort] == [image_sort(call)]
    assert not any(seen[f"is_{own}_channels_last"] for own in IMAGE_SORTS)
    name = regressor_of(call, kind_of(call), "float32", SPEC)
    assert known_by(kind_of(call), name) == name == "vector-images"


def test_a_mean_over_whole_planes_is_the_pool_that_answers_one_place() -> None:
    mean = record_program(lambda x: x.mean((2, 3)), [X])[-1]
    assert image_sort(mean) == image_sort(CALLS["plane_mean"]) == "plane_mean"
    for other in (lambda x: x.mean(3), lambda x: x.mean((1, 2)), lambda x: x.sum((2, 3))):
        assert image_sort(record_program(other, [X])[-1]) == ""


def test_channels_last_is_a_kernel_of_its_own() -> None:
    first, last = columns(group_norm(8, X)), columns(group_norm(8, images(4, 64, 28, 28, last=True)))
    told = {name for name in IMAGE_PASSES if first[name] != last[name]}
    assert told == {"is_channels_last", "is_group_norm_channels_last"} and last["is_channels_last"] == 1.0


def test_a_group_is_walked_by_one_block() -> None:
    assert walk(group_norm(1, X)) == (64 * 28 * 28, 4)
    assert walk(group_norm(32, X)) == (2 * 28 * 28, 4 * 32)
    assert walk(CALLS["batch_norm"]) == walk(CALLS["plane_mean"]) == (28 * 28, 4 * 64)


def test_a_batch_norm_with_channels_last_knows_rows_of_channels_and_no_samples() -> None:
    """A matrix of 3136 rows, four images of 28 x 28 and sixteen of 14 x 14 are one kernel with one size, in 16 bits.

    In float32 the library takes the images, and tells samples apart.
    """

    def norms(dtype: torch.dtype) -> list[Call]:
        matrix, flat = on_meta((4 * 28 * 28, 64), "float32").to(dtype), torch.nn.BatchNorm1d(64, device="meta")
        deep = torch.nn.BatchNorm2d(64, device="meta").eval().to(dtype)
        of_images = [images(*shape, last=True).to(dtype) for shape in ((4, 64, 28, 28), (16, 64, 14, 14))]
        return [
            record_module(flat.eval().to(dtype), (matrix,))[-1],
            *(record_module(deep, (x,))[-1] for x in of_images),
        ]

    seen = [columns(call) | {"log2_line_out": 0.0} for call in norms(torch.bfloat16)]
    assert seen[0] == seen[1] == seen[2] and 2 ** seen[0]["log2_plane"] == pytest.approx(4 * 28 * 28)
    flat, four, sixteen = norms(torch.float32)
    assert walk(flat) == (1, 64 * 4 * 28 * 28) and walk(four) == (28 * 28, 4 * 64) and walk(sixteen) == (196, 16 * 64)


def test_resizing_walks_through_samples_and_channels_or_not_at_all() -> None:
    assert walk(resized(X, "bilinear")) == (4 * 64, 56 * 56)
    per_output, outputs = walk(resized(images(4, 64, 28, 28, last=True), "bilinear"))
    assert outputs == 4 * 64 * 56 * 56 and per_output < 64


def test_pools_look_up_each_element_once_a_tap() -> None:
    assert walk(CALLS["max_pool"]) == (9, 4 * 64 * 14 * 14)
    loads = 2 ** columns(CALLS["max_pool"])["log2_loads_rate"]
    assert loads == pytest.approx(9 * 4 * 64 * 14 * 14)  # in the microsecond of the base
    assert walk(CALLS["adaptive"]) == (16, 4 * 64 * 7 * 7)


def test_turns_are_waves_of_blocks() -> None:
    """One block more than there are multiprocessors takes a turn more."""
    rates = [columns(group_norm(1, images(samples, 8, 14, 14)))["log2_turns_rate"] for samples in (132, 133)]
    assert SPEC.sm_count == 132 and rates[1] - rates[0] == pytest.approx(1.0)


def test_power_sees_rates_of_the_burst_not_of_the_base() -> None:
    table = make_table([CALLS["max_pool"]] * 2, ["float32"] * 2, [False] * 2, SPEC)
    matrix = image_power_matrix(table, table.members_of(IMAGES), np.array([1e-5, 2e-5]))
    slow_less_quick = dict(zip(image_power_names(), (matrix[1] - matrix[0]).tolist(), strict=True))
    assert slow_less_quick["log2_loads_rate"] == pytest.approx(-1.0)
    assert [slow_less_quick[name] for name in ("log2_burst_us", "log2_over_base")] == pytest.approx([1.0, 1.0])
    loads = 9 * 4 * 64 * 14 * 14 / 10
    assert 2 ** dict(zip(image_power_names(), matrix[0], strict=True))["log2_loads_rate"] == pytest.approx(loads)
