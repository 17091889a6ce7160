"""The work in a tree, without energy: FLOP, bytes and parameters of every node, and attention's kernel families."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table

from irene.arrays import FloatArray
from irene.model_tree.addresses import address_nodes
from irene.model_tree.folding import FoldedRow, fold
from irene.model_tree.graph import FlatTree, flatten
from irene.model_tree.tree import ModelTree
from irene.primitives.attention import attention_backend
from irene.primitives.call import Call
from irene.primitives.kinds import kind_of
from irene.primitives.work import count_work
from irene.reporting.fitting import Line
from irene.reporting.rendering import new_table
from irene.units import format_quantity


def work_rows(tree: ModelTree) -> list[dict[str, Any]]:
    """One row for each node, in walk order: path, name, kind, type, depth, parameters, flop, traffic_bytes."""
    flat = flatten(tree)
    work = _sum_work(flat)
    return [
        {
            "path": path, "name": node.name, "kind": node.kind, "type": node.type, "depth": int(flat.depth[index]),
            "parameters": node.parameters, "flop": round(work[index, 0]), "traffic_bytes": round(work[index, 1]),
        }
        for index, (node, path) in enumerate(zip(flat.nodes, address_nodes(flat), strict=True))
    ]  # fmt: skip


def work_table(tree: ModelTree, depth: int = 3) -> RenderableType:
    """The tree down to a depth; primitives that do and move nothing (views) are left out."""
    flat = flatten(tree)
    work = _sum_work(flat)
    table = new_table("calls", "FLOP", "bytes", "parameters", first="node", gives_way=("calls", "parameters"))
    _add_rows(table, flat, work, fold(flat, depth))
    size = tree.workload
    lengths = f"batch {size.batch_size}" + ("" if size.seq_len is None else f", {size.seq_len} tokens")
    versions = ", ".join(f"{name} {version}" for name, version in tree.versions)
    traced = f" (traced with {versions})" if versions else ""
    header = f"{tree.model}: {lengths}, {size.dtype}, {size.task}{traced}"
    notes = tree.notes
    if tree.quantization:
        notes = (*notes, f"the checkpoint's weights are quantised, {tree.quantization}; this is its dense twin.")
    return Group(Line(header), *(Line(f"note: {note}", 6) for note in notes), "", table)


def _sum_work(flat: FlatTree) -> FloatArray:
    leaves: list[tuple[float, float]] = []
    for index in flat.leaf_index:
        call = flat.nodes[index].call
        assert call is not None
        work = count_work(call)
        leaves.append((float(work.flop), float(work.traffic_bytes)))
    return flat.sum_up(np.array(leaves, dtype=np.float64).reshape(-1, 2))


def _add_rows(table: Table, flat: FlatTree, work: FloatArray, row: FoldedRow) -> None:
    flop, traffic_bytes = work[row.indices].sum(axis=0)
    if row.kind == "primitive" and flop == 0 and traffic_bytes == 0:
        return
    parameters = sum(flat.nodes[path_first].parameters for path_first in _first_calls(flat, row))
    table.add_row(
        "  " * row.depth + row.label + _kernel_family(flat.nodes[row.indices[0]].call),
        f"{len(row.indices):,}",
        format_quantity(float(flop), "FLOP"),
        format_quantity(float(traffic_bytes), "B"),
        f"{parameters:,}" if row.kind != "primitive" else "",
    )
    for child in row.children:
        _add_rows(table, flat, work, child)


def _kernel_family(call: Call | None) -> str:
    """Which kernels attention takes: ' [cudnn]'. Equal calls share a row, so one of them speaks for all."""
    if call is None or kind_of(call) != "attention":
        return ""
    return f" [{attention_backend(call)}]"


def _first_calls(flat: FlatTree, row: FoldedRow) -> list[int]:
    """One call of each module in a row: a layer that is called twelve times has its parameters once."""
    return list({flat.nodes[index].path: index for index in row.indices}.values())
