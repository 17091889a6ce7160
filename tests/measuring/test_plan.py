"""Plans and schedules: what a plan says is measured, in an order that depends on its seed alone."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.errors import BadInput
from irene.measuring.plan import (
    ModelCase,
    Plan,
    PrimitiveCase,
    load_plan,
)
from irene.measuring.rank_plan import is_rank_plan
from irene.measuring.schedule import REPEATS, group_of, is_tenth, needs_repeat, schedule
from irene.model_tree.workload import Workload
from irene.primitives.call import Call, TensorSpec

ROOT = Path(__file__).parents[2]
X = TensorSpec((4,), (1,), "bfloat16")
ENTRY = '[[models]]\nmodel = "gpt2"\n'


def case(value: float, weights: str = "hot", energy: bool = True) -> PrimitiveCase:
    return PrimitiveCase(Call("aten.mul.Scalar", (X, value), (), (X,)), weights, "gpt2", energy, "bfloat16")


def write(directory: Path, text: str) -> Path:
    path = directory / "plan.toml"
    path.write_text(text)
    return path


def test_models_times_dtypes_times_executions(tmp_path: Path) -> None:
    text = (
        'dtypes = ["bfloat16", "tf32"]\nexecutions = ["eager", "cuda_graph"]\nworkloads = [[8], [1, 32], [2, 16, 4]]\n'
    )
    plan = load_plan(write(tmp_path, 'name = "x"\nseed = 7\n' + ENTRY + text + 'modules = ["h.0", "h.0.attn"]\n'))
    assert (plan.name, plan.seed, plan.primitives) == ("x", 7, ())
    assert len(plan.models) == len({c.key for c in plan.models}) == 2 * 2 * (3 + 2)
    assert plan.models[0].workload == Workload(batch_size=8, seq_len=None, dtype="bfloat16")
    modules = [c for c in plan.models if c.path]
    assert {(c.workload.batch_size, c.workload.seq_len, c.workload.decoder_seq_len) for c in modules} == {(2, 16, 4)}
    assert {(c.workload.dtype, c.workload.execution, c.path) for c in modules} == {
        (dtype, execution, path)
        for dtype in ("bfloat16", "tf32")
        for execution in ("eager", "cuda_graph")
        for path in ("h.0", "h.0.attn")
    }
    assert load_plan(write(tmp_path, "")).name == "plan"


def test_module_workloads_of_their_own(tmp_path: Path) -> None:
    text = ENTRY + 'workloads = [[1, 8]]\nmodule_workloads = [[2, 8], [3, 8]]\nmodules = ["h.0"]\ntask = "causal-lm"\n'
    plan = load_plan(write(tmp_path, text))
    assert [(c.workload.batch_size, c.path) for c in plan.models] == [(1, ""), (2, "h.0"), (3, "h.0")]
    assert {c.workload.task for c in plan.models} == {"causal-lm"}


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "plans").glob("*.toml")), ids=lambda path: path.stem)
def test_plans_that_were_measured_still_load(path: Path) -> None:
    if is_rank_plan(path):  # see test_rank_plan
        return
    plan = load_plan(path)
    assert plan.models or plan.primitives
    assert len({c.key for c in plan.primitives}) == len(plan.primitives)


def test_a_plan_of_models_alone_is_scheduled() -> None:
    plan = load_plan(ROOT / "data" / "plans" / "pairs.toml")
    visits = schedule(plan)
    assert plan.primitives == () and not any(visit.primitives for visit in visits)
    assert {case for visit in visits if visit.repeat == 0 for case in visit.models} == set(plan.models)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "not a readable TOML plan"),
        ('colour = "red"', "only the keys .* got also 'colour'"),
        ('seed = "x"', "at seed, expected a whole number"),
        ("models = 3", "at models, expected a list"),
        ("name = 3", "at name, expected a text"),
        ("models = [3]", r"at models\[0\], expected an object"),
        ('primitives = "none.gz"', "No such file"),
        ('[[models]]\ntask = "base"', r"at models\[0\], expected a key 'model'"),
        (ENTRY + "sizes = [1]", r"at models\[0\], expected only the keys .* got also 'sizes'"),
        (ENTRY + 'dtypes = "bfloat16"', r"at models\[0\].dtypes, expected a list"),
        (ENTRY + 'dtypes = ["bfloat61"]', r"dtypes\[0\], expected one of 'bfloat16'"),
        (ENTRY + 'executions = ["eagre"]', r"executions\[0\], expected one of 'cuda_graph', 'eager', got 'eagre'"),
        (ENTRY + "workloads = [[0, 8]]", r"workloads\[0\]\[0\], expected a whole number from 1"),
        (ENTRY + "workloads = [[1, 8, 8, 8]]", "one to three whole numbers"),
        (ENTRY + "workloads = [8]", r"workloads\[0\], expected a list, got 8"),
        (ENTRY + "workloads = [[]]", "one to three whole numbers"),
        (ENTRY + "workloads = [[1.5, 8]]", "expected a whole number from 1"),
    ],
)
def test_what_a_plan_must_not_say(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        load_plan(write(tmp_path, text))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_plan(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such plan"):
        load_plan(tmp_path / "none.toml")


def make_plan(seed: int, primitives: int, models: int) -> Plan:
    cases = [case(value, "cold" if value % 2 else "hot", value % 3 > 0) for value in range(primitives)]
    shapes = [
        Workload(batch_size=batch, seq_len=8, execution=name)
        for batch in range(1, 4)
        for name in ("eager", "cuda_graph")
    ]
    entries = tuple(ModelCase(f"m{model}", shape) for model in range(models) for shape in shapes)
    return Plan("p", seed, (*cases, case(0.5, "host")), entries)


@given(st.integers(0, 2**32), st.integers(0, 120), st.integers(0, 6))
def test_every_case_is_visited_once_a_repeat(seed: int, primitives: int, models: int) -> None:
    plan = make_plan(seed, primitives, models)
    visits = schedule(plan)
    assert visits == schedule(plan)
    for repeat in range(REPEATS):
        mine = [visit for visit in visits if visit.repeat == repeat]
        replayed = [c for c in plan.primitives if c.weights != "host"]
        timed = Counter(c.key for visit in mine for c in visit.primitives if not c.energy)
        assert timed == Counter(() if repeat else [c.key for c in replayed])
        metered = Counter(c.key for visit in mine for c in visit.primitives if c.energy)
        assert metered == Counter(c.key for c in replayed if c.energy and (not repeat or is_tenth(c.key)))
        assert Counter(c.key for visit in mine for c in visit.models) == Counter(c.key for c in plan.models)
    assert all(len({group_of(c) for c in visit.models}) <= 1 for visit in visits)
    assert all(bool(visit.primitives) != bool(visit.models) for visit in visits)
    metering = [any(c.energy for c in visit.primitives) for visit in visits]
    timing = [visit.primitives != () and not metered for visit, metered in zip(visits, metering, strict=True)]
    if any(timing) and any(metering):  # cheap rows first: a collection that is cut short has taught most
        assert max(i for i, t in enumerate(timing) if t) < min(i for i, m in enumerate(metering) if m)


@pytest.mark.parametrize("seed", range(8))
def test_repeats_stand_apart_and_the_order_is_random(seed: int) -> None:
    plan = make_plan(seed, 200, 12)
    visits = schedule(plan)
    for kind in ("models", "primitives"):
        repeats = [visit.repeat for visit in visits if getattr(visit, kind)]
        assert repeats[: repeats.count(0)] == [0] * repeats.count(0), "first repeats come first"
    for model in {c.model for c in plan.models}:
        at = [index for index, visit in enumerate(visits) if visit.models and visit.models[0].model == model]
        assert len(at) == REPEATS and min(b - a for a, b in pairwise(at)) > 1
    order = [c.key for visit in visits if visit.repeat == 0 for c in visit.primitives]
    other = [c.key for visit in schedule(make_plan(seed + 1, 200, 12)) if not visit.repeat for c in visit.primitives]
    assert sorted(order) == sorted(other) and order != other
    assert order != [c.key for c in plan.primitives][: len(order)]


def test_every_tenth_case() -> None:
    share = sum(is_tenth(f"case {number}") for number in range(5000)) / 5000
    assert 0.08 < share < 0.12


@pytest.mark.parametrize(
    ("execution", "utilization", "again"),
    [("eager", 84.9, True), ("eager", 85.0, False), ("eager", None, True), ("cuda_graph", 10.0, False)],
)
def test_host_bound_cases_come_again(execution: str, utilization: float | None, again: bool) -> None:
    key = next(f"case {number}" for number in range(100) if not is_tenth(f"case {number}"))
    assert needs_repeat(key, execution, utilization) == again
    tenth = next(f"case {number}" for number in range(100) if is_tenth(f"case {number}"))
    assert needs_repeat(tenth, execution, utilization)
