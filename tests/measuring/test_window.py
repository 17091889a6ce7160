"""A window with a real thread: calls are batched, errors of call and meter pass, and no thread is left behind."""

from __future__ import annotations

import _thread
import random
import signal
import threading
import time

import pytest

from irene.errors import MeterError, NotSupported
from irene.measuring.window import measure_window
from irene.meters import DeviceState, SimulatedMeter


def test_real_window_with_a_thread() -> None:
    meter = SimulatedMeter(lambda t: 300.0, gain=1.02)
    done: list[float] = []
    start_s = time.monotonic()

    def call() -> None:
        time.sleep(0.002)
        done.append(1)

    measured = measure_window(call, lambda: None, meter, calls_per_call=4, rng=random.Random(0))
    wall_s = time.monotonic() - start_s
    assert wall_s < 20  # 1.6 to 1.9 s on a quiet machine
    assert measured.power_w == pytest.approx(306.0, rel=0.03)
    assert 0.002 / 4 <= measured.duration_s < 1.5 * wall_s / len(done) / 4  # a busy machine sleeps longer
    assert measured.energy_j == pytest.approx(measured.power_w * measured.duration_s, rel=1e-9)
    assert measured.window_s >= 1.0 and measured.ticks >= 10 and measured.calls < 4 * len(done)
    assert measured.gpu_utilization_pct == 100.0 and measured.sm_clock_hz == 1.98e9 and measured.throttle_reasons == 0
    assert measured.temperature_before_c == measured.temperature_after_c == 45.0
    assert measured.memory_used_bytes == 2**30 and 0 < measured.host_cpu_pct < 100
    assert not meter_threads()


def test_microsecond_calls_are_batched_and_unknown_readings_stay_none() -> None:
    meter = SimulatedMeter(lambda t: 300.0, update_period_s=0.02, read_duration_s=0.001, state=DeviceState())
    synchronisations: list[int] = []
    measured = measure_window(
        lambda: None, lambda: synchronisations.append(1), meter, warm_up_s=0.1, window_s=0.5, rng=random.Random(0)
    )
    assert measured.calls / len(synchronisations) > 1000
    assert len(synchronisations) < 1.0 / 0.013 + 10
    assert measured.power_w == pytest.approx(300.0, rel=0.15)
    assert measured.gpu_utilization_pct is None and measured.throttle_reasons is None
    assert measured.memory_used_bytes is None and measured.temperature_after_c is None


def test_long_calls_are_recognised_after_a_slow_first_call() -> None:
    meter = SimulatedMeter(lambda t: 500.0)
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        time.sleep(0.2 if len(calls) == 1 else 0.055)

    measured = measure_window(call, lambda: None, meter, warm_up_s=0.1)
    assert measured.calls == round(measured.calls) and measured.window_s >= 2.0
    assert measured.power_w == pytest.approx(500.0, rel=0.02)


def test_errors_of_the_call_and_of_the_meter_pass_and_leave_no_thread() -> None:
    def fail() -> None:
        raise MemoryError("out of memory")

    with pytest.raises(MemoryError, match="out of memory"):
        measure_window(fail, lambda: None, SimulatedMeter(lambda t: 300.0))
    with pytest.raises(NotSupported):
        measure_window(lambda: None, lambda: None, SimulatedMeter(lambda t: 300.0, supports_energy=False))

    class Breaking(SimulatedMeter):
        def read_energy_j(self) -> float:
            if threading.current_thread() is not threading.main_thread():
                raise MeterError("the bus is gone")
            return super().read_energy_j()

    with pytest.raises(MeterError, match="the bus is gone"):
        measure_window(lambda: time.sleep(1e-3), lambda: None, Breaking(lambda t: 300.0))
    assert not meter_threads()


def test_ctrl_c_leaves_no_thread() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
    try:
        threading.Timer(0.2, _thread.interrupt_main).start()
        with pytest.raises(KeyboardInterrupt):
            measure_window(lambda: time.sleep(1e-3), lambda: None, SimulatedMeter(lambda t: 300.0))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not meter_threads()


def meter_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "irene-meter"]


def test_notes_reach_the_measurement() -> None:
    class Module(SimulatedMeter):
        note = "counter of the whole module"

        def read_power_w(self) -> float:
            return 200.0

    measured = measure_window(lambda: time.sleep(1e-3), lambda: None, Module(lambda t: 300.0))
    assert (
        measured.note.startswith("counter of the whole module; counter ")
        and "% off the power reading of 200 W" in measured.note
    )
