"""What to measure: a TOML plan -> cases. A plan is data; this file only reads it, and refuses what it does not know.

name = "first"                      # of the collection
primitives = "first-primitives.jsonl.gz"   # signatures, written by `python -m irene.measuring.harvest PLAN`

[[models]]
model = "bert-base-uncased"
dtypes = ["bfloat16"]
executions = ["eager", "cuda_graph"]
workloads = [[8, 128], [32, 512]]   # batch size, tokens; a third number is the decoder's tokens
modules = ["encoder.layer.0", "encoder.layer.0.attention"]   # measured at the last workload
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irene.errors import BadInput, UnknownName
from irene.model_tree.tree import Workload
from irene.primitives.call import Call
from irene.tracing.tracer import DTYPES, EXECUTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PLAN_KEYS = {"name", "seed", "primitives", "models", "harvest"}
_MODEL_KEYS = {"model", "task", "dtypes", "executions", "workloads", "modules", "module_workloads"}


@dataclass(frozen=True, slots=True)
class PrimitiveCase:
    """Replay `call`; `energy` False means time alone.

    With a `load_deviation`, the experts of a grouped product get loads that are drawn with about this standard
    deviation over their mean; without, equal loads.
    """

    call: Call
    weights: str
    families: str
    energy: bool
    dtype: str
    load_deviation: float | None = None

    @property
    def key(self) -> str:
        equal = f"{self.dtype}|{self.weights}|{self.call.signature}"
        return equal if self.load_deviation is None else f"{equal}|loads {self.load_deviation}"


@dataclass(frozen=True, slots=True)
class ModelCase:
    """A whole model's forward pass, or, with a `path`, that module with inputs from a real pass."""

    model: str
    workload: Workload
    path: str = ""

    @property
    def key(self) -> str:
        w = self.workload
        parts = (self.model, w.task, w.batch_size, w.seq_len, w.decoder_seq_len, w.dtype, w.execution, self.path)
        return "|".join("" if part is None else str(part) for part in parts)


@dataclass(frozen=True, slots=True)
class Plan:
    """A named collection: the primitives to replay, and the model and module cases."""

    name: str
    seed: int
    primitives: tuple[PrimitiveCase, ...]
    models: tuple[ModelCase, ...]


def load_plan(path: str | Path) -> Plan:
    """Read a plan; raises BadInput that names the file and the key."""
    path = Path(path)
    data = read_plan_file(path)
    primitives: tuple[PrimitiveCase, ...] = ()
    if "primitives" in data:
        primitives = load_primitive_cases(path.parent / str(data["primitives"]))
    entries, seed = data.get("models", []), data.get("seed", 0)
    if not isinstance(entries, list) or type(seed) is not int:
        raise BadInput(f"{path}: expected [[models]] tables and a whole number as seed.")
    models = [case for entry in entries for case in _expand_models(entry, path)]
    return Plan(str(data.get("name", path.stem)), seed, primitives, tuple(models))


def read_plan_file(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"No such plan: {path}. Plans lie in data/plans/.") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a readable TOML plan: {error}") from None
    unknown = set(data) - _PLAN_KEYS
    if unknown:
        raise BadInput(f"{path}: unknown keys {sorted(unknown)}; expected {sorted(_PLAN_KEYS)}.")
    return data


def _expand_models(entry: dict[str, Any], path: Path) -> list[ModelCase]:
    unknown = set(entry) - _MODEL_KEYS
    if unknown or "model" not in entry:
        raise BadInput(f"{path}: a [[models]] entry takes {sorted(_MODEL_KEYS)}, got {sorted(entry)}.")
    for key in _MODEL_KEYS - {"model", "task"}:
        if not isinstance(entry.get(key, []), list):
            raise BadInput(f"{path}: {key} of {entry['model']} is a list, got {entry[key]!r}.")
    dtypes, executions = entry.get("dtypes", ["bfloat16"]), entry.get("executions", ["eager"])
    for what, names, known in (("dtype", dtypes, DTYPES), ("execution", executions, EXECUTIONS)):
        for name in names:
            if name not in known:
                raise BadInput(f"{path}: {UnknownName(what, name, known)}")
    cases = []
    workloads = entry.get("workloads", [])
    for dtype in dtypes:
        for execution in executions:
            for shape in workloads:
                cases.append(ModelCase(entry["model"], _workload(shape, dtype, execution, entry, path)))
            for shape in entry.get("module_workloads", workloads[-1:]):
                for module in entry.get("modules", []):
                    cases.append(ModelCase(entry["model"], _workload(shape, dtype, execution, entry, path), module))
    return cases


def _workload(shape: Any, dtype: str, execution: str, entry: dict[str, Any], path: Path) -> Workload:
    sizes = shape if isinstance(shape, list) else []
    if not 1 <= len(sizes) <= 3 or not all(type(size) is int and size >= 1 for size in sizes):
        form = "[batch size, tokens, decoder's tokens], whole numbers of at least 1"
        raise BadInput(f"{path}: a workload of {entry['model']} is {form}, got {shape!r}.")
    batch_size, seq_len, decoder_seq_len = (*sizes, None, None)[:3]
    return Workload(batch_size, seq_len, decoder_seq_len, dtype, entry.get("task", "base"), execution)


def load_primitive_cases(path: Path) -> tuple[PrimitiveCase, ...]:
    """Read signatures: one JSON object a line, gzip-compressed.

    Its keys are call, weights, families, energy and dtype, and load_deviation where loads are to be drawn.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return tuple(_parse_case(json.loads(line)) for line in lines)
    except FileNotFoundError:
        raise BadInput(f"No such file: {path}. 'python -m irene.measuring.harvest PLAN' writes it.") from None
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: not a list of primitive cases: {error!r}") from None


def save_primitive_cases(cases: list[PrimitiveCase], path: Path) -> None:
    with gzip.GzipFile(path, "wb", mtime=0) as file:  # no time stamp: the same cases give the same bytes
        for case in cases:
            line: dict[str, Any] = {"call": case.call.to_json(), "weights": case.weights, "families": case.families}
            line |= {"energy": case.energy, "dtype": case.dtype}
            if case.load_deviation is not None:
                line["load_deviation"] = case.load_deviation
            file.write((json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n").encode())


def _parse_case(data: dict[str, Any]) -> PrimitiveCase:
    deviation = data.get("load_deviation")
    if deviation is not None and (type(deviation) not in (int, float) or not deviation > 0):
        raise ValueError(f"load_deviation is a number above 0, got {deviation!r}")
    return PrimitiveCase(
        Call.from_json(data["call"]), data["weights"], data["families"], data["energy"], data["dtype"],
        None if deviation is None else float(deviation),
    )  # fmt: skip
