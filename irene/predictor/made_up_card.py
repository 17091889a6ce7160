"""A card that is made up, to rehearse a calibration on: the predicted one with other roofs, floor, cap and watts."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping
from dataclasses import replace

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.correction import LeafCorrection
from irene.leaves.leaf_table import effective_dtype, make_table
from irene.leaves.transferred import TransferredLeaves
from irene.measuring.plan import PrimitiveCase
from irene.measuring.simulated_machine import Cost, SimulatedMachine
from irene.model_tree.tree import ModelTree
from irene.predictor.predictor import Predictor
from irene.predictor.transfer import transfer

_SPANS = {
    "arithmetic": (0.7, 1.1), "bandwidth": (0.7, 1.1), "floor": (0.8, 2.0), "cap": (0.75, 1.1), "joules": (0.8, 1.4),
}  # fmt: skip
_NOISE = 0.01


def draw_factors(seed: int) -> dict[str, float]:
    """By how much a made-up card differs from the sheet, in peaks, memory, launch floor, power cap and joules."""
    rng = random.Random(seed)
    return {name: round(rng.uniform(*span), 3) for name, span in _SPANS.items()}


def distort(spec: DeviceSpec, factors: Mapping[str, float]) -> DeviceSpec:
    """The sheet of the made-up card; its joules are no number of a sheet."""
    cap_w = max(spec.power_cap_w * factors["cap"], 1.01 * spec.context_idle_power_w)
    return replace(
        spec,
        peaks=tuple((dtype, peak * factors["arithmetic"]) for dtype, peak in spec.peaks),
        vector_flop_per_s=spec.vector_flop_per_s * factors["arithmetic"],
        hbm_bytes_per_s=spec.hbm_bytes_per_s * factors["bandwidth"],
        kernel_floor_s=spec.kernel_floor_s * factors["floor"],
        power_cap_w=cap_w,
    )


def make_up_card(
    measured: Predictor, spec: DeviceSpec, sm_clock_hz: float | None = None, seed: int = 0
) -> SimulatedMachine:
    """A simulated machine that takes and draws what the distorted sheet predicts, give or take one per cent."""
    factors = draw_factors(seed)
    print(f"A made-up {spec.name}: {', '.join(f'{n} x {f}' for n, f in factors.items())}.", file=sys.stderr)
    card = predict_card(measured, spec, factors, sm_clock_hz)
    rng = random.Random(seed)

    def law(case: PrimitiveCase | ModelTree) -> Cost:
        noise = rng.gauss(1.0, _NOISE)
        if isinstance(case, ModelTree):
            whole = card.predict(case)
            return Cost(whole.duration_s * noise, whole.duration_s * noise, whole.energy_j / whole.duration_s)
        dtype = effective_dtype(case.call, case.dtype)
        table = make_table([case.call], [dtype], [case.weights == "cold"], card.spec)
        values, burst_s = card.leaves.predict(table), card.leaves.predict_burst_s(table)
        return Cost(_only(burst_s) * noise, _only(values.duration_s) * noise, _only(values.power_w))

    return SimulatedMachine(law, spec.context_idle_power_w, f"made-up {spec.name}")


def predict_card(
    measured: Predictor, spec: DeviceSpec, factors: Mapping[str, float], sm_clock_hz: float | None = None
) -> Predictor:
    """What a made-up card would really do: the predictor of its distorted sheet, its joules times a factor."""
    card = transfer(measured, distort(spec, factors), sm_clock_hz)
    assert isinstance(card.leaves, TransferredLeaves)
    drawn = LeafCorrection(joules_log=math.log(factors["joules"]))
    return replace(card, leaves=replace(card.leaves, correction=drawn))


def _only(values: FloatArray) -> float:
    return float(values[0])
