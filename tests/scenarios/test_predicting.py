"""Predicted Pentathlons against sums by hand: each batch as `irene.predict` prices it, idle gaps, draws, limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import irene
from irene.errors import BadInput
from irene.hardware.devices import load_device
from irene.scenarios.predicting import predict_pentathlon
from irene.scenarios.pricing import PriceTable, thin_axes
from irene.scenarios.streams import Padding, Scenario, draw_stream
from tests.turns import fewest_turns

IDLE_W = load_device("h200").context_idle_power_w


def test_a_closed_stream_is_the_sum_of_its_predictions() -> None:
    scenario = Scenario(name="fixed_batch", instances=10, batch_size=4)
    found = predict_pentathlon("bert-tiny", scenario, lengths="uniform:4:40", pad_to=8, execution="cuda_graph")
    stream = draw_stream(scenario, "uniform:4:40")
    shapes = [tuple(shape) for shape in stream.shapes(Padding(tokens=8)).tolist()]
    single = [irene.predict("bert-tiny", batch_size=b, seq_len=n, execution="cuda_graph") for b, n, _ in shapes]
    energy_j, duration_s = sum(p.energy_j for p in single), sum(p.duration_s for p in single)
    assert found.value("energy_j") == pytest.approx(energy_j, rel=1e-6)
    assert found.value("energy_per_instance_j") == pytest.approx(energy_j / 10, rel=1e-6)
    assert found.value("net_energy_per_instance_j") == pytest.approx((energy_j - IDLE_W * duration_s) / 10, rel=1e-6)
    assert found.value("throughput_per_s") == pytest.approx(10 / duration_s, rel=1e-6)
    assert found.value("token_throughput_per_s") == pytest.approx(stream.tokens.sum() / duration_s, rel=1e-6)
    assert found.value("latency_p95_s") == pytest.approx(max(p.duration_s for p in single), rel=1e-6)
    assert found.value("latency_mean_s") == pytest.approx(duration_s / 3, rel=1e-6)
    assert found.value("waiting_mean_s") == 0 and found.value("utilization") == 1
    assert found.value("parameters") == single[0].tree.root.parameters
    taken = [memory.weights + memory.kv_cache + memory.activations for p in single if (memory := p.tree.memory)]
    assert found.value("device_memory_bytes") == max(taken)
    run = sum(b * n for b, n, _ in shapes)
    assert found.value("padding_share") == pytest.approx(1 - stream.tokens.sum() / run)
    low, high = sum(p.interval_j[0] for p in single), sum(p.interval_j[1] for p in single)
    drawn = found.metrics["energy_j"]
    assert drawn.low == pytest.approx(low, rel=0.03) and drawn.high == pytest.approx(high, rel=0.03)


def test_idle_gaps_between_arrivals_are_paid_for() -> None:
    scenario = Scenario(name="poisson_arrivals", instances=200, rate_per_s=20, batch_size=1)
    found = predict_pentathlon("bert-tiny", scenario, lengths="16")
    alone = irene.predict("bert-tiny", batch_size=1, seq_len=16)
    duration_s = float(draw_stream(scenario).arrival_s[-1]) + alone.duration_s
    assert found.value("duration_s") == pytest.approx(duration_s, rel=1e-3)
    gross_j = 200 * alone.energy_j + IDLE_W * (duration_s - 200 * alone.duration_s)
    assert found.value("energy_j") == pytest.approx(gross_j, rel=1e-3)
    assert found.value("service_mean_s") == pytest.approx(alone.duration_s, rel=1e-6)
    waiting_s, latency_s = found.value("waiting_mean_s"), found.value("latency_mean_s")
    assert waiting_s is not None and latency_s == pytest.approx(waiting_s + alone.duration_s, rel=1e-6)


def test_memory_is_that_of_the_largest_batch_that_may_come() -> None:
    scenario = Scenario(name="poisson_arrivals", instances=200, rate_per_s=20, batch_size=32)
    memory = irene.predict("bert-tiny", batch_size=32, seq_len=16).tree.memory
    assert memory is not None
    found = predict_pentathlon("bert-tiny", scenario, lengths="uniform:4:16", pad_to=16)
    assert found.batches > 150 and found.value("device_memory_bytes") == memory.weights + memory.activations


def test_dynamic_batches_serve_what_one_by_one_cannot() -> None:
    duration_s = irene.predict("bert-tiny", batch_size=1, seq_len=16).duration_s
    rate = 3 / duration_s
    alone, together = (
        predict_pentathlon(
            "bert-tiny",
            Scenario(name="poisson_arrivals", instances=600, rate_per_s=rate, batch_size=size),
            lengths="16",
        )
        for size in (1, 16)
    )
    assert any("waits grow" in note for note in alone.notes)
    assert not any("waits grow" in note for note in together.notes) and together.batches < 600 == alone.batches
    slow, fast = alone.value("latency_p99_s"), together.value("latency_p99_s")
    assert slow is not None and fast is not None and fast < slow / 10


def test_pictures_have_no_tokens_and_multiplexed_rows_are_filled_up() -> None:
    pictures = predict_pentathlon("google/vit-base-patch16-224", Scenario(name="offline", instances=10, batch_size=4))
    assert pictures.value("token_throughput_per_s") is None and pictures.value("padding_share") is None
    assert pictures.value("latency_mean_s") is None and pictures.value("throughput_per_s")
    mixed = predict_pentathlon("bert-tiny+mux:n=5", Scenario(name="fixed_batch", instances=7, batch_size=7))
    whole = irene.predict("bert-tiny+mux:n=5", batch_size=10)
    assert mixed.value("energy_j") == pytest.approx(whole.energy_j, rel=1e-6)
    assert any("5 inputs share a row" in note for note in mixed.notes)


def test_generations_count_their_new_tokens() -> None:
    scenario = Scenario(name="fixed_batch", instances=4, batch_size=4)
    found = predict_pentathlon("gpt2", scenario, lengths="8", new_lengths="3", task="causal-lm")
    whole = irene.predict("gpt2", batch_size=4, seq_len=8, new_tokens=3, task="causal-lm")
    assert found.value("energy_j") == pytest.approx(whole.energy_j, rel=1e-6)
    assert found.value("token_throughput_per_s") == pytest.approx(12 / whole.duration_s, rel=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    scenario = Scenario(name="fixed_batch", instances=10**6, batch_size=10**6)
    with pytest.raises(
        BadInput, match=r"a batch of 1000000 inputs needs [\d,]+ GB, and one h200 has 141; give a smaller"
    ):
        predict_pentathlon("bert-tiny", scenario)
    with pytest.raises(BadInput, match="on one GPU"):
        predict_pentathlon("bert-tiny", Scenario(name="offline"), gpus=2)


def test_a_hundred_thousand_requests_take_a_second(tmp_path: Path) -> None:
    """As long as 60 million turns of a loop; 15 to 24 were measured."""
    lengths = tmp_path / "lengths.txt"
    lengths.write_text("\n".join(str(10 * i) for i in range(1, 51)))
    scenario = Scenario(name="single_stream", instances=100_000)
    found = predict_pentathlon("bert-base-uncased", scenario, lengths=str(lengths))  # and what is paid once
    turns = fewest_turns(
        lambda: predict_pentathlon("bert-base-uncased", scenario, lengths=str(lengths)), enough=60e6, attempts=3
    )
    assert turns < 60e6
    shortest, longest = (irene.predict("bert-base-uncased", seq_len=n).duration_s for n in (10, 500))
    median_s = found.value("latency_p50_s")
    assert median_s is not None and 0.999 * shortest <= median_s <= 1.001 * longest
    assert found.batches == 100_000


def test_between_priced_shapes_it_goes_straight() -> None:
    axes = (np.array([1, 3]), np.array([10, 20, 40]), np.array([0]))
    rows, tokens = np.meshgrid(axes[0], axes[1], indexing="ij")
    plane = (2.0 * rows + 0.5 * tokens)[..., None, None] * np.ones(5)
    info = irene.predict("bert-tiny").predictor
    table = PriceTable(axes, plane, info, 6)
    prices = table.at(np.array([[1, 10, 0], [2, 15, 0], [3, 30, 0]]))
    assert prices.energy_j.tolist() == pytest.approx([7.0, 11.5, 21.0])
    thin = thin_axes([np.arange(1, 129), np.arange(1, 513), np.array([0])], 1200)
    assert np.prod([len(axis) for axis in thin]) <= 1200
    assert all(axis[0] == 1 and axis[-1] == end for axis, end in zip(thin[:2], (128, 512), strict=True))
