"""What to measure: a TOML plan -> cases. A plan is data; this file only reads it, and refuses what it does not know.

name = "first"                      # of the collection
primitives = "first-primitives.jsonl.xz"   # signatures, written by `python -m irene.measuring.harvest PLAN`

[[models]]
model = "bert-base-uncased"
dtypes = ["bfloat16"]
executions = ["eager", "cuda_graph"]
workloads = [[8, 128], [32, 512]]   # batch size, tokens; a third number is the decoder's tokens
modules = ["encoder.layer.0", "encoder.layer.0.attention"]   # measured at the last workload

[[generations]]
model = "gpt2"
generate = [[8, 128]]               # batch size, tokens of the prompt: whole generations of new_tokens
dynamic = [[8, 128]]                # batch size, tokens in the cache: one eager step over a dynamic cache
static = [[8, 128]]                 # likewise one captured step over a static cache
new_tokens = 32
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.fields import Field
from irene.files import parse_json, read_text
from irene.measuring.packed_lines import read_packed_lines, write_packed_lines
from irene.model_tree.checks import read_call
from irene.model_tree.workload import DTYPES, EXECUTIONS, Workload
from irene.primitives.call import Call
from irene.quoting import quote

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PLAN_KEYS = {"name", "seed", "primitives", "models", "generations", "harvest", "gpus", "collectives"}
_WEIGHTS = ("hot", "cold", "host")
_MOST_TOKENS = 2**31 - 1
_NAMESPACES = ("aten", "prims")
_OPERATORS_BESIDE = ("transformers.grouped_mm_fallback.default",)  # of other namespaces, each known to compute
_OPERATOR = re.compile(rf"({'|'.join(_NAMESPACES)})\.\w+\.\w+")
_MODEL_KEYS = {"model", "task", "dtypes", "executions", "workloads", "modules", "module_workloads"}
_GENERATION_KEYS = {"model", "task", "dtypes", "generate", "dynamic", "static", "new_tokens"}


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
class GenerationCase:
    """A whole `generate` (`cache` is ''), or one decode step over a 'dynamic' or 'static' cache.

    `context_len` tokens are in the cache; a static one has `cache_len` places.
    """

    model: str
    workload: Workload
    cache: str = ""
    context_len: int = 0
    cache_len: int | None = None

    @property
    def key(self) -> str:
        w = self.workload
        what = f"decode {self.cache} {self.context_len}/{self.cache_len}" if self.cache else f"generate {w.new_tokens}"
        parts = (self.model, w.task, w.batch_size, w.seq_len, what, w.dtype, w.execution)
        return "|".join(map(str, parts))


@dataclass(frozen=True, slots=True)
class Plan:
    """A named collection: the primitives to replay, and the cases of models, modules and generations."""

    name: str
    seed: int
    primitives: tuple[PrimitiveCase, ...]
    models: tuple[ModelCase | GenerationCase, ...]


def load_plan(path: str | Path) -> Plan:
    """Read a plan; raises BadInput that names the file and the key."""
    path = Path(path)
    data = read_plan_file(path)
    if "gpus" in data:
        raise BadInput(f"{path}: a plan for several GPUs (gpus); 'irene collect' measures it.")
    primitives: tuple[PrimitiveCase, ...] = ()
    if "primitives" in data:
        primitives = load_primitive_cases(path.parent / Field(data, str(path))["primitives"].text(most=1000))
    top = Field(data, str(path))
    seed = top["seed"].whole() if "seed" in data else 0
    name = top["name"].text(most=200) if "name" in data else path.stem
    models: list[ModelCase | GenerationCase] = []
    for entry in top["models"].list() if "models" in data else []:
        models += expand_models(entry)
    for entry in top["generations"].list() if "generations" in data else []:
        models += _expand_generations(entry)
    return Plan(name, seed, primitives, tuple(models))


def read_plan_file(path: Path) -> dict[str, Any]:
    """The tables of a plan as they stand. Raises BadInput for a file that is missing or no TOML."""
    if not path.exists():
        raise BadInput(f"No such plan: {path}. Plans lie in data/plans/.")
    try:
        data = tomllib.loads(read_text(path, "plan"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not a readable TOML plan: {error}") from None
    Field(data, str(path)).keys((), _PLAN_KEYS)
    return data


def expand_models(entry: Field) -> list[ModelCase]:
    """The cases of one entry of `models`."""
    found = entry.keys(("model",), _MODEL_KEYS).items()
    model = found["model"].text()
    task = found["task"].text(most=100) if "task" in found else "base"

    def texts(key: str, default: list[str], known: Collection[str] | None = None) -> list[str]:
        return [item.text(among=known) for item in found[key].list()] if key in found else default

    dtypes = texts("dtypes", ["bfloat16"], DTYPES)
    executions, modules = texts("executions", ["eager"], EXECUTIONS), texts("modules", [])
    shapes = [_sizes(shape) for shape in found["workloads"].list()] if "workloads" in found else []
    module_shapes = shapes[-1:]
    if "module_workloads" in found:
        module_shapes = [_sizes(shape) for shape in found["module_workloads"].list()]
    cases = []
    for dtype, execution in itertools.product(dtypes, executions):
        how = Workload(dtype=dtype, task=task, execution=execution)
        cases += [ModelCase(model, replace(how, **shape)) for shape in shapes]
        for shape in module_shapes:
            cases += [ModelCase(model, replace(how, **shape), module) for module in modules]
    return cases


def _expand_generations(entry: Field) -> Iterator[GenerationCase]:
    found = entry.keys(("model",), _GENERATION_KEYS).items()
    model = found["model"].text()
    task = found["task"].text(most=100) if "task" in found else "causal-lm"
    count = found["new_tokens"].whole(2, _MOST_TOKENS) if "new_tokens" in found else 32
    dtypes = [item.text(among=DTYPES) for item in found["dtypes"].list()] if "dtypes" in found else ["bfloat16"]
    for dtype, kind in itertools.product(dtypes, ("generate", "dynamic", "static")):
        for shape in found[kind].list() if kind in found else []:
            batch_size, length = (size.whole(1, _MOST_TOKENS) for size in shape.list(2))
            if kind == "generate":
                prompt = Workload(batch_size=batch_size, seq_len=length, dtype=dtype, task=task, new_tokens=count)
                yield GenerationCase(model, prompt)
            else:
                execution, places = ("cuda_graph", length + count) if kind == "static" else ("eager", None)
                token = Workload(batch_size=batch_size, seq_len=1, dtype=dtype, task=task, execution=execution)
                yield GenerationCase(model, token, kind, length, places)


def _sizes(shape: Field) -> dict[str, Any]:
    """Batch size, tokens and the decoder's tokens, by name; those that are not given are None."""
    sizes = [size.whole(1, _MOST_TOKENS) for size in shape.list()]
    if not 1 <= len(sizes) <= 3:
        shape.fail("[batch size, tokens, decoder's tokens], one to three whole numbers")
    return dict(zip(("batch_size", "seq_len", "decoder_seq_len"), (*sizes, None, None), strict=False))


def load_primitive_cases(path: Path) -> tuple[PrimitiveCase, ...]:
    """Read signatures: one JSON object a line (`packed_lines`).

    Its keys are call, weights, families, energy and dtype, and load_deviation where loads are to be drawn. Raises
    BadInput, also for an operator that is none of PyTorch's own: what a plan names is run.
    """
    if not path.exists():
        raise BadInput(f"No such file: {path}. 'python -m irene.measuring.harvest PLAN' writes it.")
    where = str(path)
    lines = read_packed_lines(path, "list of primitive cases")
    return tuple(
        _parse_case(Field(parse_json(line, f"{where}, line {number}"), f"{where}, line {number}"))
        for number, line in enumerate(lines, 1)
        if line
    )


def save_primitive_cases(cases: list[PrimitiveCase], path: Path) -> None:
    """Write what `load_primitive_cases` reads, whole or not at all; the same cases give the same bytes."""
    lines = []
    for case in cases:
        line: dict[str, Any] = {"call": case.call.to_json(), "weights": case.weights, "families": case.families}
        line |= {"energy": case.energy, "dtype": case.dtype}
        if case.load_deviation is not None:
            line["load_deviation"] = case.load_deviation
        lines.append(json.dumps(line, separators=(",", ":"), sort_keys=True))
    write_packed_lines(path, lines)


def _parse_case(field: Field) -> PrimitiveCase:
    field.keys(("call", "weights", "families", "energy", "dtype"), ("load_deviation",))
    call = read_call(field["call"])
    require_runnable(call.op)
    deviation = field.get("load_deviation")
    return PrimitiveCase(
        call, field["weights"].text(among=_WEIGHTS), field["families"].text(), field["energy"].flag(),
        field["dtype"].text(most=100), None if deviation is None else deviation.number(1e-9, 1e9),
    )  # fmt: skip


def require_runnable(op: str) -> None:
    """Raise BadInput unless `op` is an operator that computes: `torch.ops` also loads libraries."""
    if not _OPERATOR.fullmatch(op) and op not in _OPERATORS_BESIDE:
        known = ", ".join((*_NAMESPACES, *_OPERATORS_BESIDE))
        raise BadInput(f"Operator {quote(op)}: a plan may name operators of {known} only.")
