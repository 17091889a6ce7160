"""A prediction as the JSON object of the interface contract, and that file read again as a Prediction.

The tree that is read has names, types and numbers, but no shapes: it can be shown, explained and compared, not
predicted anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from irene.account import PARTS, parts_of
from irene.errors import BadInput
from irene.fields import Field
from irene.files import read_json, write_whole
from irene.model_tree.checks import MOST_DEPTH, read_memory, read_workload
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import Workload
from irene.predictor.node_values import BOUNDS, PROVENANCES, NodeValues
from irene.predictor.prediction import Prediction, PredictorInfo
from irene.primitives.call import Call
from irene.quoting import quote

SCHEMA_VERSION = 1
_KEYS = ("model", "workload", "device", "predictor", "provenance_shares", "tree")
_NUMBERS = ("energy_j", "duration_s", "isolated_energy_j", "flop", "traffic_bytes")
_AGAIN = "Save it again with 'irene predict --format json'."
RANKS_DIFFER = "Ranks differ"
"""How a note begins that says how the ranks of a shared model differ."""
READ_AGAIN = "read from a saved prediction: names and numbers, no shapes"
"""The note of a prediction that was saved: true of the one that is read, not of the one that is written."""


def prediction_to_json(prediction: Prediction) -> dict[str, Any]:
    """What `irene predict --format json` prints: one nested object for each node; docs/json.md has the keys."""
    low, high = prediction.interval_j
    return {
        "schema_version": SCHEMA_VERSION,
        "model": prediction.tree.model,
        "workload": _workload_to_json(prediction),
        "device": prediction.device,
        "energy_j": prediction.energy_j,
        "interval_j": [low, high],
        "duration_s": prediction.duration_s,
        "power_w": prediction.power_w,
        "provenance": prediction.provenance,
        "provenance_shares": dict(prediction.provenance_shares),
        "breakdown_j": prediction.breakdown_j,
        **_generation_to_json(prediction),
        **_memory_to_json(prediction),
        **_ranks_to_json(prediction),
        "predictor": asdict(prediction.predictor),
        "notes": [note for note in prediction.tree.notes if note != READ_AGAIN],
        "tree": _nest(prediction),
    }


def _generation_to_json(prediction: Prediction) -> dict[str, Any]:
    """What only a generation answers."""
    if prediction.generation is None:
        return {}
    answers = asdict(prediction.generation)
    del answers["output_tokens"]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in answers.items()}


def _memory_to_json(prediction: Prediction) -> dict[str, Any]:
    """What fits, where that is known."""
    if prediction.memory_bytes is None:
        return {}
    return {"fits": prediction.fits, "memory_bytes": prediction.memory_bytes}


def _ranks_to_json(prediction: Prediction) -> dict[str, Any]:
    """How many GPUs share the model, and whether all do what the tree shows; nothing of a single one."""
    if prediction.ranks == 1:
        return {}
    differ = [note for note in prediction.tree.notes if note.startswith(RANKS_DIFFER)]
    return {
        "ranks": {
            "count": prediction.ranks, "parallel": "tensor", "equal": not differ, "differ": differ,
            "energy_j": float(prediction.values.energy_j[0]),
        }
    }  # fmt: skip


def _workload_to_json(prediction: Prediction) -> dict[str, Any]:
    """The workload in the order of the contract."""
    work = asdict(prediction.tree.workload)
    order = ["task", "batch_size", "seq_len", "decoder_seq_len", "dtype", "execution", "new_tokens"]
    defaults = asdict(Workload())
    more = ("images", "context_len", "cache", "cache_len", "gpus", "expert_routing")
    order += [name for name in more if work[name] != defaults[name]]
    return {key: work[key] for key in order}


def _nest(prediction: Prediction) -> dict[str, Any]:
    nested = [_node_to_json(row, parts_of(prediction.ranks)) for row in prediction.rows()]
    for index in range(1, len(nested)):
        nested[prediction.flat.parent[index]]["children"].append(nested[index])
    return nested[0]


def _node_to_json(row: dict[str, Any], parts: tuple[str, ...]) -> dict[str, Any]:
    return {
        "path": row["path"],
        "name": row["name"],
        "kind": row["kind"],
        "type": row["type"],
        "calls": row.get("calls", 1),  # of a decode step; else a node is a call, and `Prediction.node` sums a module's
        "flop": round(row["flop"]),
        "traffic_bytes": round(row["traffic_bytes"]),
        "parameters": row["parameters"],
        "duration_s": row["duration_s"],
        "energy_j": row["energy_j"],
        "interval_j": [row["low_j"], row["high_j"]],
        "isolated_energy_j": row["isolated_energy_j"],
        "breakdown_j": {part: row[f"{part}_j"] for part in parts},
        "share": row["share"],
        "bound": row["bound"] or None,
        "provenance": row["provenance"],
        "children": [],
    }


def save_prediction(prediction: Prediction, path: str | Path) -> None:
    """Write what `load_prediction` reads. Raises CannotWrite where nothing can be written."""
    write_whole(path, json.dumps(prediction_to_json(prediction)))


def is_prediction(data: Any) -> bool:
    """Whether JSON is a saved prediction (valid or not)."""
    return isinstance(data, dict) and {"predictor", "breakdown_j", "tree"} <= set(data)


def load_prediction(path: str | Path) -> Prediction:
    """Read a prediction that `irene predict MODEL --format json --output FILE` saved. Raises BadInput."""
    return prediction_from_json(read_json(path, "saved prediction"), str(path))


def prediction_from_json(data: Any, where: str = "saved prediction") -> Prediction:
    """The prediction that `prediction_to_json` wrote; `where` names it in errors. Raises BadInput."""
    top = Field(data, where, BadInput, _AGAIN)
    if top["schema_version"].value != SCHEMA_VERSION:
        top["schema_version"].fail(f"the version that this irene reads, {SCHEMA_VERSION}")
    for key in _KEYS:
        top[key]
    rows: list[Field] = []
    root = _read_node(top["tree"], "", rows, MOST_DEPTH, 1)
    notes = () if (saved := top.get("notes")) is None else tuple(note.text() for note in saved.list())
    memory = None if (saved := top.get("memory_bytes")) is None else read_memory(saved)
    fits = None if (saved := top.get("fits")) is None or saved.value is None else saved.flag()
    workload = read_workload(top["workload"])
    tree = ModelTree(root, top["model"].text(), workload, notes=(*notes, READ_AGAIN), memory=memory)
    columns: dict[str, Any] = {name: [row[name].number(0) for row in rows] for name in _NUMBERS}
    shown = parts_of(workload.gpus)
    columns |= {f"{part}_j": [row["breakdown_j"][part].number(0) for row in rows] for part in shown}
    columns |= {f"{part}_j": [0.0] * len(rows) for part in PARTS if part not in shown}
    bounds = [row["interval_j"].list(2) for row in rows]
    columns |= {"low_j": [low.number(0) for low, _ in bounds], "high_j": [high.number(0) for _, high in bounds]}
    columns |= {"provenance": tuple(row["provenance"].text(among=PROVENANCES) for row in rows)}
    columns |= {"bound": tuple("" if row["bound"].value is None else row["bound"].text(among=BOUNDS) for row in rows)}
    names = tuple(field.name for field in fields(PredictorInfo))
    predictor = PredictorInfo(**{name: text.text() for name, text in top["predictor"].keys(names).items().items()})
    shares = {name: share.number(0, 1 + 1e-9) for name, share in top["provenance_shares"].items().items()}
    if unknown := sorted(set(shares) - set(PROVENANCES)):
        top["provenance_shares"].fail(f"keys of {', '.join(PROVENANCES)}", quote(unknown[0]))
    try:
        found = Prediction(tree, top["device"].text(), predictor, NodeValues(**columns), shares, fits)
    except ValueError as error:  # what its numbers must keep together
        raise BadInput(f"{where}: {error} {_AGAIN}") from None
    follows = {"interval_j": list(found.interval_j)}
    follows |= {key: getattr(found, key) for key in ("energy_j", "duration_s", "power_w", "provenance", "breakdown_j")}
    for key, value in follows.items():
        if (said := top.get(key)) is not None and said.value != value:
            said.fail(f"what follows from the tree, {quote(value, 60)}")
    return found


def _read_node(field: Field, above: str, rows: list[Field], depth: int, times: int) -> Node:
    """A node and, appended to `rows` in walk order, what stands in it."""
    if depth < 0:
        field.fail(f"modules at most {MOST_DEPTH} deep", "more")
    rows.append(field)
    kind: Any = field["kind"].text(among=("model", "module", "primitive"))
    if (kind == "model") != (len(rows) == 1):
        field["kind"].fail("'model' for the root alone")
    calls = field["calls"].whole(1)
    if calls % times:
        field["calls"].fail(f"a multiple of {times}, the calls of what it is part of")
    node_type, parameters = field["type"].text(), field["parameters"].whole()
    if kind == "primitive":
        name, _, index = field["name"].text().rpartition("#")
        flop, traffic_bytes = field["flop"].number(0), field["traffic_bytes"].number(0)
        # No shapes are saved. FLOP and bytes take their place, so that calls that differ stay different when folded.
        moves_nothing = flop == 0 and traffic_bytes == 0  # a view, or a copy of an empty tensor
        call = Call(node_type, (field["flop"].value, field["traffic_bytes"].value), is_view=moves_nothing)
        if call.name != name:
            field["name"].fail(f"the name of an operator {quote(node_type)} and its number")
        return Node("primitive", above, node_type, (), call, _read_index(field["name"], index), parameters)
    count = calls // times
    path, at, index = field["path"].text().partition("@")
    call_index = _read_index(field["path"], index) if at else 0
    children = tuple(_read_node(child, path, rows, depth - 1, calls) for child in field["children"].list())
    return Node(kind, path, node_type, children, None, call_index, parameters, (), count)


def _read_index(field: Field, digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        field.fail("a name that ends with the number of its call")
    return int(digits)
