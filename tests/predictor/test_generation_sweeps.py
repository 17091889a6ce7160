"""A sweep of generations says what a prediction of each says, from few recordings."""

from __future__ import annotations

import json

import pytest

import irene
from irene.errors import BadInput
from irene.predictor.predictor import Predictor
from tests.tracing.tiny_models import tiny_config


@pytest.mark.parametrize(("architecture", "followed"), [("llama", True), ("mixtral", True), ("t5", False)])
def test_each_point_is_what_a_prediction_says(architecture: str, followed: bool, shipped: Predictor) -> None:
    config = tiny_config(architecture)
    swept = irene.sweep(config, batch_sizes=[1, 4], seq_lens=[9, 30], new_tokens=[1, 2, 20], predictor=shipped)
    assert len(swept) == 12 and (swept.traced == 2 * (3 + 2)) == followed
    for row, work, memory in zip(swept.rows(), swept.workloads, swept.memory, strict=True):
        one = irene.predict(
            config, batch_size=work.batch_size, seq_len=work.seq_len, new_tokens=work.new_tokens, predictor=shipped
        )
        assert row["new_tokens"] == work.new_tokens
        assert (row["energy_j"], row["duration_s"]) == pytest.approx((one.energy_j, one.duration_s))
        assert (row["low_j"], row["high_j"]) == pytest.approx(one.interval_j)
        assert one.generation is not None
        assert {name: row[name] for name in one.generation.to_columns()} == pytest.approx(one.generation.to_columns())
        assert one.memory_bytes is not None and memory.peak == pytest.approx(one.memory_bytes["peak"], rel=0.01)


def test_points_are_json_and_know_what_fits(shipped: Predictor) -> None:
    swept = irene.sweep(tiny_config("llama"), batch_sizes=[2], seq_lens=[16], new_tokens=[4, 8], predictor=shipped)
    points = json.loads(json.dumps(swept.to_json()))["points"]
    assert [point["new_tokens"] for point in points] == [4, 8] and all(point["fits"] for point in points)
    assert points[1]["time_to_first_token_low_s"] < points[1]["time_to_first_token_s"]


def test_forward_passes_and_generations_are_not_mixed(shipped: Predictor) -> None:
    with pytest.raises(BadInput, match="or 0 alone"):
        irene.sweep("bert-tiny", new_tokens=[0, 4], predictor=shipped)
