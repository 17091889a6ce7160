"""Explanations add up: shares at every depth, accounts at every portion, layers and kinds; bounds have words."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import irene
from irene.errors import BadInput
from irene.explanation.explaining import explain, explain_prediction
from irene.explanation.explanation import Portion
from irene.explanation.portions import UNFUSED, nodes_at_depth
from irene.predictor.node_values import BOUNDS
from irene.predictor.prediction import Prediction
from tests.tracing.tiny_models import tiny_config

CASES = {
    "bert": ("bert-base-uncased", 8, 128),
    "llama-long": ("meta-llama/Llama-3.1-8B", 1, 2048),
    "llama-wide": ("meta-llama/Llama-3.1-8B", 32, 128),
    "mixtral": ("mistralai/Mixtral-8x7B-v0.1", 1, 128),
    "t5": ("google-t5/t5-base", 4, 128),
}


@pytest.fixture(scope="module", params=CASES)
def predicted(request: pytest.FixtureRequest) -> Prediction:
    name, batch_size, seq_len = CASES[request.param]
    return irene.predict(name, batch_size=batch_size, seq_len=seq_len)


def check_account(portion: Portion) -> None:
    assert sum(portion.breakdown_j.values()) == pytest.approx(portion.energy_j, rel=1e-6, abs=1e-12)
    assert portion.bound in BOUNDS and portion.why
    assert portion.each_j * portion.calls == pytest.approx(portion.energy_j)


def test_shares_sum_to_one_at_every_depth_and_accounts_to_their_node(predicted: Prediction) -> None:
    deepest = int(predicted.flat.depth.max())
    for depth in range(deepest + 2):
        for unfold in (False, True):
            portions = nodes_at_depth(predicted, depth, unfold=unfold)
            assert sum(portion.share for portion in portions) == pytest.approx(1.0, abs=1e-9), (depth, unfold)
            for portion in portions:
                check_account(portion)


def test_layers_and_kinds_sum_to_the_whole(predicted: Prediction) -> None:
    folded, unfolded = (explain_prediction(predicted, unfold=unfold) for unfold in (False, True))
    for portions in (folded.layers, unfolded.layers, folded.kinds):
        assert sum(portion.energy_j for portion in portions) == pytest.approx(predicted.energy_j)
        assert sum(portion.duration_s for portion in portions) == pytest.approx(predicted.duration_s)
        for portion in portions:
            check_account(portion)
    assert len(folded.layers) < len(unfolded.layers)
    assert folded.whole.energy_j == predicted.energy_j and folded.whole.bound == predicted.bound


def test_equal_layers_are_folded_and_can_be_unfolded() -> None:
    bert = irene.predict("bert-base-uncased")
    folded, unfolded = (explain_prediction(bert, unfold=unfold).layers for unfold in (False, True))
    assert [(p.label, p.calls) for p in folded] == [("embeddings", 1), ("encoder.layer.0-11", 12), ("pooler", 1)]
    assert [p.label for p in unfolded] == ["embeddings", *(f"encoder.layer.{i}" for i in range(12)), "pooler"]
    assert folded[1].energy_j == pytest.approx(sum(p.energy_j for p in unfolded[1:13]))


def test_t5_first_block_stands_alone_because_its_bias_is_computed_there() -> None:
    labels = [p.label for p in explain_prediction(irene.predict("google-t5/t5-small", seq_len=32)).layers]
    assert "encoder.block.0" in labels and "encoder.block.1-5" in labels


def test_the_words_say_what_the_account_says() -> None:
    waiting = explain("bert-base-uncased", counterfactuals=False)
    assert waiting.whole.bound == "host_bound" and f"{waiting.wait_share:.0%}" in waiting.whole.why
    capped = explain("bert-large-uncased", batch_size=32, seq_len=512, counterfactuals=False)
    assert capped.whole.bound == "power_bound" and "700 W" in capped.whole.why
    small = explain("bert-base-uncased", execution="cuda_graph", counterfactuals=False)
    assert small.whole.bound == "memory_bound" and "memory traffic" in small.whole.why
    assert small.whole.flop_per_byte == pytest.approx(small.whole.flop / small.whole.traffic_bytes)


def test_counterfactuals_are_predictions_of_the_changed_workload() -> None:
    why = explain("bert-base-uncased", batch_size=8, seq_len=64)
    found = {c.aspect if c.aspect != "batch_size" else c.change: c for c in why.counterfactuals}
    assert set(found) == {
        "execution", "dtype", "batch 16 instead of 8", "batch 4 instead of 8", "seq_len", "attention",
    }  # fmt: skip
    assert why.not_asked == ()
    work = {"batch_size": 8, "seq_len": 64}
    for aspect, changed in {
        "execution": {"execution": "cuda_graph"},
        "dtype": {"dtype": "float32"},
        "batch 16 instead of 8": {"batch_size": 16},
        "seq_len": {"seq_len": 32},
    }.items():
        again = irene.predict("bert-base-uncased", **{**work, **changed})  # type: ignore[arg-type]
        assert found[aspect].energy_j == pytest.approx(again.energy_j), aspect
        assert found[aspect].ratio == pytest.approx(again.energy_j / why.whole.energy_j)
        assert found[aspect].interval_ratio[0] < found[aspect].ratio < found[aspect].interval_ratio[1]
    double = found["batch 16 instead of 8"]
    assert double.ratio_per_token == pytest.approx(double.ratio / 2) == pytest.approx(double.ratio_per_sample)
    assert found["seq_len"].ratio_per_token == pytest.approx(found["seq_len"].ratio * 2)


def test_attention_that_is_not_fused_writes_its_scores_to_memory() -> None:
    why = explain("meta-llama/Llama-3.2-1B", batch_size=1, seq_len=2048, execution="cuda_graph")
    (unfused,) = [c for c in why.counterfactuals if c.aspect == "attention"]
    assert unfused.change == "attention not fused" and unfused.ratio > 1.05


def test_what_cannot_be_traced_again_is_said() -> None:
    tree = irene.trace("bert-tiny")
    why = explain(tree)
    assert [c.aspect for c in why.counterfactuals] == ["execution"]
    (line,) = why.not_asked
    assert line.count(" instead of ") == 3 and "attention not fused" in line and "needs the model again" in line
    assert explain("bert-tiny", counterfactuals=False).counterfactuals == ()


@pytest.mark.parametrize("execution", ["eager", "cuda_graph"])
def test_a_change_to_no_energy_has_no_ratio(execution: str) -> None:
    why = explain(torch.nn.Flatten(), torch.zeros(2, 3, 4), execution=execution)  # a view: host time alone
    assert why.counterfactuals == () and any("no ratio" in line for line in why.not_asked)


def test_changes_of_a_dense_twin_are_of_the_twin(tmp_path: Path) -> None:
    config = tiny_config("llama", hidden_size=128, intermediate_size=256, num_key_value_heads=2, head_dim=32).to_dict()
    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    whys = []
    for name, more in (("dense", {}), ("stored", {"quantization_config": settings})):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(config | more))
        whys.append(explain(path, batch_size=2, seq_len=16, dequantized=name == "stored"))
    dense, twin = ({change.change: change.energy_j for change in why.counterfactuals} for why in whys)
    assert twin == dense and len(twin) == 6


def test_a_prediction_is_explained_as_it_is(prediction: Prediction) -> None:
    why = explain(prediction, depth=1)
    assert why.counterfactuals == ()
    assert sum(p.share for p in why.nodes) == pytest.approx(1)
    data = json.loads(json.dumps(why.to_json()))
    assert data["schema_version"] == 1
    assert set(data) == {"schema_version", *(f.name for f in dataclasses.fields(why))}
    with pytest.raises(BadInput, match="depth must be at least 0"):
        explain(prediction, depth=-1)


def test_energy_of_portions_is_the_tree_s(prediction: Prediction) -> None:
    flat, values = prediction.flat, prediction.values
    for depth in range(4):
        here = (flat.depth == depth) | ((flat.depth < depth) & (flat.subtree_end == np.arange(len(flat)) + 1))
        portions = nodes_at_depth(prediction, depth, unfold=True)
        assert len(portions) == here.sum()
        assert sorted(p.energy_j for p in portions) == pytest.approx(sorted(values.energy_j[here]))


def test_equal_layers_fold_that_do_not_touch_and_unfused_work_is_named() -> None:
    """ModernBERT: every third layer looks at all tokens, the others at their neighbours; nothing is fused."""
    why = explain("answerdotai/ModernBERT-base", batch_size=32, seq_len=512, counterfactuals=False)
    layers = {p.label: p.calls for p in why.layers if p.label.startswith("layers.")}
    assert layers == {"layers.0": 1, "layers.1-2,4-5,...,19-20": 14, "layers.3,6,...,21": 7}
    calls = {p.label: p.calls for p in why.nodes}
    assert calls["layers.0-21.attn.Wqkv"] == 22 and len(calls) == len(why.nodes)
    share = sum(p.share for p in why.kinds if p.label in UNFUSED)
    assert share > 0.5
    assert f"; {share:.0%} is elementwise work and copies that no kernel fuses" in why.whole.why
    assert "fuses" not in next(p.why for p in why.kinds if p.label == "elementwise")
    gemms = explain("bert-large-uncased", batch_size=32, seq_len=512, counterfactuals=False)
    assert "fuses" not in gemms.whole.why


def test_no_part_is_above_the_cap_and_bounds_are_those_of_predict() -> None:
    prediction = irene.predict("meta-llama/Llama-3.1-8B", batch_size=4, seq_len=2048)
    why = explain_prediction(prediction)
    portions = (why.whole, *why.nodes, *why.layers, *why.kinds)
    assert max(p.power_w for p in portions if p.power_w is not None) == why.power_cap_w
    for depth in (1, 2, 3):
        for portion in nodes_at_depth(prediction, depth, unfold=True)[:20]:
            if portion.kind == "module":
                assert portion.bound == prediction.node(portion.label).bound
