"""A window on several ranks: the same calls on each, agreed on beforehand; joules are summed, the longest time counts.

A rank alone decides call by call how long to go on. Here each call waits for the other ranks, so that all must make
the same number: the first rank counts them from a short trial, and tells the sizes of all batches before the window.
Each rank reads its own board's counter in its own thread.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from irene.errors import MeterError, NoMeasurement
from irene.measuring.counter import read_counter_j
from irene.measuring.counter_thread import CounterThread
from irene.measuring.power_checks import note_on_power
from irene.measuring.rank_group import RankGroup
from irene.measuring.slope import LONG_CALL_S, LONG_CALLS_MIN, LONG_WINDOW_S, compute_slope, find_ticks
from irene.measuring.window import SYNCHRONISE_S, WindowMeasurement
from irene.meters.reading import Meter

_TRIAL_S, _MOST_TRIAL_CALLS = 0.05, 2000
_TRIES = 5
# A window begins and ends at a tick: so many seconds of calls are made beyond it.
_SPARE_S = 0.35


@dataclass(frozen=True, slots=True)
class Batches:
    """Calls between two synchronisations, batch by batch: first those that warm up, then the window's."""

    warm_up: tuple[int, ...]
    window: tuple[int, ...]
    is_long: bool
    least_s: float


def plan_batches(call_s: float, warm_up_s: float, window_s: float, rng: random.Random, longer: float = 1.0) -> Batches:
    """The batches for calls that take about `call_s`, each of 13 to 29 ms, or one call; `longer` makes more of them.

    >>> batches = plan_batches(1e-3, 0.5, 1.0, random.Random(0))
    >>> 450 < sum(batches.warm_up) < 560, 1300 < sum(batches.window) < 1450, batches.is_long
    (True, True, False)
    """
    is_long = call_s > LONG_CALL_S
    least_s = max(window_s, LONG_WINDOW_S) if is_long else window_s

    def draw(seconds: float, fewest: int) -> tuple[int, ...]:
        wanted = math.ceil(longer * max(math.ceil(seconds / call_s), fewest))
        sizes: list[int] = []
        while wanted > sum(sizes):
            sizes.append(max(1, round(rng.uniform(*SYNCHRONISE_S) / call_s)))
        return tuple(sizes)

    return Batches(draw(warm_up_s, 2), draw(least_s + _SPARE_S, LONG_CALLS_MIN + 2 if is_long else 3), is_long, least_s)


def measure_rank_window(
    call: Callable[[], object], synchronize: Callable[[], object], meter: Meter, group: RankGroup, *,
    warm_up_s: float = 0.5, window_s: float = 1.0, min_ticks: int = 10, calls_per_call: int = 1,
    clock: Callable[[], float] = time.monotonic, seed: int = 0,
) -> WindowMeasurement:  # fmt: skip
    """As `measure_window`, of all ranks together; every rank must call it, and all get the same answer.

    Energy, power and memory are sums over the boards; time is that of the slowest; clocks and utilisations are means.
    Raises NoMeasurement on every rank if some counter yields no window in five tries.
    """
    call()
    synchronize()
    longer = 1.0
    reasons: list[str] = []
    for _ in range(_TRIES):
        call_s = _time_trial(call, synchronize, group, clock)  # anew: one that was disturbed makes the window too short
        batches = group.agree(plan_batches(call_s, warm_up_s, window_s, random.Random(seed), longer))
        own: WindowMeasurement | None = None
        reason = ""
        try:
            own = _measure_here(call, synchronize, meter, batches, min_ticks, calls_per_call, clock)
        except NoMeasurement as error:
            reason = str(error)
        parts = group.gather(own)
        reasons = [text for text in group.gather(reason) if text]
        measured = [part for part in parts if part is not None]
        if len(measured) == group.size:
            return sum_windows(measured)
        longer *= 2.0
    raise NoMeasurement(reasons[0])


def _time_trial(
    call: Callable[[], object], synchronize: Callable[[], object], group: RankGroup, clock: Callable[[], float]
) -> float:
    """Seconds of a call, by the slowest rank: first of one, then of as many as take some 50 ms."""
    calls, call_s = 1, 1.0
    for _ in range(2):
        start_s = clock()
        for _ in range(calls):
            call()
        synchronize()
        call_s = group.agree(max(*group.gather((clock() - start_s) / calls), 1e-7))
        calls = max(1, min(_MOST_TRIAL_CALLS, round(_TRIAL_S / call_s)))
    return call_s


def _measure_here(
    call: Callable[[], object], synchronize: Callable[[], object], meter: Meter, batches: Batches, min_ticks: int,
    calls_per_call: int, clock: Callable[[], float],
) -> WindowMeasurement:  # fmt: skip
    """This rank's own board over the agreed calls. All of them are made, whatever the counter does."""
    before_s = clock()
    before = meter.read_state()
    read_counter_j(meter)
    reader = CounterThread(meter, clock, state_cost_s=clock() - before_s)
    with reader:
        done = 0
        for size in batches.warm_up:
            done += _run(call, synchronize, size)
        cpu_start_s = time.process_time()
        start_s = reader.window_start_s = clock()
        log = [(start_s, done)]
        for size in batches.window:
            done += _run(call, synchronize, size)
            log.append((clock(), done))
        cpu_s, samples, states = time.process_time() - cpu_start_s, tuple(reader.samples), list(reader.states)
    reader.check()
    after = meter.read_state()
    slope = compute_slope(
        find_ticks(samples), log, long_calls=batches.is_long, min_ticks=min_ticks, min_window_s=batches.least_s
    )
    masks = [state.throttle_reasons for state in states if state.throttle_reasons is not None]
    used = [state.memory_used_bytes for state in (*states, after) if state.memory_used_bytes is not None]
    span_s = log[-1][0] - start_s
    return WindowMeasurement(
        energy_j=slope.energy_j / calls_per_call, duration_s=slope.duration_s / calls_per_call, power_w=slope.power_w,
        calls=slope.calls * calls_per_call, window_s=slope.window_s, ticks=slope.ticks,
        gpu_utilization_pct=_mean([s.gpu_utilization_pct for s in states]),
        memory_utilization_pct=_mean([s.memory_utilization_pct for s in states]),
        sm_clock_hz=_mean([s.sm_clock_hz for s in states]),
        memory_clock_hz=_mean([s.memory_clock_hz for s in states]),
        throttle_reasons=_any_of(masks), temperature_before_c=before.temperature_c,
        temperature_after_c=after.temperature_c, memory_used_bytes=max(used, default=None),
        host_cpu_pct=100.0 * cpu_s / span_s, note=note_on_power(meter, slope.power_w, after, span_s),
    )  # fmt: skip


def _run(call: Callable[[], object], synchronize: Callable[[], object], size: int) -> int:
    for _ in range(size):
        call()
    synchronize()
    return size


def sum_windows(parts: Sequence[WindowMeasurement]) -> WindowMeasurement:
    """The windows of all ranks as one: joules summed, the longest time, power the quotient of the two."""
    energy_j, duration_s = sum(part.energy_j for part in parts), max(part.duration_s for part in parts)
    if not energy_j > 0:
        raise MeterError("The boards of all ranks together count no joules.")
    masks = [part.throttle_reasons for part in parts if part.throttle_reasons is not None]
    used = [part.memory_used_bytes for part in parts if part.memory_used_bytes is not None]
    means = {
        name: _mean([getattr(part, name) for part in parts])
        for name in (
            "gpu_utilization_pct", "memory_utilization_pct", "sm_clock_hz", "memory_clock_hz", "temperature_before_c",
            "temperature_after_c",
        )
    }  # fmt: skip
    return WindowMeasurement(
        energy_j=energy_j, duration_s=duration_s, power_w=energy_j / duration_s, calls=parts[0].calls,
        window_s=min(part.window_s for part in parts), ticks=min(part.ticks for part in parts),
        throttle_reasons=_any_of(masks), memory_used_bytes=max(used, default=None),
        host_cpu_pct=statistics.fmean(part.host_cpu_pct for part in parts),
        note="; ".join(dict.fromkeys(part.note for part in parts if part.note)), **means,
    )  # fmt: skip


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present else None


def _any_of(masks: Sequence[int]) -> int | None:
    together = 0
    for mask in masks:
        together |= mask
    return together if masks else None
