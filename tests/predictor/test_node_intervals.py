"""Widths by energy and provenance: a fallback reaches the root, borders of regimes do not jump, one word a node."""

from __future__ import annotations

import math

import numpy as np
import pytest

from irene.explanation import compare
from irene.leaves.leaf_table import make_table
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import Workload
from irene.predictor.cancelling import TOGETHER
from irene.predictor.domain import Distance
from irene.predictor.intervals import Intervals
from irene.predictor.node_intervals import find_widths, name_provenance, regime_width
from irene.predictor.node_values import PROVENANCES
from irene.predictor.prediction import Prediction
from irene.primitives.call import Call
from tests.predictor.made_law import UNKNOWN, gelu, leaf, linear, tensor

INTERVALS = Intervals({"gemm": 0.1}, 0.2, {"cuda_graph": 0.05, "eager": 0.1, "host_bound": 0.3}, 0.2, {}, 0.0)
KNOWN = linear(4096, 4096, 4096)


def _predict(shipped, *calls: Call, execution: str = "cuda_graph") -> Prediction:
    module = Node("module", "block", "Block", tuple(leaf(call, i, "block") for i, call in enumerate(calls)))
    return shipped.predict(ModelTree(Node("model", "", "Net", (module,)), "net", Workload(execution=execution)))


def _log_bounds(prediction: Prediction, node: int = 0) -> tuple[float, float]:
    values = prediction.values
    return (
        math.log(values.energy_j[node] / values.low_j[node]), math.log(values.high_j[node] / values.energy_j[node]),
    )  # fmt: skip


@pytest.mark.parametrize("execution", ["cuda_graph", "eager"])
def test_a_root_that_is_one_fallback_is_as_wide_as_its_leaf(shipped, execution: str) -> None:
    alone = _predict(shipped, UNKNOWN, execution=execution)
    root, block, bottom = (_log_bounds(alone, node) for node in range(3))
    assert root == block == bottom
    if execution == "cuda_graph":
        assert root == pytest.approx((math.log(10), math.log(10)))
    assert alone.provenance == "fallback"


def test_the_wait_before_a_fallback_is_as_sure_as_any(shipped) -> None:
    tiny = Call("mystery.op.default", (tensor((8, 8)),), (), (tensor((8, 8)),))
    waiting = _predict(shipped, tiny, execution="eager")
    assert waiting.breakdown_j["launch_gap"] > 0.5 * waiting.energy_j
    assert waiting.interval_j[1] < 6 * waiting.energy_j < 10 * waiting.energy_j


def test_shares_of_energy_decide(shipped) -> None:
    """Bounds are sums: what a fallback of a share s may cost more is 9 s of the whole."""
    known, mixed = _predict(shipped, KNOWN), _predict(shipped, KNOWN, UNKNOWN)
    share = mixed.provenance_shares["fallback"]
    width = _log_bounds(known)[1]
    assert 0.01 < share < 0.9
    assert mixed.interval_j[1] / mixed.energy_j == pytest.approx((1 - share) * math.exp(width) + 10 * share)
    assert mixed.interval_j[0] / mixed.energy_j == pytest.approx((1 - share) * math.exp(-width) + share / 10)
    assert mixed.provenance == "fallback" and known.provenance != "fallback"


def test_outside_the_data_counts_twice_and_more_the_farther_it_is(shipped) -> None:
    known = _log_bounds(_predict(shipped, gelu(4096, 4096)))[1]
    calls = [gelu(2**rows, 2**14) for rows in (20, 25, 30)]
    table = make_table(calls, ["bfloat16"] * 3, [False] * 3, shipped.spec)
    far = shipped.domain.distance_of(table, shipped.domain.tier_of(table)).octaves
    assert far[0] > 2 and np.diff(far) == pytest.approx([5, 5])
    for call, octaves in zip(calls, far, strict=True):
        found = _predict(shipped, call)
        assert found.provenance == "extrapolated"
        assert _log_bounds(found)[1] == pytest.approx((1 + octaves) * known)


def test_each_leaf_has_the_width_of_its_kind_and_its_distance() -> None:
    kinds, words = ["gemm", "norm", "gemm", "gemm"], ["interpolated", "fallback", "extrapolated", "extrapolated"]
    octaves = np.array([0.0, 2.0, 0.5, 3.0])
    widths = find_widths(kinds, words, Distance(octaves, np.zeros(4, dtype=np.bool_)), INTERVALS)
    assert widths.own.tolist() == [0.1, math.log(10.0), 0.2, 0.4]
    assert widths.wider.tolist() == [1.0, 1.0, 2.0, 4.0]


def test_a_form_that_was_never_timed_is_as_unsure_as_forms_held_out(shipped) -> None:
    """Transposed convolutions of images have no row, though convolutions do: as unsure in a model as alone."""
    image, weight = tensor((8, 64, 56, 56)), tensor((64, 64, 3, 3))
    options = (None, (1, 1), (1, 1), (0, 0), 1)  # bias, stride, padding, padding of the output, groups
    upwards = Call("aten.conv_transpose2d.input", (image, weight, *options), (), (image,))
    found = _predict(shipped, upwards)
    width = shipped.intervals.of_new_form("convolution")
    assert found.provenance == "extrapolated" and width > math.log(2)
    for node in range(3):
        assert _log_bounds(found, node) == pytest.approx((width, width))
    share = _predict(shipped, KNOWN, upwards).values
    assert share.high_j[0] < math.exp(width) * share.energy_j[0]  # what is known beside it stays known


@pytest.mark.parametrize("taps", [3, 63])
def test_what_passes_seldom_have_is_as_unsure_in_a_whole(shipped, taps: int) -> None:
    """A module that is one depthwise convolution is as unsure as its leaf, inside the data and outside."""
    image, weight = tensor((64, 256, 56, 56)), tensor((256, 1, taps, taps))
    call = Call("aten.conv2d.default", (image, weight, None, (1, 1), (taps // 2,) * 2, (1, 1), 256), (), (image,))
    found = _predict(shipped, call)
    width = shipped.intervals.of_kind("gemm-convolution-depthwise", "interpolated")
    assert width > math.log(2) and (found.provenance == "interpolated") == (taps == 3)
    assert _log_bounds(found, 0) == pytest.approx(_log_bounds(found, 2))
    assert _log_bounds(found)[1] == pytest.approx(width) if taps == 3 else _log_bounds(found)[1] > 1.9 * width


def _depthwise(channels: int) -> Call:
    image, weight = tensor((64, channels, 56, 56)), tensor((channels, 1, 3, 3))
    return Call("aten.conv2d.default", (image, weight, None, (1, 1), (1, 1), (1, 1), channels), (), (image,))


def test_errors_of_distinct_calls_cancel_and_of_one_call_stay(shipped) -> None:
    own = shipped.intervals.of_kind("gemm-convolution-depthwise", "interpolated")
    once, often = (_log_bounds(_predict(shipped, *[_depthwise(256)] * n))[1] for n in (1, 9))
    assert once == pytest.approx(own) and often == pytest.approx(own)
    calls = [_depthwise(channels) for channels in range(240, 280, 8)]
    found = _predict(shipped, *calls)
    joules = found.values.energy_j[found.flat.leaf_index]
    alike = math.sqrt(TOGETHER + (1 - TOGETHER) * float((joules**2).sum() / joules.sum() ** 2))
    assert 0.5 < alike < 0.6 and _log_bounds(found)[1] == pytest.approx(own * alike)
    assert _log_bounds(found, 2)[1] == pytest.approx(own)  # each alone is as unsure as before


def test_the_wait_before_what_passes_seldom_have_is_as_sure_as_any(shipped) -> None:
    image, weight = tensor((2, 256, 14, 14)), tensor((256, 1, 3, 3))
    small = Call("aten.conv2d.default", (image, weight, None, (1, 1), (1, 1), (1, 1), 256), (), (image,))
    waiting = _predict(shipped, *[small] * 9, execution="eager")
    assert waiting.breakdown_j["launch_gap"] > 0.5 * waiting.energy_j
    busy_j = waiting.energy_j - waiting.breakdown_j["launch_gap"]
    known = shipped.intervals.of_regime("host_bound")
    own = shipped.intervals.of_kind("gemm-convolution-depthwise", "interpolated")
    expected_j = waiting.breakdown_j["launch_gap"] * math.exp(known) + busy_j * math.exp(own)
    assert waiting.interval_j[1] == pytest.approx(expected_j)


def test_a_trace_of_a_fallback_gives_no_name(shipped) -> None:
    tiny = Call("mystery.op.default", (tensor((8, 8)),), (), (tensor((8, 8)),))
    mixed = _predict(shipped, linear(16384, 16384, 16384), tiny)
    assert 0 < mixed.provenance_shares["fallback"] < 0.01
    assert mixed.provenance != "fallback" and mixed.values.provenance[-1] == "fallback"


def test_the_word_is_the_worst_that_with_all_worse_has_a_hundredth() -> None:
    shares = np.array([[50, 49.0, 0.4, 0.3, 0.3], [50, 49.2, 0.3, 0.0, 0.5], [0, 0, 0, 0, 0.0], [99.5, 0.5, 0, 0, 0]])
    assert name_provenance(shares) == ("extrapolated", "interpolated", "measured", "measured")
    assert PROVENANCES[-1] == "fallback"


def test_widths_do_not_jump_where_waiting_begins() -> None:
    def width(wait_share: float, execution: str = "eager") -> float:
        return float(regime_width(execution, np.array(wait_share), INTERVALS))

    assert [width(share) for share in (0.0, 0.05, 0.15, 0.25, 1.0)] == pytest.approx([0.1, 0.1, 0.2, 0.3, 0.3])
    steps = np.diff([width(share) for share in np.linspace(0, 1, 501)])
    assert (steps >= -1e-12).all() and steps.max() < 0.005
    assert width(0.0, "cuda_graph") == 0.05


def test_a_pair_of_fallbacks_is_not_told_apart(shipped) -> None:
    larger = Call("mystery.op.default", (tensor((4 * 4096, 2 * 4096)),), (), (tensor((4 * 4096, 2 * 4096)),))
    small, large = _predict(shipped, UNKNOWN), _predict(shipped, larger)
    assert large.energy_j > 5 * small.energy_j
    assert not compare({"small": small, "large": large}).difference("small", "large").is_significant
    known = compare({"small": _predict(shipped, KNOWN), "large": _predict(shipped, *[KNOWN] * 6)})
    assert known.difference("small", "large").is_significant
