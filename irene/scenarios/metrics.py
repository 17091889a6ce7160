"""From what was served to metrics: one law for measured streams and for predicted ones."""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.scenarios.queueing import Served
from irene.scenarios.streams import Stream

_PERCENTILES = (50, 95, 99)


def time_metrics(stream: Stream, served: Served) -> dict[str, float | None]:
    """Throughput, latency, waiting and service of the instances that were served, from time 0 to the last end."""
    count, duration_s = int(served.sizes.sum()), float(served.ended_s[-1])
    tokens = (stream.new_tokens if stream.new_tokens.any() else stream.tokens)[:count].sum()
    service_s = served.ended_s - served.began_s
    if stream.scenario.is_open:
        came_s = stream.arrival_s[:count]
        waiting_s, latency_s = served.instance_began_s - came_s, served.instance_ended_s - came_s
        service_s = np.repeat(service_s, served.sizes)
    else:
        waiting_s, latency_s = np.zeros(1), service_s
    found: dict[str, float | None] = {
        "duration_s": duration_s,
        "throughput_per_s": count / duration_s,
        "token_throughput_per_s": float(tokens) / duration_s if tokens else None,
        "utilization": min(served.busy_s / duration_s, 1.0),
    }
    is_offline = stream.scenario.name == "offline"  # nobody waits for a batch: the whole is done, or not
    names = ["latency_mean_s", *(f"latency_p{p}_s" for p in _PERCENTILES), "waiting_mean_s", "service_mean_s"]
    # The smallest latency that so many do not exceed: one that occurred, and no mean of two regimes.
    percentiles = np.percentile(latency_s, _PERCENTILES, method="inverted_cdf")
    values = [latency_s.mean(), *percentiles, waiting_s.mean(), service_s.mean()]
    return found | {name: None if is_offline else float(value) for name, value in zip(names, values, strict=True)}


def energy_metrics(
    energy_j: float | None, idle_power_w: float | None, duration_s: float, count: int
) -> dict[str, float | None]:
    """Of a stream's gross energy: of an instance, net of idle, and the mean power; None stays None."""
    net_j = None if energy_j is None or idle_power_w is None else energy_j - idle_power_w * duration_s
    return {
        "energy_j": energy_j,
        "power_w": None if energy_j is None else energy_j / duration_s,
        "energy_per_instance_j": None if energy_j is None else energy_j / count,
        "net_energy_per_instance_j": None if net_j is None else net_j / count,
    }


def padding_share(stream: Stream, shapes: IntArray, count: int) -> float | None:
    """Which share of the tokens of all passes were padding; None of pictures."""
    asked = float(stream.tokens[:count].sum())
    run = float((shapes[:, 0] * shapes[:, 1]).sum())
    return 1.0 - asked / run if asked and run else None


def gross_energy_j(served: Served, energy_j: FloatArray, idle_power_w: float) -> float:
    """Joules of a stream whose batches take `energy_j` each: theirs, and idle power in every gap."""
    idle_s = float(served.ended_s[-1]) - served.busy_s
    return float(energy_j.sum()) + idle_power_w * max(idle_s, 0.0)
