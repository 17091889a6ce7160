"""Programs that know only the protocol, in every scenario; and programs that do what they must not, all survived."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from irene.errors import BadInput, ProgramFailed
from irene.scenarios.measuring_streams import measure_pentathlon
from irene.scenarios.pentathlon import Pentathlon
from irene.scenarios.processes import list_family
from irene.scenarios.stdio_program import StdioProgram
from irene.scenarios.streams import INSTANCES, Scenario
from tests.scenarios.marked_processes import find_marked

PROGRAMS = Path(__file__).parent / "programs"
LIMIT_S = 200.0  # nothing here may wait for its end
SHORT_S = 3.0  # for what never comes; on a busy machine even what does come takes a while
MARK = f"of-test-{os.getpid()}"
PYTHON = [sys.executable, "-S", str(PROGRAMS / "answer.py")]
PERL = ["perl", str(PROGRAMS / "answer.pl")]


def _scenario(name: str, instances: int = 24) -> Scenario:
    rate = 500.0 if name == "poisson_arrivals" else None
    size = None if name == "single_stream" else 5
    return Scenario(name=name, instances=instances, batch_size=size, rate_per_s=rate)


@pytest.mark.parametrize("command", [PYTHON, PERL], ids=["python", "perl"])
@pytest.mark.parametrize("name", INSTANCES)
def test_a_program_that_knows_only_the_protocol(command: list[str], name: str) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    found = measure_pentathlon(
        StdioProgram(command, reply_limit_s=LIMIT_S), _scenario(name), lengths="uniform:2:9", least_s=0.0
    )
    assert found.error == "" and found.instances == 24 and found.source == "measured"
    assert found.value("throughput_per_s") and found.value("energy_j") is None and found.value("parameters") is None
    assert found.output_words == 24 and (found.value("host_memory_bytes") or 1e6) >= 1e6
    assert (found.value("latency_mean_s") is None) == (name == "offline")
    published = found.to_json()["pentathlon"]
    assert published["total_energy"] is None and published["max_gpu_mem"] is None
    assert published["throughput_words"] == pytest.approx(published["throughput"])


def _misbehave(how: str, good: int = 3, limit_s: float = LIMIT_S) -> tuple[Pentathlon, StdioProgram]:
    """Three good replies are the warm-up and two batches."""
    program = StdioProgram(
        [sys.executable, "-S", str(PROGRAMS / "misbehave.py"), how, str(good), MARK], reply_limit_s=limit_s
    )
    return measure_pentathlon(program, _scenario("fixed_batch"), lengths="4", least_s=0.0), program


@pytest.mark.parametrize(
    ("how", "message", "limit_s"),
    [
        ("hangs", "gave no reply within 3 s", SHORT_S),
        ("dies", "ended with status 3, after 10 instances. Its last words: 'out of something'", LIMIT_S),
        ("is_killed", "was ended by signal 9", LIMIT_S),
        ("garbage", "gave no reply within 3 s", SHORT_S),
        ("answers_short", "answered 1 of 5 instances", LIMIT_S),
        ("answers_twice", "answered ", LIMIT_S),  # twice, or five of the next four, if it is quick
        ("floods", "more than 8 MiB to standard output that are no reply", LIMIT_S),
        ("floods_one_line", "MiB to standard output that are no reply", LIMIT_S),
        ("ignores_sigterm", "gave no reply within 3 s", SHORT_S),
        ("leaves_a_child", "gave no reply within 3 s", SHORT_S),
        ("closes_stdout", "gave no reply", LIMIT_S),
        ("gives_up", "said that it failed", LIMIT_S),
    ],
)
def test_what_it_must_not_do_is_survived(how: str, message: str, limit_s: float) -> None:
    before, began = set(list_family(os.getpid())), time.monotonic()
    found, _ = _misbehave(how, limit_s=limit_s)
    assert message in found.error
    kept = (15, 20) if how == "answers_twice" else (10,)
    assert found.instances in kept and found.batches == found.instances // 5  # what was measured until then
    assert found.value("throughput_per_s") and found.value("latency_mean_s")
    assert time.monotonic() - began < LIMIT_S
    while find_marked(MARK) and time.monotonic() - began < LIMIT_S:  # killed, but not yet gone
        time.sleep(0.05)
    assert set(list_family(os.getpid())) <= before and not find_marked(MARK)  # no orphans, wherever they hide


def test_a_late_second_answer_shows_at_the_end() -> None:
    found, _ = _misbehave("answers_twice_late", good=5)
    assert "answered twice" in found.error and found.instances == 24


def test_a_flood_of_standard_error_is_no_failure() -> None:
    found, _ = _misbehave("floods_stderr")
    assert found.error == "" and found.instances == 24


def test_a_program_that_never_serves_is_an_error() -> None:
    with pytest.raises(ProgramFailed, match="ended with status 3, after 0 instances"):
        _misbehave("dies", good=0)
    with pytest.raises(ProgramFailed, match="Nothing was measured: .* answered 1 of 5 instances"):
        _misbehave("answers_short", good=1)
    with pytest.raises(BadInput, match="Cannot start the program 'no-such-program'"):
        measure_pentathlon(StdioProgram(["no-such-program"]), _scenario("fixed_batch"))
    with pytest.raises(ProgramFailed, match="did not say 'Model and data loaded"):
        measure_pentathlon(StdioProgram([sys.executable, "-S", "-c", "pass"]), _scenario("offline"))
