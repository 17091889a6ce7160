"""Functions and transformers models as servers, on the processor; and what measuring must not import."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from irene.errors import BadInput, ProgramFailed
from irene.model_tree.workload import Workload
from irene.predictor import predict
from irene.scenarios.callables import CallableServer
from irene.scenarios.measuring_streams import measure_pentathlon
from irene.scenarios.model_server import ModelServer
from irene.scenarios.streams import Scenario, draw_stream

BATCHES = Scenario(name="fixed_batch", instances=7, batch_size=3)


def _upper(instances: list[dict[str, str]]) -> list[str]:
    return [instance["input"].upper() for instance in instances]


def test_a_function_is_measured() -> None:
    found = measure_pentathlon(CallableServer(_upper), BATCHES, lengths="5")
    assert found.batches == 3 and found.output_words == 35 and found.value("energy_j") is None
    by_name = CallableServer("json:dumps")
    with pytest.raises(ProgramFailed, match="'json:dumps' answered .* of 3 instances"):
        measure_pentathlon(by_name, BATCHES)


def test_a_function_that_fails_is_said() -> None:
    with pytest.raises(ProgramFailed, match="raised ValueError: no luck"):
        measure_pentathlon(CallableServer(_fail), BATCHES)
    began = time.monotonic()
    with pytest.raises(ProgramFailed, match=r"gave no reply within 0\.2 s"):
        measure_pentathlon(CallableServer(_hang, reply_limit_s=0.2), BATCHES)
    assert time.monotonic() - began < 200
    for name, message in (("no_such:f", "No module named"), ("json:nothing", "nothing"), ("json:__doc__", "cannot be")):
        with pytest.raises(BadInput, match=message):
            CallableServer(name)


def _fail(instances: list[object]) -> list[str]:
    raise ValueError("no luck")


def _hang(instances: list[object]) -> list[str]:
    time.sleep(250)  # longer than any machine is busy, and less than the tests' own limit
    return []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is what a machine without a GPU measures")
def test_a_model_is_measured_without_a_gpu() -> None:
    server = ModelServer("bert-tiny+layers:1", Workload(dtype="float32"), pad_to=8)
    rows: list[tuple[int, int]] = []
    run = server._run
    server._run = lambda batch, tokens: (rows.append((batch, tokens)), run(batch, tokens))[1]  # type: ignore[method-assign]
    found = measure_pentathlon(server, BATCHES, lengths="uniform:4:20", pad_to=8)
    parameters = predict("bert-tiny+layers:1", dtype="float32").tree.root.parameters
    assert found.value("parameters") == parameters
    assert found.value("energy_j") is None and found.value("device_memory_bytes") is None
    assert (found.value("host_memory_bytes") or 0) > 1e7 and found.value("token_throughput_per_s")
    assert [batch for batch, _ in rows[-3:]] == [3, 3, 1] and all(tokens % 8 == 0 for _, tokens in rows)


def test_every_small_batch_that_may_come_is_run_before() -> None:
    server = ModelServer("bert-tiny+layers:1", Workload(dtype="float32"), pad_to=8)
    warmed: set[tuple[int, int]] = set()
    server._run = lambda batch, tokens: warmed.add((batch, tokens))  # type: ignore[method-assign]
    scenario = Scenario(name="poisson_arrivals", instances=200, rate_per_s=100, batch_size=100)
    server.warm_up(draw_stream(scenario, "uniform:1:16"))
    sizes = {size for size, _ in warmed}
    assert sizes >= {*range(1, 65), 100} and warmed == {(size, tokens) for size in sizes for tokens in (8, 16)}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is what a machine without a GPU measures")
def test_pictures_and_shared_rows_are_measured() -> None:
    two = Scenario(name="fixed_batch", instances=2, batch_size=2)
    small = (
        "google/vit-base-patch16-224+set:num_hidden_layers=1,hidden_size=48,intermediate_size=48,num_attention_heads=2"
    )
    found = measure_pentathlon(ModelServer(small, Workload(dtype="float32")), two)
    assert found.value("token_throughput_per_s") is None and found.value("padding_share") is None
    mixed = measure_pentathlon(ModelServer("bert-tiny+mux:n=5", Workload(dtype="float32"), rows=5), two, rows=5)
    assert mixed.instances == 2 and mixed.value("padding_share") == pytest.approx(1 - 2 / 5)
    with pytest.raises(BadInput, match="streams are measured eager"):
        ModelServer("bert-tiny", Workload(execution="cuda_graph"))


def test_measuring_needs_no_predictor(tmp_path: Path) -> None:
    """On a machine with a GPU there may be torch and transformers only."""
    code = f"""
import json, sys
from irene.cli.main import run
status = run(["bench", "bert-tiny", "--measure", "--instances", "4", "--batch-size", "2", "--lengths", "8", "--dtype",
              "float32", "--at-least", "0", "--format", "json", "--output", {str(tmp_path / "found.json")!r}])
heavy = ("xgboost", "sklearn", "irene.leaves", "irene.predictor.pipeline", "irene.predictor.predictor")
print(json.dumps([status, [name for name in heavy if name in sys.modules]]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []], done.stderr
    (entry,) = json.loads((tmp_path / "found.json").read_text())["entries"]
    assert entry["source"] == "measured" and entry["metrics"]["throughput_per_s"]["value"] > 0
