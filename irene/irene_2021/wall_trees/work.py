"""What each node computes and moves, from the counters that stand in the trees: no run, no time.

The files count FLOP and bytes but no shapes. A Linear's or Conv1D's shape follows from its parameters N (K + 1) and its
FLOP 2 M N K (+ M N where the bias was counted), M being tokens or, in a pooler, sequences. Its traffic is computed from
the shape, because the files count the weight once for each item of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import BoolArray
from irene.irene_2021.node_table import Floats, NodeTable, Texts

_MIB = 2.0**20
_FLOAT_BYTES = 4.0  # the paper measured float32


@dataclass(frozen=True, slots=True, eq=False)
class NodeWork:
    """One value a node. `group` is 'gemm', 'matmul' (attention's), 'vector' (all other leaves) or 'inner'.

    `m`, `n`, `k` are sizes: of a product (rows, columns, contracted); softmax and layer norm: rows and width, k = 1;
    other leaves: elements moved, 1, 1. `traffic_bytes` counts each operand once.
    """

    group: Texts
    m: Floats
    n: Floats
    k: Floats
    flop: Floats
    traffic_bytes: Floats


def count_node_work(table: NodeTable) -> NodeWork:
    """Work of every node of a table."""
    operation, leaf = table.operation, table.is_leaf
    flop, moved = table.feature("flops") * 1e6, table.feature("mem_bytes") * _MIB
    parameters, seq_len = table.feature("num_parameters"), table.feature("seq_len")
    tokens, batch = table.feature("input_size"), table.feature("batch_size")
    linear, conv1d = leaf & (operation == "linear"), leaf & (operation == "conv1d")
    gemm = linear | conv1d
    matmul = leaf & (operation == "matmul")

    m, n, k = np.maximum(moved / _FLOAT_BYTES, 1.0), np.ones(len(table)), np.ones(len(table))
    m[gemm], n[gemm], k[gemm] = _product_shapes(parameters[gemm], flop[gemm], tokens[gemm], batch[gemm], linear[gemm])
    m[matmul], n[matmul] = tokens[matmul], seq_len[matmul]
    k[matmul] = np.maximum(flop[matmul] / (2 * tokens * seq_len)[matmul], 1.0)  # hidden size: all heads together
    softmax = leaf & (operation == "softmax") & (flop > 0)
    n[softmax] = seq_len[softmax]
    m[softmax] = np.maximum(flop[softmax] / 5 / n[softmax], 1.0)  # the files count 5 FLOP an element
    norm = leaf & (operation == "layernorm") & (parameters > 1)
    n[norm] = parameters[norm] / 2
    m[norm] = tokens[norm]

    moved = np.where(gemm, _FLOAT_BYTES * (m * k + k * n + m * n), moved)
    group = np.select([gemm, matmul, leaf], ["gemm", "matmul", "vector"], "inner").astype(np.str_)
    return NodeWork(group, m, n, k, flop, moved)


def _product_shapes(
    parameters: Floats, flop: Floats, tokens: Floats, batch: Floats, counts_bias: BoolArray
) -> tuple[Floats, Floats, Floats]:
    """(M, N, K) of products with bias; where none fits, a square weight of as many parameters."""
    # A Linear's bias is counted in three dimensions, not in two (a pooler's); a Conv1D's never is.
    tries = [
        (tokens, 2 * parameters - flop / tokens, counts_bias),
        (batch, parameters - flop / batch / 2, counts_bias),
        (tokens, parameters - flop / tokens / 2, ~counts_bias),
        (batch, 2 * parameters - flop / batch, counts_bias),
    ]
    side = np.sqrt(np.maximum(parameters, 1.0))
    m, n, k = np.maximum(flop / (2 * side * side), 1.0), side.copy(), side.copy()
    found = np.zeros(len(parameters), dtype=bool)
    for rows, columns, may_fit in tries:
        safe = np.maximum(columns, 1.0)
        inner = parameters / safe - 1
        fits = may_fit & ~found & (columns > 0.5) & (inner > 0.5)
        fits &= (np.abs(columns - np.round(columns)) < 1e-3) & (np.abs(inner - np.round(inner)) < 1e-3)
        m[fits], n[fits], k[fits] = rows[fits], np.round(columns[fits]), np.round(inner[fits])
        found |= fits
    return m, n, k
