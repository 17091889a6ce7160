"""Where the joules of the six models go: shares by type of module, measured and predicted, by batch size and length."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jobs import DEVICES, load_table, make_ours

from irene.dataset.irene_2021.node_table import Floats, NodeTable
from irene.evaluation.irene_2021 import group_models, predict_held_out

PARTS = {
    "attention": ("attention", "bertattention", "robertaattention", "multiheadselfattention"),
    "feed-forward": ("mlp", "ffn", "bertintermediate", "bertoutput", "robertaintermediate", "robertaoutput"),
    "embeddings": ("embeddings", "bertembeddings", "robertaembeddings", "embedding"),
}
"""Modules by class name. BERT's hold their LayerNorms and residual sums, those of GPT and DistilBERT do not."""
OTHER = "norms, residuals, rest"


def tabulate_shares(data: Path) -> pd.DataFrame:
    """One row a device, tree and part: measured joules, and those predicted from shapes with the family held out."""
    frames = []
    for device in DEVICES:
        table = load_table(data, device)
        predicted_j = predict_held_out(
            table, group_models(table, "family"), lambda _, d=device: partial(make_ours, "static", d, "boosted", 0)
        )
        frames.append(sum_parts(table, table.energy_j, predicted_j).assign(device=device))
    return pd.concat(frames, ignore_index=True)


def sum_parts(table: NodeTable, measured_j: Floats, predicted_j: Floats) -> pd.DataFrame:
    """Joules of the topmost modules of each part; the rest is what is left of the model."""
    part = np.full(len(table), "", dtype="<U24")
    for name, classes in PARTS.items():
        part[np.isin(table.operation, classes)] = name
    nested = np.zeros(len(table), dtype=bool)  # inside a module that already counts
    for row in np.flatnonzero(table.parent >= 0):  # parents come before their children
        nested[row] = nested[table.parent[row]] or part[table.parent[row]] != ""
    part[nested] = ""
    root = table.parent < 0
    rows = []
    for tree in range(len(table.model_names)):
        here = table.tree == tree
        base = {
            "model": table.model_names[tree], "batch_size": int(table.batch_size[tree]),
            "seq_len": int(table.seq_len[tree]),
        }  # fmt: skip
        sums = {name: [float(e[here & (part == name)].sum()) for e in (measured_j, predicted_j)] for name in PARTS}
        whole = [float(e[here & root][0]) for e in (measured_j, predicted_j)]
        # Modules are measured apart from the whole and may exceed it by a per cent or two.
        sums[OTHER] = [max(whole[i] - sum(pair[i] for pair in sums.values()), 0.0) for i in (0, 1)]
        rows += [{**base, "part": name, "measured_j": m, "predicted_j": p} for name, (m, p) in sums.items()]
    return pd.DataFrame(rows)


def tabulate_choices(data: Path) -> pd.DataFrame:
    """Architecture choices at batch size 16 and 128 tokens: what a model, a layer and a token cost, and what on."""
    rows = []
    for device in DEVICES:
        table = load_table(data, device)
        for tree in np.flatnonzero((table.batch_size == 16) & (table.seq_len == 128)):
            one = table.select_trees(np.arange(len(table.model_names)) == tree)
            layers = np.isin(one.operation, ("block", "bertlayer", "robertalayer", "transformerblock"))
            feed_forward = np.isin(one.operation, ("mlp", "ffn", "bertintermediate", "robertaintermediate"))
            own_j = np.where(one.is_leaf, 0.0, one.energy_j - one.sum_children(one.energy_j))
            whole = one.energy_j[0]
            rows.append(
                {
                    "device": device, "model": one.model_names[0], "layers": int(layers.sum()), "model J": whole,
                    "J a layer": one.energy_j[layers].mean(), "mJ a token": 1000 * whole / (16 * 128),
                    "activation function %": 100 * own_j[feed_forward].sum() / whole,
                    "softmax %": 100 * one.energy_j[one.operation == "softmax"].sum() / whole,
                    "layer norm %": 100 * one.energy_j[one.operation == "layernorm"].sum() / whole,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)
