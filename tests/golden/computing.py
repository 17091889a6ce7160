"""What golden files pin, computed anew: regressors' columns, primitives alone, and whole models.

The inputs are stored beside the tests (calls as signatures, models as saved trees), so that neither new rows nor
another release of transformers moves a value. Every value stands under a name; order means nothing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from irene.hardware.devices import load_device
from irene.leaves.leaf_table import LeafTable, effective_dtype, fingerprint, make_table, matrix_names
from irene.leaves.power.dedicated import DEDICATED_POWER
from irene.leaves.power.what_it_sees import power_matrix, power_names
from irene.model_tree.addresses import address_nodes
from irene.model_tree.graph import flatten
from irene.model_tree.serialization import tree_from_json
from irene.model_tree.tree import ModelTree
from irene.predictor.bundle import load_bundle, shipped_bundle
from irene.predictor.prediction import Prediction
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import RuntimeFeatures
from irene.predictor.sweep_values import SweepValues
from irene.predictor.sweeping import predict_grid
from irene.primitives.call import Call, read_signature
from irene.primitives.patterns import split_call
from irene.tracing.batch_laws import Traces
from irene.tracing.short_traces import Outline, ShortTrace
from tests.golden.tables import FOLDER, Table

DEVICE = "h200"
EXECUTIONS = ("eager", "cuda_graph")
TREES = FOLDER / "trees"
# Columns of power depend on a call's time and watts by rates: made up here, so that no training moves the columns.
_BURST_OVER_BASE, _WATTS_BY_RATES = 1.5, 250.0
# Runs of stored trees that were watched, made up; 1.98 GHz is the full clock.
_WATCHED = {
    "bert-base watched, slower": ("bert-base", RuntimeFeatures(4.59e-3, 1.98e9)),
    "bert-base watched, faster": ("bert-base", RuntimeFeatures(2.92e-3, 1.98e9)),
    "distilbert watched, faster": ("distilbert", RuntimeFeatures(8.7e-3, 1.98e9)),
    "llama-1b watched, throttled": ("llama-1b", RuntimeFeatures(2.64e-2, 1.6e9)),
    "moe watched, uneven": ("moe", RuntimeFeatures(4.17e-2, 1.98e9, 60.0, 1.1)),
}
_SHOWN_NODES = 30


@dataclass(frozen=True, slots=True)
class Case:
    """A primitive as rows have it: its call, the workload's dtype, and 'hot' or 'cold' weights."""

    call: Call
    dtype: str
    weights: str

    @property
    def name(self) -> str:
        """Short and unique: the operator, the mode, and the fingerprint of a measured case."""
        mode = effective_dtype(self.call, self.dtype)
        return f"{self.call.name} {mode} {self.weights} {fingerprint(self.call, mode, self.weights == 'cold')}"


def load_cases(file: str) -> list[Case]:
    """The cases of a file of this folder: [signature as JSON, dtype, weights] each."""
    listed = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    return [Case(read_signature(json.dumps(call)), dtype, weights) for call, dtype, weights in listed]


def load_golden_tree(name: str) -> ModelTree:
    """A stored tree, in the execution that it was traced for."""
    return tree_from_json(json.loads(gzip.decompress((TREES / f"{name}.json.gz").read_bytes())))


def tree_names() -> list[str]:
    return sorted(path.name.removesuffix(".json.gz") for path in TREES.glob("*.json.gz"))


def load_shipped() -> Predictor:
    return load_bundle(shipped_bundle(DEVICE))


def tabulate(cases: Sequence[Case]) -> LeafTable:
    modes = [effective_dtype(case.call, case.dtype) for case in cases]
    return make_table([c.call for c in cases], modes, [c.weights == "cold" for c in cases], load_device(DEVICE))


def compute_columns(cases: Sequence[Case]) -> dict[str, Table]:
    """Every column that a regressor sees of each case: of its time, of power and stretch, and of its own power."""
    table, names = tabulate(cases), [case.name for case in cases]
    burst_s = table.base_s * _BURST_OVER_BASE
    counts = ("base_s", "flop", "matmul_flop", "traffic_bytes", "launches")
    which = {"kind": table.kinds, "family": table.families, "regressor": table.regressors}
    of_all: Table = {
        name: {
            **{count: float(getattr(table, count)[at]) for count in counts},
            **{word: values[at] for word, values in which.items()},
        }
        for at, name in enumerate(names)
    }
    tables = {"calls": of_all}
    for regressor in sorted(set(table.regressors)):
        members = table.members_of(regressor)
        if len(members):
            matrix = table.compute_matrix(regressor, members)
            tables[f"time of {regressor}"] = _name(matrix, names, members, matrix_names(regressor))
    everything = np.arange(len(cases))
    seen = power_matrix(table, burst_s, np.full(len(cases), _WATTS_BY_RATES))
    tables["power and stretch"] = _name(seen, names, everything, power_names())
    for regressor, own in DEDICATED_POWER.items():
        members = own.members(table)
        if len(members):
            matrix = own.matrix(table, members, burst_s[members])
            tables[f"own power of {regressor}"] = _name(matrix, names, members, own.names)
    return tables


def _name(matrix: np.ndarray, rows: Sequence[str], members: np.ndarray, columns: Sequence[str]) -> Table:
    return {
        rows[at]: {c: float(v) for c, v in zip(columns, values, strict=True)}
        for at, values in zip(members, matrix, strict=True)
    }


def compute_primitives(cases: Sequence[Case], fitted: Predictor) -> dict[str, Table]:
    """What the shipped predictor says of each case alone."""
    given = [c.call for c in cases], [c.dtype for c in cases], [c.weights for c in cases]
    estimates = fitted.predict_primitives(*given)
    slowing = fitted.leaves.predict(tabulate(cases)).slowing
    columns = [field.name for field in fields(estimates)]
    rows: Table = {}
    for at, case in enumerate(cases):
        values = {name: getattr(estimates, name)[at] for name in columns}
        numbers = {name: value if isinstance(value, str) else float(value) for name, value in values.items()}
        rows[case.name] = {**numbers, "slowing": float(slowing[at])}
    return {"primitives": rows}


def predict_wholes(fitted: Predictor) -> dict[str, Prediction]:
    """Predictions by name: each stored tree in both executions, and the watched runs."""
    predictions = {}
    for name in tree_names():
        for execution in EXECUTIONS:
            predictions[f"{name} {execution}"] = fitted.predict(execute(load_golden_tree(name), execution))
    for name, (tree, run) in _WATCHED.items():
        predictions[name] = fitted.predict(load_golden_tree(tree), run)
    return predictions


def execute(tree: ModelTree, execution: str) -> ModelTree:
    """The same calls in another execution."""
    return replace(tree, workload=replace(tree.workload, execution=execution))


def sweep_trees(fitted: Predictor) -> dict[str, SweepValues]:
    """Each stored tree in both executions, priced as the only point of a sweep."""
    names = [(name, execution) for name in tree_names() for execution in EXECUTIONS]
    return {
        f"{name} {execution} swept": predict_grid(fitted, _as_grid(execute(load_golden_tree(name), execution)))
        for name, execution in names
    }


def _as_grid(tree: ModelTree) -> Any:
    """A sweep's one point that was traced: what a Grid is to it, without the torch that it brings."""
    flat = flatten(tree)
    leaves = [call for call in (flat.nodes[at].call for at in flat.leaf_index) if call is not None]
    calls = list(dict.fromkeys(leaves))
    places = tuple(map({call: at for at, call in enumerate(calls)}.__getitem__, leaves))
    patterns, numbers = zip(*map(split_call, calls), strict=True)
    number_of = {pattern: at for at, pattern in enumerate(dict.fromkeys(patterns))}
    trace = ShortTrace(0, tuple(map(number_of.__getitem__, patterns)), numbers, places)
    outline = Outline(flat, np.arange(len(leaves)), ())
    return SimpleNamespace(
        workloads=(tree.workload,), traces=Traces((trace,)), outlines=(outline,), patterns=tuple(number_of)
    )


def compute_wholes(
    fitted: Predictor, predictions: dict[str, Prediction], sweeps: dict[str, SweepValues]
) -> dict[str, Table]:
    """Roots, some nodes of each tree, plain sums of leaves, and sweeps."""
    roots: Table = {}
    nodes: Table = {}
    for name, prediction in predictions.items():
        shares = {f"share_{tier}": share for tier, share in prediction.provenance_shares.items()}
        rows = list(prediction.rows())
        roots[name] = {**_values_of(rows[0]), **shares, "power_w": prediction.power_w or 0.0}
        if "watched" not in name:
            paths = address_nodes(prediction.flat)
            for at in sorted(set(np.linspace(1, len(rows) - 1, _SHOWN_NODES).astype(int).tolist())):
                nodes[f"{name}: {paths[at]}"] = _values_of(rows[at])
    sums: Table = {name: {"sum_of_leaves_j": fitted.sum_of_leaves_j(load_golden_tree(name))} for name in tree_names()}
    swept: Table = {}
    for name, values in sweeps.items():
        columns = {field.name: getattr(values, field.name)[0] for field in fields(values)}
        swept[name] = {c: v if isinstance(v, str) else float(v) for c, v in columns.items()}
    return {"wholes": roots, "nodes": nodes, "sums of leaves": sums, "sweeps": swept}


def _values_of(row: dict[str, object]) -> dict[str, float | str]:
    away = ("path", "name", "kind", "type", "depth", "parameters", "share")
    return {name: v if isinstance(v, str) else float(v) for name, v in row.items() if name not in away}  # type: ignore[arg-type]
