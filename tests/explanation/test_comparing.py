"""Comparisons: contributions add up to the difference, intervals are honest about sign, unlike things are refused."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace

import pytest

import irene
from irene.errors import BadInput, UnknownName
from irene.explanation.comparing import compare, count_tokens
from irene.explanation.comparison import Comparison
from irene.explanation.shared_errors import LIKENESSES, Sharing
from irene.model_tree.workload import Workload
from irene.predictor.prediction import Prediction


def scaled(prediction: Prediction, factor: float, **workload: object) -> Prediction:
    """The same prediction with every joule times `factor`, perhaps of another workload."""
    names = [f.name for f in dataclasses.fields(prediction.values) if f.name.endswith("_j")]
    values = replace(prediction.values, **{name: factor * getattr(prediction.values, name) for name in names})
    return replace(prediction, values=values, tree=prediction.tree.with_workload(**workload))


@pytest.fixture(scope="module")
def berts() -> dict[str, Prediction]:
    names = ("bert-base-uncased", "bert-large-uncased", "gpt2", "google-t5/t5-small")
    return {name: irene.predict(name, batch_size=8, seq_len=128) for name in names}


@pytest.fixture(scope="module")
def comparison(berts: dict[str, Prediction]) -> Comparison:
    return compare(berts)


def test_contributions_sum_to_the_difference(comparison: Comparison, berts: dict[str, Prediction]) -> None:
    assert len(comparison.differences) == 6  # every pair
    for found in comparison.differences:
        assert found.energy_j == pytest.approx(berts[found.other].energy_j - berts[found.base].energy_j)
        for parts in (found.by_layer, found.by_role):
            assert sum(part.difference_j for part in parts) == pytest.approx(found.energy_j, rel=1e-9, abs=1e-12)
            assert sum(part.base_j or 0 for part in parts) == pytest.approx(berts[found.base].energy_j)
            assert sum(part.other_j or 0 for part in parts) == pytest.approx(berts[found.other].energy_j)
            for part in parts:
                assert (part.base_j is None or part.other_j is None) <= (part.aligned_by in ("alone", "role"))


def test_alignment(comparison: Comparison) -> None:
    twins = comparison.difference("bert-base-uncased", "bert-large-uncased").by_layer
    assert [p.aligned_by for p in twins] == ["path"] * 14 + ["alone"] * 12
    assert [p.label for p in twins[:2]] == ["embeddings", "encoder.layer.0"] and twins[-1].label == "encoder.layer.23"
    strangers = comparison.difference("bert-base-uncased", "gpt2").by_layer
    layers = [p for p in strangers if p.aligned_by == "position"]
    assert [p.label for p in layers] == [f"layer {i}" for i in range(12)]
    assert strangers[0].label == "embeddings" and strangers[0].aligned_by == "role"


def test_ranking_and_intervals(comparison: Comparison) -> None:
    assert comparison.ranked_by == "energy_per_token_j"  # T5 reads its decoder's tokens too
    per_token = [comparison.entry(name).energy_per_token_j for name in comparison.ranking]
    assert per_token == sorted(per_token, key=float)
    for found in comparison.differences:
        low, high = found.interval_ratio
        assert low < found.ratio < high and found.ratio**2 == pytest.approx(low * high)
        assert found.interval_j[0] < found.energy_j < found.interval_j[1]
        assert found.is_significant is not (low <= 1 <= high) is (found.interval_j[0] <= 0 <= found.interval_j[1])


def test_the_other_way_round_is_the_mirror(prediction: Prediction) -> None:
    twice = scaled(prediction, 2.0)
    there = compare({"a": prediction, "b": twice}).difference("a", "b")
    back = compare({"b": twice, "a": prediction}).difference("b", "a")
    assert back.energy_j == pytest.approx(-there.energy_j) == pytest.approx(-prediction.energy_j)
    assert back.interval_j == pytest.approx((-there.interval_j[1], -there.interval_j[0]))
    assert back.interval_ratio == pytest.approx((1 / there.interval_ratio[1], 1 / there.interval_ratio[0]))


def test_shared_errors_cancel(prediction: Prediction) -> None:
    """A difference of 20 %: nothing beside intervals of -20 to +30 %, unless the errors are shared."""
    pair = {"a": prediction, "b": scaled(prediction, 1.2)}
    alone = compare(pair, shared_errors={}).difference("a", "b")
    together = compare(pair, shared_errors={LIKENESSES[0]: Sharing(0.9, 1.0, 99)}).difference("a", "b")
    assert not alone.is_significant and together.is_significant
    width = 0.5 * math.log(1.3 / 0.8)
    assert math.log(alone.interval_ratio[1] / alone.ratio) == pytest.approx(width * math.sqrt(2))
    assert math.log(together.interval_ratio[1] / together.ratio) == pytest.approx(width * math.sqrt(2 - 1.8))
    assert together.error_correlation == 0.9 and together.likeness == "same architecture and regime"


def test_per_sample_and_per_token(prediction: Prediction) -> None:
    found = compare({"a": prediction, "b": scaled(prediction, 3.0, batch_size=4, seq_len=8)})
    assert found.ranked_by == "energy_per_token_j" and found.ranking == ("b", "a")
    (pair,) = found.differences
    assert (pair.factor_per_sample, pair.factor_per_token) == (2 / 4, 8 / 32)
    assert found.entry("b").energy_per_sample_j == pytest.approx(3 * prediction.energy_j / 4)
    assert any("amounts of work" in note for note in found.notes)
    images = compare({"a": scaled(prediction, 1.0, seq_len=None), "b": scaled(prediction, 2.0, seq_len=None)})
    assert images.ranked_by == "energy_j" and images.entries[0].energy_per_token_j is None


def test_count_tokens() -> None:
    assert count_tokens(Workload(batch_size=2, seq_len=10)) == 20
    assert count_tokens(Workload(batch_size=2, seq_len=10, decoder_seq_len=5)) == 30
    assert count_tokens(Workload(batch_size=2, seq_len=10, new_tokens=4)) == 8
    assert count_tokens(Workload(batch_size=2, seq_len=None)) is None


def test_unlike_things_are_refused(prediction: Prediction) -> None:
    with pytest.raises(BadInput, match="needs two predictions or more, got 1"):
        compare({"a": prediction})
    with pytest.raises(BadInput, match="'g' is a generation and 'a' a forward pass"):
        compare({"a": prediction, "g": scaled(prediction, 9.0, new_tokens=16)})
    with pytest.raises(BadInput, match="'none' is predicted to use no energy"):
        compare({"a": prediction, "none": scaled(prediction, 0.0)})


def test_other_devices_share_no_errors(prediction: Prediction) -> None:
    found = compare({"a": prediction, "b": replace(scaled(prediction, 2.0), device="h200")})
    assert found.differences[0].likeness == "same architecture and regime"
    assert found.notes == ("by hand",)  # that of both trees, said once
    noted = replace(prediction, tree=replace(prediction.tree, notes=("by hand", "other")))
    assert compare({"a": prediction, "b": noted}).notes[:2] == ("by hand", "b: other")


def test_names_and_json(comparison: Comparison) -> None:
    assert comparison.base.name == "bert-base-uncased"
    with pytest.raises(UnknownName, match="Did you mean 'gpt2'"):
        comparison.entry("gpt")
    with pytest.raises(UnknownName, match="pair"):
        comparison.difference("gpt2", "bert-base-uncased")
    data = json.loads(json.dumps(comparison.to_json()))
    assert data["schema_version"] == 1
    assert set(data) == {"schema_version", "entries", "differences", "ranking", "ranked_by", "notes"}
