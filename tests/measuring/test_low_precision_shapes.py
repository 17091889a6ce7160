"""Random calls in low precision: valid by torch's own rules, of both few and many rows, and priced by their FLOP."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch

from irene.measuring.low_precision_shapes import low_precision_calls
from irene.measuring.replaying import launch_replay
from irene.primitives.call import Call
from irene.primitives.kinds import kind_of
from irene.primitives.shapes import gemm_shape

_SORTS = ("fp8", "int8", "sparse", "weight_only")


@pytest.mark.parametrize("sort", [*_SORTS, "passes"])
def test_calls_are_random_and_the_same_by_seed(sort: str) -> None:
    calls = list(low_precision_calls({sort: 40}, random.Random(1)))
    assert calls == list(low_precision_calls({sort: 40}, random.Random(1)))
    assert calls != list(low_precision_calls({sort: 40}, random.Random(2)))
    assert len(calls) == 40 and all(kind_of(call) != "unknown" for call, _ in calls)


@pytest.mark.parametrize("sort", _SORTS)
def test_products_of_few_and_of_many_rows(sort: str) -> None:
    shapes = [gemm_shape(call) for call, _ in low_precision_calls({sort: 60}, random.Random(1))]
    few = sum(shape.m <= 64 for shape in shapes)
    assert 12 < few < 48 and len({(shape.n, shape.k) for shape in shapes}) > 25
    assert all(shape.n % 64 == 0 and shape.k % 16 == 0 for shape in shapes)


def test_scales_are_of_a_tensor_a_row_and_a_block() -> None:
    calls = [call for call, _ in low_precision_calls({"fp8": 80}, random.Random(1))]
    granularity = Counter(call.tensors[2].numel == 1 or call.tensors[2].shape[1] for call in calls)
    assert granularity[True] > 20 and sum(isinstance(key, int) and key > 1 for key in granularity) >= 1
    assert all(call.tensors[1].weight and call.tensors[1].stride[0] == 1 for call in calls), "columns lie together"


def test_what_a_cpu_runs_gives_the_recorded_output() -> None:
    """Independent: torch runs int8 products and passes on a CPU, with data."""
    ran: Counter[str] = Counter()
    drawn = low_precision_calls({"int8": 60, "weight_only": 20, "passes": 60}, random.Random(5))
    small = [call for call, _ in drawn if sum(spec.bytes for spec in (*call.tensors, *call.outputs)) < 2e7]
    for call in small:
        if _is_elsewhere(call):
            continue
        with torch.inference_mode():
            made = launch_replay(call, torch.device("cpu")).run()
        assert isinstance(made, torch.Tensor)
        assert (tuple(made.shape), str(made.dtype)) == (call.outputs[0].shape, f"torch.{call.outputs[0].dtype}")
        ran[call.name] += 1
    assert ran["_int_mm"] and ran["mul"] and ran["to"] and ran["bitwise_right_shift"]


def _is_elsewhere(call: Call) -> bool:
    return call.name == "_weight_int4pack_mm"  # a CPU has an operator of its own, with another packing
