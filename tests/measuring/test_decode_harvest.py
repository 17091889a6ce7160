"""Calls of decode steps: found by tracing `generate`, told apart by their operands, chosen by how new they are."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from irene.hardware.devices import load_device
from irene.measuring.choosing import pick_unlike, point_of, spread
from irene.measuring.decode_harvest import decode_cases, role_of
from irene.measuring.decode_steps import trace_decode_calls
from irene.measuring.expert_routing import operand_loads
from irene.measuring.operands import make_operands
from irene.measuring.plan import PrimitiveCase
from irene.measuring.replaying import _with_fresh_weights, count_copies, rotated_bytes
from irene.primitives.call import Call, TensorSpec
from irene.primitives.expert_calls import is_expert_gather
from irene.tracing.encoding import spec_of
from tests.tracing.tiny_models import tiny_config

CPU = torch.device("cpu")
DTYPE = "bfloat16"


def dense(*shape: int, weight: bool = False, dtype: str = DTYPE) -> TensorSpec:
    spec = spec_of(torch.empty(shape, dtype=getattr(torch, dtype), device="meta"))
    return TensorSpec(spec.shape, spec.stride, dtype, weight)


def cat(context_len: int, heads: int = 2, size: int = 64) -> Call:
    cache, token = dense(1, heads, context_len, size), dense(1, heads, 1, size)
    return Call("aten.cat.default", ((cache, token), -2), (), (dense(1, heads, context_len + 1, size),))


def linear(rows: int, inputs: int, outputs: int) -> Call:
    weight = dense(outputs, inputs, weight=True)
    return Call("aten.linear.default", (dense(rows, inputs), weight), (), (dense(rows, outputs),))


def gather(experts: int, rows: int) -> Call:
    table, ids = dense(experts, 8, 4, weight=True), dense(rows, dtype="int64")
    return Call("aten.index.Tensor", (table, (ids,)), (), (dense(rows, 8, 4),))


def save_model(directory: Path, architecture: str, **changes: object) -> str:
    (directory / architecture).mkdir()
    text = json.dumps(tiny_config(architecture, max_position_embeddings=256, pad_token_id=None, **changes).to_dict())
    (directory / architecture / "config.json").write_text(text)
    return str(directory / architecture)


def roles(model: str, context_len: int, cache: str = "dynamic") -> Counter[str]:
    calls = trace_decode_calls(model, 2, context_len, DTYPE, cache)
    return Counter(role for call in calls if (role := role_of(call)) and not role.startswith("attention"))


def test_caches_are_told_apart(tmp_path: Path) -> None:
    llama = save_model(tmp_path, "llama")
    assert roles(llama, 100) == {"cat": 2}, "keys and values differ in the strides of the new token alone"
    assert roles(llama, 100, "static") == {"index_copy": 2}
    assert roles(save_model(tmp_path, "gpt2", n_positions=256), 100) == {"cat_strided": 1}
    assert roles(save_model(tmp_path, "mistral", sliding_window=80), 100) == {"cat_sliding": 2}
    assert roles(save_model(tmp_path, "mixtral"), 100) == {"cat": 2, "expert_gather": 2}


def test_an_end_token_among_the_largest_scores_ends_nothing(tmp_path: Path) -> None:
    assert roles(save_model(tmp_path, "llama", eos_token_id=0), 100) == {"cat": 2}


def test_products_of_a_step() -> None:
    assert role_of(linear(64, 1024, 1024)) == "few_rows"
    assert role_of(linear(65, 1024, 1024)) is None
    assert role_of(linear(8, 1024, 128_000)) == "head"
    matrices, vectors = dense(32, 2048, 1024), dense(32, 1024, 1)
    assert role_of(Call("aten.bmm.default", (matrices, vectors), (), (dense(32, 2048, 1),))) == "expert_product"
    scores, values = dense(128, 1, 514), dense(128, 514, 64)
    assert role_of(Call("aten.bmm.default", (scores, values), (), (dense(128, 1, 64),))) == "attention_product"


@pytest.mark.parametrize(("experts", "rows", "busy_pct"), [(8, 64, 100.0), (128, 64, 50.0), (8, 12, 100.0)])
def test_a_gather_chooses_experts_equally_often(experts: int, rows: int, busy_pct: float) -> None:
    call = gather(experts, rows)
    assert is_expert_gather(call)
    args, kwargs = make_operands(call, CPU, torch.Generator().manual_seed(3))
    ids = args[1][0].tolist()
    counts = Counter(ids).values()
    assert len(set(ids)) == min(experts, rows) and max(counts) - min(counts) <= 1
    assert ids != sorted(ids)
    loads = operand_loads(call, args, kwargs)
    assert loads is not None and loads.busy_experts_pct == busy_pct


def test_a_cold_cache_rotates() -> None:
    call = cat(8192)
    cache_bytes = 2 * 8192 * 64 * 2
    assert rotated_bytes(call) == cache_bytes and count_copies(call, 60 * 2**20) * cache_bytes > 120 * 1024 * 1024
    generator = torch.Generator().manual_seed(1)
    args, _ = make_operands(call, CPU, generator)
    (cache, token), _ = args
    (fresh, same), dim = _with_fresh_weights(call, args, CPU, generator)
    assert same is token and dim == -2
    assert fresh.shape == cache.shape and not torch.equal(fresh, cache)


def test_weights_alone_rotate_where_there_are_any() -> None:
    call = linear(4096, 1024, 1024)
    assert rotated_bytes(call) == 2 * 1024 * 1024


def test_what_is_unlike_the_known_comes_first() -> None:
    cases = [PrimitiveCase(cat(length), "hot", "x", False, DTYPE) for length in (100, 101, 1000, 8000)]
    known = {point_of(cat(100), "hot")}
    picked = pick_unlike(cases, 4, known, random.Random(0))
    assert [case.call.tensors[0].shape[2] for case in picked] == [8000, 1000, 101], "the known one is left out"
    metered = spread(cases, 2, load_device("h200"), random.Random(0))
    assert sorted(case.call.tensors[0].shape[2] > 500 for case in metered) == [False, True]


def test_two_plans_share_a_harvest(tmp_path: Path, collected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {
        "models": [save_model(tmp_path, "llama"), save_model(tmp_path, "t5")], "batches": [1, 2],
        "contexts": [70, 80, 150, 400], "most_tokens": 300, "rows": str(collected.parent),
        "timed": {"cat": 5, "index_copy": 2}, "energy": {"cat": 3},
    }  # fmt: skip
    halves = [
        decode_cases(settings | {"part": [first, 2]}, tmp_path, load_device("h200"), random.Random(7))
        for first in (0, 1)
    ]
    whole = decode_cases(settings, tmp_path, load_device("h200"), random.Random(7))
    assert len(whole) == 7 and sum(case.energy for case in whole) == 3
    assert {case.key for half in halves for case in half} == {case.key for case in whole}
    assert {len(half) for half in halves} == {3, 4}
    assert all(case.call.tensors[0].shape[0] * case.call.tensors[0].shape[2] <= 400 for case in whole)
    assert {case.families for case in whole} == {"llama"}
    assert "400 static" not in capsys.readouterr().err, "more tokens than asked for are not traced"
