"""Small trees in IrEne-2021's format, whose energies obey a law that tests can check against."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from irene.irene_2021.node_table import NodeTable, tabulate_nodes
from irene.irene_2021.tree_files import MeasuredTree

FLOP_PER_S, BYTES_PER_S, LAUNCH_S = 5e12, 200e9, 8e-6
GPU_POWER_W, HOST_POWER_W, LOSS = 150.0, 90.0, 1.05
_MIB = 2.0**20
_ids = itertools.count()


def node(scope: str, cls: str, kind: str, work: tuple[float, float, float], children: Any = (), own: Any = None) -> Any:
    """A node of given (parameters, FLOP, bytes); `own` is the (FLOP, bytes) that cost time, by default all of them."""
    parameters, flop, moved = work
    own_flop, own_bytes = own or (flop, moved)
    if children:
        own_flop = own_flop - sum(child["flops"] for child in children) * 1e6 if own is None else own_flop
        own_bytes = own_bytes - sum(child["mem_bytes"] for child in children) * _MIB if own is None else own_bytes
        seconds = sum(child["times_mean"] for child in children) + own_bytes / BYTES_PER_S
    else:
        seconds = LAUNCH_S + max(own_flop / FLOP_PER_S, own_bytes / BYTES_PER_S)
    counted = GPU_POWER_W * seconds
    return {
        "id": f"{next(_ids):08x}", "scope": scope, "parent_name": scope.rpartition(".")[0],
        "level": scope.count("."), "instance_type": cls, "type": kind, "num_parameters": int(parameters),
        "flops": flop / 1e6, "mem_bytes": moved / _MIB, "cpu": 8.5, "mem": 10.0 + parameters / 1e6,
        "gpu": 100.0 * seconds / (seconds + 2e-5), "gpu_mem": 50.0, "gpu_clk": 1890.0, "gpu_mem_clk": 3802.0,
        "times_mean": seconds, "gpu_energy_mean": counted,
        "ground_truth_energy": LOSS * counted + HOST_POWER_W * seconds,
        "child_nodes_obj": list(children), "child_nodes": [child["scope"] for child in children],
    }  # fmt: skip


def product(scope: str, cls: str, rows: int, columns: int, inner: int, batch: int) -> Any:
    """A Linear or Conv1D as the files count it: the weight once an item of the batch, a Linear's bias as FLOP."""
    flop = 2 * rows * columns * inner + (rows * columns if cls == "Linear" and rows != batch else 0)
    weight = 4 * columns * (inner + 1)
    moved = 4 * (rows * inner + rows * columns) + batch * weight
    true_bytes = 4 * (rows * inner + inner * columns + rows * columns)
    return node(scope, cls, "ml", (columns * (inner + 1), flop, moved), own=(flop, true_bytes))


def tree(model: str, batch: int, length: int, hidden: int = 64, layers: int = 2, cls: str = "Linear") -> MeasuredTree:
    """Embedding, layers of attention and feed-forward, and for bert a pooler with the only Tanh."""
    tokens, scores = batch * length, batch * 4 * length * length
    act, wide = 4.0 * tokens * hidden, 4.0 * tokens * 4 * hidden

    def layer(scope: str) -> Any:
        inside = f"{scope}.attention"
        parts = [product(f"{inside}.{n}", cls, tokens, hidden, hidden, batch) for n in ("query", "key", "value")]
        matmul = (0, 2 * tokens * length * hidden, 2 * act + 4 * scores)
        parts += [node(f"{inside}.matmul", "MatMul", "ml-np", matmul) for _ in range(2)]
        parts += [node(f"{inside}.softmax", "softmax", "ml-np", (0, 5 * scores, 12 * scores))]
        attention = _join(inside, "Attention", parts, 2 * act)
        up = product(f"{scope}.mlp.up", cls, tokens, 4 * hidden, hidden, batch)
        down = product(f"{scope}.mlp.down", cls, tokens, hidden, 4 * hidden, batch)
        mlp = _join(f"{scope}.mlp", "MLP", [up, down], 2 * wide)
        norm = node(f"{scope}.norm", "LayerNorm", "ml", (2 * hidden, 8 * tokens * hidden, 4 * act))
        return _join(scope, "Block", [attention, mlp, norm], 2 * act)

    words = node("root.words", "Embedding", "ml", (1000 * hidden, 0, act + 8 * tokens))
    children = [words, *(layer(f"root.{i}") for i in range(layers))]
    if model.startswith("bert"):
        dense = product("root.pooler.dense", "Linear", batch, hidden, hidden, batch)
        tanh = node("root.pooler.tanh", "Tanh", "ml", (0, batch * hidden, 8 * batch * hidden))
        children.append(_join("root.pooler", "BertPooler", [dense, tanh], 0.0))
    root = _join("root", "Model", children, 0.0, "model")
    record = {"model_name": model, "batch_size": batch, "seq_len": length, "frontend_tree": root}
    return MeasuredTree(record, f"{model}.jsonl, line {batch}")


def _join(scope: str, cls: str, children: list[Any], own_bytes: float, kind: str = "module") -> Any:
    totals = [sum(child[key] for child in children) for key in ("num_parameters", "flops", "mem_bytes")]
    work = (totals[0], totals[1] * 1e6, totals[2] * _MIB + own_bytes)
    return node(scope, cls, kind, work, children)


MODELS = {"bert-a": ("Linear", 2), "gpt-b": ("Conv1D", 3), "other-c": ("Linear", 3), "gpt-d": ("Conv1D", 2)}


def forest(models: dict[str, tuple[str, int]] | None = None) -> list[MeasuredTree]:
    """Each model at a few batch sizes and lengths."""
    return [
        tree(name, batch, length, 64, layers, cls)
        for name, (cls, layers) in (models or MODELS).items()
        for batch, length in ((4, 32), (4, 64), (8, 32), (8, 64), (16, 64))
    ]


def table(models: dict[str, tuple[str, int]] | None = None) -> NodeTable:
    return tabulate_nodes(forest(models))


def hold_out(nodes: NodeTable, model: str) -> tuple[NodeTable, NodeTable]:
    """(training trees, the trees of `model`)."""
    held = nodes.model_names == model
    return nodes.select_trees(~held), nodes.select_trees(held)


def random_table(seed: int, count: int = 60) -> NodeTable:
    """One tree of random shape and random features; parents come before children, in the order of a walk."""
    random = np.random.default_rng(seed)
    children: dict[int, list[int]] = {i: [] for i in range(count)}
    for i in range(1, count):
        children[int(random.integers(0, i))].append(i)
    order: list[tuple[int, int, int]] = []
    waiting = [(0, -1, 0)]
    while waiting:
        name, parent, depth = waiting.pop()
        waiting += [(child, len(order), depth + 1) for child in reversed(children[name])]
        order.append((name, parent, depth))
    parent = np.array([p for _, p, _ in order])
    kind = np.where(parent < 0, "model", np.where([bool(children[n]) for n, _, _ in order], "module", "ml"))
    return NodeTable(
        np.array(["m"]), np.array(["t.jsonl, line 1"]), np.array([8.0]), np.array([32.0]), np.zeros(count, dtype=int),
        parent, np.array([d for _, _, d in order]), kind, np.array(["linear"] * count), np.array(["root"] * count),
        random.lognormal(size=(count, 11)), random.lognormal(size=count),
    )  # fmt: skip
