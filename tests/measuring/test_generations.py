"""Whole generations and single decode steps as targets: what they call, what stays as it was, what a row says."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from irene.dataset.store import load_rows
from irene.errors import BadInput
from irene.measuring.collecting import collect
from irene.measuring.generations import TRACED_TOKENS, prepare_generation
from irene.measuring.plan import GenerationCase, load_plan
from irene.measuring.schedule import schedule
from irene.measuring.targets import BuiltModel, build
from irene.model_tree.serialization import decompress_tree
from irene.model_tree.workload import Workload
from tests.measuring.fake_machine import FakeMachine
from tests.measuring.small_collection import rows_in
from tests.tracing.tiny_models import tiny_config

CPU = torch.device("cpu")
CONTEXT = 40


def save_model(directory: Path, architecture: str, **changes: object) -> str:
    (directory / architecture).mkdir()
    config = tiny_config(architecture, **changes)
    (directory / architecture / "config.json").write_text(json.dumps(config.to_dict()))
    return str(directory / architecture)


def built(tmp_path: Path, architecture: str, **changes: object) -> BuiltModel:
    task = "seq2seq-lm" if architecture == "t5" else "causal-lm"
    return build(save_model(tmp_path, architecture, **changes), task, "float32", CPU, seed=1)


def step_of(cache: str) -> GenerationCase:
    workload = Workload(batch_size=2, seq_len=1, dtype="float32", task="causal-lm")
    return GenerationCase("m", workload, cache, CONTEXT, CONTEXT + 8 if cache == "static" else None)


def cats_of(tree: Any) -> list[tuple[int, bool]]:
    """(length, contiguous) of every cache that a new token is joined to."""
    calls = [leaf.call for leaf in tree.root.leaves]
    caches = [call.tensors[0] for call in calls if call.op == "aten.cat.default" and len(call.tensors[0].shape) == 4]
    return [(cache.shape[2], cache.is_contiguous) for cache in caches if cache.shape[2] > 1]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mixtral", "t5"])
def test_a_whole_generation(tmp_path: Path, architecture: str) -> None:
    model = built(tmp_path, architecture)
    case = GenerationCase("m", Workload(batch_size=2, seq_len=9, dtype="float32", task="causal-lm", new_tokens=5))
    target = prepare_generation(model, case, CPU, seed=3)
    with torch.inference_mode():
        first, second = target.run(), target.run()
    assert isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)
    assert torch.equal(first, second) and first.shape == (2, (1 if architecture == "t5" else 9) + 5)
    passes = [node for node in target.tree.root.children if node.path == "model"]
    assert len(passes) == TRACED_TOKENS
    assert target.tree.workload.new_tokens == TRACED_TOKENS and target.tree.workload.seq_len == 9
    assert (target.loads is not None) == (architecture == "mixtral")


@pytest.mark.parametrize("cache", ["dynamic", "static"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mistral", "mixtral"])
def test_every_step_is_the_same(tmp_path: Path, architecture: str, cache: str) -> None:
    model = built(tmp_path, architecture, **({"sliding_window": 16} if architecture == "mistral" else {}))
    target = prepare_generation(model, step_of(cache), CPU, seed=3)
    with torch.inference_mode():
        outputs = [target.run() for _ in range(4)]
    if architecture != "mistral" or cache == "dynamic":  # a static window moves on with each step
        logits = [output.logits for output in outputs]  # type: ignore[attr-defined]
        assert all(torch.allclose(logits[0], other, atol=1e-6) for other in logits)
    assert target.tree.root.type == type(model.module).__name__ and target.tree.root.path == ""
    length, is_contiguous = (15, False) if architecture == "mistral" else (CONTEXT, True)
    if cache == "dynamic":
        assert cats_of(target.tree) == [(length, is_contiguous)] * len(cats_of(target.tree)) != []


def test_a_step_is_that_of_a_real_generation(tmp_path: Path) -> None:
    model = built(tmp_path, "llama")
    logits = []
    for cache in ("dynamic", "static"):
        target = prepare_generation(model, step_of(cache), CPU, seed=3)
        with torch.inference_mode():
            logits.append(target.run().logits)  # type: ignore[attr-defined]
    assert logits[0].shape == logits[1].shape == (2, 1, 99)


def test_what_has_no_step(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="encoder-decoder"):
        prepare_generation(built(tmp_path, "t5"), step_of("dynamic"), CPU, seed=3)
    long = GenerationCase("m", Workload(batch_size=1, seq_len=120, dtype="float32", task="causal-lm", new_tokens=9))
    with pytest.raises(BadInput, match="129 is beyond the 128"):
        prepare_generation(built(tmp_path, "gpt2"), long, CPU, seed=3)


@pytest.fixture
def generating(tmp_path: Path) -> Path:
    """A plan of two models; prompts of 200 tokens are too long for one of them."""
    models = [save_model(tmp_path, "gpt2"), save_model(tmp_path, "llama", num_hidden_layers=1)]
    plan = tmp_path / "generating.toml"
    entries = [
        f'[[generations]]\nmodel = "{model}"\ndtypes = ["float32"]\nnew_tokens = 4\ngenerate = [[1, 8], [1, 200]]\n'
        "dynamic = [[2, 8]]\nstatic = [[1, 8], [2, 16]]\n"
        for model in models
    ]
    plan.write_text('name = "generating"\nseed = 5\n' + "\n".join(entries))
    return plan


@pytest.mark.filterwarnings("ignore:Sequence length 204 is beyond:UserWarning")
def test_generations_are_collected(generating: Path, tmp_path: Path, quick: None) -> None:
    failing = "decode static 8"

    def fail(key: str) -> None:
        if failing in key and "gpt2" in key:
            raise RuntimeError("not capturable")

    out = collect(generating, tmp_path / "out", machine=FakeMachine(fail))
    rows = [row for row in rows_in(out) if not row["reference"]]
    skips = {line["case"]: line["reason"] for line in map(json.loads, (out / "skips.jsonl").read_text().splitlines())}
    assert len(skips) == 2 and any("not capturable" in reason for reason in skips.values())
    assert any("204 is beyond the 128 learned positions" in reason for reason in skips.values())
    kinds = {(row["level"], row["cache"], row["context_len"], row["cache_len"], row["execution"]) for row in rows}
    assert kinds == {
        ("generation", "dynamic", 0, None, "eager"), ("decode_step", "dynamic", 8, None, "eager"),
        ("decode_step", "static", 8, 12, "cuda_graph"), ("decode_step", "static", 16, 20, "cuda_graph"),
    }  # fmt: skip
    whole = [row for row in rows if row["level"] == "generation"]
    assert {(row["seq_len"], row["new_tokens"]) for row in whole} == {(8, 4), (200, 4)}
    assert {row["seq_len"] for row in rows if row["level"] == "decode_step"} == {1}
    for row in rows:
        eager = row["execution"] == "eager"
        assert (row["memory_before_bytes"], row["peak_memory_bytes"]) == ((1000, 3000) if eager else (None, None))
        assert decompress_tree(row["tree"]).root.children
    frame = load_rows(out)
    assert set(frame["level"]) >= {"generation", "decode_step"} and math.isclose(frame["context_len"].max(), 16)


def test_quick_models_come_first_and_captures_last(generating: Path) -> None:
    plan = load_plan(generating)
    visits = [visit for visit in schedule(plan) if visit.models]
    assert [("gpt2" in visit.models[0].model, visit.repeat) for visit in visits] == [
        (True, 0), (False, 0), (True, 1), (False, 1), (True, 2), (False, 2),
    ]  # fmt: skip
    for visit in visits:
        captured = [case.workload.execution == "cuda_graph" for case in visit.models]
        assert captured == sorted(captured) and any(captured)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("generate = [[8, 8]]\nnew_tokens = 1", r"at generations\[0\].new_tokens, expected a whole number .*, got 1"),
        ("steps = [[8, 8]]", r"at generations\[0\], expected only the keys"),
        ("static = [[0, 8]]", r"at generations\[0\].static\[0\]\[0\], expected a whole number .*, got 0"),
    ],
)
def test_a_bad_entry_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "plan.toml").write_text(f'[[generations]]\nmodel = "gpt2"\n{line}\n')
    with pytest.raises(BadInput, match=message):
        load_plan(tmp_path / "plan.toml")
