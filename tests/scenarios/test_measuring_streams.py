"""Streams through servers, in real and in virtual time: the queue's own rule, rounds, failures, joules."""

from __future__ import annotations

import time

import numpy as np
import pytest

from irene.errors import MeterLost, ProgramFailed
from irene.meters import SimulatedMeter, VirtualClock
from irene.scenarios.measuring_streams import measure_pentathlon
from irene.scenarios.queueing import mean_in_system, serve_in_batches
from irene.scenarios.running import run_stream
from irene.scenarios.streams import Scenario, draw_stream
from tests.scenarios.fake_server import FakeServer


def test_arrivals_are_served_as_the_simulation_serves_them() -> None:
    scenario = Scenario(name="poisson_arrivals", instances=300, rate_per_s=40, batch_size=6, window_s=0.03)
    stream, clock = draw_stream(scenario), VirtualClock()

    def seconds(first: int, after: int) -> float:
        return 0.02 + 0.01 * (after - first)

    server = FakeServer(seconds, clock.sleep)
    run = run_stream(stream, server, clock=clock, sleep=clock.sleep)
    simulated = serve_in_batches(stream.arrival_s, 6, 0.03, seconds)
    assert run.served.sizes.tolist() == simulated.sizes.tolist()
    np.testing.assert_allclose(run.served.began_s, simulated.began_s)
    np.testing.assert_allclose(run.served.ended_s, simulated.ended_s)
    stays_s = run.served.instance_ended_s - stream.arrival_s
    rate = 300 / run.served.ended_s[-1]
    assert mean_in_system(stream.arrival_s, run.served.instance_ended_s) == pytest.approx(rate * stays_s.mean())


def test_a_short_stream_is_served_again_until_it_is_long_enough() -> None:
    for name, rate in (("fixed_batch", None), ("poisson_arrivals", 100.0)):
        clock = VirtualClock()
        stream = draw_stream(Scenario(name=name, instances=10, batch_size=4, rate_per_s=rate))
        heard: list[tuple[int, int]] = []
        run = run_stream(
            stream, FakeServer(lambda first, after: 0.1, clock.sleep), least_s=1.0, clock=clock, sleep=clock.sleep,
            heard=lambda done, of, heard=heard: heard.append((done, of)),
        )  # fmt: skip
        assert run.error == "" and run.rounds > 1 and run.served.sizes.sum() == 10 * run.rounds
        assert 1.0 <= run.served.ended_s[-1] < 1.0 + 10 * 0.1 + 0.2
        assert len(run.stream.tokens) == 10 * run.rounds and set(heard) >= {(10, 10)}
        assert (np.diff(run.served.began_s) > 0).all() and run.served.starts[-1] < 10 * run.rounds
        if rate is not None:
            assert (run.served.instance_began_s >= run.stream.arrival_s - 1e-9).all()


def test_what_was_served_before_a_failure_is_kept() -> None:
    scenario = Scenario(name="fixed_batch", instances=40, batch_size=4)
    for failure, said in ((ProgramFailed("it is gone"), "it is gone"), (KeyboardInterrupt(), "interrupted")):
        server = FakeServer(lambda first, after: 0.001, fails_at=3, failure=failure)
        found = measure_pentathlon(server, scenario)
        assert found.error == said and found.instances == 12 and found.batches == 3 and server.is_closed
        assert found.value("latency_p50_s") and found.value("energy_j") is None
    late = measure_pentathlon(FakeServer(lambda first, after: 0.1), scenario, limit_s=0.15)
    assert late.error == "the time limit of 0.15 s" and 1 <= late.batches <= 2
    server = FakeServer(lambda first, after: 0.0, fails_at=0, failure=ProgramFailed("no luck"))
    with pytest.raises(ProgramFailed, match="Nothing was measured: no luck"):
        measure_pentathlon(server, scenario)
    assert server.is_closed


def _meter(server: FakeServer) -> SimulatedMeter:
    born_s = time.monotonic()
    return SimulatedMeter(
        lambda t: 100.0, energy_at=lambda t: server.energy_j(born_s + t), update_period_s=0.02, read_duration_s=0.0002
    )


@pytest.mark.parametrize("name", ["fixed_batch", "poisson_arrivals"])
def test_joules_are_those_of_the_stream_its_idle_gaps_included(name: str) -> None:
    rate = 60.0 if name == "poisson_arrivals" else None
    scenario = Scenario(name=name, instances=30, batch_size=1, rate_per_s=rate)
    server = FakeServer(lambda first, after: 0.008)
    found = measure_pentathlon(server, scenario, meters={"gpu": _meter(server)}, least_s=0.6)
    busy_s = sum(end - begin for begin, end in server.busy)
    duration_s = found.value("duration_s")
    assert duration_s is not None and found.value("utilization") == pytest.approx(busy_s / duration_s, rel=0.02)
    expected_j = 300.0 * busy_s + 100.0 * (duration_s - busy_s)
    assert found.value("energy_j") == pytest.approx(expected_j, rel=0.05)
    assert found.value("net_energy_per_instance_j") == pytest.approx(200.0 * busy_s / found.instances, rel=0.1)
    assert found.value("power_w") == pytest.approx(expected_j / duration_s, rel=0.05)
    assert found.to_json()["pentathlon"]["gpu_energy"] == pytest.approx(expected_j / 3.6e6, rel=0.05)
    assert found.meter == "NVML, the GPU board" and found.value("device_memory_bytes") == 1000


def test_what_cannot_be_metered_is_none_and_never_zero() -> None:
    scenario = Scenario(name="fixed_batch", instances=4, batch_size=1)
    server = FakeServer(lambda first, after: 0.005)
    found = measure_pentathlon(server, scenario, meters={"gpu": _meter(server)}, least_s=0.0)
    assert found.value("energy_j") is None and found.value("net_energy_per_instance_j") is None
    assert any("counter ticks" in note for note in found.notes) and found.value("throughput_per_s")

    class Breaking(SimulatedMeter):
        is_broken = False

        def read_energy_j(self) -> float:
            if self.is_broken:
                raise MeterLost("the bus is gone")
            return super().read_energy_j()

    meter = Breaking(lambda t: 100.0, update_period_s=0.02, read_duration_s=0.0002)

    def seconds(first: int, after: int) -> float:
        meter.is_broken = True
        return 0.05

    lost = measure_pentathlon(FakeServer(seconds), scenario, meters={"cpu": meter}, least_s=0.0)
    assert lost.value("energy_j") is None and any("the bus is gone" in note for note in lost.notes)
    assert lost.instances == 4


def test_intervals_of_a_closed_stream_hold_its_mean() -> None:
    rng = np.random.default_rng(5)
    clock = VirtualClock()
    drawn = rng.exponential(0.01, 200)
    server = FakeServer(lambda first, after: float(drawn[first]), clock.sleep)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr("irene.scenarios.measuring_streams.run_stream", lambda *a, **k: run_stream(
            a[0], a[1], clock=clock, sleep=clock.sleep))  # fmt: skip
        found = measure_pentathlon(server, Scenario(name="single_stream", instances=200))
    mean = found.metrics["latency_mean_s"]
    assert mean.low is not None and mean.high is not None and mean.value is not None
    assert mean.low < mean.value < mean.high
    spread = drawn.std() / np.sqrt(200)
    assert mean.high - mean.low == pytest.approx(2 * 1.645 * spread, rel=0.25)
    assert found.metrics["throughput_per_s"].low < 1 / drawn.mean() < found.metrics["throughput_per_s"].high  # type: ignore[operator]
