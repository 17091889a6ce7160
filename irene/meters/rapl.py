"""The meter of Intel and AMD processors: RAPL through Linux's powercap files."""

from __future__ import annotations

from pathlib import Path

from irene.errors import MeterError, NotSupported
from irene.meters.reading import DeviceState

_MICROJOULE_J = 1e-6


class RaplMeter:
    """Energy of one processor package, in J, from `/sys/class/powercap/intel-rapl:N/energy_uj`.

    The counter wraps after about 262 kJ (minutes under load); it is unwrapped here, correctly as long as it is read at
    least once a wrap. Raises MeterError where there is no such file, or it is not readable (since Linux 5.10: root).

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
        self._range_j = int(self._read_text("max_energy_range_uj")) * _MICROJOULE_J
        self._wrapped_j = 0.0
        self._last_j = self._read_counter_j()

    @property
    def name(self) -> str:
        return self._name

    def read_energy_j(self) -> float:
        """Read the counter, J, unwrapped since this meter was built."""
        raw_j = self._read_counter_j()
        if raw_j < self._last_j:
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
        return int(self._read_text("energy_uj")) * _MICROJOULE_J

    def _read_text(self, file: str) -> str:
        try:
            return (self._domain / file).read_text().strip()
        except PermissionError:
            raise MeterError(
                f"Only root may read {self._domain / file}: run as root, or 'sudo chmod a+r' the file."
            ) from None
        except OSError as error:
            raise MeterError(f"Reading {self._domain / file} failed: {error.strerror}.") from None
