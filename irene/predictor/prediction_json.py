"""A prediction as the JSON object of the interface contract (`irene predict --format json`)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

SCHEMA_VERSION = 1


def prediction_to_json(prediction: Prediction) -> dict[str, Any]:
    """The whole prediction, with one nested object for each node; the README documents the keys."""
    low, high = prediction.interval_j
    return {
        "schema_version": SCHEMA_VERSION,
        "model": prediction.tree.model,
        "workload": workload_to_json(prediction),
        "device": prediction.device,
        "energy_j": prediction.energy_j,
        "interval_j": [low, high],
        "duration_s": prediction.duration_s,
        "power_w": prediction.power_w,
        "provenance": prediction.provenance,
        "provenance_shares": dict(prediction.provenance_shares),
        "breakdown_j": prediction.breakdown_j,
        "predictor": asdict(prediction.predictor),
        "tree": _nest(prediction),
    }


def workload_to_json(prediction: Prediction) -> dict[str, Any]:
    """The workload in the order of the contract."""
    work = asdict(prediction.tree.workload)
    order = ("task", "batch_size", "seq_len", "decoder_seq_len", "dtype", "execution", "new_tokens")
    return {key: work[key] for key in order}


def _nest(prediction: Prediction) -> dict[str, Any]:
    nested = [_node_to_json(row) for row in prediction.rows()]
    for index in range(1, len(nested)):
        nested[prediction.flat.parent[index]]["children"].append(nested[index])
    return nested[0]


def _node_to_json(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "path": row["path"],
        "name": row["name"],
        "kind": row["kind"],
        "type": row["type"],
        "calls": 1,  # a node is a call; `Prediction.node` sums the calls of one module
        "flop": round(row["flop"]),
        "traffic_bytes": round(row["traffic_bytes"]),
        "parameters": row["parameters"],
        "duration_s": row["duration_s"],
        "energy_j": row["energy_j"],
        "interval_j": [row["low_j"], row["high_j"]],
        "isolated_energy_j": row["isolated_energy_j"],
        "breakdown_j": {part: row[f"{part}_j"] for part in ("compute", "memory", "static", "launch_gap")},
        "share": row["share"],
        "bound": row["bound"] or None,
        "provenance": row["provenance"],
        "children": [],
    }
