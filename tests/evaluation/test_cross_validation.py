"""Each fold's predictor sees nothing of what it is judged on; every case is judged, the reserve only when asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from irene.dataset.journal import RowJournal
from irene.dataset.manifest import write_manifest
from irene.dataset.schema import Row
from irene.errors import BadDataset
from irene.evaluation import judge_dataset
from irene.evaluation.cross_validation import cross_validate
from irene.evaluation.error_table import tabulate_errors
from irene.leaves.survey_prior import Survey, SurveyedKernels, fit_surveyed
from tests.evaluation.made_rows import Constant


class Suspicious(Constant):
    """Refuses to be judged on what it was taught: the same signature, or a model of the same name."""

    def __init__(self, rows: pd.DataFrame, seed: int) -> None:
        self.signatures, self.models, self.seed = set(rows["signature"]), set(rows["model"]), seed
        assert not rows["reference"].any() and "roofline_s" not in rows and seed == 7

    def predict_primitives(self, calls: Any, dtypes: Any, weights: Any) -> Any:
        assert not self.signatures & {call.signature for call in calls}
        return super().predict_primitives(calls, dtypes, weights)

    def predict(self, tree: Any) -> Any:
        assert tree.model not in self.models and self.models - {""}
        return super().predict(tree)


def test_nothing_that_is_judged_was_taught(rows: pd.DataFrame) -> None:
    judged = cross_validate(rows, [7], fit=Suspicious, reserve=True, jobs=1)[7]
    assert set(judged["held_out"]) == {"family", "site", "reserved family"}
    families = judged[judged["held_out"] == "family"].groupby("family")
    assert families.size().to_dict() == {"bert": 4, "gpt2": 4, "opt": 4}  # own product twice, own GELU, own model
    assert set(judged.loc[judged["held_out"] == "reserved family", "family"]) == {"gemma"}
    sites = judged[judged["held_out"] == "site"]
    assert "product 16 32 bfloat16" in set(sites["family"]) and set(sites["level"]) == {"primitive"}
    assert not sites.duplicated(["case", "method"]).any()


def test_a_leak_would_be_seen(rows: pd.DataFrame) -> None:
    """The suspicious predictor is worth something: it refuses when a judged row is among its own."""

    def cheat(train: pd.DataFrame, seed: int) -> Suspicious:
        return Suspicious(rows[~rows["reference"]], seed)

    with pytest.raises(AssertionError):
        cross_validate(rows, [7], fit=cheat, jobs=1)


def test_the_reserve_is_judged_only_when_asked(rows: pd.DataFrame) -> None:
    judged = cross_validate(rows, [7], fit=Suspicious, site_folds=0, jobs=1)[7]
    assert set(judged["held_out"]) == {"family"} and "gemma" not in set(judged["family"])


def test_one_family_is_no_cross_validation(rows: pd.DataFrame) -> None:
    with pytest.raises(BadDataset, match="at least two families"):
        cross_validate(rows[rows["families"] == "gemma"], [7], fit=Suspicious, site_folds=0, jobs=1)


def test_processes_change_nothing(rows: pd.DataFrame) -> None:
    """Nor does what they fit ahead of a survey."""
    rng = np.random.default_rng(0)
    features, clock, target = rng.random((40, 3), np.float32), np.zeros(40, np.float32), rng.random(40, np.float32)
    survey = Survey({"gemm-half": SurveyedKernels(features, clock, target, np.arange(40))})

    def fit(train: pd.DataFrame, seed: int, survey: Survey) -> Constant:
        assert set(fit_surveyed(survey, seed)) == {"gemm-half"}
        return Constant()

    one, two = (cross_validate(rows, fit=fit, site_folds=2, jobs=jobs, survey=survey)[0] for jobs in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_a_run_that_was_stopped_goes_on(rows: pd.DataFrame, tmp_path: Path) -> None:
    fitted = []

    def fit(train: pd.DataFrame, seed: int) -> Constant:
        fitted.append(seed)
        if len(fitted) == 5:
            raise KeyboardInterrupt
        return Constant()

    def run(keep: Path | None) -> dict[int, pd.DataFrame]:
        return cross_validate(rows, [1, 2], fit=fit, site_folds=2, jobs=1, keep=keep)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    judged = run(tmp_path)
    assert len(fitted) == 1 + 10  # three families and two folds of sites, by each of two seeds
    whole = run(None)
    for seed in (1, 2):
        kept, new = (cases.astype(object).where(cases.notna(), None) for cases in (judged[seed], whole[seed]))
        pd.testing.assert_frame_equal(kept, new)


def test_from_a_directory_to_the_table(rows: pd.DataFrame, tmp_path: Path) -> None:
    with RowJournal(tmp_path) as journal:
        for repeat, record in enumerate(rows.astype(object).where(rows.notna(), None).to_dict("records")):
            sizes = {name: int(record[name]) for name in ("batch_size", "seq_len") if record[name] is not None}
            journal.append(Row(**{**record, "repeat": repeat, **sizes}))
    write_manifest(tmp_path, {"collection": "c", "runs": [{"date": "2026-11-22T07:59:00+00:00"}]})
    judged = judge_dataset(tmp_path, 7, fit=Suspicious, jobs=1)
    table = tabulate_errors(judged)
    models = table[(table["level"] == "model") & (table["quantity"] == "energy")]
    # 2, 4 and 6 J, all predicted as 2.5 J; one regime, one execution
    assert models["family_mean_mape_pct"].tolist() == pytest.approx([(25 + 37.5 + 100 * 3.5 / 6) / 3])
    assert models["noise_floor_pct_cases"].tolist() == [1]  # bert's reference call is bert
