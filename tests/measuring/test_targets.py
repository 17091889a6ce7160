"""Models and modules as things to call, and what calls cost on the host; here on the CPU."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from irene.errors import BadInput
from irene.measuring.bursts import Burst
from irene.measuring.host_costs import measure_host_costs, measure_module_call
from irene.measuring.plan import ModelCase, PrimitiveCase
from irene.measuring.replaying import Replay
from irene.measuring.rows import model_row, primitive_row
from irene.measuring.targets import build, prepare, set_precision, with_execution
from irene.measuring.window import WindowMeasurement
from irene.model_tree.serialization import decompress_tree
from irene.model_tree.workload import Workload
from irene.primitives.call import Call, TensorSpec
from irene.tracing import trace
from tests.tracing.tiny_models import tiny_config

CPU = torch.device("cpu")
X = TensorSpec((4,), (1,), "float32")
WINDOW = WindowMeasurement(2.0, 0.5, 4.0, 20.0, 10.0, 30, 90.0, 40.0, 1e9, 2e9, 0, 30.0, 31.0, 1024, 99.0)


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("llama").to_dict()))
    return str(tmp_path)


def test_a_model_as_a_target(model: str) -> None:
    case = ModelCase(model, Workload(batch_size=2, seq_len=8, dtype="bfloat16"))
    built = build(model, "base", "bfloat16", CPU, seed=1)
    target = prepare(built, case, CPU, seed=1)
    assert (target.name, built.attention_implementation) == ("LlamaModel", "sdpa")
    assert not built.module.training and {p.dtype for p in built.module.parameters()} == {torch.bfloat16}
    on_meta = trace(model, batch_size=2, seq_len=8)
    assert [n.path for n in target.tree.root.walk()] == [n.path for n in on_meta.root.walk()]
    with torch.inference_mode():
        first, second = target.run(), target.run()
    assert torch.equal(first.last_hidden_state, second.last_hidden_state)  # type: ignore[attr-defined]
    again = build(model, "base", "bfloat16", CPU, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(again.module.parameters(), built.module.parameters(), strict=True))


def test_a_module_gets_the_inputs_of_a_real_pass(model: str) -> None:
    built = build(model, "base", "float32", CPU, seed=1)
    case = ModelCase(model, Workload(batch_size=2, seq_len=8, dtype="float32"), "layers.1")
    target = prepare(built, case, CPU, seed=1)
    assert target.name == "LlamaDecoderLayer" and target.tree.root.kind == "model"
    with torch.inference_mode():
        hidden = target.run()
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        assert isinstance(hidden, torch.Tensor) and hidden.shape == (2, 8, 32)
        whole = prepare(built, ModelCase(model, case.workload), CPU, seed=1).run().last_hidden_state  # type: ignore[attr-defined]
        assert torch.allclose(built.module.norm(hidden), whole, atol=1e-5)  # type: ignore[operator]


def test_modules_that_are_not_there_or_never_called(model: str) -> None:
    built = build(model, "base", "float32", CPU, seed=1)
    workload = Workload(batch_size=1, seq_len=4, dtype="float32")
    with pytest.raises(BadInput, match="LlamaModel has no module 'layer.0'"):
        prepare(built, ModelCase(model, workload, "layer.0"), CPU, seed=1)
    with pytest.raises(BadInput, match="'layers' is not called"):
        prepare(built, ModelCase(model, workload, "layers"), CPU, seed=1)


def test_precision_and_execution() -> None:
    for dtype, allowed in (("tf32", True), ("float32", False)):
        set_precision(dtype)
        assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is allowed
    case = ModelCase(
        "m",
        Workload(
            batch_size=2,
            seq_len=3,
            decoder_seq_len=4,
            dtype="tf32",
            task="causal-lm",
            execution="cuda_graph",
            new_tokens=5,
        ),
        "p",
    )
    assert with_execution(case, "eager") == ModelCase(
        "m",
        Workload(
            batch_size=2, seq_len=3, decoder_seq_len=4, dtype="tf32", task="causal-lm", execution="eager", new_tokens=5
        ),
        "p",
    )


def test_rows_carry_what_was_measured(model: str) -> None:
    case = PrimitiveCase(Call("aten.relu.default", (X,), (), (X,)), "cold", "bert,gpt2", True, "float32")
    row = primitive_row(case, WINDOW, Replay(print, 64), 2, "first")
    assert (row.energy_j, row.duration_s, row.power_w, row.method, row.repeat) == (2.0, 0.5, 4.0, "window", 2)
    assert (row.calls_per_replay, row.weights, row.families) == (64, "cold", "bert,gpt2")
    assert Call.from_json(json.loads(row.signature)) == case.call
    timed = primitive_row(case, Burst(0.25, 3.0, 1.9e9), Replay(print, 64), 0, "first")
    assert (timed.energy_j, timed.duration_s, timed.method) == (None, 0.25, "events")
    assert (timed.spread_pct, timed.sm_clock_hz) == (3.0, 1.9e9)
    assert timed.case == row.case
    model_case = ModelCase(model, Workload(batch_size=2, seq_len=8, dtype="float32"), "layers.0")
    built = build(model, "base", "float32", CPU, seed=1)
    target = prepare(built, model_case, CPU, seed=1)
    row = model_row(model_case, built, target, WINDOW, repeat=1, collection="first", family="llama")
    assert (row.level, row.path, row.batch_size, row.seq_len, row.repeat) == ("module", "layers.0", 2, 8, 1)
    assert (row.gpu_utilization_pct, row.sm_clock_hz, row.host_cpu_pct) == (90.0, 1e9, 99.0)
    assert decompress_tree(row.tree) == target.tree


def test_host_costs() -> None:
    def host(op: str, *args: TensorSpec) -> PrimitiveCase:
        return PrimitiveCase(Call(op, args, (), (X,)), "host", "", False, "float32")

    cases = [host("aten.relu.default", X), host("aten.nothing.default", X), host("aten.relu.default"), host("x")]
    costs = measure_host_costs(cases, CPU)
    assert set(costs) == {"aten.relu.default"}, "what does not replay has no cost, and stops nothing"
    assert 1e-7 < costs["aten.relu.default"] < 1e-3
    assert 1e-8 < measure_module_call(CPU) < 1e-3


def test_host_cost_is_the_time_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irene.measuring.host_costs.resolve_operator", lambda _: lambda *_, **__: time.sleep(1e-3))
    call = Call("aten.relu.default", (X,), (), (X,))
    costs = measure_host_costs([PrimitiveCase(call, "host", "", False, "float32")], CPU)
    assert 1e-3 < costs["aten.relu.default"] < 5e-3
