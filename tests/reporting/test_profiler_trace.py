"""Joules beside the operators of a real torch.profiler trace, and the flat dictionary for trackers."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

import irene
from irene.errors import BadInput
from irene.predictor.prediction import Prediction
from irene.reporting.profiler_trace import annotate_trace
from irene.reporting.tracking import loggable

BATCH, TOKENS, PASSES = 2, 8, 3


@pytest.fixture(scope="module")
def small() -> Prediction:
    return irene.predict("bert-tiny", batch_size=BATCH, seq_len=TOKENS, dtype="float32")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    model = AutoModel.from_config(irene.load_config("bert-tiny")).eval()
    tokens = torch.ones(BATCH, TOKENS, dtype=torch.long)
    path = tmp_path_factory.mktemp("profile") / "trace.json"
    with torch.inference_mode(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(PASSES):
            model(tokens)
    profile.export_chrome_trace(str(path))
    found: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
    return found


def test_every_operator_of_each_pass_gets_its_own_joules(trace: dict[str, Any], small: Prediction) -> None:
    before = copy.deepcopy(trace)
    found = annotate_trace(trace, small)
    assert trace == before
    about = found["otherData"]["irene"]
    assert about["passes"] == PASSES and about["matched_share"] > 0.95, about
    args = [event["args"] for event in found["traceEvents"] if "predicted_energy_j" in event.get("args", {})]
    joules = sum(arg["predicted_energy_j"] for arg in args)
    assert joules == pytest.approx(PASSES * about["matched_share"] * small.energy_j)
    linears = [e for e in found["traceEvents"] if e.get("name") == "aten::linear" and "path" in e.get("args", {})]
    paths = [node.path for node in small.flat.nodes if node.call and node.call.name == "linear"]
    assert [e["args"]["path"] for e in sorted(linears, key=lambda e: e["ts"])] == paths * PASSES


def test_calls_that_do_not_fit_get_none(trace: dict[str, Any], small: Prediction) -> None:
    events = list(trace["traceEvents"])
    events.remove(next(e for e in events if e.get("name") == "aten::linear"))
    about = annotate_trace({"traceEvents": events}, small)["otherData"]["irene"]
    assert about["unmatched"]["aten::linear"]["traced"] % PASSES and about["passes"] == PASSES
    other = annotate_trace(trace, irene.predict("bert-mini", batch_size=BATCH, seq_len=TOKENS))
    assert "aten::linear" in other["otherData"]["irene"]["unmatched"]


def test_what_is_no_trace_is_refused(small: Prediction) -> None:
    for given in ([], {}, {"traceEvents": 3}):
        with pytest.raises(BadInput, match="export_chrome_trace"):
            annotate_trace(given, small)  # type: ignore[arg-type]
    assert annotate_trace({"traceEvents": [3, {}, {"cat": "cpu_op", "name": "aten::linear"}]}, small)["traceEvents"]


def test_loggable_is_flat_and_has_the_names_that_others_read(small: Prediction) -> None:
    assert all(type(number) is float for number in loggable(small).values())
    generation = irene.predict("gpt2", seq_len=4, new_tokens=2)
    found = loggable(generation, prefix="")
    assert found["joules_per_output_token"] == found["energy_per_token_joules"] == found["energy_j"] / 2
    assert found["prefill_energy_j"] + found["decode_energy_j"] == pytest.approx(found["energy_j"])
    with pytest.raises(BadInput, match="one forward pass"):
        annotate_trace({"traceEvents": []}, generation)
