"""Which calls of decode steps to replay: each has a role, and in each role those unlike what is known come first.

A plan's [harvest.decode] names models, batches, contexts and caches, how many calls of a role to time, and how many of
those to meter. `rows` are the collections (a path from the plan) of what is known. Of `part` = [1, 2] every second
case is taken, from the second: two plans that differ in nothing else share the cases of one harvest.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from irene.dataset.families import family_of
from irene.hardware.devices import DEFAULT_DEVICE, load_device
from irene.hardware.spec import DeviceSpec
from irene.measuring.choosing import Point, pick_unlike, point_of, spread
from irene.measuring.decode_steps import trace_decode_calls
from irene.measuring.plan import PrimitiveCase
from irene.measuring.replaying import COLD_FROM_BYTES, rotated_bytes
from irene.primitives.call import Call, read_signature
from irene.primitives.expert_calls import is_expert_gather
from irene.primitives.kinds import kind_of
from irene.primitives.shapes import gemm_shape
from irene.tracing.generation import generation_task
from irene.tracing.sources import load_config

_DTYPE = "bfloat16"
_FEW_ROWS, _VOCABULARY = 64, 30_000
_LEAST_EXPERT_SIDE = 512  # of an expert's weights; heads of attention are smaller
_SHORTEST_CACHE = 64
_LARGEST_BYTES = 40e9


def decode_cases(
    settings: dict[str, Any], directory: Path, spec: DeviceSpec, rng: random.Random
) -> list[PrimitiveCase]:
    """The cases of a [harvest.decode] table; `directory` is the plan's."""
    found: dict[Call, set[str]] = {}
    for family, call in _trace_all(settings):
        if role_of(call) is not None and sum(t.bytes for t in (*call.tensors, *call.outputs)) <= _LARGEST_BYTES:
            found.setdefault(call, set()).add(family)
    by_role: dict[str, list[PrimitiveCase]] = {}
    for call, families in found.items():
        for weights in _weights_of(call):
            case = PrimitiveCase(call, weights, ",".join(sorted(families)), False, _DTYPE)
            by_role.setdefault(str(role_of(call)), []).append(case)
    known = _known_points(directory / settings["rows"])
    first, step = settings.get("part", [0, 1])
    chosen = []
    for role, cases in sorted(by_role.items()):
        timed = pick_unlike(cases, settings["timed"].get(role, 0), known.get(role, set()), rng)
        metered = set(spread(timed, settings["energy"].get(role, 0), spec, rng))
        print(f"{role:18} {len(cases):5} found, {len(timed):4} timed, {len(metered):3} with energy", file=sys.stderr)
        both = [replace(case, energy=True) for case in timed if case in metered]
        both += [case for case in timed if case not in metered]
        chosen += both[first::step]
    return chosen


def role_of(call: Call) -> str | None:
    """What a call does in a decode step, by its operands alone; None for what needs no rows of its own."""
    tensors, op = call.tensors, call.op
    if op == "aten.cat.default" and _is_cache_cat(call):
        cache, token = tensors
        return "cat_sliding" if not cache.is_contiguous else "cat" if token.is_contiguous else "cat_strided"
    if is_expert_gather(call):
        return "expert_gather"
    if kind_of(call) == "attention" and tensors[1].shape[-2] >= _SHORTEST_CACHE:
        if len(tensors) > 3:
            return "attention_masked"
        if dict(call.kwargs).get("enable_gqa"):
            return "attention_grouped"
        return "attention_folded" if tensors[0].shape[-2] > 1 else "attention"
    if op == "aten.index_copy_.default" and len(tensors[0].shape) == 4:
        return "index_copy"
    if kind_of(call) == "gemm" and tensors[0].dtype == _DTYPE:
        return _product_role(call)
    if tensors and tensors[0].shape[-1:] >= (_VOCABULARY,) and not tensors[0].weight:
        return {"copy": "vocabulary_cast", "reduction": "argmax"}.get(kind_of(call))
    return None


def _is_cache_cat(call: Call) -> bool:
    shapes = [t.shape for t in call.tensors]
    if len(shapes) != 2 or len(shapes[0]) != 4 or len(shapes[1]) != 4:
        return False
    return shapes[1][2] == 1 and shapes[0][2] >= _SHORTEST_CACHE and shapes[0][3] == shapes[1][3]


def _product_role(call: Call) -> str | None:
    weights = [t for t in call.tensors if t.weight and len(t.shape) == 2]
    rows = gemm_shape(call).m if weights else 0
    if weights and rows <= _FEW_ROWS and weights[0].bytes >= COLD_FROM_BYTES:
        return "head" if max(weights[0].shape) >= _VOCABULARY else "few_rows"
    if weights or len(call.tensors[0].shape) < 3:
        return None
    sides = [t.shape[-2:] for t in call.tensors]
    if call.name == "bmm" and any(min(side) == 1 for side in sides):
        return "expert_product" if any(min(side) >= _LEAST_EXPERT_SIDE for side in sides) else "attention_product"
    return "attention_product" if max(max(side) for side in sides) >= _SHORTEST_CACHE else None


def _weights_of(call: Call) -> tuple[str, ...]:
    """Hot, cold or both: in a real step the other layers' weights and caches have passed through the L2 since."""
    role, rotated = str(role_of(call)), rotated_bytes(call)
    if role in ("head", "few_rows", "expert_gather"):
        return ("cold",) if rotated >= COLD_FROM_BYTES else ("hot",)
    if role.startswith(("cat", "attention")) and COLD_FROM_BYTES <= rotated < 2 * load_device(DEFAULT_DEVICE).l2_bytes:
        return ("hot", "cold")
    return ("hot",)


def _known_points(directory: Path) -> dict[str, set[Point]]:
    """By role: where the timed calls of a folder of collections lie."""
    from irene.dataset.store import load_rows

    rows = load_rows(directory)
    known: dict[str, set[Point]] = {}
    chosen = rows[(rows["level"] == "primitive") & (rows["dtype"] == _DTYPE)]
    for signature, weights in chosen[["signature", "weights"]].drop_duplicates().itertuples(index=False):
        call = read_signature(signature)
        if role := role_of(call):
            known.setdefault(role, set()).add(point_of(call, weights))
    return known


def _trace_all(settings: dict[str, Any]) -> Iterable[tuple[str, Call]]:
    for model in settings["models"]:
        config = load_config(model)
        caches = ("dynamic", "static") if generation_task(config) == "causal-lm" else ("dynamic",)
        for batch_size, context_len, cache in product(settings["batches"], settings["contexts"], caches):
            if batch_size * context_len > settings["most_tokens"]:
                continue
            try:
                for call in trace_decode_calls(model, batch_size, context_len, _DTYPE, cache):
                    yield family_of(config.model_type), call
            except Exception as error:  # a model that refuses one context must not stop the harvest
                print(f"{model} {batch_size}x{context_len} {cache}: {error!r:.160}", file=sys.stderr)
