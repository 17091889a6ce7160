import json

import pytest

import irene
from irene.errors import BadInput
from irene.predictor.prediction_files import prediction_from_json, prediction_to_json

MODEL = "bert-tiny"


@pytest.fixture(scope="module")
def pair() -> tuple[irene.Prediction, irene.Prediction]:
    one, two = (irene.predict(MODEL, batch_size=8, execution="cuda_graph", gpus=gpus) for gpus in (1, 2))
    return one, two


def test_the_whole_sums_the_boards_and_a_node_is_one_ranks(pair: tuple[irene.Prediction, irene.Prediction]) -> None:
    one, two = pair
    root = two.node("")
    assert (one.ranks, two.ranks) == (1, 2)
    assert two.energy_j == 2 * root.energy_j and two.interval_j[1] == 2 * root.interval_j[1]
    assert two.duration_s == root.duration_s and two.power_w == pytest.approx(2 * root.power_w)
    assert root.share == 1.0 and sum(two.breakdown_j.values()) == pytest.approx(two.energy_j)
    assert two.memory_bytes and one.memory_bytes and two.memory_bytes["weights"] < one.memory_bytes["weights"]


def test_communication_is_there_between_gpus_alone(pair: tuple[irene.Prediction, irene.Prediction]) -> None:
    one, two = pair
    assert "communication" not in one.breakdown_j and "communication_j" not in one.to_frame()
    assert 0 < two.breakdown_j["communication"] < two.energy_j
    exchanges = [node for node in two.flat.nodes if node.type.startswith("collective.")]
    assert len(exchanges) == 2 * 2
    for leaf in two.to_frame().query("type.str.startswith('collective.')").to_dict("records"):
        assert leaf["provenance"] == "fallback" and leaf["compute_j"] == leaf["memory_j"] == 0
    assert two.interval_j[1] / two.energy_j > one.interval_j[1] / one.energy_j  # its width reaches the root


def test_json_has_the_ranks_and_is_read_again(pair: tuple[irene.Prediction, irene.Prediction]) -> None:
    one, two = (prediction_to_json(prediction) for prediction in pair)
    assert set(two) - set(one) == {"ranks"} and "gpus" not in one["workload"]
    assert two["workload"]["gpus"] == two["ranks"]["count"] == 2 and two["ranks"]["equal"] is True
    assert two["energy_j"] == 2 * two["tree"]["energy_j"] == 2 * two["ranks"]["energy_j"]
    again = prediction_from_json(json.loads(json.dumps(two)))
    assert prediction_to_json(again) == two


def test_explained_and_compared_by_sums(pair: tuple[irene.Prediction, irene.Prediction]) -> None:
    one, two = pair
    why = irene.explain(two)
    assert why.whole.energy_j == pytest.approx(two.energy_j)
    for portions in (why.nodes, why.layers, why.kinds):
        assert sum(portion.energy_j for portion in portions) == pytest.approx(two.energy_j)
    assert "collective" in [portion.label for portion in why.kinds]
    versus = irene.compare({"one": one, "two": two}).differences[0]
    assert versus.energy_j == pytest.approx(two.energy_j - one.energy_j)
    assert sum(part.difference_j for part in versus.by_layer) == pytest.approx(versus.energy_j)


def test_a_sweep_says_what_predict_says(pair: tuple[irene.Prediction, irene.Prediction]) -> None:
    grid = irene.sweep(MODEL, batch_sizes=[8], seq_lens=[128], execution="cuda_graph", gpus=2)
    point = next(grid.rows())
    assert point["energy_j"] == pytest.approx(pair[1].energy_j)
    assert point["communication_j"] == pytest.approx(pair[1].breakdown_j["communication"])


def test_a_generation_sums_the_boards() -> None:
    one, two = (irene.predict("gpt2", seq_len=8, new_tokens=3, task="causal-lm", gpus=gpus) for gpus in (1, 2))
    assert two.generation is not None and one.generation is not None
    assert sum(phase.energy_j for phase in two.phases) == pytest.approx(two.energy_j)
    assert two.memory_bytes and one.memory_bytes and two.memory_bytes["kv_cache"] < one.memory_bytes["kv_cache"]


def test_a_modules_own_split_is_not_known() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(BadInput, match="gpus"):
        irene.predict(torch.nn.Linear(4, 4), torch.zeros(2, 4), gpus=2)
