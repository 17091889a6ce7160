"""A saved prediction read again: what `irene predict --format json` wrote, as a Prediction.

Its tree has names, types and numbers, but no shapes: it can be shown, explained and compared, not predicted anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from irene.errors import BadInput
from irene.model_tree.tree import Kind, ModelTree, Node, Workload
from irene.predictor.prediction import NodeValues, Prediction, PredictorInfo
from irene.predictor.prediction_json import SCHEMA_VERSION
from irene.primitives.call import Call

_KEYS = ("model", "workload", "device", "predictor", "provenance_shares", "tree")
_NUMBERS = ("energy_j", "duration_s", "isolated_energy_j", "flop", "traffic_bytes")
_PARTS = ("compute", "memory", "static", "launch_gap")
NOTE = "read from a saved prediction: names and numbers, no shapes"


def is_saved_prediction(path: str | Path) -> bool:
    """Whether a file says that it is a saved prediction (valid or not)."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).is_file() else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and {"predictor", "breakdown_j", "tree"} <= set(data)


def load_prediction(path: str | Path) -> Prediction:
    """Read a prediction that `irene predict MODEL --format json --output FILE` saved. Raises BadInput."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"Cannot read the saved prediction {str(path)!r}: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The saved prediction {str(path)!r} is not JSON: {error}.") from None
    return prediction_from_json(data, str(path))


def prediction_from_json(data: Any, where: str = "saved prediction") -> Prediction:
    """The prediction that `Prediction.to_json` wrote; `where` names it in errors. Raises BadInput."""
    if not isinstance(data, dict):
        _fail(where, f"expected an object, got {type(data).__name__}")
    if data.get("schema_version") != SCHEMA_VERSION:
        _fail(where, f"schema_version is {data.get('schema_version')!r}, this irene reads {SCHEMA_VERSION}")
    missing = [key for key in _KEYS if key not in data]
    if missing:
        _fail(where, f"keys missing: {', '.join(missing)}")
    rows: list[dict[str, Any]] = []
    try:
        root = _read_node(data["tree"], "", rows)
        tree = ModelTree(root, str(data["model"]), Workload(**data["workload"]), notes=(NOTE,))
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in _NUMBERS}
        columns |= {f"{part}_j": [row["breakdown_j"][part] for row in rows] for part in _PARTS}
        columns |= {"low_j": [row["interval_j"][0] for row in rows], "high_j": [row["interval_j"][1] for row in rows]}
        columns |= {"provenance": tuple(row["provenance"] for row in rows)}
        columns |= {"bound": tuple(row["bound"] or "" for row in rows)}
        predictor = PredictorInfo(**data["predictor"])
        return Prediction(tree, str(data["device"]), predictor, NodeValues(**columns), dict(data["provenance_shares"]))
    except RecursionError:
        _fail(where, "its nodes are nested too deeply for a model")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        _fail(where, f"{type(error).__name__}: {error}")


def _read_node(data: dict[str, Any], above: str, rows: list[dict[str, Any]]) -> Node:
    """A node and, appended to `rows` in walk order, what stands in it."""
    rows.append(data)
    kind: Kind = data["kind"]
    if kind == "primitive":
        name, _, call_index = data["name"].rpartition("#")
        # No shapes are saved. FLOP and bytes take their place, so that calls that differ stay different when folded.
        moves_nothing = data["flop"] == 0 and data["traffic_bytes"] == 0  # a view, or a copy of an empty tensor
        call = Call(data["type"], (data["flop"], data["traffic_bytes"]), is_view=moves_nothing)
        if call.name != name:
            raise ValueError(f"primitive {data['name']!r} is of type {data['type']!r}")
        return Node("primitive", above, data["type"], (), call, int(call_index), data["parameters"])
    path, _, call_index = data["path"].partition("@")
    children = tuple(_read_node(child, path, rows) for child in data["children"])
    return Node(kind, path, data["type"], children, None, int(call_index or 0), data["parameters"])


def _fail(where: str, problem: str) -> NoReturn:
    raise BadInput(f"{where}: {problem}. Save it again with 'irene predict --format json'.")
