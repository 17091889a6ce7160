"""Which primitives to replay: trace a plan's models, keep the distinct calls, choose those that teach most.

    python -m irene.measuring.harvest data/plans/first.toml

writes the signatures beside the plan. Needs no GPU. All distinct calls are timed; within each kind, energy is measured
for a number of them that are spread evenly over the roofline time, so that small and large are both known.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from irene.dataset.families import family_of
from irene.errors import BadInput
from irene.hardware.roofline import roofline_s
from irene.hardware.spec import DeviceSpec, load_device
from irene.measuring.plan import PrimitiveCase, read_plan_file, save_primitive_cases
from irene.model_tree.tree import Workload
from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import kind_of
from irene.primitives.work import count_work
from irene.tracing.sources import load_config
from irene.tracing.tracer import trace_config

_COLD_FROM_BYTES = 1_000_000
_LARGEST_BYTES = 16e9
_LAYER_COUNTS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
)  # fmt: skip
_HEADS = (4, 8, 12, 16, 20, 25, 32, 40, 64)
_HEAD_SIZES = (64, 64, 80, 96, 128, 128, 256)


@dataclass(slots=True)
class _Found:
    call: Call
    dtype: str
    families: set[str]


def harvest(plan_path: Path) -> list[PrimitiveCase]:
    """The primitive cases of a plan's [harvest] table: models x workloads x dtypes, a grid, and energy quotas."""
    settings = read_plan_file(plan_path).get("harvest")
    if not isinstance(settings, dict) or not {"models", "workloads", "dtypes", "energy"} <= set(settings):
        raise BadInput(f"{plan_path}: expected a table [harvest] with models, workloads, dtypes and energy.")
    spec = load_device("h200")
    rng = random.Random(int(settings.get("seed", 0)))
    found: dict[tuple[str, Call], _Found] = {}
    host: dict[str, Call] = {}
    for dtype in settings["dtypes"]:
        for _, family, call in trace_calls(settings["models"], settings["workloads"], dtype):
            smallest = host.get(call.op)
            if smallest is None or _size(call) < _size(smallest):
                host[call.op] = call
            if kind_of(call) == "view" or _size(call) > _LARGEST_BYTES:
                continue
            found.setdefault((dtype, call), _Found(call, dtype, set())).families.add(family)
    for call, dtype in grid_calls(settings.get("grid", {}), rng):
        found.setdefault((dtype, call), _Found(call, dtype, {"grid"}))
    cases = []
    for item in found.values():
        for weights in ("hot", "cold") if _weight_bytes(item.call) >= _COLD_FROM_BYTES else ("hot",):
            cases.append(PrimitiveCase(item.call, weights, ",".join(sorted(item.families)), False, item.dtype))
    cases = limit_cases(cases, settings.get("most", {}), rng)
    cases = choose_energy(cases, settings["energy"], spec, rng)
    return cases + [PrimitiveCase(call, "host", "", False, "bfloat16") for call in host.values()]


def trace_calls(models: Iterable[str], workloads: Iterable[list[int]], dtype: str) -> Iterable[tuple[str, str, Call]]:
    """(model, family, call) of every distinct leaf; two layers of each stack stand for all."""
    for model in models:
        config = shorten(load_config(model))
        family = family_of(config.model_type)
        for batch_size, seq_len in workloads:
            try:
                tree = trace_config(config, Workload(batch_size, seq_len, None, dtype), model)
            except Exception as error:  # one workload that a model refuses (its positions) must not stop the harvest
                print(f"{model} {batch_size}x{seq_len} {dtype}: {error}", file=sys.stderr)
                continue
            for call in dict.fromkeys(leaf.call for leaf in tree.root.leaves if leaf.call is not None):
                yield model, family, call


def shorten(config: Any) -> Any:
    """The same architecture with two layers (or the period of its layer types)."""
    layer_types = getattr(config, "layer_types", None)
    keep = 2 if not layer_types else max(2, len(layer_types) // max(1, layer_types.count("full_attention")))
    for name in _LAYER_COUNTS:
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, min(keep, getattr(config, name)))
    if layer_types:
        config.layer_types = list(layer_types[:keep])
    return config


def grid_calls(settings: dict[str, Any], rng: random.Random) -> Iterable[tuple[Call, str]]:
    """Random shapes beside those of models: linear layers and attention, log-uniform within the given ranges."""
    for mode in settings.get("dtypes", []):
        dtype = "float32" if mode == "tf32" else mode  # TF32 is a setting: its tensors are float32
        for _ in range(int(settings.get("linear", 0))):
            rows = _draw(rng, 1, 32768)
            out_features, in_features = _draw(rng, 64, 28672, 64), _draw(rng, 64, 28672, 64)
            if rows * out_features * in_features > 3e12:
                continue
            x, weight = dense((rows, in_features), dtype), dense((out_features, in_features), dtype, weight=True)
            bias = dense((out_features,), dtype, weight=True) if rng.random() < 0.5 else None
            yield Call("aten.linear.default", (x, weight, bias), (), (dense((rows, out_features), dtype),)), mode
        for _ in range(int(settings.get("attention", 0))):
            heads, head_size = rng.choice(_HEADS), rng.choice(_HEAD_SIZES)
            kv_heads = rng.choice((heads, heads, heads // 4))
            batch_size, seq_len = _draw(rng, 1, 64), _draw(rng, 16, 8192)
            if batch_size * heads * seq_len * seq_len * head_size > 4e12 or heads % kv_heads:
                continue
            q, k = (dense((batch_size, seq_len, h, head_size), dtype, order=(0, 2, 1, 3)) for h in (heads, kv_heads))
            kwargs = (("scale", None), ("enable_gqa", heads != kv_heads))
            causal = rng.random() < 0.6
            yield Call("aten.scaled_dot_product_attention.default", (q, k, k, None, 0.0, causal), kwargs, (q,)), mode


def dense(shape: tuple[int, ...], dtype: str, weight: bool = False, order: tuple[int, ...] | None = None) -> TensorSpec:
    """A contiguous tensor, its dimensions seen in another `order`."""
    strides, step = [0] * len(shape), 1
    for dim in reversed(range(len(shape))):
        strides[dim] = step
        step *= shape[dim]
    order = order or tuple(range(len(shape)))
    return TensorSpec(tuple(shape[d] for d in order), tuple(strides[d] for d in order), dtype, weight)


def limit_cases(cases: list[PrimitiveCase], most: dict[str, int], rng: random.Random) -> list[PrimitiveCase]:
    """At most so many cases of a kind, drawn at random; model calls and the grid alike."""
    kept: list[PrimitiveCase] = []
    for kind, members in _by_kind(cases).items():
        limit = most.get(kind, most.get("other", len(members)))
        kept.extend(members if len(members) <= limit else rng.sample(members, limit))
    return kept


def choose_energy(
    cases: list[PrimitiveCase], quotas: dict[str, int], spec: DeviceSpec, rng: random.Random
) -> list[PrimitiveCase]:
    """Mark, within each kind, so many cases evenly spread over their roofline time."""
    chosen: set[PrimitiveCase] = set()
    for kind, members in _by_kind(cases).items():
        quota = min(quotas.get(kind, quotas.get("other", 0)), len(members))
        ranked = sorted(members, key=lambda case: roofline_s(count_work(case.call), case.dtype, spec))
        for index in range(quota):  # one at random from each of `quota` equal slices
            start, end = index * len(ranked) // quota, (index + 1) * len(ranked) // quota
            chosen.add(ranked[rng.randrange(start, end)])
    return [replace(case, energy=case in chosen) for case in cases]


def _by_kind(cases: list[PrimitiveCase]) -> dict[str, list[PrimitiveCase]]:
    by_kind: dict[str, list[PrimitiveCase]] = {}
    for case in cases:
        by_kind.setdefault(kind_of(case.call), []).append(case)
    return by_kind


def _draw(rng: random.Random, low: int, high: int, step: int = 1) -> int:
    value: float = low * (high / low) ** rng.random()
    return max(step, round(value / step) * step)


def _size(call: Call) -> int:
    return sum(spec.bytes for spec in (*call.tensors, *call.outputs))


def _weight_bytes(call: Call) -> int:
    return sum(spec.bytes for spec in call.tensors if spec.weight)


def main() -> None:
    plan_path = Path(sys.argv[1])
    cases = harvest(plan_path)
    save_primitive_cases(cases, plan_path.parent / read_plan_file(plan_path)["primitives"])
    for kind, members in sorted(_by_kind(cases).items()):
        timed = [case for case in members if case.weights != "host"]
        print(f"{kind:14} {len(timed):5} timed, {sum(case.energy for case in timed):4} with energy")


if __name__ == "__main__":
    main()
