"""A plan of a few small cases, and a collection of it in a second or two.

    python -m tests.measuring.small_collection PLAN DIR

collects it in a process that a test can kill.
"""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from irene.dataset.journal import read_journal_rows
from irene.measuring import collection, starting
from irene.measuring.collecting import collect
from irene.measuring.counter import measure_counter_period, measure_idle_power
from irene.measuring.plan import ModelCase, PrimitiveCase, load_plan, save_primitive_cases
from irene.measuring.references import Reference
from irene.measuring.window import measure_window
from irene.model_tree.workload import Workload
from irene.primitives.call import Call, TensorSpec
from tests.measuring.fake_machine import FakeMachine
from tests.tracing.tiny_models import tiny_config

PRIMITIVES = 5


def primitive(op: str, *sizes: int, energy: bool = True, weights: str = "hot") -> PrimitiveCase:
    x = TensorSpec(sizes, tuple(range(len(sizes), 0, -1)) if len(sizes) > 1 else (1,), "float32")
    return PrimitiveCase(Call(op, (x,), (), (x,)), weights, "bert", energy, "float32")


def write_plan(directory: Path) -> Path:
    """Five primitives, two of them with time alone, one host cost; a model, eager and captured, and a module of it."""
    (directory / "model").mkdir(parents=True)
    (directory / "model" / "config.json").write_text(json.dumps(tiny_config("bert", num_hidden_layers=1).to_dict()))
    cases = [primitive("aten.relu.default", 8 + i, energy=i > 1) for i in range(PRIMITIVES)]
    save_primitive_cases([*cases, primitive("aten.relu.default", 8, weights="host")], directory / "cases.jsonl.gz")
    plan = directory / "plan.toml"
    plan.write_text(
        f'name = "small"\nseed = 3\nprimitives = "cases.jsonl.gz"\n[[models]]\nmodel = "{directory / "model"}"\n'
        'dtypes = ["float32"]\nexecutions = ["eager", "cuda_graph"]\nworkloads = [[1, 8]]\n'
        'modules = ["encoder.layer.0"]\n'
    )
    return plan


def shorten(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Windows of 20 ms, and references that a CPU can run."""
    quick = functools.partial(measure_window, warm_up_s=0.001, window_s=0.02, min_ticks=3)
    monkeypatch.setattr(collection, "measure_window", quick)
    monkeypatch.setattr(starting, "measure_idle_power", lambda meter, seconds: measure_idle_power(meter, 0.05))
    monkeypatch.setattr(starting, "measure_counter_period", functools.partial(measure_counter_period, ticks=5))
    bert = ModelCase(str(directory / "model"), Workload(batch_size=1, seq_len=4, dtype="float32"))
    references = (Reference("neg", primitive("aten.neg.default", 9), eager=True), Reference("bert", bert))
    monkeypatch.setattr(collection, "REFERENCES", references)


def rows_in(directory: Path) -> list[dict[str, Any]]:
    return list(read_journal_rows(directory))


def keys_of(rows: list[dict[str, Any]]) -> Counter[tuple[str, int, str]]:
    return Counter((row["case"], row["repeat"], row["method"]) for row in rows)


def captured_in(directory: Path) -> list[dict[str, Any]]:
    return [r for r in rows_in(directory) if r["execution"] == "cuda_graph" and r["level"] != "primitive"]


def expect_complete(plan: Path, directory: Path) -> None:
    """Every case of the plan once, repeats where the protocol wants them, no row twice."""
    keys = keys_of(rows_in(directory))
    assert set(keys.values()) == {1}
    loaded = load_plan(plan)
    timed = {case.key for case in loaded.primitives if case.weights != "host"}
    assert {case for case, repeat, method in keys if method == "events"} == timed
    windows = {case for case, repeat, method in keys if method == "window" and not case.startswith("reference")}
    assert windows == {c.key for c in loaded.primitives if c.energy and c.weights != "host"} | {
        case.key for case in loaded.models
    }


def same_but_checked(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    return [r | {"kernels_as_eager": None} for r in old] == [r | {"kernels_as_eager": None} for r in new[: len(old)]]


if __name__ == "__main__":
    plan_path = Path(sys.argv[1])
    with pytest.MonkeyPatch.context() as patches:
        shorten(patches, plan_path.parent)
        collect(plan_path, sys.argv[2], machine=FakeMachine())
