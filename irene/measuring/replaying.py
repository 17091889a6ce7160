"""Replay one recorded call on the GPU: captured many times in one CUDA graph, with hot or cold weights.

A microsecond kernel launched from Python measures Python. A graph of many calls leaves launch gaps out, and says so in
the row (`calls_per_replay`). Cold weights: consecutive calls rotate through more copies than the L2 can hold.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from irene.errors import BadInput, MeterError
from irene.hardware.devices import DEFAULT_DEVICE, load_device
from irene.measuring.expert_routing import ExpertLoads, operand_loads
from irene.measuring.operands import make_operands
from irene.measuring.plan import require_runnable
from irene.primitives.call import Call, TensorSpec
from irene.quoting import quote

COLD_FROM_BYTES = 1_000_000  # weights below are measured hot alone
# A replay is to last so long that its own launch, some microseconds, hardly counts.
_TARGET_REPLAY_S = 2e-3
_MAX_CALLS = 512
# Calls launched from Python that take no longer than this may be launch-bound: how long the kernel runs is not known.
_LAUNCH_BOUND_S = 15e-6


@dataclass(frozen=True, slots=True)
class Replay:
    """A replayable graph: `run()` replays `calls` calls without waiting. `loads` are those of a grouped product."""

    run: Callable[[], object]
    calls: int
    loads: ExpertLoads | None = None


def resolve_operator(op: str) -> Any:
    """'aten.linear.default' -> the torch operator. Raises BadInput for one that may not run, or is not there."""
    require_runnable(op)
    target: Any = torch.ops
    for part in op.split("."):
        target = getattr(target, part, None)
    if not isinstance(target, torch._ops.OpOverload):
        raise BadInput(f"Operator {quote(op)} does not exist in torch {torch.__version__}.")
    schema = target._schema
    of_tensors = any("Tensor" in str(value.type) for value in (*schema.arguments, *schema.returns))
    # `from_file` makes or lengthens the file that it is told; `set_grad_enabled`, `manual_seed` switch torch itself.
    if not of_tensors or any(value.name == "filename" for value in schema.arguments):
        raise BadInput(f"Operator {quote(op)} computes no tensor, or reads a file: a plan may not run it.")
    return target


def capture_replay(
    call: Call, weights: str, device: torch.device, seed: int = 0, load_deviation: float | None = None
) -> Replay:
    """Capture a graph of many calls, so many that its own launch hardly counts.

    Raises MeterError if the call cannot be captured (it waits for the device, say).
    """
    operator = resolve_operator(call.op)
    generator = torch.Generator(device=device).manual_seed(seed)
    args, kwargs = make_operands(call, device, generator, load_deviation)
    loads = operand_loads(call, args, kwargs)
    rounds = [args]
    if weights == "cold":
        rounds += [
            _with_fresh_weights(call, args, device, generator)
            for _ in range(count_copies(call, read_l2_bytes(device)) - 1)
        ]
    try:
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.inference_mode(), torch.cuda.stream(stream):
            with refusing_to_wait():  # a capture that fails leaves the allocator unable to give memory back
                operator(*args, **kwargs)
            duration_s = _time_once(lambda: operator(*args, **kwargs), device)
            calls = count_calls(duration_s, len(rounds))
            graph = torch.cuda.CUDAGraph()
            cycle = itertools.cycle(rounds)
            with torch.cuda.graph(graph, stream=stream):
                for _ in range(calls):
                    operator(*next(cycle), **kwargs)
        torch.cuda.current_stream(device).wait_stream(stream)
    except RuntimeError as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        raise MeterError(f"{call.op}: cannot be captured in a CUDA graph: {str(error).splitlines()[0][:200]}") from None

    def run(_keep: object = (rounds, kwargs)) -> None:  # the graph reads these tensors: keep them alive
        graph.replay()

    return Replay(run, calls, loads)


@contextlib.contextmanager
def refusing_to_wait() -> Iterator[None]:
    """A call that waits for the device raises RuntimeError."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def count_calls(launched_s: float, rounds: int) -> int:
    """How many calls a graph holds, whole rounds of operands, given the time of one call launched from Python.

    >>> count_calls(40e-6, 1), count_calls(5e-6, 1), count_calls(1e-3, 3)
    (50, 512, 3)
    """
    fewest = _MAX_CALLS if launched_s <= _LAUNCH_BOUND_S else min(_MAX_CALLS, math.ceil(_TARGET_REPLAY_S / launched_s))
    return math.ceil(max(fewest, 1) / rounds) * rounds


def launch_replay(call: Call, device: torch.device, seed: int = 0, load_deviation: float | None = None) -> Replay:
    """Launch the call from Python, one at a time: what an eager loop over it would cost."""
    operator = resolve_operator(call.op)
    args, kwargs = make_operands(call, device, torch.Generator(device=device).manual_seed(seed), load_deviation)

    def run() -> object:
        return operator(*args, **kwargs)

    return Replay(run, 1, operand_loads(call, args, kwargs))


def rotated_bytes(call: Call) -> int:
    """Bytes of what a cold replay rotates through: the weights, or without any the large operands, such as a cache."""
    return sum(spec.bytes for spec in call.tensors if _is_rotated(call, spec))


def _is_rotated(call: Call, spec: TensorSpec) -> bool:
    if sum(each.bytes for each in call.tensors if each.weight) >= COLD_FROM_BYTES:
        return spec.weight
    return spec.bytes >= COLD_FROM_BYTES and "float" in spec.dtype


def read_l2_bytes(device: torch.device) -> int:
    """The device's L2, by its driver; without a GPU, as in a rehearsal, that of the default device's sheet."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    return load_device(DEFAULT_DEVICE).l2_bytes


def count_copies(call: Call, l2_bytes: int) -> int:
    """Copies of the weights (or the cache) to rotate through: more than twice the L2."""
    return math.ceil(2 * l2_bytes / max(1, rotated_bytes(call))) + 1


def _with_fresh_weights(call: Call, args: list[Any], device: torch.device, generator: torch.Generator) -> list[Any]:
    """The positional arguments with other weights, or other large operands.

    Weights inside lists (of recurrent layers) stay what they are.
    """
    made, _ = make_operands(call, device, generator)

    def renew(argument: Any, new: Any, old: Any, inside_list: bool = False) -> Any:
        if isinstance(argument, tuple):
            return [renew(*each, True) for each in zip(argument, new, old, strict=True)]
        rotates = isinstance(argument, TensorSpec) and _is_rotated(call, argument)
        return new if rotates and not (inside_list and argument.weight) else old

    return [renew(*each) for each in zip(call.args, made, args, strict=True)]


def _time_once(function: Callable[[], object], device: torch.device) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    start.record()
    for _ in range(3):
        function()
    end.record()
    torch.cuda.synchronize(device)
    return float(start.elapsed_time(end)) * 1e-3 / 3
