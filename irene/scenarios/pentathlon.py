"""The value that a Pentathlon is: five metrics of one model in one scenario, measured or predicted, in SI units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from irene.scenarios.streams import Scenario
from irene.units import KILOWATT_HOUR_J

SCHEMA_VERSION = 1
METRICS: Mapping[str, str] = {
    "throughput_per_s": "instances/s",
    "token_throughput_per_s": "tokens/s",
    "latency_mean_s": "s",
    "latency_p50_s": "s",
    "latency_p95_s": "s",
    "latency_p99_s": "s",
    "waiting_mean_s": "s",
    "service_mean_s": "s",
    "device_memory_bytes": "B",
    "host_memory_bytes": "B",
    "energy_per_instance_j": "J",
    "net_energy_per_instance_j": "J",
    "parameters": "",
    "duration_s": "s",
    "energy_j": "J",
    "power_w": "W",
    "utilization": "",
    "padding_share": "",
}
"""Every metric with its unit. Energy is gross, of the whole stream or of one instance of it, idle gaps between requests
included; net is less what the device draws idle for as long. Latency is of a batch in closed scenarios, of an instance
where instances come at a rate; it is waiting and service. Tokens are those that were asked for: no padding."""
FEWER_IS_BETTER = frozenset(METRICS) - {"throughput_per_s", "token_throughput_per_s", "utilization"}
_GIB = 2.0**30


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 90 % interval; None is what was not measured or is not known, never 0.

    >>> Estimate(None).value is None
    True
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for number in (self.value, self.low, self.high):
            if number is not None and not math.isfinite(number):
                raise ValueError(f"Estimate: expected finite numbers or None, got {self}.")


NOT_MEASURED = Estimate(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pentathlon:
    """One model in one scenario. `source` is 'measured' or 'predicted'; `metrics` has every name of `METRICS`.

    `meter` says what the joules were read from, or which predictor they are of. `error` says why a measurement ended
    before its stream did: the metrics are then of what was served until there.
    """

    model: str
    scenario: Scenario
    source: str
    device: str
    meter: str
    settings: Mapping[str, Any]
    instances: int
    batches: int
    metrics: Mapping[str, Estimate]
    output_words: int | None = None
    notes: tuple[str, ...] = ()
    error: str = ""
    by_device: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [name for name in METRICS if name not in self.metrics]
        if missing or self.source not in ("measured", "predicted"):
            raise ValueError(f"Pentathlon: without {missing}, of source {self.source!r}.")

    def value(self, name: str) -> float | None:
        """The number of a metric; None where it was not measured."""
        return self.metrics[name].value

    def to_json(self) -> dict[str, Any]:
        """The object that `irene bench --format json` prints; docs/json.md describes it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "scenario": asdict(self.scenario) | {"instances": self.scenario.count, "batch_size": self.scenario.most},
            "source": self.source,
            "device": self.device,
            "meter": self.meter,
            "settings": dict(self.settings),
            "served_instances": self.instances,
            "served_batches": self.batches,
            "metrics": {name: asdict(estimate) | {"unit": METRICS[name]} for name, estimate in self.metrics.items()},
            "pentathlon": self._as_published(),
            "notes": list(self.notes),
            "error": self.error,
        }

    def _as_published(self) -> dict[str, float | None]:
        """The fields of the published library's `metrics.json`, in its units: s, GiB, kWh, W, kg."""
        energy_j, duration_s = self.value("energy_j"), self.value("duration_s")
        memory_bytes = self.value("device_memory_bytes")
        words = None if self.output_words is None or not duration_s else self.output_words / duration_s
        latency = None if self.scenario.name == "offline" or not duration_s else duration_s / self.batches
        return {
            "time": duration_s,
            "max_gpu_mem": None if memory_bytes is None else memory_bytes / _GIB,
            "gpu_energy": _kwh(self.by_device.get("gpu")),
            "cpu_energy": _kwh(self.by_device.get("cpu")),
            "dram_energy": None,
            "avg_gpu_power": _over(self.by_device.get("gpu"), duration_s),
            "avg_power": self.value("power_w"),
            "total_energy": _kwh(energy_j),
            "carbon": None,
            "throughput": self.value("throughput_per_s"),
            "throughput_words": words,
            "latency": latency,
            "num_params": self.value("parameters"),
        }


def _kwh(energy_j: float | None) -> float | None:
    return None if energy_j is None else energy_j / KILOWATT_HOUR_J


def _over(energy_j: float | None, duration_s: float | None) -> float | None:
    return None if energy_j is None or not duration_s else energy_j / duration_s
