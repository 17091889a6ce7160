"""What is judged: each function is one job, and returns rows of errors in per cent."""

from __future__ import annotations

import os
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from irene.irene_2021.estimator import STAND_INS, Irene2021
from irene.irene_2021.judging import (
    choose_on_inner_folds,
    crossvalidate,
    group_models,
    level_errors_pct,
    predict_held_out,
    tabulate_models,
)
from irene.irene_2021.node_table import NodeTable, tabulate_nodes
from irene.irene_2021.settings import Settings
from irene.irene_2021.tree_files import load_trees
from irene.irene_2021.wall_trees.devices import GTX_1070, GTX_1080_TI
from irene.irene_2021.wall_trees.run_trees import RunTrees
from irene.irene_2021.wall_trees.static_trees import StaticTrees
from irene.irene_2021.wall_trees.transfer import calibrate_on_leaves, draw_leaves, move_to_device
from irene.irene_2021.wall_trees.work import count_node_work

DEVICES = {1: GTX_1070, 2: GTX_1080_TI}  # inferred from memory clocks
FILES = {"six": "irene_device_{}.jsonl.gz", "tiny-ctrl": "tiny_ctrl_device_{}.jsonl.gz"}

_SPECS, _RESOURCES = ("model_specs",), ("resource_utilization",)
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "model specs only": {"feature_sets": _SPECS},
    "resources only": {"feature_sets": _RESOURCES},
    "stepwise": {"training_strategy": "stepwise"},
    "stepwise, model specs only": {"training_strategy": "stepwise", "feature_sets": _SPECS},
    "stepwise, resources only": {"training_strategy": "stepwise", "feature_sets": _RESOURCES},
    "unstructured": {"training_strategy": "unstructured"},
    "unstructured, model specs only": {"training_strategy": "unstructured", "feature_sets": _SPECS},
    "unstructured, resources only": {"training_strategy": "unstructured", "feature_sets": _RESOURCES},
    "none (sum of leaves)": {"training_strategy": "none"},
    "none, model specs only": {"training_strategy": "none", "feature_sets": _SPECS},
    "none, resources only": {"training_strategy": "none", "feature_sets": _RESOURCES},
    "free weights": {"weighting_setting": "free"},
    "no polynomial": {"polynomial_features": False},
    "no standardising": {"standardize_features": False},
    "loss not scaled": {"normalize_loss_scale": False},
}
"""The paper's settings, then one or two of them changed."""

CASES = {
    "static": ("ridge", "boosted", "both"),
    "static, weights too": ("ridge", "boosted", "both", "ridge, weighted", "boosted, weighted", "both, weighted"),
    "run, no energy counter": ("ridge", "boosted", "both"),
    "run, the paper's features": ("none", "ridge", "boosted", "both"),
}
"""What ours may see, and the ways to learn that inner folds choose from. Weighted: inner nodes have weights."""


@cache
def load_table(data: Path, device: int, which: str = "six") -> NodeTable:
    """Nodes of a file; the plain file is taken where there is no gzip."""
    name = FILES[which].format(device)
    path = data / name
    return tabulate_nodes(load_trees(path if path.exists() else data / name.removesuffix(".gz")))


def data_folder(given: str | None) -> Path:
    """The folder from the command line, or IRENE_2021_DATA."""
    folder = given or os.environ.get("IRENE_2021_DATA")
    if not folder:
        raise SystemExit("Give the folder with irene_device_1.jsonl.gz as an argument, or set IRENE_2021_DATA.")
    return Path(folder)


def judge_paper(data: Path, device: int, variant: str, leave_out: str, seeds: int) -> pd.DataFrame:
    """IrEne's method with one variant of its settings."""
    settings = Settings(**VARIANTS[variant])
    table = load_table(data, device)
    rows = crossvalidate(table, leave_out, lambda seed: Irene2021(settings, seed, STAND_INS), range(seeds))
    return rows.assign(method="irene-2021", variant=variant, device=device, leave_out=leave_out)


def make_ours(case: str, device: int, way: str, seed: int) -> StaticTrees | RunTrees:
    method: Any = way.removesuffix(", weighted")
    if case.startswith("static"):
        return StaticTrees(DEVICES[device], method, seed, weighted=way != method)
    return RunTrees(DEVICES[device], case == "run, the paper's features", method, seed)


def choose_ours(case: str, device: int, train: NodeTable) -> str:
    """The way to learn, chosen on the training families alone."""
    return choose_on_inner_folds({way: partial(make_ours, case, device, way, 0) for way in CASES[case]}, train)


def judge_ours(data: Path, device: int, case: str, seeds: int) -> pd.DataFrame:
    """Ours with a family held out, everything chosen on the families that are left."""
    table = load_table(data, device)
    groups = group_models(table, "family")
    chosen: dict[str, str] = {}

    def choose(train: NodeTable, seed: int) -> Any:
        absent = next(iter(set(groups.tolist()) - set(group_models(train, "family").tolist())))
        if absent not in chosen:
            chosen[absent] = choose_ours(case, device, train)
        return partial(make_ours, case, device, chosen[absent], seed)

    parts = []
    for seed in range(seeds):
        energy_j = predict_held_out(table, groups, partial(choose, seed=seed))
        frame = tabulate_models(table, energy_j).reset_index().assign(seed=seed)
        family = dict(zip(table.model_names.tolist(), groups.tolist(), strict=True))
        parts.append(frame.assign(chosen=[chosen.get(family.get(name, ""), "") for name in frame["left_out"]]))
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(method="ours", variant=case, device=device, leave_out="family")


def judge_look_up(data: Path, device: int) -> pd.DataFrame:
    """How much of a held-out family's leaves is look-up: shares, and static errors, of shapes seen and unseen."""
    table = load_table(data, device)
    groups = group_models(table, "family")
    work = count_node_work(table)
    leaf = table.is_leaf
    sizes = np.column_stack([work.m, work.n, work.k, work.flop, work.traffic_bytes])
    keys = np.array([f"{op} {size.tobytes().hex()}" for op, size in zip(table.operation, sizes, strict=True)])
    energy_j = predict_held_out(table, groups, lambda _: partial(make_ours, "static", device, "boosted", 0))
    error_pct = 100 * np.abs(energy_j / table.energy_j - 1)
    rows = []
    for family in dict.fromkeys(groups.tolist()):
        held = (groups == family)[table.tree]
        seen = np.isin(keys, np.unique(keys[leaf & ~held]))
        parts = {"seen": leaf & held & seen, "unseen": leaf & held & ~seen}
        row: dict[str, Any] = {"device": device, "family": family, "leaves seen %": 100 * seen[leaf & held].mean()}
        row |= {f"error, {name} %": error_pct[part].mean() if part.any() else None for name, part in parts.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def judge_unseen_lengths(data: Path, device: int) -> pd.DataFrame:
    """Static, with neither the family nor any run of the same length in training: no leaf can be looked up."""
    table = load_table(data, device)
    families = group_models(table, "family")
    rows = []
    for way in CASES["static, weights too"]:
        energy_j = np.empty(len(table))
        for family in dict.fromkeys(families.tolist()):
            for length in np.unique(table.seq_len):
                held = (families == family) & (table.seq_len == length)
                if held.any():
                    train = table.select_trees((families != family) & (table.seq_len != length))
                    estimator = make_ours("static", device, way, 0).fit(train)
                    energy_j[held[table.tree]] = estimator.predict(table.select_trees(held))
        errors = tabulate_models(table, energy_j).loc["overall"].to_dict()
        rows.append({"device": device, "way": way, **errors})
    return pd.DataFrame(rows)


def judge_transfer(data: Path, source: int, target: int, draws: int) -> pd.DataFrame:
    """Taught on one device, judged on the other, with k leaves measured there (and left out of the judging)."""
    table = load_table(data, target)
    train = load_table(data, source)
    way = choose_ours("static", source, train)
    moved = move_to_device(make_ours("static", source, way, 0).fit(train), DEVICES[target])  # type: ignore[arg-type]
    expected_j = moved.predict(table)
    rows = []
    for k in (0, 4, 8, 16):
        for draw in range(draws if k else 1):
            measured = draw_leaves(table, expected_j, k, draw)
            energy_j = calibrate_on_leaves(moved, table, measured).predict(table)
            # A measured leaf, and what was copied from it, is no longer a prediction.
            known = table.is_leaf & np.isin(table.energy_j, table.energy_j[measured])
            errors = level_errors_pct(table, np.where(known, table.energy_j, energy_j))
            errors["ml"] *= table.is_leaf.sum() / (table.is_leaf & ~known).sum()
            rows.append({"source": source, "target": target, "k": k, "seed": draw, **errors})
    return pd.DataFrame(rows)


def judge_tiny_ctrl(data: Path, device: int, seeds: int) -> pd.DataFrame:
    """Trained on the six models, judged on one that is none of them: hidden size 16, waiting for the host."""
    train, table = load_table(data, device), load_table(data, device, "tiny-ctrl")
    makers: dict[str, Any] = {"irene-2021": lambda seed: Irene2021(None, seed, STAND_INS)}
    for case in CASES:
        makers[f"ours, {case}"] = partial(make_ours, case, device, choose_ours(case, device, train))
    rows = []
    for name, make in makers.items():
        for seed in range(seeds):
            errors = level_errors_pct(table, make(seed).fit(train).predict(table))
            rows.append({"device": device, "method": name, "seed": seed, **errors})
    return pd.DataFrame(rows)
