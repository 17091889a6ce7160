"""The meter of Intel and AMD processors: RAPL through Linux's powercap files."""

from __future__ import annotations

from pathlib import Path

from irene.errors import MeterError, NotSupported
from irene.meters.reading import DeviceState
from irene.quoting import quote

_MICROJOULE_J = 1e-6


class RaplMeter:
    """Energy of one processor package, in J, from `/sys/class/powercap/intel-rapl:N/energy_uj`.

    The counter wraps after about 262 kJ (minutes under load); it is unwrapped here, correctly as long as it is read at
    least once a wrap. Raises MeterError where there is no such file, where it is not readable (since Linux 5.10: root),
    and at a wrap of a counter whose range is not known.

    >>> RaplMeter(domain="/no/such/directory")
    Traceback (most recent call last):
    ...
    irene.errors.MeterError: No RAPL at /no/such/directory: virtual machines and most non-x86 hosts have none.
    """

    def __init__(self, domain: str | Path = "/sys/class/powercap/intel-rapl:0") -> None:
        self._domain = Path(domain)
        if not (self._domain / "energy_uj").exists():
            raise MeterError(f"No RAPL at {domain}: virtual machines and most non-x86 hosts have none.")
        self._name = self._read_text("name")
        self._range_j = self._read_j("max_energy_range_uj")
        self._wrapped_j = 0.0
        self._last_j = self._read_counter_j()

    @property
    def name(self) -> str:
        return self._name

    def read_energy_j(self) -> float:
        """Read the counter, J, unwrapped since this meter was built."""
        raw_j = self._read_counter_j()
        if raw_j < self._last_j:
            if self._range_j < self._last_j:  # 0 on some machines: how much was counted at the wrap is not known
                raise MeterError(
                    f"The counter of {self._domain} fell from {self._last_j:.1f} to {raw_j:.1f} J, and its range is "
                    f"{self._range_j:.1f} J: it cannot be unwrapped. Measure again, for a shorter time."
                )
            self._wrapped_j += self._range_j
        self._last_j = raw_j
        return self._wrapped_j + raw_j

    def read_power_w(self) -> float:
        """RAPL counts energy only: raises NotSupported."""
        raise NotSupported("RAPL offers no power; take the difference of two energies.")

    def read_state(self) -> DeviceState:
        """RAPL offers none of these: every field is None."""
        return DeviceState()

    def close(self) -> None:
        """Nothing to give back."""

    def _read_counter_j(self) -> float:
        return self._read_j("energy_uj")

    def _read_j(self, file: str) -> float:
        text = self._read_text(file)
        if not (text.isascii() and text.isdecimal()):
            raise MeterError(f"{self._domain / file}: expected a whole number of microjoules, got {quote(text)}.")
        return int(text[:30]) * _MICROJOULE_J

    def _read_text(self, file: str) -> str:
        try:
            return (self._domain / file).read_text().strip()
        except PermissionError:
            raise MeterError(
                f"Only root may read {self._domain / file}: run as root, or 'sudo chmod a+r' the file."
            ) from None
        except OSError as error:
            raise MeterError(f"Reading {self._domain / file} failed: {error.strerror}.") from None
