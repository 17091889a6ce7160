"""Random layers of kinds that language models lack: known kinds, drawn by seed, and answered by torch as recorded."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch

from irene.measuring.replaying import launch_replay
from irene.measuring.uncommon_shapes import _SORTS, uncommon_calls
from irene.primitives.call import Call
from irene.primitives.kinds import kind_of
from irene.primitives.shapes import gemm_shape


@pytest.mark.parametrize("sort", _SORTS)
def test_calls_are_known_and_the_same_by_seed(sort: str) -> None:
    count = 4 if sort == "recurrent" else 12  # tracing runs step by step
    calls = list(uncommon_calls({sort: count}, random.Random(1)))
    assert calls == list(uncommon_calls({sort: count}, random.Random(1)))
    assert calls != list(uncommon_calls({sort: count}, random.Random(2)))
    assert len(calls) == count and all(kind_of(call) not in ("unknown", "view") for call, _ in calls)
    assert {mode for _, mode in calls} == {"float32"} if sort == "fourier" else calls


def test_depthwise_convolutions_of_both_layouts_and_of_many_kernels() -> None:
    calls = [call for call, _ in uncommon_calls({"depthwise_images": 60}, random.Random(1))]
    assert all((gemm_shape(call).n, gemm_shape(call).batch) == (1, call.tensors[0].shape[1]) for call in calls)
    by_layout = Counter(call.tensors[0].is_contiguous for call in calls)
    assert min(by_layout.values()) > 15 and len({call.tensors[1].shape[-1] for call in calls}) >= 6
    for call in calls:
        lies_last = call.tensors[0].stride[1] == 1
        assert (call.outputs[0].stride[1] == 1) == lies_last, "the output lies as the input does"


def test_torch_gives_the_recorded_outputs_on_a_cpu() -> None:
    """Independent: with data, torch itself answers in the recorded shape and dtype."""
    ran: Counter[str] = Counter()
    for call, _ in uncommon_calls(dict.fromkeys(_SORTS, 30) | {"recurrent": 6}, random.Random(7)):
        if ran[call.name] >= 2 or not _is_quick(call):
            continue
        with torch.inference_mode():
            made = launch_replay(call, torch.device("cpu")).run()
        first = made[0] if isinstance(made, tuple) else made
        assert isinstance(first, torch.Tensor)
        recorded = call.outputs[0]
        assert (tuple(first.shape), str(first.dtype)) == (recorded.shape, f"torch.{recorded.dtype}"), call.signature
        ran[call.name] += 1
    expected = {"conv2d", "conv1d", "im2col", "roll", "bmm", "matmul", "index_add", "segment_reduce"}
    expected |= {"batch_norm", "max_pool2d", "group_norm", "cumsum", "scaled_dot_product_attention"}
    assert expected <= set(ran)


def _is_quick(call: Call) -> bool:
    size = sum(spec.numel for spec in (*call.tensors, *call.outputs))
    return size < 4e5 and all(spec.dtype != "float16" for spec in call.tensors)
