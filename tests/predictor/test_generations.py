"""A generation adds up over its phases, and few contexts stand for every step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import irene
from irene.model_tree.workload import Workload
from irene.passes import generation as passes
from irene.predictor.generations import count_steps, price_generation
from irene.predictor.prediction import Prediction
from irene.predictor.prediction_files import prediction_to_json
from irene.predictor.predictor import Predictor
from tests.tracing.tiny_models import tiny_config

WORK = Workload(batch_size=4, seq_len=16, task="causal-lm", new_tokens=40)


@pytest.fixture(scope="module")
def generated(shipped: Predictor) -> Prediction:
    return irene.predict(tiny_config("llama"), batch_size=4, seq_len=16, new_tokens=40, predictor=shipped)


def test_every_step_is_counted_once() -> None:
    for first, count in ((1, 1), (5, 2), (100, 7), (128, 1000)):
        traced = np.array(passes.choose_contexts(first, first + count - 1, 5), dtype=np.float64)
        at, counts = count_steps(first, count, traced)
        assert counts.sum() == pytest.approx(count)
        # What goes straight is summed exactly.
        assert at @ counts == pytest.approx(sum(range(first, first + count)))


def test_few_contexts_stand_for_every_step(shipped: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def price() -> list[float]:
        values = price_generation(shipped, passes.trace_generation(tiny_config("qwen2"), WORK, "tiny")).values
        return [float(v[0]) for v in (values.energy_j, values.duration_s, values.flop, values.traffic_bytes)]

    few = price()
    monkeypatch.setattr(passes, "CONTEXTS", {"eager": 100})
    assert few == pytest.approx(price(), rel=0.01)


def test_phases_add_up(generated: Prediction) -> None:
    assert [(phase.name, phase.calls) for phase in generated.phases] == [("prefill", 1), ("decode", 39)]
    assert sum(phase.energy_j for phase in generated.phases) == pytest.approx(generated.energy_j)
    assert sum(phase.duration_s for phase in generated.phases) == pytest.approx(generated.duration_s)
    assert generated.energy_per_output_token_j == pytest.approx(generated.energy_j / (4 * 40))
    assert generated.time_to_first_token_s == generated.phases[0].duration_s
    assert generated.time_per_output_token_s == pytest.approx(generated.phases[1].duration_s / 39)
    assert generated.node("decode").calls == 39 and generated.node("prefill").calls == 1


def test_one_token_is_the_prefill_and_none_a_forward_pass(shipped: Predictor) -> None:
    config = tiny_config("llama")
    one = irene.predict(config, seq_len=16, new_tokens=1, predictor=shipped)
    assert [phase.name for phase in one.phases] == ["prefill"]
    assert one.time_per_output_token_s is None and one.decode_energy_j == 0
    none = irene.predict(config, seq_len=16, predictor=shipped)
    assert none.phases == () and none.energy_per_output_token_j is None


def test_a_token_costs_less_in_a_batch_and_more_with_context(shipped: Predictor) -> None:
    def token_j(batch_size: int, seq_len: int) -> float:
        found = irene.predict(
            "llama-3.1-8b", batch_size=batch_size, seq_len=seq_len, new_tokens=3, execution="cuda_graph",
            cache="static", predictor=shipped,
        )  # fmt: skip
        assert found.decode_energy_j is not None
        return found.decode_energy_j / batch_size

    assert token_j(8, 512) < 0.5 * token_j(1, 512)
    assert token_j(8, 4096) > 1.05 * token_j(8, 512)


def test_a_saved_generation_is_read_as_it_was(generated: Prediction, tmp_path: Path) -> None:
    irene.save_prediction(generated, tmp_path / "g.json")
    read = irene.load_prediction(tmp_path / "g.json")
    assert read.generation == generated.generation
    saved, again = prediction_to_json(generated), prediction_to_json(read)
    assert json.loads(json.dumps(saved)) == json.loads(json.dumps(again))
    assert {"phases", "energy_per_output_token_j", "time_per_output_token_s"} <= set(saved)


def test_the_parts_of_a_generation_know_their_counts(generated: Prediction) -> None:
    steps = generated.tree.root.children[1]
    assert steps.count == 39
    rows = {row["path"]: row["calls"] for row in generated.rows()}
    assert rows["decode.model.model.layers.0"] == 39 and rows["prefill.model.model.layers.0"] == 1


@pytest.mark.filterwarnings("ignore:Sequence length 4015 is beyond:UserWarning")
def test_a_longer_generation_needs_more_memory(shipped: Predictor) -> None:
    def memory(seq_len: int, new_tokens: int) -> dict[str, int]:
        found = irene.predict(tiny_config("llama"), seq_len=seq_len, new_tokens=new_tokens, predictor=shipped)
        assert found.memory_bytes is not None and found.fits
        return found.memory_bytes

    short, long = memory(16, 4), memory(16, 4000)
    assert short["weights"] == long["weights"]
    # Keys and values of two layers, 2 heads of 8, two bytes each; ids and a mask of 8 bytes a token beside them.
    assert 2 * 2 * 2 * 8 * 2 <= (long["kv_cache"] - short["kv_cache"]) / 3996 <= 1.6 * 2 * 2 * 2 * 8 * 2
    assert long["peak"] > short["peak"]
