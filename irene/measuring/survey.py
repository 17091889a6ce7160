"""A survey: very many random products, each profiled once: which kernel the library takes, and about how long it runs.

    python -m irene.measuring.survey data/h200/survey-1 300 1
    python -m irene.measuring.survey data/h200/survey-3 220 3 hard

draws products with seed 1 for 300 seconds and writes them beside a manifest; `hard` draws more of those whose times are
worst known: float32 and TF32, and at most some thousand rows. A survey teaches where a library changes
its kernels, which takes far more shapes than can be timed with care; it is no measurement to be judged by.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch

from irene.dataset.manifest import write_manifest
from irene.dataset.surveys import SurveyRow, write_survey
from irene.hardware.devices import DEFAULT_DEVICE, device_of, load_device
from irene.hardware.roofline import roofline_s
from irene.hardware.spec import DeviceSpec
from irene.measuring.kernel_traces import ProfiledCall, profile_calls
from irene.measuring.machine import GpuMachine
from irene.measuring.random_shapes import Drawn, stream_random_calls
from irene.measuring.replaying import resolve_operator
from irene.measuring.targets import set_precision
from irene.primitives.call import Call, TensorSpec
from irene.primitives.shapes import gemm_shape
from irene.primitives.work import count_work

SORTS = {"linear": 6, "uneven": 2, "product": 2}
# The first run warms the library's choice up; the last two say how well one agrees with the next.
_RUNS = 3
_AT_ONCE = 400
# One product in so many comes again in the next chunk, at another place in memory: what a survey is unsure by.
_REPEATED = 50
# Elements of the random numbers that all operands are views of: the longest drawn tensor fits.
_POOL_ELEMENTS = 2_500_000_000
_ALIGNMENT = 512  # elements: operands start where an allocation could


@dataclass(frozen=True, slots=True)
class Draw:
    """What is drawn: dtype modes by weight (`shares`), and which products of a mode are kept.

    Most drawn products are launch-bound, and all of those alike: of those below `short_s` by physics `short_share` is
    kept. With over `many_rows` rows times are known best: of those `many_rows_share` is kept.
    """

    shares: dict[str, int]
    short_s: float
    short_share: float
    many_rows: int
    many_rows_share: float


DRAWS = {
    "even": Draw({"bfloat16": 35, "float16": 10, "float32": 27, "tf32": 28}, 5e-6, 0.3, 2048, 1.0),
    "hard": Draw({"bfloat16": 20, "float16": 8, "float32": 36, "tf32": 36}, 8e-6, 0.1, 2048, 0.3),
}

Profile = Callable[[Sequence[Callable[[], object]]], list[ProfiledCall]]


def survey(
    drawn: Iterator[Drawn], end_s: float, pool: dict[str, torch.Tensor], profile: Profile, rng: random.Random
) -> list[SurveyRow]:
    """Profile what is drawn until the monotonic clock says `end_s`; a product whose runs were not alike is left out.

    `pool` has one long random tensor a dtype; operands are views of it, since drawing numbers for each would take
    most of the time.
    """
    rows: list[SurveyRow] = []
    again: list[Drawn] = []
    while time.monotonic() < end_s:
        fresh = list(itertools.islice(drawn, _AT_ONCE))
        if not fresh:
            break
        chunk, again = fresh + again, rng.sample(fresh, len(fresh) // _REPEATED)
        runs = [_make_run(call, mode, pool, rng) for call, mode in chunk]
        try:
            calls = profile(runs)
        except ValueError as error:  # the profiler's buffer was too small: the next chunk may do
            print(error, file=sys.stderr)
            continue
        rows += [row for (call, mode), found in zip(chunk, calls, strict=True) if (row := _row(call, mode, found))]
    return rows


def draw_products(draw: Draw, rng: random.Random, spec: DeviceSpec) -> Iterator[Drawn]:
    """Products for ever, as models of many sizes have them; few of those that hardly outlast a launch."""
    for call, mode in stream_random_calls(SORTS, draw.shares, rng):
        if roofline_s(count_work(call), mode, spec) <= draw.short_s and rng.random() >= draw.short_share:
            continue
        # No draw where all are kept: surveys that were drawn before come out the same.
        if draw.many_rows_share < 1 and gemm_shape(call).m > draw.many_rows and rng.random() >= draw.many_rows_share:
            continue
        yield call, mode


def make_pool(device: torch.device, elements: int, seed: int) -> dict[str, torch.Tensor]:
    """One tensor of `elements` normal random numbers for each dtype."""
    generator = torch.Generator(device=device).manual_seed(seed)
    return {
        dtype: torch.empty(elements, dtype=getattr(torch, dtype), device=device).normal_(generator=generator)
        for dtype in ("bfloat16", "float16", "float32")
    }


def _make_run(call: Call, mode: str, pool: dict[str, torch.Tensor], rng: random.Random) -> Callable[[], object]:
    operator = resolve_operator(call.op)
    args = [_view(value, pool, rng) if isinstance(value, TensorSpec) else value for value in call.args]

    def run() -> None:
        set_precision(mode)
        for _ in range(_RUNS):
            operator(*args)

    return run


def _view(spec: TensorSpec, pool: dict[str, torch.Tensor], rng: random.Random) -> torch.Tensor:
    numbers = pool[spec.dtype]
    span = 1 + sum((size - 1) * stride for size, stride in zip(spec.shape, spec.stride, strict=True))
    start = rng.randrange((len(numbers) - span) // _ALIGNMENT + 1) * _ALIGNMENT
    return numbers.as_strided(spec.shape, spec.stride, start)


def _row(call: Call, mode: str, profiled: ProfiledCall) -> SurveyRow | None:
    """None if the kernels do not fall into equal runs."""
    kernels, each = profiled.kernels, len(profiled.kernels) // _RUNS
    last, earlier = kernels[len(kernels) - each :], kernels[len(kernels) - 2 * each : len(kernels) - each]
    if not each or len(kernels) % _RUNS or [k.name for k in last] != [k.name for k in earlier]:
        return None
    longest = max(last, key=lambda kernel: kernel.duration_s)
    return SurveyRow(
        signature=call.signature, dtype=mode, duration_s=sum(k.duration_s for k in last),
        earlier_s=sum(k.duration_s for k in earlier), sm_clock_hz=profiled.sm_clock_hz, kernels=each,
        kernel=longest.name, blocks=longest.blocks, threads=longest.threads,
    )  # fmt: skip


def main() -> None:
    """Survey into a folder, for so many seconds, with a seed, and with a way to draw."""
    directory, seconds, seed = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    draw = sys.argv[4] if len(sys.argv) > 4 else "even"
    end_s = time.monotonic() + seconds
    machine, rng = GpuMachine(), random.Random(seed)
    spec = device_of([str(machine.describe().get("gpu", ""))]) or load_device(DEFAULT_DEVICE)
    pool = make_pool(machine.device, _POOL_ELEMENTS, seed)
    drawn = draw_products(DRAWS[draw], rng, spec)
    rows = survey(drawn, end_s, pool, lambda runs: profile_calls(runs, machine.device), rng)
    directory.mkdir(parents=True, exist_ok=True)
    write_survey(rows, directory)
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    write_manifest(
        directory,
        {"collection": directory.name, "runs": [{"date": date, "seed": seed, "draw": draw, **machine.describe()}]},
    )
    print(f"{len(rows)} products: {directory}", file=sys.stderr)


if __name__ == "__main__":
    main()
