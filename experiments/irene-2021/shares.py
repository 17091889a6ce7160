"""Where the joules of the six models go: shares by type of module, measured and predicted, by batch size and length."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jobs import DEVICES, load_table, make_ours

from irene.irene_2021.judging import group_models, predict_held_out
from irene.irene_2021.node_table import Floats, NodeTable

MODULES = {
    "attention": ("attention", "bertattention", "robertaattention", "multiheadselfattention"),
    "feed-forward": ("mlp", "ffn", "bertintermediate", "bertoutput", "robertaintermediate", "robertaoutput"),
    "embeddings": ("embeddings", "bertembeddings", "robertaembeddings", "embedding"),
}
"""Modules by class name. BERT's hold their LayerNorms and residual sums, those of GPT and DistilBERT do not."""
PRIMITIVES = {
    "products with weights": ("linear", "conv1d"), "products of attention": ("matmul",), "softmax": ("softmax",),
    "layer norm": ("layernorm",), "embedding tables": ("embedding",),
}  # fmt: skip
REST = {"module": "norms, residuals, rest", "primitive": "in no primitive (GELU, sums, masks, copies)"}
VIEWS = {"module": MODULES, "primitive": PRIMITIVES}


def tabulate_shares(data: Path) -> pd.DataFrame:
    """One row a device, tree, view and part: measured joules, and those predicted from shapes, the family held out."""
    frames = []
    for device in DEVICES:
        table = load_table(data, device)
        predicted_j = predict_held_out(
            table, group_models(table, "family"), lambda _, d=device: partial(make_ours, "static", d, "boosted", 0)
        )
        for view in VIEWS:
            frames.append(sum_parts(table, predicted_j, view).assign(device=device, view=view))
    return pd.concat(frames, ignore_index=True)


def sum_parts(table: NodeTable, predicted_j: Floats, view: str) -> pd.DataFrame:
    """Joules of the topmost nodes of each part; the rest is what is left of the model."""
    part = np.full(len(table), "", dtype="<U24")
    for name, classes in VIEWS[view].items():
        part[np.isin(table.operation, classes)] = name
    nested = np.zeros(len(table), dtype=bool)  # inside a module that already counts
    for row in np.flatnonzero(table.parent >= 0):  # parents come before their children
        nested[row] = nested[table.parent[row]] or part[table.parent[row]] != ""
    part[nested] = ""
    energies = pd.DataFrame(
        {"tree": table.tree, "part": part, "measured_j": table.energy_j, "predicted_j": predicted_j}
    )
    sums = energies[part != ""].groupby(["tree", "part"], sort=False).sum().unstack(fill_value=0.0)
    sums = sums.reindex(columns=pd.MultiIndex.from_product([["measured_j", "predicted_j"], list(VIEWS[view])]))
    whole = energies[table.parent < 0].set_index("tree")
    for column in ("measured_j", "predicted_j"):
        # Parts are measured apart from the whole, and may exceed it by a per cent or two.
        sums[column, REST[view]] = (whole[column] - sums[column].sum(axis=1)).clip(lower=0.0)
    rows = sums.stack(level=1).rename_axis(["tree", "part"]).reset_index()
    tree = rows.pop("tree").to_numpy()
    sizes = {"batch_size": table.batch_size[tree].astype(int), "seq_len": table.seq_len[tree].astype(int)}
    return rows.assign(model=table.model_names[tree], **sizes)


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
