"""A meter that plays a recorded log against a clock, so that a measurement can be repeated without its device."""

from __future__ import annotations

import bisect
import csv
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from irene.errors import BadDataset, NoMeasurement
from irene.files import parse_json, read_text
from irene.meters.reading import DeviceState
from irene.quoting import quote

Record = tuple[float, float] | tuple[float, float, DeviceState]

_INTEGERS = ("throttle_reasons", "memory_used_bytes")
_STATE_FIELDS = tuple(field.name for field in fields(DeviceState))


class ReplayedMeter:
    """Plays records (time_s, energy_j[, state]); the first one is now, at the moment the meter is built.

    A reading is the latest record not after the clock; past the last one it raises NoMeasurement, because a counter
    that merely stands still would look like a device that draws nothing.

    >>> from irene.meters.simulated import VirtualClock
    >>> clock = VirtualClock()
    >>> meter = ReplayedMeter([(10.0, 500.0), (10.1, 530.0)], clock=clock)
    >>> clock.sleep(0.1)
    >>> meter.read_energy_j()
    530.0
    """

    def __init__(
        self,
        records: Sequence[Record],
        *,
        clock: Callable[[], float] = time.monotonic,
        averaging_s: float = 1.0,
        name: str = "replayed",
    ) -> None:
        self._times_s = [record[0] for record in records]
        self._energies_j = [record[1] for record in records]
        self._states = [record[2] if len(record) == 3 else DeviceState() for record in records]
        if len(records) < 2 or any(b <= a for a, b in zip(self._times_s, self._times_s[1:], strict=False)):
            raise BadDataset(f"A replay needs at least two records with rising times, got {len(records)} records.")
        self._averaging_s = averaging_s
        self._name = name
        self._clock = clock
        self._start_s = clock()

    @property
    def name(self) -> str:
        return self._name

    def read_energy_j(self) -> float:
        """Read the recorded counter, J; raises NoMeasurement past the end."""
        return self._energies_j[self._find()]

    def read_power_w(self) -> float:
        """Read the recorded power, W, or else the counter's slope over the last second, or raise NoMeasurement."""
        now = self._find()
        recorded_w = self._states[now].power_w
        if recorded_w is not None:
            return recorded_w
        before = bisect.bisect_left(self._times_s, self._times_s[now] - self._averaging_s)
        if before >= now:
            raise NoMeasurement(f"{self._name}: no power yet, only {now + 1} records have been played.")
        return (self._energies_j[now] - self._energies_j[before]) / (self._times_s[now] - self._times_s[before])

    def read_state(self) -> DeviceState:
        """Read the recorded state; `power_w` as `read_power_w` where there is one."""
        state = self._states[self._find()]
        try:
            return replace(state, power_w=self.read_power_w())
        except NoMeasurement:
            return state

    def close(self) -> None:
        """Nothing to give back."""

    def _find(self) -> int:
        # A nanosecond forgives what subtracting two clocks rounds away.
        time_s = self._clock() - self._start_s + self._times_s[0] + 1e-9
        if time_s > self._times_s[-1] + 2e-9:
            length_s = self._times_s[-1] - self._times_s[0]
            raise NoMeasurement(f"{self._name}: the log of {length_s:.3f} s is over; record a longer one.")
        return bisect.bisect_right(self._times_s, time_s) - 1


def load_replay(path: str | Path, *, clock: Callable[[], float] = time.monotonic) -> ReplayedMeter:
    """Load a log: CSV with a header, or a JSON list of objects; `time_s` and `energy_j`, and DeviceState's names.

    Raises BadDataset on what cannot be read, with the record's number.
    """
    path = Path(path)
    try:
        text = read_text(path, "log", BadDataset)
        where = f"The log {quote(str(path))}"
        rows: Any = (
            parse_json(text, where, BadDataset) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
        )
    except csv.Error as error:
        raise BadDataset(f"Cannot read the log {path}: {error}.") from None
    if not isinstance(rows, list):
        raise BadDataset(f"{path}: expected a JSON list of records, got {type(rows).__name__}.")
    return ReplayedMeter(
        [_parse(row, f"{path}, record {i + 1}") for i, row in enumerate(rows)], clock=clock, name=path.name
    )


def _parse(row: Any, where: str) -> Record:
    known = ("time_s", "energy_j", *_STATE_FIELDS)
    if not isinstance(row, dict) or not {"time_s", "energy_j"} <= set(row) or not set(row) <= set(known):
        got = quote(sorted(map(str, row)) if isinstance(row, dict) else row)
        raise BadDataset(f"{where}: expected time_s, energy_j and any of {', '.join(_STATE_FIELDS)}; got {got}.")
    try:
        given = {k: v for k, v in row.items() if v not in (None, "")}
        state = {k: int(v) if k in _INTEGERS else float(v) for k, v in given.items() if k in _STATE_FIELDS}
        time_s, energy_j = float(given["time_s"]), float(given["energy_j"])
        if not all(map(math.isfinite, (time_s, energy_j, *state.values()))):
            raise ValueError("nan or infinity")
        return time_s, energy_j, DeviceState(**state)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadDataset(f"{where}: not a number or missing: {error}.") from None
