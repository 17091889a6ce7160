"""What accelerators promise: spec sheets with a source for every number, and the roofline that follows from them."""

from irene.hardware.devices import DEFAULT_DEVICE, device_of, list_devices, load_device
from irene.hardware.roofline import bound_of, compute_s, memory_s, ridge_flop_per_byte, roofline_s
from irene.hardware.spec import DeviceSpec, read_spec

__all__ = [
    "DEFAULT_DEVICE",
    "DeviceSpec",
    "bound_of",
    "compute_s",
    "device_of",
    "list_devices",
    "load_device",
    "memory_s",
    "read_spec",
    "ridge_flop_per_byte",
    "roofline_s",
]
