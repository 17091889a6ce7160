"""Which primitives to replay: trace a plan's models, keep the distinct calls, choose those that teach most.

    python -m irene.measuring.harvest data/plans/first.toml

writes the signatures beside the plan. Needs no GPU. All distinct calls are timed; within each kind, energy is measured
for a number of them that are spread evenly over the roofline time, so that small and large are both known.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from irene.dataset.families import RANDOM_SHAPES, family_of
from irene.errors import BadInput
from irene.hardware.devices import DEFAULT_DEVICE, load_device
from irene.hardware.roofline import roofline_s
from irene.hardware.spec import DeviceSpec
from irene.measuring.choosing import spread
from irene.measuring.decode_harvest import decode_cases
from irene.measuring.expert_routing import can_deviate, offsets_of
from irene.measuring.low_precision_shapes import low_precision_calls
from irene.measuring.plan import PrimitiveCase, read_plan_file, save_primitive_cases
from irene.measuring.random_shapes import random_calls
from irene.measuring.remeasure import measured_cases
from irene.measuring.replaying import COLD_FROM_BYTES
from irene.measuring.resizing import resized_calls
from irene.measuring.uncommon_shapes import uncommon_calls
from irene.model_tree.workload import Workload
from irene.primitives.call import Call, TensorSpec
from irene.primitives.expert_calls import GROUPED_PRODUCTS
from irene.primitives.kinds import kind_of
from irene.primitives.work import count_work
from irene.tracing.shortening import shorten
from irene.tracing.sources import load_config
from irene.tracing.tracer import trace_config

_LARGEST_BYTES = 16e9


@dataclass(slots=True)
class _Found:
    call: Call
    dtype: str
    families: set[str]


def harvest(plan_path: Path) -> list[PrimitiveCase]:
    """The primitive cases of a plan's [harvest] table: models x workloads x dtypes, random shapes, and energy quotas.

    Limits (`most`) and quotas (`energy`) go by kind, or by operator where they name one; `other` is the rest.
    Of random calls, those that physics allows to be shorter than its `shortest_s` are left out. Its `measured` names
    how many calls of a kind to time once more, of those in the collections under `rows` (a path from the plan).
    Its `load_deviations` are those at which grouped products come again, beside equal loads. Its `decode` table adds
    the calls of decode steps. Its `device` is the one whose physics is meant.
    """
    settings = read_plan_file(plan_path).get("harvest")
    if not isinstance(settings, dict) or not {"models", "workloads", "dtypes", "energy"} <= set(settings):
        raise BadInput(f"{plan_path}: expected a table [harvest] with models, workloads, dtypes and energy.")
    spec = load_device(str(settings.get("device", DEFAULT_DEVICE)))
    rng = random.Random(int(settings.get("seed", 0)))
    found: dict[tuple[str, Call], _Found] = {}
    host: dict[str, Call] = {}
    for dtype in settings["dtypes"]:
        for _, family, call in trace_calls(settings["models"], settings["workloads"], dtype):
            remember_host(host, call)
            if _is_replayed(call):
                found.setdefault((dtype, call), _Found(call, dtype, set())).families.add(family)
    resized = list(resized_calls(settings.get("resized", {}), rng))
    shortest_s = float(settings.get("shortest_s", 0.0))
    programs = list(low_precision_calls(settings.get("low_precision", {}), rng))
    programs += uncommon_calls(settings.get("uncommon", {}), rng)
    for call, dtype in chain(resized, random_calls(settings.get("grid", {}), rng), programs):
        if _is_replayed(call) and roofline_s(count_work(call), dtype, spec) >= shortest_s:
            found.setdefault((dtype, call), _Found(call, dtype, {RANDOM_SHAPES}))
    for call, _ in (*resized, *programs):
        remember_host(host, call)
    cases = []
    for item in found.values():
        for weights in ("hot", "cold") if _weight_bytes(item.call) >= COLD_FROM_BYTES else ("hot",):
            cases.append(PrimitiveCase(item.call, weights, ",".join(sorted(item.families)), False, item.dtype))
    cases = limit_cases(cases, settings.get("most", {}), rng)
    if measured := settings.get("measured", {}):
        cases += measured_cases(plan_path.parent / settings["rows"], measured, rng)
    cases = choose_energy(cases, settings["energy"], spec, rng)
    cases += draw_loads(cases, settings.get("load_deviations", []))
    if decode := settings.get("decode"):
        cases += decode_cases(decode, plan_path.parent, spec, rng)
    return cases + [PrimitiveCase(call, "host", "", False, "bfloat16") for call in host.values()]


def trace_calls(models: Iterable[str], workloads: Iterable[list[int]], dtype: str) -> Iterable[tuple[str, str, Call]]:
    """(model, family, call) of every distinct leaf; two layers of each stack stand for all."""
    for model in models:
        config = shorten(load_config(model))
        family = family_of(config.model_type)
        for batch_size, seq_len in workloads:
            try:
                tree = trace_config(config, Workload(batch_size=batch_size, seq_len=seq_len, dtype=dtype), model)
            except Exception as error:  # one workload that a model refuses (its positions) must not stop the harvest
                print(f"{model} {batch_size}x{seq_len} {dtype}: {error}", file=sys.stderr)
                continue
            for call in dict.fromkeys(leaf.call for leaf in tree.root.leaves if leaf.call is not None):
                yield model, family, call


def limit_cases(cases: list[PrimitiveCase], most: dict[str, int], rng: random.Random) -> list[PrimitiveCase]:
    """At most so many cases of a kind or operator, drawn at random; model calls and random ones alike."""
    kept: list[PrimitiveCase] = []
    for group, members in _by_group(cases, most).items():
        limit = most.get(group, most.get("other", len(members)))
        kept.extend(members if len(members) <= limit else rng.sample(members, limit))
    return kept


def draw_loads(cases: list[PrimitiveCase], deviations: list[float]) -> list[PrimitiveCase]:
    """The grouped products among the cases, at each deviation of loads that their number of experts can have.

    They are metered where their twins with equal loads are, so that only loads differ.
    """
    drawn = []
    for case in cases:
        offsets = offsets_of(case.call.args, dict(case.call.kwargs)) if case.call.op in GROUPED_PRODUCTS else None
        if isinstance(offsets, TensorSpec):
            possible = [deviation for deviation in deviations if can_deviate(offsets.shape[0], deviation)]
            drawn += [replace(case, load_deviation=float(deviation)) for deviation in possible]
    return drawn


def choose_energy(
    cases: list[PrimitiveCase], quotas: dict[str, int], spec: DeviceSpec, rng: random.Random
) -> list[PrimitiveCase]:
    """Mark, within each kind or operator, so many cases evenly spread over their roofline time."""
    chosen: set[PrimitiveCase] = set()
    for group, members in _by_group(cases, quotas).items():
        chosen.update(spread(members, quotas.get(group, quotas.get("other", 0)), spec, rng))
    return [replace(case, energy=case in chosen) for case in cases]


def _by_group(cases: list[PrimitiveCase], named: Collection[str] = ()) -> dict[str, list[PrimitiveCase]]:
    """Cases by the operator's name where it is among `named`, else by kind."""
    groups: dict[str, list[PrimitiveCase]] = {}
    for case in cases:
        groups.setdefault(case.call.name if case.call.name in named else kind_of(case.call), []).append(case)
    return groups


def _is_replayed(call: Call) -> bool:
    # In other dtypes torch loops over the groups and waits for their sizes, which no captured graph can do.
    waits = call.name == "_grouped_mm" and call.tensors[0].dtype != "bfloat16"
    waits |= any(tensor.on_host for tensor in call.tensors)
    return kind_of(call) != "view" and _size(call) <= _LARGEST_BYTES and not waits


def remember_host(smallest: dict[str, Call], call: Call) -> None:
    """Of each op the smallest call: what it costs the host, not the device.

    One whose operands lie densely goes before one that has to be copied first, which costs the host twice.
    """
    is_sent = any(tensor.on_host for tensor in call.tensors)  # another price, and another place to replay from
    if not is_sent and (call.op not in smallest or _host_rank(call) < _host_rank(smallest[call.op])):
        smallest[call.op] = call


def _host_rank(call: Call) -> tuple[bool, int]:
    return not all(tensor.is_contiguous for tensor in call.tensors), _size(call)


def _size(call: Call) -> int:
    return sum(spec.bytes for spec in (*call.tensors, *call.outputs))


def _weight_bytes(call: Call) -> int:
    return sum(spec.bytes for spec in call.tensors if spec.weight)


def main() -> None:
    """Harvest the plan that is named, and write its list of primitives beside it."""
    plan_path = Path(sys.argv[1])
    cases = harvest(plan_path)
    save_primitive_cases(cases, plan_path.parent / read_plan_file(plan_path)["primitives"])
    for group, members in sorted(_by_group(cases, {case.call.name for case in cases if case.energy}).items()):
        timed = [case for case in members if case.weights != "host"]
        print(f"{group:32} {len(timed):5} timed, {sum(case.energy for case in timed):4} with energy")


if __name__ == "__main__":
    main()
