"""How wrong predictions of IrEne-2021's trees are: by level, with models or whole families held out, file against file.

Levels are those of the paper: ml (primitives), module, model. Of every error, in per cent, lower is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from irene.errors import BadDataset, UnknownName
from irene.evaluation.metrics import absolute_percentage_errors, mape_pct
from irene.irene_2021.node_table import Floats, NodeTable, Texts, tabulate_nodes
from irene.irene_2021.tree_files import load_trees
from irene.leaves.learners.sparse_gp import one_thread

LEVELS = ("ml", "module", "model")
FAMILIES = {
    "bert-base-uncased": "bert", "roberta-base": "bert", "distilbert-base-uncased": "distilbert", "gpt2": "gpt2",
    "distilgpt2": "gpt2", "openai-gpt": "openai-gpt",
}  # fmt: skip
"""What is held out together. A model that is not listed is its own family."""


class TreeEstimator(Protocol):
    """What can be judged here."""

    def fit(self, table: NodeTable) -> TreeEstimator: ...

    def predict(self, table: NodeTable) -> Floats: ...


Maker = Callable[[], TreeEstimator]


def level_errors_pct(table: NodeTable, energy_j: Floats) -> dict[str, float]:
    """Mean absolute percentage error over all nodes of each level that occurs."""
    errors = absolute_percentage_errors(table.energy_j, energy_j)
    return {level: mape_pct(errors[table.kind == level]) for level in LEVELS if (table.kind == level).any()}


def group_models(table: NodeTable, leave_out: str) -> Texts:
    """For each tree what it is held out with: its model ('model') or its family ('family')."""
    if leave_out == "model":
        return table.model_names
    if leave_out == "family":
        return np.array([FAMILIES.get(name, name) for name in table.model_names.tolist()], dtype=np.str_)
    raise UnknownName("hold-out", leave_out, ("model", "family"))


def predict_held_out(table: NodeTable, groups: Texts, choose: Callable[[NodeTable], Maker]) -> Floats:
    """Joules of every node, predicted by an estimator that never saw a tree of its group.

    `choose` gets the training trees of a fold and returns what makes the estimator, so that any choice is made on them.
    """
    if len(set(groups.tolist())) < 2:
        raise BadDataset(f"Holding out needs trees of at least two groups; all of these are {str(groups[0])!r}.")
    energy_j = np.empty(len(table))
    for group in dict.fromkeys(groups.tolist()):
        held = groups == group
        train = table.select_trees(~held)
        with one_thread():  # of linear algebra: for so few rows threads only wait for each other
            estimator = choose(train)().fit(train)
        energy_j[held[table.tree]] = estimator.predict(table.select_trees(held))
    return energy_j


def tabulate_models(table: NodeTable, energy_j: Floats) -> pd.DataFrame:
    """Errors by model, one row each in the order of the file, then 'overall', the plain mean over models."""
    rows = []
    for name in dict.fromkeys(table.model_names.tolist()):
        trees = table.model_names == name
        rows.append({"left_out": name, **level_errors_pct(table.select_trees(trees), energy_j[trees[table.tree]])})
    frame = pd.DataFrame(rows).set_index("left_out")
    frame.loc["overall"] = frame.mean()
    return frame


def crossvalidate(
    table: NodeTable, leave_out: str, make: Callable[[int], TreeEstimator], seeds: Sequence[int]
) -> pd.DataFrame:
    """Errors of `make(seed)` for every seed: columns left_out (a model, or 'overall'), ml, module, model, seed."""
    groups = group_models(table, leave_out)
    parts = []
    for seed in seeds:
        maker = partial(make, seed)
        energy_j = predict_held_out(table, groups, lambda _train, maker=maker: maker)  # type: ignore[misc]
        parts.append(tabulate_models(table, energy_j).reset_index().assign(seed=seed))
    return pd.concat(parts, ignore_index=True)


def summarise_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Over the seeds of what `crossvalidate` returned, by left-out model: columns ml_mean_pct, ml_min_pct, ..."""
    levels = [level for level in LEVELS if level in frame]
    summary = {f"{level}_{what}_pct": (level, what) for level in levels for what in ("mean", "min", "max")}
    return frame.groupby("left_out", sort=False).agg(**summary)


def choose_on_inner_folds(candidates: Mapping[str, Maker], train: NodeTable) -> str:
    """The candidate with the least mean error over levels and models, each family of `train` held out in turn."""
    groups = group_models(train, "family")

    def judge(name: str) -> float:
        energy_j = predict_held_out(train, groups, lambda _: candidates[name])
        return float(tabulate_models(train, energy_j).loc["overall"].to_numpy().mean())

    return min(candidates, key=judge) if len(candidates) > 1 else next(iter(candidates))


def compare_files(truth: str | Path, predictions: str | Path) -> dict[str, float]:
    """Errors by level of the `predicted_energy` in one file against the measured energies in another, matched by id.

    Raises `BadDataset` for a node of `truth` that has no prediction: the authors' script counts it as 0 J.
    """
    measured = load_trees(truth, features=())
    predicted = load_trees(predictions, features=(), measured=False)
    found = {node["id"]: node.get("predicted_energy") for tree in predicted for node in tree.walk()}
    energy_j = []
    for tree in measured:
        for node in tree.walk():
            predicted_j = found.get(node["id"])
            if predicted_j is None:
                where = f"{tree.source}, node {node['scope']!r} (id {node['id']!r})"
                raise BadDataset(f"{where}: no 'predicted_energy' for it in {Path(predictions).name}.")
            energy_j.append(float(predicted_j))
    return level_errors_pct(tabulate_nodes(measured), np.array(energy_j))
