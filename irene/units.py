"""SI inside: the few conversions that doors (NVML, terminals) need, each by name."""

from __future__ import annotations

MILLIJOULE_J = 1e-3
MILLIWATT_W = 1e-3
MEGAHERTZ_HZ = 1e6
KILOWATT_HOUR_J = 3.6e6

_PREFIXES = (
    (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"),
)  # fmt: skip


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """Write a value with an SI prefix, for people.

    >>> format_quantity(0.00153, "J"), format_quantity(178_787_450_880, "FLOP"), format_quantity(0.0, "W")
    ('1.53 mJ', '179 GFLOP', '0 W')
    """
    if value == 0:
        return f"0 {unit}"
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * (1 - 0.5 * 10**-digits):
            return f"{value / scale:.{digits}g} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"
