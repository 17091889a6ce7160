"""What errors share: correlations and factors found again in made residuals, and classes that fall back."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from irene.errors import BadInput
from irene.explanation.shared_errors import (
    INDEPENDENT,
    LIKENESSES,
    Residual,
    Sharing,
    fit_shared_errors,
    half_width_of_difference,
    likeness,
    load_shared_errors,
    regime_of_prediction,
    save_shared_errors,
    sharing_of,
    wait_share,
)
from irene.predictor.prediction import Prediction

SAME, REGIME, OTHER, DEVICES = LIKENESSES


def residuals(shared: float, seed: int = 0) -> list[Residual]:
    """Twenty architectures of twelve models: errors of standard deviation 0.1, `shared` of their variance in common."""
    made = np.random.default_rng(seed)
    found = []
    for architecture in range(20):
        common = made.normal() * math.sqrt(shared)
        for _ in range(12):
            error = 0.1 * (common + made.normal() * math.sqrt(1 - shared))
            found.append(Residual(error, 0.1645, f"Model{architecture}", "eager", f"family{architecture}"))
    return found


@pytest.mark.parametrize("shared", [0.0, 0.4, 0.8])
def test_the_correlation_of_errors_is_found_again(shared: float) -> None:
    fitted = fit_shared_errors(residuals(shared))
    assert set(fitted) == {SAME, REGIME}  # one regime only
    assert fitted[SAME].correlation == pytest.approx(shared, abs=0.15)
    assert fitted[REGIME].correlation == pytest.approx(0, abs=0.1)


def test_errors_are_never_taken_as_wholly_shared() -> None:
    assert fit_shared_errors(residuals(1.0))[SAME].correlation == 0.9


def test_nine_pairs_in_ten_lie_in_the_interval_and_likeness_makes_it_narrower() -> None:
    fitted = fit_shared_errors(residuals(0.8))
    same, other = (half_width_of_difference((0.1645, 0.1645), fitted[name]) for name in (SAME, REGIME))
    assert same < 0.6 * other
    unseen, inside = residuals(0.8, seed=1), []
    for a in unseen:
        for b in unseen:
            if a is not b and a.architecture == b.architecture:
                inside.append(abs(a.log_error - b.log_error) <= same)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.05)


def test_few_pairs_make_no_class_and_the_next_less_alike_stands_in() -> None:
    fitted = fit_shared_errors(residuals(0.5)[::12][:8])  # 28 pairs of eight architectures
    assert set(fitted) == {REGIME}
    assert sharing_of(fitted, SAME) == fitted[REGIME]
    assert sharing_of(fitted, OTHER) == sharing_of({}, SAME) == INDEPENDENT
    assert sharing_of({name: Sharing(0.5, 1, 9) for name in LIKENESSES}, DEVICES) == INDEPENDENT


def test_likeness() -> None:
    assert likeness(("A", "A"), ("eager", "eager")) == SAME
    assert likeness(("A", "B"), ("eager", "eager")) == REGIME
    assert likeness(("A", "A"), ("eager", "cuda_graph")) == OTHER
    assert likeness(("A", "A"), ("eager", "eager"), ("h200", "a100")) == DEVICES


def test_width_of_a_difference() -> None:
    assert half_width_of_difference((0.3, 0.4), INDEPENDENT) == pytest.approx(0.5)
    assert half_width_of_difference((0.3, 0.3), Sharing(1.0, 2.0, 9)) == pytest.approx(0)
    assert half_width_of_difference((0.3, 0.4), Sharing(0.0, 2.0, 9)) == pytest.approx(1.0)


def test_the_host_decides_where_the_gpu_waits(prediction: Prediction) -> None:
    expected = 0.125 * prediction.energy_j / 119.5 / prediction.duration_s  # an eighth of the joules at idle power
    assert wait_share(prediction) == pytest.approx(min(1, expected), rel=0.05)
    assert regime_of_prediction(prediction) == "host_bound"


def test_files(tmp_path: Path) -> None:
    shared = {SAME: Sharing(0.4, 0.8, 30)}
    path = save_shared_errors(shared, "h200", "made up", tmp_path)
    assert load_shared_errors("h200", tmp_path) == shared
    assert load_shared_errors("a100", tmp_path) == {}
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    load_shared_errors.cache_clear()
    with pytest.raises(BadInput, match="schema_version is 2"):
        load_shared_errors("h200", tmp_path)


def test_what_comes_with_irene_is_sound() -> None:
    shipped = load_shared_errors("h200")
    assert set(shipped) <= set(LIKENESSES) and REGIME in shipped
    for found in shipped.values():
        assert 0 <= found.correlation <= 0.9 and found.factor > 0 and found.pairs >= 20
