"""Numbers in words: what a joule is divided by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from irene.predictor.prediction import Prediction
from irene.reporting.wording import energy_per_sample_j, energy_per_token_j


def with_tokens(prediction: Prediction, **workload: int | None) -> Prediction:
    """The same joules of another workload."""
    tree = replace(prediction.tree, workload=replace(prediction.tree.workload, **workload))  # type: ignore[arg-type]
    return replace(prediction, tree=tree)


def test_a_generation_pays_for_its_new_tokens(prediction: Prediction) -> None:
    made = with_tokens(prediction, batch_size=4, seq_len=100, decoder_seq_len=None, new_tokens=20)
    assert energy_per_token_j(made) == pytest.approx(prediction.energy_j / (4 * 20))
    assert energy_per_sample_j(made) == pytest.approx(prediction.energy_j / 4)


def test_a_forward_pass_pays_for_all_positions(prediction: Prediction) -> None:
    one = with_tokens(prediction, batch_size=4, seq_len=100, decoder_seq_len=None, new_tokens=0)
    two = with_tokens(prediction, batch_size=4, seq_len=100, decoder_seq_len=25, new_tokens=0)
    assert energy_per_token_j(one) == pytest.approx(prediction.energy_j / 400)
    assert energy_per_token_j(two) == pytest.approx(prediction.energy_j / 500)


def test_pictures_have_no_tokens(prediction: Prediction) -> None:
    assert energy_per_token_j(with_tokens(prediction, seq_len=None, decoder_seq_len=None, new_tokens=0)) is None
