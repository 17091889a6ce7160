"""What to measure on a GPU that a predictor is carried over to: few calls that say most of all, and a few whole models.

The calls come from a list that is shipped (`plans/calibrate.toml`), or from the model that the user cares for.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from irene.errors import BadInput
from irene.hardware.roofline import roofline_s
from irene.hardware.spec import DeviceSpec
from irene.measuring.choosing import pick_central
from irene.measuring.plan import GenerationCase, ModelCase, Plan, PrimitiveCase, load_plan
from irene.model_tree.workload import Workload
from irene.primitives.call import Call
from irene.primitives.kinds import launches_kernel
from irene.primitives.work import count_work

PLAN = Path(__file__).parent / "plans" / "calibrate.toml"
FEWEST_POINTS, MOST_POINTS = 8, 400
_OTHER_DTYPE_SHARE = 1 / 3  # most models run in 16 bits; of the calls in float32 a third is chosen from
# Shorter calls are launches, longer ones are what others say already.
_SHORTEST_S, _LONGEST_S = 1e-6, 50e-3
_MEMORY_SHARE = 0.2  # of the board's, that one call may take: cold weights are copied
_SIXTEEN_BITS = ("bfloat16", "float16")
_OF_A_MODEL = ((8, 128), (1, 512), (16, 512))  # batch size, tokens: the calls of a user's model at these
_COLD_FROM_BYTES = 2**20


def plan_calibration(spec: DeviceSpec, points: int, for_model: str | None = None, seed: int = 0) -> Plan:
    """A plan of so many primitives and three whole models for a device.

    `for_model` is a name or a path: its kinds of calls are then the ones measured, and it is the first model. Raises
    BadInput for fewer points than tell anything, and for a device with no dtype that the plan has.
    """
    if not FEWEST_POINTS <= points <= MOST_POINTS:
        raise BadInput(
            f"A calibration takes {FEWEST_POINTS} to {MOST_POINTS} points, got {points}: fewer say nothing of what was "
            "not measured. Use --points 8, or 40."
        )
    shipped = load_plan(PLAN)
    half = next((dtype for dtype in _SIXTEEN_BITS if dtype in spec.peak_flop_per_s), None)
    dtypes = {dtype for dtype in (half, "float32") if dtype in spec.peak_flop_per_s}
    if not dtypes:
        raise BadInput(
            f"{spec.name} has a peak in none of {', '.join((*_SIXTEEN_BITS, 'float32'))}: nothing is planned."
        )
    dtype = half or "float32"
    known = list(shipped.primitives) if for_model is None else _calls_of(for_model, dtype)
    fitting = [case for case in known if case.weights != "host" and case.dtype in dtypes and _is_fit(case, spec)]
    if len(fitting) < points:
        source = for_model or PLAN.name
        raise BadInput(f"{source} has {len(fitting)} calls that fit {spec.name}, {points} points are wanted.")
    rng = random.Random(seed)
    thinned = [case for case in fitting if case.dtype == dtype or rng.random() < _OTHER_DTYPE_SHARE]
    chosen = pick_central(thinned if len(thinned) >= points else fitting, points, spec, rng)
    models = [replace(case, workload=replace(case.workload, dtype=dtype)) for case in shipped.models]
    if for_model is not None:
        models.insert(0, ModelCase(for_model, Workload(batch_size=8, seq_len=128, dtype=dtype)))
    kept: tuple[ModelCase | GenerationCase, ...] = tuple(models[: len(shipped.models)])
    return Plan(f"calibrate {spec.name}", seed, tuple(replace(case, energy=True) for case in chosen), kept)


def without_energy(plan: Plan) -> Plan:
    """The same primitives with time alone, and no models: for a device without an energy counter."""
    return replace(plan, primitives=tuple(replace(case, energy=False) for case in plan.primitives), models=())


def _calls_of(model: str, dtype: str) -> list[PrimitiveCase]:
    """The distinct calls of a model at a few workloads, with weights hot and, where they are large, cold."""
    from irene.tracing.sources import load_config
    from irene.tracing.tracer import trace_config

    config = load_config(model)
    calls: dict[Call, None] = {}
    for batch_size, seq_len in _OF_A_MODEL:
        workload = Workload(batch_size=batch_size, seq_len=seq_len, dtype=dtype)
        leaves = trace_config(config, workload, model).root.leaves
        calls.update(dict.fromkeys(leaf.call for leaf in leaves if leaf.call is not None))
    cases = []
    for call in calls:
        weight_bytes = sum(spec.bytes for spec in call.tensors if spec.weight)
        for weights in ("hot", "cold") if weight_bytes >= _COLD_FROM_BYTES else ("hot",):
            cases.append(PrimitiveCase(call, weights, "", True, dtype))
    return [case for case in cases if launches_kernel(case.call)]


def _is_fit(case: PrimitiveCase, spec: DeviceSpec) -> bool:
    least_s = roofline_s(count_work(case.call), case.dtype, spec)
    held_bytes = sum(tensor.bytes for tensor in (*case.call.tensors, *case.call.outputs))
    return _SHORTEST_S <= least_s <= _LONGEST_S and held_bytes <= _MEMORY_SHARE * spec.memory_bytes
