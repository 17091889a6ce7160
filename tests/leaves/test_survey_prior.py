"""A survey of made products: it teaches what timings are too few for, and never what is held out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from irene.dataset.surveys import SurveyRow, write_survey
from irene.errors import BadInput
from irene.hardware.devices import load_device
from irene.leaves import survey_prior as survey_room
from irene.leaves.leaf_model import fit_time
from irene.leaves.leaf_table import make_table, matrix_names
from irene.leaves.learners import fit_cache
from irene.leaves.learners.ensemble_files import ensemble_from_bytes, ensemble_to_bytes
from irene.leaves.learners.fit_cache import FitCache
from irene.leaves.learners.survey_trees import fit_survey_trees
from irene.leaves.survey_prior import Survey, fit_ahead, fit_surveyed, gather_survey, list_fits, site_key, start_fits
from irene.primitives.call import Call
from irene.primitives.sites import site_of_call
from tests.predictor.made_law import linear

SPEC = load_device("h200")
REGRESSOR = "gemm-half"


def time_s(call: Call) -> float:
    """A law with a kernel switch that the base time knows nothing of."""
    m, n, k = call.tensors[0].shape[0], call.tensors[1].shape[0], call.tensors[1].shape[1]
    return (1.0 + 0.5 * (m % 512 > 256)) * (5e-6 + 2 * m * n * k / 6e14)


def draw(count: int, seed: int) -> list[Call]:
    rng = np.random.default_rng(seed)
    return [linear(int(rng.integers(64, 4096)), *(64 * int(s) for s in rng.integers(2, 64, 2))) for _ in range(count)]


def save(calls: list[Call], directory) -> None:
    rows = [SurveyRow(c.signature, "bfloat16", time_s(c), time_s(c), 1.98e9, 1, "gemm", 132, 128) for c in calls]
    write_survey(rows, directory)


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory) -> Survey:
    directory = tmp_path_factory.mktemp("data")
    save(draw(1500, 0), directory)
    survey = gather_survey(directory, pd.DataFrame({"signature": []}), SPEC)
    assert survey is not None
    return survey


def features_of(calls: list[Call]) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    table = make_table(calls, ["bfloat16"] * len(calls), [False] * len(calls), SPEC)
    target = np.log(np.array([time_s(call) for call in calls]) / table.base_s)
    return table.matrix(REGRESSOR, np.arange(len(calls))), matrix_names(REGRESSOR), target


def test_timings_on_top_of_a_survey_know_more_than_timings_alone(surveyed: Survey) -> None:
    taught, asked = features_of(draw(150, 1)), features_of(draw(300, 2))
    alone = fit_time(REGRESSOR, *taught)
    together = fit_time(REGRESSOR, *taught, surveyed=fit_surveyed(surveyed)[REGRESSOR])
    errors = [np.abs(regressor.predict(*asked[:2]) - asked[2]).mean() for regressor in (alone, together)]
    assert errors[1] < 0.6 * errors[0]


def test_an_ensemble_on_a_survey_is_saved_whole(surveyed: Survey) -> None:
    features, names, target = features_of(draw(60, 3))
    fitted = fit_time(REGRESSOR, features, names, target, surveyed=fit_surveyed(surveyed)[REGRESSOR])
    raw = ensemble_to_bytes(fitted.ensemble)
    again = replace(fitted, ensemble=ensemble_from_bytes("time", raw, fitted.ensemble.gp_share, len(fitted.names)))
    assert np.array_equal(again.predict(features, names), fitted.predict(features, names))


def test_a_damaged_or_foreign_regressor_is_refused(surveyed: Survey) -> None:
    fitted = fit_time(REGRESSOR, *features_of(draw(60, 3)), surveyed=fit_surveyed(surveyed)[REGRESSOR])
    raw, columns = ensemble_to_bytes(fitted.ensemble), len(fitted.names)
    assert raw == ensemble_to_bytes(ensemble_from_bytes("time", raw, 0.5, columns))
    middle = len(raw) // 2
    for bad in (raw[:middle], raw[:middle] + b"\0\0\0\0" + raw[middle + 4 :], b"no trees"):
        with pytest.raises(BadInput, match="time: "):
            ensemble_from_bytes("time", bad, 0.5, columns)
    with pytest.raises(BadInput, match="do not fit 5 features"):
        ensemble_from_bytes("time", raw, 0.5, 5)


def test_times_are_predicted_for_the_full_clock() -> None:
    """Made times that go as one over the clock, which only some rows know: the answer is the time at full clock."""
    rng = np.random.default_rng(0)
    features = rng.random((4000, 3), dtype=np.float32)
    log_clock = np.log(rng.uniform(0.7, 1.0, 4000)).astype(np.float32)
    features[:, 1] = 7.0  # the same in all rows
    target = features[:, 0] - log_clock
    prior = fit_survey_trees(features, np.where(rng.random(4000) < 0.2, np.float32("nan"), log_clock), target)
    assert prior.columns.tolist() == [0, 2]
    error = prior.predict(features[:500].astype(float)) - features[:500, 0]
    assert np.abs(error).mean() < 0.02 and (-log_clock).mean() > 0.15


def test_a_clock_that_was_not_read_is_the_typical_one() -> None:
    rng = np.random.default_rng(0)
    features, log_clock = rng.random((400, 2), dtype=np.float32), rng.uniform(-0.3, 0.0, 400).astype(np.float32)
    unread = log_clock.copy()
    unread[::2] = np.float32("nan")
    filled = np.where(np.isnan(unread), np.median(log_clock[1::2]), unread)
    found, expected = (
        fit_survey_trees(features, clock, features[:, 0] - log_clock).predict(features.astype(float))
        for clock in (unread, filled)
    )
    np.testing.assert_array_equal(found, expected)
    none_read = fit_survey_trees(features, np.full(400, np.float32("nan")), features[:, 0])
    assert np.isfinite(none_read.predict(features.astype(float))).all()


def test_calls_that_were_measured_are_left_out(tmp_path) -> None:
    calls = draw(40, 4)
    save(calls, tmp_path)
    measured = pd.DataFrame({"signature": [call.signature for call in calls[:30]]})
    survey = gather_survey(tmp_path, measured, SPEC)
    assert survey is not None and len(survey.kernels[REGRESSOR].target) == 10
    assert gather_survey(tmp_path, pd.DataFrame({"signature": [c.signature for c in calls]}), SPEC) is None


def test_held_out_sites_are_left_out(surveyed: Survey) -> None:
    calls = draw(1500, 0)
    away = {site_of_call(call) for call in calls[:300]}
    kept = surveyed.without_sites(away).kernels[REGRESSOR]
    assert 0 < len(kept.target) < len(calls) - 250
    assert not {site_key(site) for site in away} & set(kept.sites.tolist())


def test_folds_of_sites_part_the_survey(surveyed: Survey) -> None:
    whole = surveyed.kernels[REGRESSOR]
    parts = [surveyed.without_site_fold(fold, 3).kernels[REGRESSOR] for fold in range(3)]
    assert sum(len(whole.target) - len(part.target) for part in parts) == len(whole.target)
    assert len({len(part.target) for part in parts} | {len(whole.target)}) > 1


def test_a_survey_is_fitted_once(surveyed: Survey) -> None:
    first, second = (fit_surveyed(surveyed.without_sites([]))[REGRESSOR] for _ in range(2))
    assert first is second


def test_fits_start_with_the_largest(surveyed: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """And are there when they are asked for."""
    begun: list[int] = []
    monkeypatch.setattr(survey_room, "_FITTED", FitCache(24))
    monkeypatch.setattr(survey_room, "fit_survey_trees", lambda _f, _c, target, _s: begun.append(len(target)))
    folds = [surveyed.without_site_fold(fold, 3) for fold in range(3)]
    with ThreadPoolExecutor(1) as pool:
        start_fits(pool, [*folds, surveyed], 7)
    rows = [len(each.kernels[REGRESSOR].target) for each in (*folds, surveyed)]
    assert begun == sorted(rows, reverse=True)
    fit_surveyed(folds[0], 7)
    assert len(begun) == len(rows)


def test_training_finds_all_that_was_fitted_ahead(surveyed: Survey, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and without each fold of sites, with some sites away: nothing is left to fit."""
    monkeypatch.setattr(fit_cache, "_SHARED", [])
    monkeypatch.setattr(survey_room, "_FITTED", FitCache(24, is_shared=True))
    away = [site_of_call(call) for call in draw(3, 0)]
    for asked in list_fits(surveyed, away, 2, seed=5):
        fit_ahead(surveyed, asked, 2, tmp_path)

    def refuse(*_):
        raise AssertionError("fitted again")

    monkeypatch.setattr(survey_room, "_FITTED", FitCache(24, is_shared=True))
    monkeypatch.setattr(survey_room, "fit_survey_trees", refuse)
    known = surveyed.without_sites(away)
    for part in (known, known.without_site_fold(0, 2), known.without_site_fold(1, 2)):
        assert set(fit_surveyed(part, 5)) == {REGRESSOR}
    with pytest.raises(AssertionError, match="fitted again"):
        fit_surveyed(surveyed, 5)
