"""What to measure on several GPUs: a TOML plan with `gpus` -> cases, each of so many ranks.

name = "tensor-parallel"
gpus = [2]                          # ranks; numbers that the machine has not are left out

[[collectives]]
names = ["all_reduce", "all_gather"]
dtypes = ["bfloat16", "float32"]
executions = ["cuda_graph", "eager"]
bytes = [1024, 8192]                # of each rank's own tensor

[[models]]                          # as in a plan for one GPU, without modules
model = "meta-llama/Llama-3.1-8B"
executions = ["eager", "cuda_graph"]
workloads = [[1, 2048], [64, 1]]
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from irene.dataset.families import RANDOM_SHAPES
from irene.fields import Field
from irene.measuring.plan import ModelCase, PrimitiveCase, expand_models, read_plan_file
from irene.measuring.schedule import REPEATS
from irene.model_tree.workload import EXECUTIONS
from irene.primitives.call import DTYPE_BYTES, Call, TensorSpec
from irene.primitives.collectives import MOST_RANKS
from irene.primitives.kinds import COLLECTIVES

_IN_PLACE = ("all_reduce", "broadcast", "send_receive")
_DTYPES = ("bfloat16", "float16", "float32")
_MOST_BYTES = 2**34
_COLLECTIVE_KEYS = ("names", "dtypes", "executions", "bytes")
REFERENCE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class RankCase:
    """A collective, or a model that `ranks` share, in an execution."""

    ranks: int
    case: PrimitiveCase | ModelCase
    execution: str

    @property
    def key(self) -> str:
        return f"{self.case.key}|{self.execution}|{self.ranks} ranks"

    @property
    def group(self) -> tuple[str, str, str]:
        """What is built once for many cases; nothing is for a collective."""
        if isinstance(self.case, PrimitiveCase):
            return ("", "", "")
        return self.case.model, self.case.workload.task, self.case.workload.dtype


@dataclass(frozen=True, slots=True)
class RankPlan:
    """A named collection on several GPUs."""

    name: str
    seed: int
    gpus: tuple[int, ...]
    cases: tuple[RankCase, ...]

    def visits(self, ranks: int) -> list[tuple[int, tuple[RankCase, ...]]]:
        """(repeat, cases that are built once), in a random order that depends on the seed alone."""
        rng = random.Random(self.seed)
        groups: dict[tuple[str, str, str], list[RankCase]] = {}
        for case in self.cases:
            if case.ranks == ranks:
                groups.setdefault(case.group, []).append(case)
        found = []
        for repeat in range(REPEATS):
            order = rng.sample(sorted(groups), len(groups))
            found += [(repeat, tuple(rng.sample(groups[group], len(groups[group])))) for group in order]
        return found


def is_rank_plan(path: str | Path) -> bool:
    """Whether a plan is for several GPUs. Raises BadInput for a file that is no plan."""
    return "gpus" in read_plan_file(Path(path))


def load_rank_plan(path: str | Path) -> RankPlan:
    """Read a plan for several GPUs; raises BadInput that names the file and the key."""
    path = Path(path)
    data = read_plan_file(path)
    top = Field(data, str(path))
    top.keys(("gpus",), ("name", "seed", "collectives", "models"))
    gpus = tuple(entry.whole(2, MOST_RANKS) for entry in top["gpus"].list())
    cases: list[RankCase] = []
    for ranks in gpus:
        for entry in top["collectives"].list() if "collectives" in data else []:
            cases += _expand_collectives(entry, ranks)
        for entry in top["models"].list() if "models" in data else []:
            cases += [_shared(case, ranks) for case in expand_models(entry)]
    seed = top["seed"].whole() if "seed" in data else 0
    name = top["name"].text(most=200) if "name" in data else path.stem
    return RankPlan(name, seed, gpus, tuple(cases))


def collective_case(name: str, payload_bytes: int, dtype: str, execution: str, ranks: int) -> RankCase:
    """A collective of so many bytes on each rank."""
    numel = max(payload_bytes // DTYPE_BYTES[dtype], ranks)
    rows = -(-numel // ranks) * ranks  # to be scattered evenly
    x = TensorSpec((rows,), (1,), dtype)
    out = {"all_gather": (rows * ranks,), "reduce_scatter": (rows // ranks,)}.get(name, (rows,))
    made = TensorSpec(out, (1,), dtype)
    call = Call(f"collective.{name}{'_' * (name in _IN_PLACE)}.default", (x, ranks), (), (made,))
    return RankCase(ranks, PrimitiveCase(call, "hot", RANDOM_SHAPES, True, dtype), execution)


def reference_case(ranks: int, payload_bytes: int = REFERENCE_BYTES) -> RankCase:
    """What tells drift between cards, hosts and days."""
    return collective_case("all_reduce", payload_bytes, "bfloat16", "cuda_graph", ranks)


def _expand_collectives(entry: Field, ranks: int) -> list[RankCase]:
    entry.keys(_COLLECTIVE_KEYS)
    sizes = [size.whole(1, _MOST_BYTES) for size in entry["bytes"].list()]
    known: Any = (COLLECTIVES, _DTYPES, EXECUTIONS)
    names, dtypes, executions = (
        [item.text(among=among) for item in entry[key].list()]
        for key, among in zip(_COLLECTIVE_KEYS, known, strict=False)
    )
    every = itertools.product(names, sizes, dtypes, executions)
    return [collective_case(name, size, dtype, execution, ranks) for name, size, dtype, execution in every]


def _shared(case: ModelCase, ranks: int) -> RankCase:
    workload = replace(case.workload, gpus=ranks)
    return RankCase(ranks, replace(case, workload=workload), workload.execution)
