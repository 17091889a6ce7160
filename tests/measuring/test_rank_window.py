import random
import threading
import time

import pytest

from irene.errors import NoMeasurement
from irene.measuring.rank_group import RankFailed, RankGroup
from irene.measuring.rank_window import measure_rank_window, plan_batches, sum_windows
from irene.measuring.window import WindowMeasurement
from irene.meters import SimulatedMeter

QUICK = {"warm_up_s": 0.01, "window_s": 0.1, "min_ticks": 3}


class Threads(RankGroup):
    """Ranks that are threads of this process."""

    slots: dict[int, object] = {}
    barrier = threading.Barrier(2, timeout=60)

    def gather(self, value: object) -> list[object]:  # type: ignore[override]
        self.barrier.wait()
        self.slots[self.rank] = value
        self.barrier.wait()
        found = [self.slots[rank] for rank in range(self.size)]
        self.barrier.wait()
        return found

    def agree(self, value: object) -> object:  # type: ignore[override]
        return self.gather(value)[0]


def window(**changes: object) -> WindowMeasurement:
    values = {"energy_j": 2.0, "duration_s": 0.01, "power_w": 200.0, "calls": 100.0, "window_s": 1.0, "ticks": 10}
    names = (
        "gpu_utilization_pct", "memory_utilization_pct", "sm_clock_hz", "memory_clock_hz", "throttle_reasons",
        "temperature_before_c", "temperature_after_c", "memory_used_bytes",
    )  # fmt: skip
    return WindowMeasurement(**{**values, **dict.fromkeys(names), "host_cpu_pct": 50.0, **changes})  # type: ignore[arg-type]


def test_joules_are_summed_and_the_longest_time_counts() -> None:
    both = sum_windows([window(), window(energy_j=4.0, duration_s=0.02, throttle_reasons=4, sm_clock_hz=1e9, ticks=7)])
    assert (both.energy_j, both.duration_s, both.ticks) == (6.0, 0.02, 7)
    assert both.power_w * both.duration_s == both.energy_j
    assert (both.throttle_reasons, both.sm_clock_hz) == (4, 1e9)


@pytest.mark.parametrize("call_s", [1e-6, 1e-3, 0.02, 0.2])
def test_batches_are_the_same_for_the_same_seed_and_long_enough(call_s: float) -> None:
    one, two = (plan_batches(call_s, 0.5, 1.0, random.Random(3)) for _ in range(2))
    assert one == two and one.is_long == (call_s > 0.05)
    assert sum(one.window) * call_s >= one.least_s + 0.3
    assert sum(one.window) >= (10 if one.is_long else 1)
    longer = plan_batches(call_s, 0.5, 1.0, random.Random(3), longer=2.0)
    assert sum(longer.window) > 1.8 * sum(one.window) - 2


def test_two_ranks_make_the_same_calls_and_get_one_answer() -> None:
    calls, found = [0, 0], [None, None]
    pair = threading.Barrier(2, timeout=60)

    def run(rank: int) -> None:
        meter = SimulatedMeter(lambda t: 100.0 * (rank + 1), update_period_s=0.01, read_duration_s=0.0005)

        def call() -> None:  # waits for the other rank, as an exchange does
            calls[rank] += 1
            pair.wait()
            time.sleep(0.002)

        found[rank] = measure_rank_window(call, lambda: None, meter, Threads(rank, 2), **QUICK)  # type: ignore[assignment]

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert calls[0] == calls[1] > 10 and found[0] == found[1] is not None
    assert found[0].power_w == pytest.approx(300, rel=0.25)


def test_a_counter_that_stands_still_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irene.measuring.rank_window._TRIES", 2)  # each takes twice as long as the one before
    meter = SimulatedMeter(lambda t: 100.0, update_period_s=100.0)
    with pytest.raises(NoMeasurement):
        measure_rank_window(lambda: time.sleep(0.001), lambda: None, meter, RankGroup(0, 1), **QUICK)


def test_what_fails_on_one_rank_is_said_on_all() -> None:
    alone = RankGroup(0, 1)
    assert alone.together(lambda: 3) == 3
    with pytest.raises(RankFailed, match="ValueError: odd"):
        alone.together(lambda: (_ for _ in ()).throw(ValueError("odd")))
