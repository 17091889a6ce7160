"""Measured rows and predictors made by hand: every number in these tests can be worked out on paper."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from irene.dataset.schema import Row
from irene.model_tree.serialization import compress_tree
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import Workload
from irene.primitives.call import Call, TensorSpec


def gelu(elements: int) -> Call:
    x = TensorSpec((elements,), (1,), "bfloat16")
    return Call("aten.gelu.default", (x,), (), (x,))


def linear(m: int, n: int, k: int) -> Call:
    x, y = TensorSpec((m, k), (k, 1), "bfloat16"), TensorSpec((m, n), (n, 1), "bfloat16")
    return Call("aten.linear.default", (x, TensorSpec((n, k), (k, 1), "bfloat16", weight=True)), (), (y,))


def primitive_row(call: Call, families: str, energy_j: float | None, duration_s: float = 1e-3, **more: Any) -> Row:
    """A window with energy, CUDA events without; times are its own, power follows."""
    known: dict[str, Any] = {
        "case": f"bfloat16|{more.get('weights', 'hot')}|{call.signature}", "level": "primitive", "name": call.name,
        "families": families, "dtype": "bfloat16", "execution": "cuda_graph", "signature": call.signature,
        "method": "events" if energy_j is None else "window", "collection": "c",
        "measured_at": "2026-11-22T08:00:00+00:00", "gpu_utilization_pct": None if energy_j is None else 99.0,
    }  # fmt: skip
    power_w = None if energy_j is None else energy_j / duration_s
    return Row(**{**known, "energy_j": energy_j, "duration_s": duration_s, "power_w": power_w, **more})


def tree_of(calls: Sequence[Call], model: str, execution: str = "eager") -> ModelTree:
    leaves = tuple(Node("primitive", "", call.op, (), call, i) for i, call in enumerate(calls))
    return ModelTree(
        Node("model", "", "Net", leaves),
        model,
        Workload(batch_size=1, seq_len=8, dtype="bfloat16", task="base", execution=execution),
    )


def model_row(calls: Sequence[Call], family: str, energy_j: float, duration_s: float = 1e-3, **more: Any) -> Row:
    model, execution = str(more.get("model", family)), str(more.get("execution", "eager"))
    known: dict[str, Any] = {
        "case": f"{model}|{execution}", "level": "model", "name": "Net", "families": family, "dtype": "bfloat16",
        "execution": execution, "method": "window", "model": model, "task": "base", "batch_size": 1, "seq_len": 8,
        "collection": "c", "measured_at": "2026-11-22T08:00:00+00:00", "gpu_utilization_pct": 99.0,
        "tree": compress_tree(tree_of(calls, model, execution)), "power_w": energy_j / duration_s,
    }  # fmt: skip
    return Row(**{**known, "energy_j": energy_j, "duration_s": duration_s, **more})


def frame(*rows: Row) -> pd.DataFrame:
    return pd.DataFrame([row.to_dict() for row in rows])


class Constant:
    """1 J and 2 ms for every primitive, half a joule more for every model."""

    def predict_primitives(self, calls: Sequence[Call], dtypes: Sequence[str], weights: Sequence[str]) -> Any:
        assert len(calls) == len(dtypes) == len(weights)
        ones = np.ones(len(calls))
        return SimpleNamespace(
            energy_j=ones, duration_s=2e-3 * ones, burst_s=2e-3 * ones, low_j=0.5 * ones, high_j=2 * ones
        )

    def sum_of_leaves_j(self, tree: ModelTree) -> float:
        return float(len(list(tree.root.leaves)))

    def predict(self, tree: ModelTree, run: Any = None) -> Any:
        energy_j = self.sum_of_leaves_j(tree) + (0.5 if run is None else 0.25)
        return SimpleNamespace(
            energy_j=energy_j, interval_j=(0.9 * energy_j, 1.1 * energy_j), duration_s=4e-3, bound="host_bound",
            breakdown_j={"compute": energy_j - 0.25, "memory": 0.0, "static": 0.0, "launch_gap": 0.25},
        )  # fmt: skip
