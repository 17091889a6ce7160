"""A prediction as one line of an IrEne-2021 file, for programs that read the paper's trees.

Format and units: `irene.irene_2021` (energy in J, time in s, FLOP in 1e6, bytes in MiB). What a run would have
measured is not in it: `predicted_energy` stands where `ground_truth_energy` would, and `times_mean` is predicted too.
Two things differ from the paper's own files: our joules are the GPU board's, not the wall's, and a leaf is an operator
below its module, not the module itself.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

_MEGA, _MEBI = 1e6, 2.0**20


def prediction_to_irene_2021(prediction: Prediction) -> dict[str, Any]:
    """The JSON object of one line: `model_name`, `batch_size`, `seq_len` (1 where there are no tokens), the tree."""
    flat, values, workload = prediction.flat, prediction.values, prediction.tree.workload
    scopes: list[str] = []
    written: list[dict[str, Any]] = []
    taken: dict[str, int] = {}
    for index, node in enumerate(flat.nodes):
        parent = int(flat.parent[index])
        name = node.call.name if node.call is not None else node.path.rpartition(".")[2]
        scope = f"{scopes[parent]}.{name}" if index else "root"
        taken[scope] = taken.get(scope, -1) + 1
        if taken[scope]:  # a module called again, a second operator of one name
            scope = f"{scope}:{taken[scope]}"
        scopes.append(scope)
        leaf_type = "ml" if node.parameters else "ml-np"
        entry: dict[str, Any] = {
            "id": hashlib.md5(f"{prediction.tree.model}|{scope}".encode(), usedforsecurity=False).hexdigest(),
            "scope": scope,
            "parent_name": scopes[parent] if index else "",
            "level": int(flat.depth[index]),
            "instance_type": node.call.name if node.call is not None else node.type,
            "type": leaf_type if node.kind == "primitive" else node.kind,
            "num_parameters": node.parameters,
            "flops": float(values.flop[index]) / _MEGA,
            "mem_bytes": float(values.traffic_bytes[index]) / _MEBI,
            "times_mean": float(values.duration_s[index]),
            "predicted_energy": float(values.energy_j[index]),
            "child_nodes_obj": [],
            "child_nodes": [],
        }
        written.append(entry)
        if index:
            written[parent]["child_nodes_obj"].append(entry)
            written[parent]["child_nodes"].append(scope)
    return {
        "model_name": prediction.tree.model, "batch_size": workload.batch_size, "seq_len": workload.seq_len or 1,
        "frontend_tree": written[0],
    }  # fmt: skip
