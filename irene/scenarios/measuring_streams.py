"""A measured Pentathlon: a server, a stream in real time, the counters beside it. What is not measured stays None.

Nothing here needs a predictor: this runs where only torch and transformers are.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np

from irene.errors import MeterError, ProgramFailed
from irene.meters import Meter
from irene.scenarios import metrics as of
from irene.scenarios.pentathlon import METRICS, NOT_MEASURED, Estimate, Pentathlon
from irene.scenarios.running import Heard, Run, run_stream
from irene.scenarios.servers import Server
from irene.scenarios.stream_meter import StreamEnergy, StreamMeter
from irene.scenarios.streams import Padding, Scenario, draw_stream, shapes_of

METERED_S = 2.0
"""So long at least is a stream that is metered: one that is shorter is served again and again."""
_RESAMPLES = 200
_FEWEST_BATCHES = 10


def measure_pentathlon(
    server: Server,
    scenario: Scenario,
    *,
    lengths: str = "128",
    pad_to: int = 1,
    rows: int = 1,
    meters: Mapping[str, Meter] | None = None,
    least_s: float | None = None,
    limit_s: float = float("inf"),
    heard: Heard = lambda done, of: None,
) -> Pentathlon:
    """Serve a stream and measure throughput, latency, memory, and energy where there is a counter.

    `meters` are counters by 'gpu' and 'cpu' (`open_meters`); the energy is that of the first that is there. A stream is
    repeated until `least_s` have passed, by default two seconds where it is metered. No batch begins after `limit_s`.
    Where the server fails, the metrics are of what was served before, and `error` says so; nothing served is an error
    of the caller: ProgramFailed. The server is closed at the end. Raises BadInput and its kinds.
    """
    meters = dict(meters or {})
    with ExitStack() as stack:
        stack.callback(server.close)
        stream = server.warm_up(draw_stream(scenario, lengths))
        beside = {name: stack.enter_context(StreamMeter(meter)) for name, meter in meters.items()}
        for meter in beside.values():
            meter.begin()
        least_s = (METERED_S if meters else 0.0) if least_s is None else least_s
        run = run_stream(stream, server, least_s=least_s, limit_s=limit_s, heard=heard)
        energies, notes = _finish(beside)
        memory = server.peak_host_memory_bytes()
    if not len(run.served.sizes):
        raise ProgramFailed(f"Nothing was measured: {run.error}")
    return _describe(
        server, scenario, run, energies, notes, memory, {"lengths": lengths}, Padding(tokens=pad_to, rows=rows)
    )


def _finish(beside: Mapping[str, StreamMeter]) -> tuple[dict[str, StreamEnergy], list[str]]:
    found, notes = {}, []
    for name, meter in beside.items():
        try:
            found[name] = meter.finish()
        except MeterError as problem:
            notes.append(f"energy of the {name} not measured: {problem}")
    return found, notes


def _describe(
    server: Server, scenario: Scenario, run: Run, energies: Mapping[str, StreamEnergy], notes: list[str],
    host_bytes: int | None, settings: Mapping[str, str], padding: Padding,
) -> Pentathlon:  # fmt: skip
    served, stream = run.served, run.stream
    count, duration_s = int(served.sizes.sum()), float(served.ended_s[-1])
    device = next((energies[name] for name in ("gpu", "cpu") if name in energies), None)
    source = next((name for name in ("gpu", "cpu") if name in energies), "")
    times = of.time_metrics(stream, served)
    joules = of.energy_metrics(
        device.energy_j if device else None, device.idle_power_w if device else None, duration_s, count
    )
    spreads = _resample(run)
    found = {name: Estimate(value, *spreads.get(name, (None, None))) for name, value in (times | joules).items()}
    driver_bytes = energies["gpu"].memory_used_bytes if "gpu" in energies else None
    peak = server.device_memory_bytes
    shapes = shapes_of(stream, served.starts, served.sizes, padding)
    known = {
        "parameters": server.parameters,
        "device_memory_bytes": driver_bytes if peak is None else peak,
        "host_memory_bytes": host_bytes,
        "padding_share": of.padding_share(stream, shapes, count),
    }
    found |= {name: NOT_MEASURED if value is None else Estimate(float(value)) for name, value in known.items()}
    if peak is None and driver_bytes is not None:
        notes.append("memory of the device is the driver's, with all that an allocator keeps for later")
    if run.rounds > 1:
        notes.append(f"the stream was served {run.rounds} times, one after the other")
    return Pentathlon(
        model=server.name, scenario=scenario, source="measured", device=server.device or platform.machine(),
        meter=_name_meter(source), settings=dict(settings) | server.settings,
        instances=count, batches=len(served.sizes),
        metrics={name: found.get(name, NOT_MEASURED) for name in METRICS}, output_words=server.count_words(),
        notes=tuple(notes), error=run.error, by_device={name: energy.energy_j for name, energy in energies.items()},
    )  # fmt: skip


def _name_meter(source: str) -> str:
    return {"gpu": "NVML, the GPU board", "cpu": "RAPL, the processor's package", "": "none"}[source]


def _resample(run: Run) -> dict[str, tuple[float, float]]:
    """90 % intervals of a closed stream's throughput and latency: batches drawn again, with replacement.

    Batches are taken to be independent; a stream with arrivals, whose waits are not, gets none.
    """
    served, stream = run.served, run.stream
    batches = len(served.sizes)
    if stream.scenario.is_open or batches < _FEWEST_BATCHES:
        return {}
    rng = np.random.default_rng(0)
    service_s = served.ended_s - served.began_s
    between_s = float(served.ended_s[-1] - served.busy_s) / batches
    drawn = rng.integers(0, batches, (_RESAMPLES, batches))
    seconds = service_s[drawn]
    values = {"throughput_per_s": served.sizes[drawn].sum(axis=1) / (seconds + between_s).sum(axis=1)}
    if stream.scenario.name != "offline":
        values["latency_mean_s"] = values["service_mean_s"] = seconds.mean(axis=1)
        for p in (50, 95, 99):
            values[f"latency_p{p}_s"] = np.percentile(seconds, p, axis=1, method="inverted_cdf")
    return {name: (float(np.percentile(v, 5)), float(np.percentile(v, 95))) for name, v in values.items()}
