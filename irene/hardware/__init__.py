"""What accelerators promise: spec sheets with a source for every number, and the roofline that follows from them."""

from irene.hardware.roofline import bound_of, compute_s, memory_s, ridge_flop_per_byte, roofline_array_s, roofline_s
from irene.hardware.spec import DeviceSpec, known_dtypes, list_devices, load_device, read_spec

__all__ = [
    "DeviceSpec",
    "bound_of",
    "compute_s",
    "known_dtypes",
    "list_devices",
    "load_device",
    "memory_s",
    "read_spec",
    "ridge_flop_per_byte",
    "roofline_array_s",
    "roofline_s",
]
