"""On an NVIDIA GPU only (pytest -m gpu): the meter ticks, replays replay, and meta answers as the GPU does."""

from __future__ import annotations

import math
import random
import statistics
import time

import pytest
import torch

from irene.measuring.host_costs import measure_module_call
from irene.measuring.kernel_traces import profile_calls
from irene.measuring.machine import GpuMachine
from irene.measuring.plan import ModelCase, PrimitiveCase
from irene.measuring.replaying import count_copies
from irene.measuring.survey import make_pool, survey
from irene.measuring.window import measure_window
from irene.model_tree.workload import Workload
from irene.primitives.attention import attention_backend
from irene.primitives.call import Call, TensorSpec
from irene.tracing.attention import ATTENTION_OP, attend_on_meta
from irene.tracing.encoding import spec_of
from irene.tracing.recording import record_call

pytestmark = pytest.mark.gpu


def _linear(rows: int, width: int) -> Call:
    x = TensorSpec((rows, width), (width, 1), "bfloat16")
    weight = TensorSpec((width, width), (width, 1), "bfloat16", weight=True)
    return Call("aten.linear.default", (x, weight, None), (), (x,))


def test_large_product_runs_near_the_power_limit() -> None:
    machine = GpuMachine()
    replay = machine.prepare_primitive(PrimitiveCase(_linear(8192, 8192), "hot", "", True, "bfloat16"), seed=0)
    measured = measure_window(replay.run, machine.synchronize, machine.meter, calls_per_call=replay.calls)
    flop = 2 * 8192**3
    assert 400e12 < flop / measured.duration_s < 990e12
    assert 0.7 < measured.power_w / machine.describe()["power_limit_w"] < 1.05
    assert math.isclose(measured.energy_j, measured.power_w * measured.duration_s, rel_tol=1e-6)


def test_cold_weights_are_slower_than_hot_ones() -> None:
    machine = GpuMachine()
    call = _linear(1, 4096)
    assert count_copies(call, 60 * 2**20) >= 4
    times_s = {}
    for weights in ("hot", "cold"):
        replay = machine.prepare_primitive(PrimitiveCase(call, weights, "", False, "bfloat16"), seed=0)
        times_s[weights] = machine.time_primitive(replay).duration_s
    assert times_s["cold"] > 1.1 * times_s["hot"]


def test_heavy_work_before_does_not_slow_a_burst() -> None:
    machine = GpuMachine()
    case = PrimitiveCase(_linear(8192, 8192), "hot", "", False, "bfloat16")
    replay = machine.prepare_primitive(case, seed=0)
    rested = machine.time_primitive(replay)
    for _ in range(200):
        replay.run()
    after = machine.time_primitive(replay)
    assert math.isclose(after.duration_s, rested.duration_s, rel_tol=0.03)
    assert after.sm_clock_hz > 0.9 * machine.full_clock_hz


def test_a_survey_times_as_a_burst_does_and_reads_the_clock() -> None:
    machine, call = GpuMachine(), _linear(2048, 2048)
    pool = make_pool(machine.device, 50_000_000, seed=0)
    rows = survey(
        iter([(call, "bfloat16")] * 20), time.monotonic() + 60, pool, lambda runs: profile_calls(runs, machine.device),
        random.Random(0),
    )  # fmt: skip
    burst = machine.time_primitive(machine.prepare_primitive(PrimitiveCase(call, "hot", "", False, "bfloat16"), seed=0))
    assert len(rows) == 20 and all(row.kernel and row.blocks > 0 for row in rows)
    assert math.isclose(statistics.median(row.duration_s for row in rows), burst.duration_s, rel_tol=0.15)
    assert all(0.6 < row.sm_clock_hz / machine.full_clock_hz < 1.02 for row in rows)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_size", "plain"),
    [(12, 12, 64, False), (8, 2, 128, False), (4, 4, 66, True), (4, 4, 64, True)],
)
def test_meta_attention_answers_as_the_gpu(
    dtype: torch.dtype, masked: bool, heads: int, kv_heads: int, head_size: int, plain: bool
) -> None:
    def tensor(count: int, device: str) -> torch.Tensor:
        if plain:
            return torch.ones(2, count, 48, head_size, dtype=dtype, device=device)
        return torch.ones(2, 48, count, head_size, dtype=dtype, device=device).transpose(1, 2)

    def operands(device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        mask = torch.ones(1, 1, 48, 48, dtype=torch.bool, device=device) if masked else None
        return tensor(heads, device), tensor(kv_heads, device), tensor(kv_heads, device), mask

    grouped = heads != kv_heads
    query, key, value, mask = operands("cuda")
    output = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask, enable_gqa=grouped)
    chosen = torch._fused_sdp_choice(query, key, value, mask, 0.0, False, enable_gqa=grouped)
    names = {0: "math", 1: "flash", 2: "efficient", 3: "cudnn"}
    meta = operands("meta")
    specs = tuple(None if tensor is None else spec_of(tensor) for tensor in meta)
    assert attention_backend(Call(ATTENTION_OP, specs, (("enable_gqa", grouped),))) == names[chosen]
    assert attend_on_meta(*meta, enable_gqa=grouped).stride() == output.stride()


def test_captured_model_runs_the_kernels_of_eager() -> None:
    machine = GpuMachine()
    kernels = []
    for execution in ("eager", "cuda_graph"):
        case = ModelCase(
            "google/bert_uncased_L-4_H-256_A-4",
            Workload(batch_size=2, seq_len=64, dtype="bfloat16", execution=execution),
        )
        built = machine.build(case, 0)
        kernels.append(machine.count_kernels(machine.prepare_model(built, case, 0)))
    assert kernels[0] == kernels[1]
    assert sum(kernels[0].values()) > 30


def test_watching_experts_spoils_no_capture_and_sees_the_same_before_both_executions() -> None:
    machine = GpuMachine()
    loads = []
    for execution in ("eager", "cuda_graph"):
        case = ModelCase(
            "Qwen/Qwen1.5-MoE-A2.7B", Workload(batch_size=1, seq_len=128, dtype="bfloat16", execution=execution)
        )
        target = machine.prepare_model(machine.build(case, 0), case, 0)
        target.run()
        machine.synchronize()
        loads.append(target.loads)
    assert loads[0] == loads[1] and loads[0] is not None
    assert 10 < loads[0].busy_experts_pct < 100 and loads[0].expert_load_deviation > 0.3


def test_weights_of_idle_experts_are_not_read() -> None:
    machine, rows, experts, width = GpuMachine(), 256, 64, 2048
    shapes = ((rows, width), (experts, width, width), (rows, width))
    x, weight, y = (spec_of(torch.empty(shape, dtype=torch.bfloat16, device="meta")) for shape in shapes)
    offsets = spec_of(torch.empty(experts, dtype=torch.int32, device="meta"))
    call = Call("aten._grouped_mm.default", (x, weight, offsets), (), (y,))
    timed = {}
    for deviation in (None, 4.0):
        replay = machine.prepare_primitive(PrimitiveCase(call, "hot", "", False, "bfloat16", deviation), seed=0)
        assert replay.loads is not None
        timed[deviation] = (replay.loads.busy_experts_pct, machine.time_primitive(replay).duration_s)
    assert timed[None][0] == 100 and timed[4.0][0] < 50
    assert timed[4.0][1] < 0.8 * timed[None][1]


def test_recording_a_real_call_equals_recording_meta() -> None:
    trees = []
    for device in ("meta", "cuda"):
        module = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.GELU(), torch.nn.LayerNorm(64)).to(device).eval()
        root = record_call(module, (torch.empty(2, 8, 64, device=device),), {})
        trees.append([leaf.call for leaf in root.leaves])
    assert trees[0] == trees[1]


def test_module_call_costs_microseconds() -> None:
    assert 1e-7 < measure_module_call(torch.device("cuda")) < 1e-4
