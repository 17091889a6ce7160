"""Where a number comes from: what was metered, timed in its dtype, timed in another, or never seen."""

from __future__ import annotations

import pytest

from irene.hardware.devices import load_device
from irene.leaves.leaf_table import LeafTable, make_table
from irene.predictor.domain import Domain, make_domain
from irene.primitives.call import Call, TensorSpec
from tests.predictor.made_law import UNKNOWN, VIEW, attention, gelu, linear, tensor

SPEC = load_device("h200")
METERED = linear(1024, 1024, 1024)
TIMED = [
    linear(128, 256, 1024), linear(8192, 4096, 1024), linear(512, 512, 512, "float32"), gelu(8, 1024), gelu(4096, 4096),
    METERED,
]  # fmt: skip


def table_of(calls: list[Call], dtypes: list[str] | None = None, cold: bool = False) -> LeafTable:
    own = [call.outputs[0].dtype for call in calls]
    return make_table(calls, dtypes or own, [cold] * len(calls), SPEC)


@pytest.fixture(scope="module")
def domain() -> Domain:
    return make_domain(table_of(TIMED), table_of([METERED]))


@pytest.mark.parametrize(
    ("call", "dtype", "expected"),
    [
        (METERED, "bfloat16", "measured"),
        (VIEW, "bfloat16", "measured"),
        (linear(512, 768, 1024), "bfloat16", "interpolated"),
        (linear(128, 128, 1024), "bfloat16", "interpolated"),  # half of the smallest: the margin
        (linear(32, 64, 1024), "bfloat16", "extrapolated"),
        (linear(65536, 8192, 1024), "bfloat16", "extrapolated"),
        (gelu(4, 1024), "bfloat16", "interpolated"),
        (gelu(3, 1024), "bfloat16", "extrapolated"),  # less than half of the smallest
        (gelu(8192, 4096), "bfloat16", "interpolated"),
        (gelu(9000, 4096), "bfloat16", "extrapolated"),  # more than twice the largest
        (linear(512, 512, 512, "float32"), "float32", "interpolated"),
        (linear(4096, 4096, 1024, "float32"), "float32", "extrapolated"),  # timed in bfloat16 alone
        (gelu(64, 1024, "float32"), "float32", "extrapolated"),  # the kind was never timed in float32
        (linear(512, 768, 1024, "float16"), "float16", "transferred"),
        (linear(65536, 8192, 1024, "float16"), "float16", "extrapolated"),
        (linear(512, 512, 512, "float32"), "tf32", "transferred"),
        (linear(512, 768, 1024, "float64"), "float64", "extrapolated"),  # stands in for nothing
        (attention(128), "bfloat16", "fallback"),  # the kind was never timed
        (UNKNOWN, "bfloat16", "fallback"),
    ],
)
def test_provenance(domain: Domain, call: Call, dtype: str, expected: str) -> None:
    assert domain.provenance_of(table_of([call], [dtype])) == [expected]


@pytest.mark.parametrize(
    ("call", "dtype", "octaves"),
    [
        (gelu(4096, 4096), "bfloat16", 0),
        (gelu(4 * 4096, 4096), "bfloat16", 2),
        (gelu(1, 8), "bfloat16", 0),  # below the smallest it takes the least time of any
        (linear(8192, 32 * 4096, 1024), "bfloat16", 5),
        (linear(8192, 32 * 4096, 1024, "float16"), "float16", 5),  # of its stand-in
        (linear(8192, 32 * 4096, 1024, "float64"), "float64", 6.7),  # of any; by its bytes
        (UNKNOWN, "bfloat16", 0),
    ],
)
def test_how_far_beyond_the_largest(domain: Domain, call: Call, dtype: str, octaves: int) -> None:
    table = table_of([METERED, call], [METERED.outputs[0].dtype, dtype])
    assert domain.distance_of(table, domain.tier_of(table)).octaves.tolist() == pytest.approx(
        [0, octaves], abs=0.4
    )  # bytes of the other operands


def test_a_metered_call_is_measured_with_these_weights_alone(domain: Domain) -> None:
    assert domain.provenance_of(table_of([METERED], cold=True)) == ["interpolated"]
    assert domain.provenance_of(table_of([linear(1024, 1024, 1024, "float32")], ["tf32"])) == ["extrapolated"]


@pytest.mark.parametrize(
    "call",
    [
        Call("aten.matmul.default", linear(512, 768, 1024).tensors, (), (tensor((512, 768)),)),  # another operator
        Call(
            "aten.linear.default",
            (tensor((512, 1024)), TensorSpec((768, 1024), (1, 768), "bfloat16")),
            (),
            (tensor((512, 768)),),
        ),
        Call("aten.relu.default", (tensor((64, 1024)),), (), (tensor((64, 1024)),)),
        Call(
            "aten.gelu.default", (TensorSpec((64, 1024), (4096, 1), "bfloat16"),), (), (tensor((64, 1024)),)
        ),  # with holes
    ],
)
def test_an_operator_or_layout_without_rows_is_beyond_the_data(domain: Domain, call: Call) -> None:
    """Though its kind was timed at that size: what is known of a neighbour is carried over."""
    assert domain.provenance_of(table_of([call])) == ["extrapolated"]


def test_an_empty_tensor_is_not_beyond_the_data(domain: Domain) -> None:
    empty = Call("aten.gelu.default", (tensor((0, 8)),), (), (tensor((0, 8)),))
    assert domain.provenance_of(table_of([empty])) == ["measured"], "nothing is launched for it, as for a view"
