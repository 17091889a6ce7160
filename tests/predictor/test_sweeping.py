"""A sweep says at every point what a prediction of that point says."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig

import irene
from irene.errors import BadInput, UnknownName
from irene.predictor import generation_sweeps, sweeping
from irene.predictor.predictor import Predictor
from irene.predictor.sweep_values import Sweep
from irene.tracing.retracing import Retracer
from tests.tracing.tiny_models import tiny_config
from tests.turns import fewest_turns

BATCHES = (1, 3, 4, 10, 33)
LENGTHS = (1, 5, 31, 32, 33, 100)
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "encoder": (tiny_config("bert"), {}),
    "decoder": (tiny_config("gpt2", n_layer=3), {"task": "causal-lm", "execution": "cuda_graph"}),
    "sliding window": (tiny_config("mistral"), {"dtype": "float32"}),
    "every other layer": (tiny_config("gemma2", num_hidden_layers=4), {}),
    "experts": (tiny_config("mixtral", num_hidden_layers=3), {}),
    "encoder-decoder": (tiny_config("t5"), {"decoder_seq_len": 7, "dtype": "tf32"}),
    "encoder-decoder, one length": (tiny_config("t5"), {}),
    "sound and a decoder": (
        AutoConfig.for_model(
            "whisper",
            d_model=32,
            encoder_layers=3,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_source_positions=50,
        ),
        {},
    ),  # fmt: skip
    "pictures": (tiny_config("vit", num_hidden_layers=3), {}),
    "pictures and what is seldom": (AutoConfig.for_model("mobilenet_v2", image_size=64), {"execution": "cuda_graph"}),
}


def check_point(sweep: Sweep, index: int, model: Any, options: dict[str, Any]) -> None:
    workload, values = sweep.workloads[index], sweep.values
    sizes = {"batch_size": workload.batch_size, "seq_len": workload.seq_len or workload.decoder_seq_len or 128}
    p = irene.predict(model, **sizes, **options)
    assert p.tree.workload == workload
    got = [values.energy_j, values.low_j, values.high_j, values.duration_s, values.power_w]
    got += [getattr(values, f"{part}_j") for part in p.breakdown_j]
    expected = [p.energy_j, *p.interval_j, p.duration_s, p.power_w, *p.breakdown_j.values()]
    np.testing.assert_allclose([column[index] for column in got], expected, rtol=1e-9)
    assert (values.bound[index], values.provenance[index]) == (p.bound, p.provenance)


@pytest.mark.parametrize("case", CASES)
def test_each_point_is_the_prediction_of_that_point(case: str) -> None:
    model, options = CASES[case]
    sweep = irene.sweep(model, batch_sizes=BATCHES, seq_lens=LENGTHS, **options)
    assert len(sweep) == len(BATCHES) * (1 if case.startswith("pictures") else len(LENGTHS))
    for index in random.Random(case).sample(range(len(sweep)), 4):
        check_point(sweep, index, model, options)


def test_points_come_batch_after_batch_each_once() -> None:
    sweep = irene.sweep("bert-tiny", batch_sizes=[8, 2, 8], seq_lens=iter([16, 4]))
    frame = sweep.to_frame()
    assert frame[["batch_size", "seq_len"]].to_numpy().tolist() == [[8, 16], [8, 4], [2, 16], [2, 4]]
    assert frame["decoder_seq_len"].isna().all()
    parts = frame[["compute_j", "memory_j", "static_j", "launch_gap_j"]].sum(axis=1)
    np.testing.assert_allclose(parts, frame["energy_j"], rtol=1e-9)
    data = sweep.to_json()
    assert [point["energy_j"] for point in data["points"]] == frame["energy_j"].tolist()
    assert data["workload"] == {"task": "base", "dtype": "bfloat16", "execution": "eager"}
    assert repr(sweep) == f"<Sweep bert-tiny: 4 points on h200, {sweep.traced} traced>"
    with pytest.raises(ValueError, match="read-only"):
        sweep.values.energy_j[0] = 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_sizes": []}, "at least one batch size"),
        ({"batch_sizes": [1, 0]}, "batch_size must be a whole number of at least 1, got 0"),
        ({"seq_lens": [1.5]}, "seq_len must be a whole number"),
        ({"seq_lens": [8, 513, 600]}, "Sequence length 600 is beyond the 512 learned positions"),
        ({"dtype": "int3"}, "Unknown dtype"),
        ({"execution": "lazy"}, "Unknown execution"),
        ({"device": "abacus"}, "Unknown device"),
        ({"task": "seq2seq-lm"}, "has no task"),
    ],
)
def test_bad_input_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        irene.sweep("bert-tiny", **options)


def test_only_what_has_sizes_to_change_is_swept() -> None:
    with pytest.raises(BadInput, match="a name, a path or a transformers config, got Linear"):
        irene.sweep(torch.nn.Linear(2, 2))
    with pytest.raises(UnknownName):
        irene.sweep("no-such-model")


def test_a_sweep_is_much_faster_than_its_points() -> None:
    """100 points in less than the time of 30 predictions, 10 were measured; experiments/sweep-speed has the figures."""
    model = tiny_config("bert", num_hidden_layers=6)

    def predict_each() -> None:
        for batch_size in range(2, 8):
            irene.predict(model, batch_size=batch_size, seq_len=100)

    def sweep() -> None:
        irene.sweep(model, batch_sizes=range(2, 12), seq_lens=range(10, 20))

    predict_each()  # what is paid once, by either
    sweep()
    bar = 30 / 6 * fewest_turns(predict_each, attempts=3)
    assert fewest_turns(sweep, enough=bar) < bar


def test_more_points_need_no_more_traces_and_are_priced_together(monkeypatch: pytest.MonkeyPatch) -> None:
    traced, priced = 0, []
    trace, price_tables = Retracer.trace, sweeping.price_tables

    def count_traces(retracer: Retracer, workload: Any) -> Any:
        nonlocal traced
        traced += 1
        return trace(retracer, workload)

    def count_calls(leaves: Any, tables: Any, loads: Any) -> Any:
        priced.append(sum(len(table.calls) for table in tables))
        return price_tables(leaves, tables, loads)

    monkeypatch.setattr(Retracer, "trace", count_traces)
    monkeypatch.setattr(sweeping, "price_tables", count_calls)
    config = tiny_config("bert", num_hidden_layers=6)
    few = irene.sweep(config, batch_sizes=range(2, 7), seq_lens=range(10, 20))
    traced_of_few = traced
    many = irene.sweep(config, batch_sizes=range(2, 22), seq_lens=range(10, 30))
    assert (len(few.workloads), len(many.workloads)) == (50, 400)
    assert 0 < traced_of_few <= 40 and traced - traced_of_few <= 40  # 35 each
    calls = len(list(irene.trace(config, batch_size=2, seq_len=10).root.leaves))
    assert len(priced) == 2 and priced[0] < 0.1 * 50 * calls and priced[1] < 0.1 * 400 * calls


def test_points_are_priced_so_many_at_a_time(shipped: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config("bert")
    sizes: dict[str, Any] = {"batch_sizes": range(1, 6), "seq_lens": range(8, 12), "predictor": shipped}
    whole = irene.sweep(config, **sizes).values
    asked: list[list[int]] = []  # tokens of each point
    price = sweeping._price_points

    def count(fitted: Any, grid: Any, points: Any, *rest: Any) -> Any:
        asked.append([grid.workloads[point].batch_size * grid.workloads[point].seq_len for point in points])
        return price(fitted, grid, points, *rest)

    monkeypatch.setattr(sweeping, "_POINTS_AT_ONCE", 8)
    monkeypatch.setattr(sweeping, "_price_points", count)
    parts = irene.sweep(config, **sizes).values
    assert [len(part) for part in asked] == [8, 8, 4]
    assert sum(asked, []) == sorted(b * n for b in range(1, 6) for n in range(8, 12)), "equal questions side by side"
    np.testing.assert_allclose(parts.energy_j, whole.energy_j, rtol=1e-12)
    assert parts.provenance == whole.provenance


@pytest.mark.parametrize("new_tokens", [0, 3])
def test_it_says_how_far_it_is(shipped: Predictor, monkeypatch: pytest.MonkeyPatch, new_tokens: int) -> None:
    monkeypatch.setattr(sweeping, "_POINTS_AT_ONCE", 4)
    monkeypatch.setattr(generation_sweeps, "_POINTS_AT_ONCE", 4)
    done: list[int] = []
    sizes: dict[str, Any] = {"batch_sizes": [1, 2], "seq_lens": [8, 9, 10], "new_tokens": [new_tokens]}
    config = tiny_config("llama")
    watched = irene.sweep(config, **sizes, predictor=shipped, progress=done.append)
    assert done == [4, 2]
    alone = irene.sweep(config, **sizes, predictor=shipped)
    assert watched.values.energy_j.tolist() == alone.values.energy_j.tolist()
