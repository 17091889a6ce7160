"""The estimator as its users see it: settings, seeds, strategies, saved files, and the paper's own numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import irene.irene_2021
from irene.errors import BadBundle, BadConfig, BadInput
from irene.irene_2021.estimator import Irene2021
from irene.irene_2021.judging import crossvalidate, level_errors_pct
from irene.irene_2021.node_table import tabulate_nodes
from irene.irene_2021.saving import load_estimator, save_estimator
from irene.irene_2021.settings import Settings, load_settings
from irene.irene_2021.tree_files import load_trees
from tests.irene_2021.made_trees import hold_out, table

REAL = os.environ.get("IRENE_2021_DATA")


def test_it_learns_the_law_and_repeats_itself() -> None:
    train, test = hold_out(table(), "gpt-d")
    first = Irene2021(seed=3).fit(train).predict(test)
    assert np.array_equal(first, Irene2021(seed=3).fit(train).predict(test))
    assert not np.allclose(first, Irene2021(seed=4).fit(train).predict(test), rtol=1e-4)
    errors = level_errors_pct(test, first)
    assert errors["ml"] < 0.1 and errors["module"] < 15  # energy is linear in time and counter; weights start anywhere


def test_no_strategy_is_the_sum_of_the_leaves() -> None:
    train, test = hold_out(table(), "gpt-d")
    energy_j = Irene2021(Settings(training_strategy="none")).fit(train).predict(test)
    assert np.allclose(energy_j[~test.is_leaf], test.sum_children(energy_j)[~test.is_leaf])


def test_weights_stay_within_one_tenth_of_one() -> None:
    train, test = hold_out(table(), "gpt-d")
    energy_j = Irene2021().fit(train).predict(test)
    ratio = energy_j[~test.is_leaf] / test.sum_children(energy_j)[~test.is_leaf]
    assert (np.abs(ratio - 1) <= 0.1).all() and np.ptp(ratio) > 1e-4


def test_predictions_do_not_depend_on_the_company() -> None:
    train, test = hold_out(table(), "gpt-d")
    estimator = Irene2021().fit(train)
    alone = np.arange(len(test.model_names)) == 2
    assert np.allclose(estimator.predict(test)[test.tree == 2], estimator.predict(test.select_trees(alone)))


def test_an_operation_never_seen_needs_a_stand_in() -> None:
    train, test = hold_out(table(), "bert-a")
    with pytest.raises(BadInput, match=r"bert-a.jsonl, line 4, node 'root.pooler.tanh': no 'tanh' was trained on"):
        Irene2021().fit(train).predict(test)
    assert np.isfinite(Irene2021(stand_ins={"tanh": "softmax"}).fit(train).predict(test)).all()
    with pytest.raises(ValueError, match="before predicting"):
        Irene2021().predict(test)


def test_bundled_settings_are_the_defaults_and_authors_configs_are_read(tmp_path: Path) -> None:
    assert load_settings(Path(irene.irene_2021.__file__).parent / "default.toml") == Settings()
    config = {"feature_sets": ["model_specs"], "polynomial_features": False, "training_strategy": "stepwise"}
    config |= {"standardize_features": True, "tanh_scalar": 5, "normalize_loss_scale": False}
    config |= {"weighting_setting": "free"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    got = load_settings(tmp_path / "config.json")
    assert got.features[-1] == "mem_bytes" and got.tanh_scalar == 5 and got.weighting == "free" and got.epochs == 8


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("epoch = 3", "unknown setting 'epoch'"), ("epochs = 0", "'epochs' must be a positive number"),
        ("training_strategy = 'both'", "expected one of end2end, stepwise, unstructured, none"),
        ("feature_sets = ['gpu']", "'feature_sets' cannot be 'gpu'"), ("polynomial_features = 3", "true or false"),
        ("training_strategy = 'unstructured'\nweighting_setting = 'close_to_one'", "must be 'free'"),
        ("training_strategy = 'none'\nweighting_setting = 'free'", "must be 'exact_one'"),
        ("feature_sets", "Cannot read settings"), ("feature_sets = 'model_specs'", "feature_sets"),
    ],
)  # fmt: skip
def test_bad_settings_say_what_is_expected(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(BadConfig, match=complaint):
        load_settings(tmp_path / "s.toml")


def test_a_saved_estimator_predicts_the_same(tmp_path: Path) -> None:
    train, test = hold_out(table(), "gpt-d")
    estimator = Irene2021(Settings(feature_sets=("model_specs",)), seed=5, stand_ins={"relu": "tanh"}).fit(train)
    save_estimator(estimator, tmp_path / "model.json")
    again = load_estimator(tmp_path / "model.json")
    assert np.array_equal(estimator.predict(test), again.predict(test))
    assert (again.settings, again.seed, again.stand_ins) == (estimator.settings, 5, {"relu": "tanh"})
    data = json.loads((tmp_path / "model.json").read_text())
    for broken in ({**data, "extra": 1}, {**data, "version": 2}, {**data, "leaves": {"linear": {}}}, [], "{"):
        (tmp_path / "broken.json").write_text(broken if isinstance(broken, str) else json.dumps(broken))
        with pytest.raises(BadBundle):
            load_estimator(tmp_path / "broken.json")
    for change, message in (
        ({"weights": data["weights"][:-1]}, "at weights, expected a list of"),
        ({"seed": -1}, "at seed, expected a whole number"),
        ({"scaling": {**data["scaling"], "deviation": [0.0] * len(data["scaling"]["deviation"])}}, "numbers above 0"),
        ({"settings": {**data["settings"], "epochs": 10**9}}, "'epochs' must be a positive number up to"),
        ({"settings": {**data["settings"], "epochs": 1.5}}, "'epochs' must be a whole number"),
        ({"settings": {**data["settings"], "feature_sets": 3}}, "at feature_sets, expected a list"),
        ({"leaves": {}}, "at leaves, expected at least one leaf"),
    ):
        (tmp_path / "broken.json").write_text(json.dumps({**data, **change}))
        with pytest.raises(BadBundle, match=message):
            load_estimator(tmp_path / "broken.json")
    with pytest.raises(BadInput, match="Cannot write"):
        save_estimator(estimator, tmp_path / "model.json" / "below")


@pytest.mark.skipif(not REAL, reason="IRENE_2021_DATA is not set: the measured trees are not here")
@pytest.mark.parametrize(
    ("device", "ml", "module", "model"), [(1, 0.70, 10.12, (3.9, 7.2)), (2, 0.52, 11.84, (5.1, 8.0))]
)
def test_the_papers_numbers_within_their_seed_spread(
    device: int, ml: float, module: float, model: tuple[float, float]
) -> None:
    nodes = tabulate_nodes(load_trees(Path(str(REAL)) / f"irene_device_{device}.jsonl.gz"))
    errors = crossvalidate(nodes, "model", lambda seed: Irene2021(seed=seed), range(5))
    mean = errors[errors["left_out"] == "overall"].mean(numeric_only=True)
    assert (
        abs(mean["ml"] - ml) <= 0.05 and abs(mean["module"] - module) <= 0.3 and model[0] <= mean["model"] <= model[1]
    )
