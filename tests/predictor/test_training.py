"""A predictor fitted on rows that follow a law predicts that law; the rows' order, and nothing else, is ignored."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import irene
from irene.errors import BadDataset
from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafModel, LeafValues
from irene.model_tree.serialization import decompress_tree
from irene.predictor import train, training
from irene.predictor.aggregation import fit_weights
from irene.predictor.bundle import save_bundle
from irene.predictor.load_imbalance import RouterLoads
from irene.predictor.pipeline import PricedTable
from irene.predictor.predictor import Predictor
from irene.predictor.steady_state import place_leaves
from irene.predictor.training import fit, fit_leaf_ensembles
from irene.predictor.training_data import (
    SITE_FOLDS,
    MeasuredTree,
    PrimitiveData,
    family_fold,
    gather_primitives,
    gather_trees,
    site_folds,
)
from irene.primitives.sites import site_of_call
from tests.predictor import made_law
from tests.predictor.made_law import gelu, law_s, law_w, linear

SPEC = load_device("h200")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_it_learns_the_law_between_the_points(fitted: Predictor) -> None:
    calls = [linear(1024, 768, 1024), linear(4096, 2048, 1024), linear(1024, 3072, 1024, "float32"), gelu(1536, 2048)]
    estimates = fitted.predict_primitives(calls, [c.outputs[0].dtype for c in calls], ["hot"] * 4)
    law = np.array([(law_s(call), law_w(call)) for call in calls])
    np.testing.assert_allclose(estimates.duration_s, law[:, 0], rtol=0.25)
    np.testing.assert_allclose(estimates.power_w, law[:, 1], rtol=0.1)
    assert estimates.provenance == ("interpolated",) * 4


def test_it_learns_the_points(fitted: Predictor) -> None:
    calls = made_law.law_calls()
    estimates = fitted.predict_primitives(calls, [c.outputs[0].dtype for c in calls], ["hot"] * len(calls))
    law_j = np.array([law_s(call) * law_w(call) for call in calls])
    assert np.mean(np.abs(estimates.energy_j / law_j - 1)) < 0.03
    assert set(estimates.provenance) == {"measured"}
    assert ((estimates.low_j < law_j) & (law_j < estimates.high_j)).mean() > 0.9


def test_it_learns_the_host_and_the_trees(fitted: Predictor, rows: pd.DataFrame) -> None:
    assert fitted.host.factor == pytest.approx(made_law.HOST_FACTOR, rel=0.01)
    for row in rows[rows["level"] == "model"].itertuples():
        prediction = fitted.predict(decompress_tree(str(row.tree)))
        assert prediction.duration_s == pytest.approx(row.duration_s, rel=0.1), row.case
        assert prediction.energy_j == pytest.approx(row.energy_j, rel=0.1), row.case
        assert prediction.interval_j[0] < row.energy_j < prediction.interval_j[1]


def test_weights_carry_what_a_model_costs_more(fitted: Predictor) -> None:
    tree = made_law.tree_of([linear(4096, 768, 1024), gelu(4096, 4096)] * 6, "cuda_graph")
    above = fitted.predict(tree).energy_j / fitted.sum_of_leaves_j(tree)
    assert above == pytest.approx(made_law.EAGER_ENERGY, abs=0.04)


def test_the_calibrated_pass_is_the_predicted_pass(fitted: Predictor, rows: pd.DataFrame) -> None:
    """The account that training calibrates on has, with the same leaves and weights, the root's very energy."""
    (measured, *_), text = gather_trees(rows, SPEC), rows[rows["case"] == "bert-4096|cuda_graph"]["tree"].iloc[0]
    alone = fitted.leaves.predict(measured.leaves.table)
    placed = place_leaves(measured.leaves, alone, fitted.weights, fitted.host, measured.execution, SPEC)
    assert (measured.execution, measured.family) == ("cuda_graph", "bert")
    assert fitted.predict(decompress_tree(text)).energy_j == pytest.approx(placed.energy_j.sum(), rel=1e-12)
    asked = LeafValues(alone.duration_s, np.full(len(alone.power_w), 1000.0), alone.slowing)
    capped = place_leaves(measured.leaves, asked, fit_weights([], 120.0), fitted.host, "cuda_graph", SPEC)
    assert capped.energy_j.sum() / capped.duration_s.sum() == pytest.approx(SPEC.power_cap_w)
    assert capped.energy_j.sum() == pytest.approx(asked.energy_j[measured.leaves.row_of_leaf].sum())


def test_the_same_rows_give_the_same_bytes_in_any_order(fitted: Predictor, rows: pd.DataFrame, tmp_path: Path) -> None:
    shuffled = rows.sample(frac=1, random_state=5)
    assert not shuffled["case"].reset_index(drop=True).equals(rows["case"])
    assert digests(save_bundle(fitted, tmp_path / "a")) == digests(save_bundle(fit(shuffled), tmp_path / "b"))
    other = fit(rows, seed=1)
    assert digests(save_bundle(other, tmp_path / "c")) != digests(tmp_path / "a")


def test_reference_calls_teach_nothing(fitted: Predictor, rows: pd.DataFrame, tmp_path: Path) -> None:
    apart = rows.assign(reference=True, duration_s=rows["duration_s"] * 7)
    both = pd.concat([rows, apart])
    both.attrs |= rows.attrs
    assert digests(save_bundle(fit(both), tmp_path / "a")) == digests(save_bundle(fitted, tmp_path / "b"))


def test_drawn_loads_are_no_repeats_of_equal_ones(rows: pd.DataFrame) -> None:
    """They have the signature of the equal ones: taken for repeats, they would move the medians."""
    drawn = rows.assign(drawn_load_deviation=1.0, duration_s=rows["duration_s"] * 7)
    data, both = gather_primitives(rows, SPEC), gather_primitives(pd.concat([rows, drawn]), SPEC)
    assert np.array_equal(both.timed_s, data.timed_s) and np.array_equal(both.metered_s, data.metered_s)


def test_folds_hold_out_whole_sites(rows: pd.DataFrame) -> None:
    data = gather_primitives(rows, SPEC)
    for fold in range(SITE_FOLDS):
        left = {site_of_call(call) for call in data.without_site_fold(fold).timed.calls}
        out = {
            site_of_call(c) for c, at in zip(data.timed.calls, site_folds(data.timed.calls), strict=True) if at == fold
        }
        assert left and out and not left & out


def test_the_predictor_says_who_it_is(fitted: Predictor) -> None:
    info = fitted.info
    assert (info.name, info.version) == ("irene-h200", irene.__version__)
    assert info.trained_on == "80 timed and 80 metered primitives, 12 modules and models"


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (lambda rows: rows[:0], "0 timed and 0 metered"),
        (lambda rows: rows[rows["method"] == "events"], "80 timed and 0 metered"),
        (lambda rows: rows[rows["name"] == "linear"], "40 timed and 40 metered"),
    ],
)
def test_too_few_rows(rows: pd.DataFrame, kept: object, words: str) -> None:
    with pytest.raises(BadDataset, match=words):
        fit(kept(rows))  # type: ignore[operator]


def test_after_an_error_no_fit_begins() -> None:
    begun: list[int] = []
    with pytest.raises(BadDataset), training._threads() as pool:
        _ = [pool.submit(lambda: (begun.append(1), time.sleep(0.05))) for _ in range(256)]
        raise BadDataset("of a tree")
    assert len(begun) < 256


def test_rows_without_host_costs(rows: pd.DataFrame) -> None:
    bare = rows.copy()
    bare.attrs = {}
    with pytest.raises(BadDataset, match="host costs"):
        fit(bare)


def test_primitives_alone_are_enough(rows: pd.DataFrame) -> None:
    fitted = fit(rows[rows["level"] == "primitive"])
    assert fitted.host.factor == 1.0
    assert fitted.intervals.any_regime == pytest.approx(np.log(2))
    tree = made_law.tree_of([linear(512, 768, 1024), made_law.UNKNOWN])
    assert fitted.predict(tree).energy_j > fitted.predict(made_law.tree_of([linear(512, 768, 1024)])).energy_j


def test_train_leaves_the_reserve_out(rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserved = rows[rows["families"] == "bert"].assign(families="bart,gemma", case="reserved")
    every = pd.concat([rows, reserved])
    every.attrs |= rows.attrs
    monkeypatch.setattr("irene.dataset.store.load_rows", lambda _: every)
    folder = train(tmp_path, tmp_path / "bundle")  # no survey lies there
    assert re.search("12 modules and models", (folder / "bundle.json").read_text())


def test_a_fold_of_families_is_held_out_whole_and_the_grid_stays(rows: pd.DataFrame) -> None:
    primitives = rows[rows["level"] == "primitive"].copy()
    held, other = (
        "bert",
        next(name for name in ("gpt2", "opt", "t5", "vit") if family_fold(name) != family_fold("bert")),
    )
    primitives["families"] = [held, other, "grid", f"{held},{other}"] * (len(primitives) // 4)
    data = gather_primitives(primitives, SPEC)
    left = data.without_family_fold(family_fold(held))
    assert all(folds - {family_fold(held)} for folds in left.timed_folds)
    assert len(left.timed.calls) == sum(1 for folds in data.timed_folds if folds != {family_fold(held)})


def test_everything_above_stands_on_the_leaves_that_are_given(fitted: Predictor, rows: pd.DataFrame) -> None:
    """Leaves of half the time: weights and intervals are fitted on them, and fewer folds are asked than rows."""
    asked = []

    def halved(data: PrimitiveData, spec: DeviceSpec, seed: int) -> LeafModel:
        asked.append(len(data.timed.calls))
        return fit_leaf_ensembles(replace(data, timed_s=data.timed_s / 2), spec, seed)

    given = fit(rows, fit_leaves=halved)
    table = gather_trees(rows, SPEC)[0].leaves.table
    np.testing.assert_allclose(given.leaves.predict_burst_s(table), fitted.leaves.predict_burst_s(table) / 2, rtol=1e-3)
    assert np.mean(given.weights.duration) != pytest.approx(np.mean(fitted.weights.duration))
    assert len(asked) <= 6 and max(asked) == 80
    asked.clear()
    fit(rows[rows["level"] == "primitive"], fit_leaves=halved)
    assert len(asked) == SITE_FOLDS + 1  # nothing to judge by families


def test_trees_teach_as_they_ran_and_are_predicted_without_knowing_it(
    rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and terms learn from a mixture whose idle experts are left out; its interval knows nothing of them."""
    routed = dataclasses.replace(
        made_law.whole_row([made_law.grouped(8, experts=64)] * 4, "mixtral", "experts", "cuda_graph"),
        busy_experts_pct=25.0, expert_load_deviation=2.0,
    )  # fmt: skip
    both = pd.concat([rows, pd.DataFrame([routed.to_dict()])], ignore_index=True)
    both.attrs |= rows.attrs
    at = [tree.family for tree in gather_trees(both, SPEC)].index("mixtral")
    seen: dict[str, list[float]] = {"taught": [], "placed": []}
    teach, place = training._aggregation_cases, training._place_held_out

    def listen(trees: list[MeasuredTree], priced: list[PricedTable], *more: Any) -> Any:
        seen["taught"].append(priced[at].alone.duration_s.sum())
        return teach(trees, priced, *more)

    def listen_too(trees: list[MeasuredTree], priced: list[PricedTable], *more: Any) -> Any:
        seen["placed"].append(priced[at].alone.duration_s.sum())
        return place(trees, priced, *more)

    monkeypatch.setattr(training, "_aggregation_cases", listen)
    monkeypatch.setattr(training, "_place_held_out", listen_too)
    fit(both)
    (taught_s,), (predicted_s, ran_s) = seen["taught"], seen["placed"]
    assert taught_s == ran_s < 0.6 * predicted_s


def test_a_case_has_one_way_of_dealing(rows: pd.DataFrame) -> None:
    """Collections that noted none take the median of those that did; one of the two numbers alone says nothing."""
    row = made_law.whole_row([made_law.grouped(8)] * 2, "mixtral", "experts", "cuda_graph")
    noted = [{"busy_experts_pct": 25.0, "expert_load_deviation": 2.0}, {"busy_experts_pct": 35.0}, {}]
    noted[1]["expert_load_deviation"] = 3.0
    frame = pd.DataFrame(
        [dataclasses.replace(row, collection=str(at), **loads).to_dict() for at, loads in enumerate(noted)]
    )
    assert [tree.loads for tree in gather_trees(frame, SPEC)] == [RouterLoads(0.3, 2.5)] * 3
    half = frame.assign(expert_load_deviation=np.nan)
    assert [tree.loads for tree in gather_trees(half, SPEC)] == [RouterLoads()] * 3
