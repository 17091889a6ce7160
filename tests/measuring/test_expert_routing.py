"""How rows are routed to experts: as routers do, read from a real call, and as a replay is asked to."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irene.errors import BadInput
from irene.measuring import targets
from irene.measuring.expert_routing import (
    ExpertLoads,
    can_deviate,
    describe_loads,
    draw_loads,
    watch_expert_loads,
)
from irene.measuring.operands import make_operands
from irene.measuring.plan import ModelCase, PrimitiveCase
from irene.measuring.replaying import resolve_operator
from irene.measuring.rows import model_row, primitive_row
from irene.measuring.window import WindowMeasurement
from irene.model_tree.workload import Workload
from irene.primitives.call import Call, TensorSpec
from irene.primitives.expert_calls import GROUPED_PRODUCTS
from irene.tracing.encoding import spec_of
from tests.measuring.fake_machine import FakeMachine
from tests.tracing.tiny_models import tiny_config

CPU = torch.device("cpu")
EXPERTS = 8
WINDOW = WindowMeasurement(2.0, 0.5, 4.0, 20.0, 10.0, 30, 90.0, 40.0, 1e9, 2e9, 0, 30.0, 31.0, 1024, 99.0)


def grouped(rows: int, width: int = 16, op: str = "aten._grouped_mm.default") -> Call:
    shapes = ((rows, width), (EXPERTS, width, 32), (rows, 32))
    x, weight, y = (torch.empty(shape, device="meta") for shape in shapes)
    offsets = torch.empty(EXPERTS, dtype=torch.int32, device="meta")
    return Call(op, (spec_of(x), spec_of(weight), spec_of(offsets)), (), (spec_of(y),))


def loads_in(call: Call, deviation: float | None, seed: int = 0) -> list[int]:
    args, _ = make_operands(call, CPU, torch.Generator().manual_seed(seed), deviation)
    return torch.diff(args[2], prepend=torch.zeros(1, dtype=args[2].dtype)).tolist()


@given(st.integers(0, 5000), st.integers(1, 200), st.none() | st.floats(0.001, 20.0), st.integers(0, 2**63))
def test_every_row_is_dealt_and_always_the_same(rows: int, experts: int, deviation: float | None, seed: int) -> None:
    if deviation is not None and not can_deviate(experts, deviation):
        with pytest.raises(BadInput, match="Leave this deviation out"):
            draw_loads(rows, experts, deviation, seed)
        return
    loads = draw_loads(rows, experts, deviation, seed)
    assert loads == draw_loads(rows, experts, deviation, seed)
    assert len(loads) == experts and sum(loads) == rows and min(loads) >= 0
    assert deviation is not None or max(loads) - min(loads) <= 1


@pytest.mark.parametrize(("experts", "deviation"), [(8, 0.1), (8, 1.0), (8, 2.0), (64, 0.3), (128, 1.0), (128, 2.0)])
def test_the_deviation_is_about_what_was_asked(experts: int, deviation: float) -> None:
    drawn = [describe_loads(draw_loads(1000 * experts, experts, deviation, seed)) for seed in range(200)]
    found = math.sqrt(sum(each.expert_load_deviation**2 for each in drawn) / len(drawn))
    assert found == pytest.approx(deviation, rel=0.15)
    assert len(set(drawn)) > 100, "another seed, other loads"


@pytest.mark.parametrize("deviation", [-1.0, 0.0, 1e-200, math.sqrt(EXPERTS - 1)])
def test_deviations_that_no_loads_have(deviation: float) -> None:
    with pytest.raises(BadInput, match=f"Loads of 8 experts cannot deviate by {deviation}.* less than 2.65"):
        draw_loads(100, EXPERTS, deviation, 0)


def test_the_most_uneven_loads_are_all_at_one_expert() -> None:
    assert {max(draw_loads(100, 5, 2.0 - 1e-9, seed)) for seed in range(9)} == {100}


def test_equal_loads_deviate_where_rows_are_few() -> None:
    """So no threshold on the deviation tells drawn loads from equal ones."""
    assert describe_loads(draw_loads(2, 8, None, 0)) == ExpertLoads(25.0, math.sqrt(3))


@pytest.mark.parametrize("op", ["aten._grouped_mm.default", "transformers.grouped_mm_fallback.default"])
def test_operands_of_uneven_loads(op: str) -> None:
    call = grouped(4000, op=op)
    loads = loads_in(call, 1.0)
    assert sum(loads) == 4000 and describe_loads(loads).expert_load_deviation > 0.3
    assert loads == loads_in(call, 1.0) != loads_in(call, 1.0, seed=1), "hot and cold get the same"
    assert loads_in(call, None, seed=1) == [500] * EXPERTS
    assert loads_in(grouped(4000, width=32, op=op), 1.0) != loads, "each call draws its own"


def test_what_has_no_experts_takes_no_loads() -> None:
    x = TensorSpec((4,), (1,), "float32")
    with pytest.raises(BadInput, match=r"aten\.relu\.default routes no rows .* got 0\.3"):
        make_operands(Call("aten.relu.default", (x,), (), (x,)), CPU, torch.Generator(), 0.3)


@pytest.mark.parametrize("deviation", [None, 1.0])
def test_a_replays_row_says_how_it_was_dealt(deviation: float | None) -> None:
    case = PrimitiveCase(grouped(4004), "hot", "mixtral", True, "float32", deviation)
    replay = FakeMachine().prepare_primitive(case, seed=3)
    row = primitive_row(case, WINDOW, replay, 0, "experts")
    routed = describe_loads(loads_in(case.call, deviation, seed=3))
    assert row.case == case.key and row.drawn_load_deviation == deviation
    assert ExpertLoads(row.busy_experts_pct or 0, row.expert_load_deviation or 0) == routed
    assert (routed.expert_load_deviation < 0.01) == (deviation is None)


def build(directory: Path, architecture: str, **changes: Any) -> targets.BuiltModel:
    (directory / "config.json").write_text(json.dumps(tiny_config(architecture, **changes).to_dict()))
    return targets.build(str(directory), "base", "bfloat16", CPU, seed=1)


@pytest.fixture
def mixture(tmp_path: Path) -> targets.BuiltModel:
    return build(tmp_path, "mixtral", num_local_experts=EXPERTS)


def case_of(built: targets.BuiltModel, path: str = "") -> ModelCase:
    return ModelCase(built.name, Workload(batch_size=1, seq_len=5, dtype="bfloat16"), path)


@pytest.mark.parametrize("path", ["", "layers.1"])
def test_a_models_row_says_how_its_routers_dealt(mixture: targets.BuiltModel, path: str) -> None:
    """Independent: the experts that each router chose for its tokens, counted."""
    chosen: list[torch.Tensor] = []
    target = targets.prepare(mixture, case_of(mixture, path), CPU, seed=1)
    for name, module in mixture.module.named_modules():
        if name.endswith("mlp.gate") and name.startswith(path):
            module.register_forward_hook(
                lambda _, __, out: chosen.append(next(part for part in out if not part.is_floating_point()))
            )
    with torch.inference_mode():
        target.run()
    loads = torch.stack([torch.bincount(each.flatten(), minlength=EXPERTS).double() for each in chosen])
    assert len(loads) == (1 if path else 2) and loads.sum() == 5 * 2 * len(loads)
    row = model_row(case_of(mixture, path), mixture, target, WINDOW, repeat=0, collection="c", family="mixtral")
    deviation = (loads.std(dim=1, correction=0) / loads.mean(dim=1)).mean()
    assert row.busy_experts_pct == pytest.approx(100 * (loads > 0).double().mean().item())
    assert row.expert_load_deviation == pytest.approx(deviation.item()) and row.expert_load_deviation > 0
    assert row.drawn_load_deviation is None


def test_others_pay_nothing(mixture: targets.BuiltModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(call: object) -> None:
        raise AssertionError("watched")

    monkeypatch.setattr(targets, "watch_expert_loads", refuse)
    dense = build(tmp_path, "llama")
    assert targets.prepare(dense, case_of(dense), CPU, seed=1).loads is None
    assert targets.prepare(mixture, case_of(mixture, "layers.0.self_attn"), CPU, seed=1).loads is None
    with pytest.raises(AssertionError, match="watched"):
        targets.prepare(mixture, case_of(mixture), CPU, seed=1)


def test_experts_in_a_loop_have_no_loads(mixture: targets.BuiltModel) -> None:
    mixture.module.set_experts_implementation("eager")  # type: ignore[operator]
    assert watch_expert_loads(lambda: mixture.module(torch.zeros(1, 5, dtype=torch.long))) is None


@pytest.mark.parametrize("op", sorted(GROUPED_PRODUCTS))
def test_offsets_are_those_of_the_moment_and_products_without_rows_do_not_count(op: str) -> None:
    importlib.import_module("transformers.integrations.moe")  # it registers the fallback
    product = resolve_operator(op)
    weight, ends = torch.ones(4, 16, 16, dtype=torch.bfloat16), torch.tensor([8, 8, 8, 8], dtype=torch.int32)

    def call() -> None:
        product(torch.ones(8, 16, dtype=torch.bfloat16), weight, offs=ends)
        ends.copy_(torch.tensor([2, 4, 6, 8]))
        product(torch.ones(8, 16, dtype=torch.bfloat16), weight, ends)
        ends.zero_()
        product(torch.ones(8, 16, dtype=torch.bfloat16), weight, ends)

    assert watch_expert_loads(call) == ExpertLoads((25.0 + 100.0) / 2, math.sqrt(3) / 2)
