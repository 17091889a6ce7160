"""Meters of energy: NVML, RAPL, Zeus, and the replayed and simulated ones that need no hardware.

Importing this room is cheap and touches no driver: NVML is loaded when an `NvmlMeter` is built.
"""

from irene.meters.nvml import NvmlMeter
from irene.meters.rapl import RaplMeter
from irene.meters.reading import DeviceState, Meter
from irene.meters.replayed import ReplayedMeter, load_replay
from irene.meters.simulated import SimulatedMeter, VirtualClock
from irene.meters.zeus import ZeusMeter

__all__ = [
    "DeviceState",
    "Meter",
    "NvmlMeter",
    "RaplMeter",
    "ReplayedMeter",
    "SimulatedMeter",
    "VirtualClock",
    "ZeusMeter",
    "load_replay",
]
