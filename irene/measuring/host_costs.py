"""What a call costs on the host: seconds of Python and dispatch per op, and per module call, nothing waiting."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable

import torch

from irene.measuring.operands import make_operands
from irene.measuring.plan import PrimitiveCase
from irene.measuring.replaying import resolve_operator

_CALLS = 60
_ROUNDS = 5


def measure_host_costs(cases: Iterable[PrimitiveCase], device: torch.device) -> dict[str, float]:
    """Seconds of host time per call of each op, by op name; the smallest signature stands for the op.

    The queue to the device is empty at the start of each round and never fills, so the host does not wait.
    """
    costs: dict[str, float] = {}
    for case in cases:
        try:
            generator = torch.Generator(device=device).manual_seed(0)
            args, kwargs = make_operands(case.call, device, generator)
            operator = resolve_operator(case.call.op)
            with torch.inference_mode():
                costs[case.call.op] = _time_host(lambda: operator(*args, **kwargs), device)  # noqa: B023 - called at once
        except Exception as error:  # an op that does not replay has no cost, and takes the median of its kin
            print(f"no host cost for {case.call.op}: {error!r:.200}", file=sys.stderr)
    return costs


def measure_module_call(device: torch.device) -> float:
    """Seconds that calling a module adds to what it calls: an Identity in eval mode."""
    module = torch.nn.Identity().eval()
    tensor = torch.empty(1, device=device)
    return _time_host(lambda: module(tensor), device)


def _time_host(call: Callable[[], object], device: torch.device) -> float:
    times_s = []
    for _ in range(_ROUNDS):
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(_CALLS):
            call()
        times_s.append((time.perf_counter() - start) / _CALLS)
    return statistics.median(times_s)
