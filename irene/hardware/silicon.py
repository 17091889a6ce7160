"""What a joule depends on beside the work: the process a chip is made in, its highest clock, its kind of memory.

Factors are relative to the H200's (TSMC 4N, HBM3e). They are estimates, from memory of what foundries and makers of
memory promise; a prediction for another device is as wide as they are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Energy of the same switching, and the highest clock (Hz) of chips of that process that it holds for. 4N and 4NP are of
# the N5 family, 8N lies between N7 and 12FFN. Foundries promise more from one to the next (30 % less power from N7 to
# N5) than whole boards show: the factors are what others' measurements of a V100 and an A100 leave room for
# (experiments/other-gpus).
PROCESS_ENERGY: Mapping[str, tuple[float, float]] = MappingProxyType({
    "TSMC 4NP": (0.95, 1.98e9), "TSMC 4N": (1.0, 1.98e9), "TSMC N5": (1.0, 1.98e9), "TSMC N7": (1.15, 1.41e9),
    "Samsung 8N": (1.4, 1.7e9), "TSMC 12FFN": (2.0, 1.53e9),
})  # fmt: skip

# Energy of the same byte between chip and memory, from some 3.5 pJ a bit of HBM3e to 7 of GDDR6.
MEMORY_ENERGY: Mapping[str, float] = MappingProxyType({
    "HBM3e": 1.0, "HBM3": 1.05, "HBM2e": 1.1, "HBM2": 1.2, "GDDR7": 1.6, "GDDR6X": 1.9, "GDDR6": 1.9, "LPDDR5": 1.3,
})  # fmt: skip


_CLOCK_EXPONENT = 0.67


def switching_energy(process: str, max_sm_clock_hz: float) -> float:
    """Energy of the same switching at the highest clock and voltage of a chip: more where the clock goes higher.

    Voltage rises with about the cube root of the highest clock that is sold (`irene.leaves.voltage`), energy with its
    square.

    >>> switching_energy("TSMC 4N", 1.98e9)
    1.0
    """
    energy, clock_hz = PROCESS_ENERGY[process]
    return float(energy * (max_sm_clock_hz / clock_hz) ** _CLOCK_EXPONENT)
