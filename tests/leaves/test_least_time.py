"""No time below the roofline of what is known to be done: in the leaf model, in a whole, and in what was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from irene.dataset.store import load_rows
from irene.hardware.devices import load_device
from irene.leaves.leaf_model import LeafModel
from irene.leaves.leaf_table import LeafTable, effective_dtype, make_table
from irene.leaves.least_time import least_duration_s
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import Workload
from irene.primitives.call import Call, read_signature
from tests.predictor.made_law import VIEW, attention, gelu, grouped, leaf, linear, tensor

SPEC = load_device("h200")


def test_products_at_their_peak_and_traffic_beyond_the_cache() -> None:
    flop, moved_bytes = 2 * 4096**3, 2 * 2 * 2**14 * 2**14
    assert least_duration_s(linear(4096, 4096, 4096), "bfloat16", SPEC) == flop / SPEC.peak("bfloat16")
    beyond_s = (moved_bytes - SPEC.l2_bytes) / SPEC.hbm_bytes_per_s
    assert least_duration_s(gelu(2**14, 2**14), "bfloat16", SPEC) == pytest.approx(beyond_s)
    assert least_duration_s(gelu(64, 64), "bfloat16", SPEC) == 8 * 64 * 64 / SPEC.vector_flop_per_s
    assert least_duration_s(VIEW, "bfloat16", SPEC) == 0.0


def test_what_a_kernel_may_skip_is_not_counted() -> None:
    full, causal = (least_duration_s(attention(4096, causal=c), "bfloat16", SPEC) for c in (False, True))
    assert causal == pytest.approx(full / 2, rel=0.01)
    call = grouped(1, experts=64)  # 64 rows meet 64 experts at most: fewer are read where some get several
    assert least_duration_s(call, "bfloat16", SPEC) < 0.01 * call.tensors[1].bytes / SPEC.hbm_bytes_per_s


@pytest.mark.parametrize("collection", ["convolutions-a", "experts", "recipes-a", "watts-b"])
def test_no_measured_call_is_faster(collection: str) -> None:
    rows = load_rows(f"data/h200/{collection}")
    rows = rows[rows["level"] == "primitive"].drop_duplicates("signature").iloc[:400]
    for signature, dtype, duration_s in zip(rows["signature"], rows["dtype"], rows["duration_s"], strict=True):
        call = read_signature(signature)
        least_s = least_duration_s(call, effective_dtype(call, dtype), SPEC)
        assert duration_s > 1.05 * least_s, f"{duration_s} s measured, at least {least_s} s: {signature}"


def _optimist(model: LeafModel) -> LeafModel:
    """A model whose regressors say that everything takes a thousandth."""

    class Fast:
        def predict(self, columns: np.ndarray, *_: object) -> np.ndarray:
            return np.full(len(columns), -np.log(1000.0))

    return replace(model, time=dict.fromkeys(model.time, Fast()), sustained_ratio=Fast())


def _table() -> LeafTable:
    x = tensor((16384, 512), "float32")
    book = tensor((8192, 512), "float32")
    distances = Call("aten.cdist.default", (x, book, 2.0, None), (), (tensor((16384, 8192), "float32"),))
    fused = Call("mystery.op.default", (tensor((2**14, 2**14)),), (), (tensor((2**14, 2**14)),))
    calls = [linear(4096, 4096, 4096), gelu(2**14, 2**14), attention(4096), distances, fused, VIEW]
    dtypes = [effective_dtype(call, "bfloat16") for call in calls]
    return make_table(calls, dtypes, [False] * len(calls), SPEC)


def test_no_weight_makes_a_leaf_of_a_whole_faster(shipped) -> None:
    light = replace(shipped.weights, duration=(-9.0,) * len(shipped.weights.duration), chain_gap_s=0.0)
    fast = replace(shipped, leaves=_optimist(shipped.leaves), weights=light)
    root = Node("model", "", "Two", (leaf(linear(4096, 4096, 4096)), leaf(gelu(2**14, 2**14))))
    prediction = fast.predict(ModelTree(root, "two", Workload(execution="cuda_graph")))
    least_s = sum(least_duration_s(c.call, "bfloat16", SPEC) for c in root.children)
    assert prediction.duration_s >= least_s * (1 - 1e-12)


def test_whatever_was_learned_no_leaf_is_faster(shipped) -> None:
    table = _table()
    values = _optimist(shipped.leaves).predict(table)
    assert (values.duration_s >= table.least_s).all()
    assert (_optimist(shipped.leaves).predict_burst_s(table) >= table.least_s).all()
    assert (table.least_s[:-1] > 0).all() and values.duration_s[-1] == 0
    assert (values.duration_s[:-1] == table.least_s[:-1]).all()
