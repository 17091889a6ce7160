"""Loads that follow from a routing, against tokens that are drawn one by one; and what they cost."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import irene
from irene.arrays import FloatArray
from irene.errors import BadInput
from irene.leaves.leaf_table import make_table
from irene.model_tree.expert_routing import expert_shares, read_routing
from irene.predictor.load_imbalance import TYPICAL_LOADS, without_idle
from irene.predictor.predictor import Predictor
from irene.predictor.routed_loads import RoutedLoads, chances_of, loads_of
from irene.predictor.runtime import RuntimeFeatures
from irene.primitives.call import Call
from tests.predictor.made_law import grouped, linear, tensor, tree_of
from tests.tracing.tiny_models import tiny_config

DRAWS = 3_000


def draw(chances: FloatArray, tokens: int) -> FloatArray:
    """Rows of each expert, (draws, experts): each token picks different experts with these chances, by one comb.

    Systematic sampling: experts lie side by side, as long as their chances; teeth one apart fall on as many as a token
    goes to, on each with its chance.
    """
    rng = np.random.default_rng(0)
    order = rng.permuted(np.tile(np.arange(len(chances)), (DRAWS * tokens, 1)), axis=1)
    ends = np.cumsum(chances[order], axis=1)
    first = rng.random((DRAWS * tokens, 1))
    teeth = np.floor(ends - first) - np.floor(ends - chances[order] - first)
    picked = np.zeros_like(teeth)
    np.put_along_axis(picked, order, teeth, axis=1)
    assert set(np.unique(picked)) <= {0.0, 1.0}, "a token goes to no expert twice"
    rows: FloatArray = picked.reshape(DRAWS, tokens, -1).sum(axis=1)
    return rows


@pytest.mark.parametrize("routing", ["zipf:0", "zipf:1.2", "histogram:[[5,1,1,0,0,1,4,4]]"])
@pytest.mark.parametrize(("tokens", "top_k"), [(1, 2), (8, 2), (40, 1)])
def test_loads_are_those_of_tokens_drawn_one_by_one(routing: str, tokens: int, top_k: int) -> None:
    chances = chances_of(expert_shares(routing, 8)[0], top_k)
    assert chances.sum() == pytest.approx(top_k) and (chances <= 1).all()
    rows = draw(chances, tokens)
    loads = RoutedLoads(tokens, chances[None])
    assert loads.busy_share == pytest.approx((rows > 0).mean(), rel=0.02)
    mean = rows.mean()
    assert loads.deviation == pytest.approx(np.sqrt(((rows - mean) ** 2).mean()) / mean, rel=0.02)


@pytest.mark.parametrize("routing", ["zipf:0", "zipf:1.2"])
@pytest.mark.parametrize("tokens", [64, 1024])
def test_blocks_are_counted_expert_by_expert(routing: str, tokens: int) -> None:
    chances = chances_of(expert_shares(routing, 8)[0], 2)
    rows = np.random.default_rng(1).binomial(tokens, chances, (DRAWS, 8))
    busy = rows[rows > 0]
    counted = RoutedLoads(tokens, chances[None]).count_blocks(round(busy.mean()), 64)
    assert counted == pytest.approx(np.ceil(busy / 64).mean(), rel=0.03)


def test_the_formulas_of_one_expert_a_token() -> None:
    """With one expert a token: sum(1 - (1 - p)^T) / E, and E/T (1 - sum p^2) + E sum p^2 - 1."""
    p, tokens = np.array([0.5, 0.3, 0.15, 0.05]), 12
    loads, squares = RoutedLoads(tokens, p[None]), float((p**2).sum())
    assert loads.busy_share == pytest.approx((1 - (1 - p) ** tokens).sum() / 4)
    assert loads.deviation**2 == pytest.approx(4 / tokens * (1 - squares) + 4 * squares - 1)


def test_layers_are_averaged() -> None:
    shares = expert_shares(read_routing([[1, 1, 0, 0], [1, 1, 1, 1]]), 4)
    loads = RoutedLoads(10_000, np.array([chances_of(layer, 1) for layer in shares]))
    assert loads.busy_share == pytest.approx(0.75)
    assert loads.deviation == pytest.approx(np.sqrt(0.5 * 1.0), rel=0.01)  # 1 in the first layer, 0 in the second


def gather(rows: int, experts: int) -> Call:
    table, ids = tensor((experts, 512, 1024), weight=True), tensor((rows,), "int64")
    return Call("aten.index.Tensor", (table, (ids,)), (), (tensor((rows, 512, 1024)),))


def router(tokens: int, experts: int, top_k: int) -> Call:
    chosen = tensor((tokens, top_k), "float32")
    return Call("aten.topk.default", (tensor((tokens, experts), "float32"), top_k, -1), (), (chosen,))


def test_only_experts_that_are_touched_are_read(shipped: Predictor) -> None:
    calls = [router(16, 64, 4), gather(64, 64), grouped(1, experts=64), linear(8, 64, 64)]
    table = make_table(calls, ["bfloat16"] * 4, [False] * 4, shipped.spec)
    loads = loads_of(table, "zipf:1.2")
    busy = round(64 * loads[1].busy_share)
    assert 4 < busy < 45 and loads[2] is loads[1] and loads[3] is TYPICAL_LOADS
    routed = without_idle(table, loads)
    assert [routed.calls[at].tensors[at - 1].shape[0] for at in (1, 2)] == [busy, busy]
    assert routed.calls[3] is table.calls[3] and routed.calls[1].outputs == table.calls[1].outputs
    assert routed.traffic_bytes[1] == pytest.approx((64 + busy) * 2 * 512 * 1024, rel=0.001)
    assert loads_of(table, "balanced") == [TYPICAL_LOADS] * 4


def test_a_token_alone_reads_as_many_experts_as_it_goes_to(shipped: Predictor) -> None:
    table = make_table([router(1, 64, 4), gather(4, 64)], ["bfloat16"] * 2, [False] * 2, shipped.spec)
    assert without_idle(table, loads_of(table, "zipf:1.2")) is table


def test_skewed_routing_reads_fewer_weights_and_costs_less(shipped: Predictor) -> None:
    calls = [router(16, 64, 4), gather(64, 64)]
    joules = [
        shipped.predict(replace(tree, workload=replace(tree.workload, expert_routing=routing))).energy_j
        for tree in [tree_of(calls, "cuda_graph")]
        for routing in ("balanced", "zipf:0", "zipf:1", "zipf:2")
    ]
    # Fewer weights by a few per cent may cost a per cent more: what is learned of gathers has steps.
    assert all(after < 1.02 * before for before, after in pairwise(joules)) and joules[-1] < 0.9 * joules[0]


def test_a_generation_is_routed_in_both_its_phases(shipped: Predictor, tmp_path: Path) -> None:
    config = tiny_config("mixtral")
    experts = config.num_local_experts
    path = tmp_path / "counts.json"
    path.write_text(json.dumps([1] + [0] * (experts - 2) + [1]))
    plain, skewed = (
        irene.predict(config, batch_size=8, seq_len=16, new_tokens=3, expert_routing=given, predictor=shipped)
        for given in ("balanced", path)
    )
    # Two experts get all: the others are read neither by the prefill's grouped products nor by the steps' gathers.
    for phase in ("prefill", "decode"):
        assert skewed.node(phase).traffic_bytes < plain.node(phase).traffic_bytes
    assert skewed.tree.workload.expert_routing.startswith("histogram:[[1.0,0.0")
    irene.save_prediction(skewed, tmp_path / "saved.json")
    assert irene.load_prediction(tmp_path / "saved.json").tree.workload == skewed.tree.workload


def test_a_sweep_takes_the_routing_as_a_prediction_does(shipped: Predictor) -> None:
    config = tiny_config("mixtral")
    swept = irene.sweep(config, batch_sizes=[4], seq_lens=[32], expert_routing="zipf:2", predictor=shipped)
    one = irene.predict(config, batch_size=4, seq_len=32, expert_routing="zipf:2", predictor=shipped)
    assert swept.values.energy_j[0] == pytest.approx(one.energy_j)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("skewed", "expected balanced, zipf:S"),
        ("zipf:-1", "an exponent from 0 to 20"),
        ("zipf:x", "an exponent from 0 to 20"),
        ([1, -1], "one number of tokens for each expert"),
        ([0, 0], "one number of tokens for each expert"),
        ([[1, 1], [1]], "one number of tokens for each expert"),
        ([1, 2, 3], "the histogram is of 3 experts, the model has"),
    ],
)
def test_what_is_no_routing_is_refused(given: object, reason: str, shipped: Predictor) -> None:
    with pytest.raises(BadInput, match=reason):
        irene.predict(tiny_config("mixtral"), seq_len=16, expert_routing=given, predictor=shipped)


def test_a_model_without_experts_takes_no_routing(shipped: Predictor) -> None:
    with pytest.raises(BadInput, match="and this one does not"):
        irene.predict("bert-tiny", expert_routing="zipf:1", predictor=shipped)
    run = RuntimeFeatures(1e-4, 1.98e9, 25.0, 2.0)
    tree = tree_of([grouped(8, experts=64)], "cuda_graph")
    routed = replace(tree, workload=replace(tree.workload, expert_routing="zipf:1"))
    with pytest.raises(BadInput, match="give one"):
        shipped.predict(routed, run)
