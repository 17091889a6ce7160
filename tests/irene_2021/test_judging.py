"""Judging on IrEne-2021's trees: levels, folds that leak nothing, choices on inner folds, file against file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from irene.errors import BadDataset, UnknownName
from irene.irene_2021.judging import (
    FAMILIES,
    choose_on_inner_folds,
    compare_files,
    crossvalidate,
    group_models,
    level_errors_pct,
    predict_held_out,
    summarise_seeds,
    tabulate_models,
)
from irene.irene_2021.node_table import Floats, NodeTable, tabulate_nodes
from irene.irene_2021.tree_files import save_trees, with_predictions
from tests.irene_2021.made_trees import forest, table


class Spy:
    """Predicts the truth times a factor, and remembers which models it was taught."""

    def __init__(self, factor: float = 1.0, log: list[tuple[set[str], set[str]]] | None = None) -> None:
        self.factor = factor
        self.log = [] if log is None else log
        self.taught: set[str] = set()

    def fit(self, nodes: NodeTable) -> Spy:
        self.taught = set(nodes.model_names.tolist())
        return self

    def predict(self, nodes: NodeTable) -> Floats:
        self.log.append((self.taught, set(nodes.model_names.tolist())))
        return nodes.energy_j * self.factor


def test_errors_are_means_over_the_nodes_of_a_level() -> None:
    nodes = table()
    energy_j = nodes.energy_j * np.select([nodes.kind == "ml", nodes.kind == "module"], [1.1, 0.5], 3.0)
    errors = level_errors_pct(nodes, energy_j)
    assert errors == pytest.approx({"ml": 10.0, "module": 50.0, "model": 200.0})


def test_overall_is_the_plain_mean_over_models() -> None:
    nodes = table()
    factor = np.where(nodes.model_names[nodes.tree] == "bert-a", 1.4, 1.0)
    frame = tabulate_models(nodes, nodes.energy_j * factor)
    assert frame.loc["bert-a", "ml"] == pytest.approx(40) and frame.loc["gpt-b", "ml"] == 0
    assert frame.loc["overall", "model"] == pytest.approx(40 / 4)


def test_twins_are_held_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FAMILIES["gpt2"] == FAMILIES["distilgpt2"] != FAMILIES["openai-gpt"]
    assert FAMILIES["bert-base-uncased"] == FAMILIES["roberta-base"] != FAMILIES["distilbert-base-uncased"]
    monkeypatch.setitem(FAMILIES, "gpt-b", "gpt")
    monkeypatch.setitem(FAMILIES, "gpt-d", "gpt")
    nodes = table()
    for leave_out, folds in (("model", 4), ("family", 3)):
        log: list[tuple[set[str], set[str]]] = []
        groups = group_models(nodes, leave_out)
        energy_j = predict_held_out(nodes, groups, lambda _, log=log: lambda: Spy(log=log))  # type: ignore[misc]
        assert np.array_equal(energy_j, nodes.energy_j)  # every node, in its place
        assert len(log) == folds
        for taught, judged in log:
            assert not taught & judged and taught | judged == set(nodes.model_names.tolist())
            assert leave_out == "model" or ("gpt-b" in judged) == ("gpt-d" in judged)
    with pytest.raises(UnknownName, match="model, nothing|family, model"):
        group_models(nodes, "size")
    one = nodes.select_trees(nodes.model_names == "gpt-b")
    with pytest.raises(BadDataset, match="at least two groups; all of these are 'gpt-b'"):
        predict_held_out(one, group_models(one, "model"), lambda _: Spy)


def test_choices_see_the_training_families_only() -> None:
    nodes = table()
    log: list[tuple[set[str], set[str]]] = []
    candidates: dict[str, Callable[[], Spy]] = {name: partial(Spy, f, log) for name, f in (("bad", 2), ("good", 1.1))}
    chosen = []

    def choose(train: NodeTable) -> Callable[[], Spy]:
        log.clear()
        chosen.append(choose_on_inner_folds(candidates, train))
        seen = set().union(*(a | b for a, b in log))
        assert seen == set(train.model_names.tolist()) and len(seen) == 3
        return candidates[chosen[-1]]

    assert predict_held_out(nodes, group_models(nodes, "family"), choose) == pytest.approx(1.1 * nodes.energy_j)
    assert chosen == ["good"] * 4


def test_seeds_are_summarised_by_mean_and_range() -> None:
    rows = crossvalidate(table(), "model", lambda seed: Spy(1 + seed / 10), [0, 1, 5])
    summary = summarise_seeds(rows)
    assert list(summary.index) == ["bert-a", "gpt-b", "other-c", "gpt-d", "overall"]
    found = summary.loc["overall", ["ml_mean_pct", "ml_min_pct", "ml_max_pct"]].tolist()
    assert found == pytest.approx([20.0, 0.0, 50.0])


def test_files_are_compared_by_id(tmp_path: Path) -> None:
    trees = forest()
    nodes = tabulate_nodes(trees)
    filled = with_predictions(trees, (nodes.energy_j * 1.2).tolist())
    save_trees(trees, tmp_path / "truth.jsonl")
    save_trees(filled[::-1], tmp_path / "predicted.jsonl.gz")
    assert compare_files(tmp_path / "truth.jsonl", tmp_path / "predicted.jsonl.gz") == pytest.approx(
        {"ml": 20.0, "module": 20.0, "model": 20.0}
    )
    save_trees(filled[1:], tmp_path / "short.jsonl")
    with pytest.raises(BadDataset, match=r"truth.jsonl, line 1, node 'root' .*: no 'predicted_energy' .* short.jsonl"):
        compare_files(tmp_path / "truth.jsonl", tmp_path / "short.jsonl")
