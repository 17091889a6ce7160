"""Harvesting: the distinct calls of a plan's models, spread over what they cost, the same ones every time."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from irene.dataset.store import RowJournal
from irene.errors import BadInput
from irene.hardware.devices import load_device
from irene.hardware.roofline import roofline_s
from irene.measuring import harvest as harvesting
from irene.measuring.harvest import choose_energy, draw_loads, harvest, limit_cases, remember_host, trace_calls
from irene.measuring.plan import PrimitiveCase, load_primitive_cases
from irene.measuring.random_shapes import DTYPE_SHARES, dense, random_calls
from irene.measuring.remeasure import measured_cases
from irene.measuring.replaying import resolve_operator
from irene.measuring.resizing import resized_calls
from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import kind_of
from irene.primitives.shapes import gemm_shape
from irene.primitives.work import count_work
from irene.tracing import trace
from irene.tracing.bundled_models import find_bundled
from irene.tracing.shortening import shorten
from tests.evaluation.made_rows import gelu, linear, primitive_row
from tests.measuring.small_harvest import write_harvest
from tests.tracing.tiny_models import tiny_config

pytestmark = pytest.mark.filterwarnings("ignore:Sequence length 4000 is beyond:UserWarning")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_harvest(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def cases(plan: Path) -> list[PrimitiveCase]:
    return harvest(plan)


def test_harvest(cases: list[PrimitiveCase]) -> None:
    assert len({case.key for case in cases}) == len(cases)
    timed = [case for case in cases if case.weights != "host"]
    kinds = Counter(kind_of(case.call) for case in timed)
    assert kinds["view"] == 0 and kinds["elementwise"] == 5 and kinds["grouped_gemm"] > 0
    energy = Counter(kind_of(case.call) for case in timed if case.energy)
    assert energy["gemm"] == 6 and energy["norm"] == energy["embedding"] == 2
    drawn = [case for case in cases if case.load_deviation is not None]
    twins = [case for case in timed if case.load_deviation is None and kind_of(case.call) == "grouped_gemm"]
    assert drawn == [replace(case, load_deviation=0.3) for case in twins], "four experts cannot deviate by 2"
    assert sum(case.energy for case in drawn) == 2
    families = {family for case in timed for family in case.families.split(",")}
    assert families == {"bert", "mixtral", "grid"}
    cold = [case for case in timed if case.weights == "cold"]
    assert cold and all(sum(s.bytes for s in c.call.tensors if s.weight) >= 1_000_000 for c in cold)
    host = [case.call.op for case in cases if case.weights == "host"]
    assert len(host) == len(set(host)) and "aten.view.default" in host


def test_a_workload_that_a_model_refuses_stops_nothing(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls = list(trace_calls([str(plan.parent / "bert")], [[1, 4000], [1, 8]], "bfloat16"))
    assert calls and {family for _, family, _ in calls} == {"bert"}
    assert "4000 is beyond" in capsys.readouterr().err


def test_the_command_writes_the_list_beside_the_plan(
    plan: Path, cases: list[PrimitiveCase], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["harvest", str(plan)])
    harvesting.main()
    assert "gemm" in capsys.readouterr().out
    assert list(load_primitive_cases(plan.parent / "cases.jsonl.gz")) == cases


@pytest.mark.parametrize("text", ["", "[harvest]\nmodels = []", "harvest = 3"])
def test_a_plan_without_a_harvest(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(BadInput, match=r"expected a table \[harvest\] with"):
        harvest(tmp_path / "plan.toml")


@pytest.mark.parametrize("name", ["bert-base-uncased", "google/gemma-2-2b", "google/gemma-3-1b-pt", "t5-base", "gpt2"])
def test_two_layers_stand_for_all(name: str) -> None:
    """Independent: the distinct calls of the whole model are those of the shortened one."""
    bundled = find_bundled(name)
    assert bundled is not None
    whole, short = (
        {leaf.call.signature for leaf in trace(config, seq_len=8).root.leaves if leaf.call is not None}
        for config in (bundled.build_config(), shorten(bundled.build_config()))
    )
    assert short == whole


@pytest.mark.parametrize("sort", ["linear", "product", "attention", "decoding", "convolution"])
def test_random_calls_are_valid_and_random(sort: str) -> None:
    calls = list(random_calls({sort: 60}, random.Random(1)))
    assert calls == list(random_calls({sort: 60}, random.Random(1))) != list(random_calls({sort: 60}, random.Random(2)))
    assert len(calls) == 60 and len({call for call, _ in calls}) > 50
    assert {mode for _, mode in calls} == set(DTYPE_SHARES)
    assert {mode for _, mode in random_calls({sort: 5, "dtypes": ["tf32"]}, random.Random(1))} == {"tf32"}
    for call, mode in calls:
        dtype = "float32" if mode == "tf32" else mode
        assert {spec.dtype for spec in call.tensors} - {"bool"} == {dtype}
        assert count_work(call).matmul_flop > 0


@pytest.mark.parametrize("sort", ["linear", "product", "attention", "decoding", "convolution"])
def test_random_calls_are_what_torch_answers(sort: str) -> None:
    """Independent: torch itself, on meta tensors, gives the output that the grid claims."""
    for call, _ in random_calls({sort: 30}, random.Random(4)):
        args = [_on_meta(value) if isinstance(value, TensorSpec) else value for value in call.args]
        out = resolve_operator(call.op)(*args, **dict(call.kwargs))
        assert tuple(out.shape) == call.outputs[0].shape


def _on_meta(spec: TensorSpec) -> torch.Tensor:
    return torch.empty_strided(spec.shape, spec.stride, dtype=getattr(torch, spec.dtype), device="meta")


def test_a_dense_tensor_seen_in_another_order() -> None:
    assert dense((2, 3, 4), "float32", order=(0, 2, 1)).stride == (12, 1, 4)


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "mixtral", "vit"])
def test_resized_recipes_run_and_differ(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(tiny_config(name).to_dict()))
    settings = {"models": [str(tmp_path)], "count": 3}
    calls = list(resized_calls(settings, random.Random(5)))
    assert calls == list(resized_calls(settings, random.Random(5)))
    widths = {call.outputs[0].shape[-1] for call, _ in calls if kind_of(call) == "gemm"}
    assert len(widths) >= 3


def test_resized_sound_has_convolutions_of_all_widths_and_in_groups() -> None:
    settings = {"models": ["facebook/wav2vec2-base"], "count": 6}
    calls = [call for call, _ in resized_calls(settings, random.Random(5)) if call.name == "conv1d"]
    assert len({call.tensors[1].shape[:2] for call in calls if gemm_shape(call).batch == 1}) >= 20
    shapes = {(gemm_shape(call).batch, call.tensors[1].shape[-1]) for call in calls if gemm_shape(call).batch > 1}
    assert len(shapes) >= 4


def _linears(count: int) -> list[PrimitiveCase]:
    sizes = [(64 * (1 + index), 64) for index in range(count)]
    calls = [
        Call("aten.linear.default", (dense((16, k), "bfloat16"), dense((n, k), "bfloat16"), None), (), ())
        for n, k in sizes
    ]
    return [PrimitiveCase(call, "hot", "x", False, "bfloat16") for call in calls]


def test_energy_is_measured_for_small_and_large_alike() -> None:
    spec, cases = load_device("h200"), _linears(100)
    chosen = [case for case in choose_energy(cases, {"gemm": 10}, spec, random.Random(3)) if case.energy]
    ranked = sorted(cases, key=lambda case: roofline_s(count_work(case.call), case.dtype, spec))
    places = sorted([case.key for case in ranked].index(case.key) // 10 for case in chosen)
    assert places == list(range(10))
    assert sum(case.energy for case in choose_energy(cases, {"other": 500}, spec, random.Random(3))) == 100
    assert not any(case.energy for case in choose_energy(cases, {}, spec, random.Random(3)))


def test_at_most_so_many_of_a_kind() -> None:
    cases = _linears(30)
    assert len(limit_cases(cases, {"gemm": 7}, random.Random(0))) == 7
    assert len(limit_cases(cases, {"other": 8}, random.Random(0))) == 8
    assert limit_cases(cases, {}, random.Random(0)) == cases


def test_the_host_is_timed_by_the_smallest_call_that_copies_nothing() -> None:
    """A batch norm of a slice is smaller than one of an image, and costs the host a copy beside."""
    sizes = ((2, 64, 7), (3136, 49, 1)), ((4, 64, 7, 7), (3136, 49, 7, 1)), ((8, 64, 7, 7), (3136, 49, 7, 1))
    slice_of, image, more = (Call("aten.batch_norm.default", (TensorSpec(*size, "bfloat16"),)) for size in sizes)
    for order in ((slice_of, image, more), (more, image, slice_of), (image, slice_of, more)):
        smallest: dict[str, Call] = {}
        for call in order:
            remember_host(smallest, call)
        assert list(smallest.values()) == [image]
    remember_host(only := {}, slice_of)
    assert list(only.values()) == [slice_of]


def test_only_experts_are_dealt_unevenly() -> None:
    offsets = TensorSpec((8,), (1,), "int32")
    products = (dense((64, 32), "bfloat16"), dense((8, 32, 16), "bfloat16"))
    named = Call("aten._grouped_mm.default", products, (("offs", offsets),))
    batched = Call("aten._grouped_mm.default", (dense((8, 4, 32), "bfloat16"), products[1]))
    cases = [PrimitiveCase(call, "cold", "x", True, "bfloat16") for call in (named, batched, linear(8, 8, 8))]
    assert draw_loads(cases, [0.5, 2.0]) == [replace(cases[0], load_deviation=d) for d in (0.5, 2.0)]
    assert draw_loads(cases, []) == []


def test_calls_that_were_timed_before_come_again(tmp_path: Path) -> None:
    collection = tmp_path / "rows"
    rows = [primitive_row(linear(width, 64, 64), "bert", None, duration_s=s) for width, s in ((8, 3e-5), (16, 1e-6))]
    rows += [primitive_row(linear(32, 64, 64), "t5", 1.0, duration_s=3e-5), primitive_row(gelu(8), "t5", None)]
    rows += [primitive_row(linear(8, 64, 64), "x", None, 3e-5, case="drawn", drawn_load_deviation=1.0)]
    with RowJournal(collection) as journal:
        for row in rows:
            journal.append(row)
    cases = measured_cases(collection, {"gemm": 9}, random.Random(0))
    assert [(case.call, case.families, case.weights) for case in cases] == [(linear(8, 64, 64), "bert", "hot")]
    assert not any(case.energy for case in cases)
