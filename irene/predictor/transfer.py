"""A predictor for a device that nobody measured, made from one for a device that was.

Leaves are carried over by the two spec sheets (`irene.leaves.transferred`); host, aggregation weights and all else
are those of the measured device. Every number is then 'transferred', with a wide interval.
"""

from __future__ import annotations

from dataclasses import replace

from irene.errors import BadInput
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafModel
from irene.leaves.transferred import TransferredLeaves, at_clock
from irene.predictor.predictor import Predictor
from irene.predictor.tiers import intervals_of_tier

_LOWEST_CLOCK, _HIGHEST_CLOCK = 0.15, 1.0


def transfer(measured: Predictor, spec: DeviceSpec, sm_clock_hz: float | None = None) -> Predictor:
    """The predictor of `spec`, at a locked clock if `sm_clock_hz` says one, from one that was trained on rows.

    Raises BadInput for a clock that the device does not have, and for a predictor that was transferred itself.
    """
    if not isinstance(measured.leaves, LeafModel):
        raise BadInput(f"A predictor for {measured.spec.name} that was transferred cannot be transferred again.")
    clock = 1.0 if sm_clock_hz is None else sm_clock_hz / spec.max_sm_clock_hz
    if not _LOWEST_CLOCK <= clock <= _HIGHEST_CLOCK:
        low, high = (share * spec.max_sm_clock_hz / 1e6 for share in (_LOWEST_CLOCK, _HIGHEST_CLOCK))
        raise BadInput(f"The clock of {spec.name} is from {low:.0f} to {high:.0f} MHz, got {sm_clock_hz:g} Hz.")
    slowed = at_clock(spec, clock)
    return replace(
        measured,
        info=replace(measured.info, name=f"{measured.info.name}, transferred to {spec.name}"),
        spec=slowed,
        leaves=TransferredLeaves(measured.leaves, measured.spec, slowed, clock),
        intervals=intervals_of_tier(points=0, models=0),
        domain=replace(measured.domain, metered=frozenset(), is_elsewhere=True),
    )
