"""Predictions of the predictor that comes with irene: accounts add up at every node, whatever is asked."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from transformers import BertConfig, LlamaConfig

import irene
from irene.errors import BadInput, UnknownName
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import Workload
from irene.predictor.node_values import PROVENANCES
from irene.predictor.prediction import Prediction
from irene.predictor.predictor import Predictor
from irene.primitives.work import count_work
from tests.predictor.made_law import UNKNOWN, VIEW, gelu, leaf, linear, tree_of

MODELS = ("bert-base-uncased", "gpt2", "google-t5/t5-small", "albert-base-v2", "google/vit-base-patch16-224")


@pytest.fixture(scope="module", params=MODELS)
def tree(request: pytest.FixtureRequest) -> ModelTree:
    return irene.trace(request.param, batch_size=4, seq_len=64)


@pytest.fixture(scope="module")
def bert() -> Prediction:
    return irene.predict("bert-base-uncased", batch_size=8, seq_len=128)


def check_account(p: Prediction) -> None:
    values, flat = p.values, p.flat
    parts = values.compute_j + values.memory_j + values.static_j + values.launch_gap_j
    np.testing.assert_allclose(parts, values.energy_j, rtol=1e-9, atol=1e-15)
    for name in ("energy_j", "duration_s", "launch_gap_j", "static_j", "flop", "traffic_bytes"):
        column = getattr(values, name)
        below = np.zeros(len(flat))
        np.add.at(below, flat.parent[1:], column[1:])
        inner = ~flat.is_leaf
        np.testing.assert_allclose(below[inner], column[inner], rtol=1e-9, atol=1e-15)  # no share of their own
    assert sum(p.provenance_shares.values()) == pytest.approx(1)
    assert list(p.provenance_shares) == list(PROVENANCES)
    assert (values.low_j <= values.energy_j).all() and (values.energy_j <= values.high_j).all()
    assert p.power_w is not None and p.power_w <= 700 * (1 + 1e-9)


@pytest.mark.parametrize("execution", ["eager", "cuda_graph"])
def test_accounts_add_up(shipped: Predictor, tree: ModelTree, execution: str) -> None:
    check_account(shipped.predict(tree.with_workload(execution=execution)))


def test_a_captured_graph_never_costs_more(shipped: Predictor, tree: ModelTree) -> None:
    eager, graph = (shipped.predict(tree.with_workload(execution=e)) for e in ("eager", "cuda_graph"))
    assert (graph.values.energy_j <= eager.values.energy_j * (1 + 1e-12)).all()
    assert graph.duration_s <= eager.duration_s
    assert graph.breakdown_j["launch_gap"] == 0.0
    assert eager.breakdown_j["launch_gap"] > 0.0  # small work: the GPU waits


def test_the_root_alone_is_the_root(shipped: Predictor, tree: ModelTree) -> None:
    for execution in ("eager", "cuda_graph"):
        p = shipped.predict(tree.with_workload(execution=execution))
        assert p.values.isolated_energy_j[0] == pytest.approx(p.energy_j)
        assert (p.values.isolated_energy_j > 0)[p.values.energy_j > 0].all()


def test_parts_by_hand(shipped: Predictor) -> None:
    """Static is idle power while it runs; the rest goes where the roofline's two times say."""
    wide, thin = linear(8192, 8192, 8192), linear(1, 8192, 8192)
    p = shipped.predict(tree_of([wide, thin], "cuda_graph"))
    for name, call in (("linear#0", wide), ("linear#1", thin)):
        node = p.node(f"block0/{name}")
        work, static_j = count_work(call), node.breakdown_j["static"]
        compute, memory = work.flop / 989.4e12, work.traffic_bytes / 4.8e12
        assert 0.75 < static_j / (120 * node.duration_s) <= 1.0 + 1e-9  # the power cap stretches time
        assert node.breakdown_j["compute"] == pytest.approx((node.energy_j - static_j) * compute / (compute + memory))
        assert node.bound == ("power_bound" if call is wide else "memory_bound")


def test_a_view_alone_costs_nothing_on_the_gpu(shipped: Predictor) -> None:
    estimates = shipped.predict_primitives([VIEW], ["bfloat16"], ["hot"])
    assert (estimates.energy_j[0], estimates.duration_s[0], estimates.power_w[0]) == (0.0, 0.0, 0.0)


def test_a_primitive_alone_is_what_a_loop_of_it_costs(shipped: Predictor) -> None:
    call = linear(4096, 4096, 4096)
    p = shipped.predict(tree_of([call] * 8, "cuda_graph"))
    estimates = shipped.predict_primitives([call], ["bfloat16"], ["cold"])  # 34 MB of weights, eight of them
    assert p.node("block0/linear#0").isolated_energy_j == pytest.approx(estimates.energy_j[0])
    assert shipped.sum_of_leaves_j(p.tree) == pytest.approx(8 * estimates.energy_j[0])
    assert estimates.low_j[0] < estimates.energy_j[0] == estimates.duration_s[0] * estimates.power_w[0]


def test_an_unknown_op_is_a_flagged_fallback(shipped: Predictor) -> None:
    known = [linear(512, 768, 1024), gelu(64, 1024)]
    p, without = (shipped.predict(tree_of(calls, "cuda_graph")) for calls in ([*known, UNKNOWN], known))
    odd = p.node("block1/op#0")
    assert (odd.provenance, p.provenance, without.provenance) == ("fallback", "fallback", "interpolated")
    assert odd.energy_j > 120 * 67e6 / 4.8e12  # what idle power costs while the bytes move, at least
    assert p.provenance_shares["fallback"] == pytest.approx(odd.energy_j / p.energy_j)
    assert odd.interval_j[1] >= 9.99 * odd.energy_j
    check_account(p)


def test_every_dtype_mode_was_measured() -> None:
    half, brain = (irene.predict("bert-base-uncased", batch_size=8, dtype=d) for d in ("float16", "bfloat16"))
    assert half.provenance_shares["transferred"] == brain.provenance_shares["transferred"] == 0
    assert half.energy_j == pytest.approx(brain.energy_j, rel=0.05)
    tf32, single = (irene.predict("bert-base-uncased", batch_size=8, dtype=d) for d in ("tf32", "float32"))
    assert tf32.provenance_shares["transferred"] == single.provenance_shares["transferred"] == 0
    assert tf32.energy_j < single.energy_j


def test_weights_that_fit_no_device_are_warned_about() -> None:
    config = LlamaConfig(hidden_size=16384, intermediate_size=53248, num_hidden_layers=60, num_attention_heads=128)
    with pytest.warns(UserWarning, match=r"GB of weights do not fit into the \d+ GB of one h200"):
        irene.predict(config, seq_len=8)


def test_any_module(bert: Prediction) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 8))
    p = irene.predict(module, example_inputs=(torch.zeros(4, 64),))
    check_account(p)
    assert p.node("2").flop == 2 * 4 * 256 * 8
    config = BertConfig()
    assert irene.predict(config, batch_size=8).energy_j == pytest.approx(bert.energy_j)


def test_a_model_that_launches_nothing(shipped: Predictor) -> None:
    for calls in ([], [VIEW]):
        p = shipped.predict(tree_of(calls, "cuda_graph"))
        assert (p.energy_j, p.duration_s, p.power_w, p.values.bound[0]) == (0.0, 0.0, None, "")
    assert shipped.predict(tree_of([VIEW])).duration_s > 0  # eager: the host still has to call it
    assert shipped.predict(ModelTree(Node("model", "", "Net"), "empty", Workload())).energy_j == 0.0


def test_nodes_and_frame(bert: Prediction) -> None:
    attention = bert.node("encoder.layer.0.attention")
    assert (attention.kind, attention.type, attention.calls) == ("module", "BertAttention", 1)
    assert 0 < attention.share < 1 / 12
    assert attention.energy_j == pytest.approx(
        sum(bert.node(f"encoder.layer.0.attention.{n}").energy_j for n in ("self", "output"))
    )
    frame = bert.to_frame()
    assert len(frame) == len(bert.flat) and frame["energy_j"][0] == bert.energy_j
    assert frame[frame["kind"] == "primitive"]["energy_j"].sum() == pytest.approx(bert.energy_j)
    with pytest.raises(UnknownName, match="encoder.layer.0.attention"):
        bert.node("encoder.layer.0.atention")


def test_repeated_calls_of_one_module() -> None:
    p = irene.predict("albert-base-v2", batch_size=8)
    layers = p.node("encoder.albert_layer_groups.0.albert_layers.0")
    assert layers.calls == 12
    fourth = p.node("encoder.albert_layer_groups.0.albert_layers.0@3")
    assert fourth.calls == 1 and fourth.energy_j == pytest.approx(layers.energy_j / 12, rel=0.2)


def test_more_work_costs_more() -> None:
    energies = [irene.predict("bert-base-uncased", batch_size=b, execution="cuda_graph").energy_j for b in (1, 8, 64)]
    assert energies == sorted(energies) and energies[2] > 4 * energies[1]


def test_a_tree_brings_its_own_workload(bert: Prediction) -> None:
    assert irene.predict(bert.tree, batch_size=1).energy_j == bert.energy_j
    with pytest.raises(BadInput, match="one forward pass"):
        irene.predict(bert.tree, new_tokens=4)
    with pytest.raises(UnknownName, match="Unknown execution 'graph'"):
        irene.predict(bert.tree.with_workload(execution="graph"))


def test_help_shows_the_keywords() -> None:
    names = list(inspect.signature(irene.predict).parameters)
    assert names[:4] == ["model", "example_inputs", "batch_size", "seq_len"] and "execution" in names
    assert irene.predict.__name__ == "predict" and irene.predict.__doc__
    assert list(inspect.signature(irene.predictor.train).parameters) == ["dataset_dir", "output", "device"]


def test_leaves_of_one_node_have_their_own_addresses(shipped: Predictor) -> None:
    root = Node("model", "", "Net", (leaf(linear(64, 64, 64), 0), leaf(linear(64, 64, 64), 1)))
    p = shipped.predict(ModelTree(root, "two", Workload(execution="cuda_graph")))
    assert p.node("/linear#0").energy_j + p.node("/linear#1").energy_j == pytest.approx(p.energy_j)
