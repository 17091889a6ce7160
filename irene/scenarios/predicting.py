"""The Pentathlon of a model that nobody has run: a stream, the predictor's prices, a queue, and draws for intervals.

A draw moves all passes of one regime (waiting for the host, or not) together, and the two regimes apart: that is how
errors of one model were found to go, `irene.explanation.shared_errors`. Times get the intervals of energies: none were
judged for times alone. Each draw is simulated as a stream of its own, since a queue answers no average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.errors import BadInput
from irene.hardware.devices import DEFAULT_DEVICE, load_device
from irene.model_tree.memory import WORKSPACE_BYTES
from irene.predictor.reading import read_model
from irene.scenarios import metrics as of
from irene.scenarios.pentathlon import METRICS, NOT_MEASURED, Estimate, Pentathlon
from irene.scenarios.pricing import Prices, PriceTable, heaviest, predict_shape, price_shapes
from irene.scenarios.queueing import Served, serve_back_to_back, serve_in_batches, serve_one_by_one
from irene.scenarios.streams import Padding, Scenario, Stream, draw_stream, shapes_of

DRAWS = 100
_Z_OF_90 = 1.6448536269514722  # a normal variable lies within so many standard deviations nine times of ten
_GROWING = 1.5  # in a queue without end the last third waits 1.67 times as long as the middle one


def predict_pentathlon(
    model: Any,
    scenario: Scenario,
    *,
    lengths: str = "128",
    new_lengths: str = "",
    pad_to: int = 1,
    device: str = DEFAULT_DEVICE,
    **settings: Any,
) -> Pentathlon:
    """The five metrics of a model in a scenario, without the hardware.

    `lengths` and `new_lengths` (a generation) are as `draw_lengths` takes them; batches are padded to their longest, up
    to a multiple of `pad_to`. `settings` go to `irene.predict`: dtype, task, execution, predictor and so on. Raises
    BadInput and its kinds, also where a batch does not fit into the device's memory.

    >>> found = predict_pentathlon("bert-tiny", Scenario(name="fixed_batch", instances=300))
    >>> found.batches, found.metrics["throughput_per_s"].low < found.value("throughput_per_s")
    (3, True)
    """
    if settings.get("gpus", 1) != 1:
        raise BadInput("Streams of requests are predicted on one GPU; leave gpus out, or predict one batch with it.")
    model, spec = read_model(model), load_device(device)
    from irene.variants.multiplexing import inputs_a_row  # torch

    stream = draw_stream(scenario, lengths, new_lengths)
    padding = Padding(tokens=pad_to, rows=inputs_a_row(getattr(model, "config", None)))
    possible = _possible_shapes(stream, padding)
    shown = predict_shape(model, heaviest(possible), settings, device)
    table = price_shapes(model, possible, settings, device)
    case = _make_case(stream, padding, possible, table.at(possible))
    served, which = _serve(case, np.zeros(2))
    is_text = shown.tree.workload.seq_len is not None
    drawn = np.random.default_rng(scenario.seed).standard_normal((DRAWS, 2))
    idle_w = spec.context_idle_power_w
    rows = [_metrics(case, z, idle_w) for z in [np.zeros(2), *drawn]]
    found = {name: _estimate([row[name] for row in rows]) for name in rows[0]}
    memory = shown.tree.memory
    known = {
        "parameters": float(shown.tree.root.parameters),
        "device_memory_bytes": None if memory is None else float(memory.peak - WORKSPACE_BYTES),
        "padding_share": of.padding_share(stream, possible[which], scenario.count) if is_text else None,
    }
    found |= {name: Estimate(value) for name, value in known.items()}
    if not is_text:
        found["token_throughput_per_s"] = NOT_MEASURED
    work = shown.tree.workload
    described = {"dtype": work.dtype, "task": work.task, "execution": work.execution}
    return Pentathlon(
        model=shown.tree.model, scenario=scenario, source="predicted", device=shown.device,
        meter=f"predictor {table.predictor.name} {table.predictor.version}",
        settings=described | {"lengths": lengths, "new_lengths": new_lengths, "pad_to": pad_to},
        instances=scenario.count, batches=len(served.sizes),
        metrics={name: found.get(name, NOT_MEASURED) for name in METRICS},
        notes=(*shown.tree.notes, *_notes(table, served, stream, padding)), by_device={"gpu": found["energy_j"].value},
    )  # fmt: skip


def _possible_shapes(stream: Stream, padding: Padding) -> IntArray:
    """Every shape that batches may have; the first of an open stream is the heaviest of one instance."""
    if not stream.scenario.is_open:
        return np.unique(stream.shapes(padding), axis=0)
    single = np.ones(len(stream.tokens), dtype=np.int64)
    alone = np.unique(shapes_of(stream, np.arange(len(stream.tokens)), single, padding)[:, 1:], axis=0)[::-1]
    most = min(stream.scenario.most, len(stream.tokens))
    rows = np.unique(-(-np.arange(1, most + 1) // padding.rows) * padding.rows)
    return np.array([[r, *pair] for r in rows for pair in alone], dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """A stream, the shapes that its batches may have, their prices, and which of them each batch has.

    `which` is None where batches depend on how long the ones before take.
    """

    stream: Stream
    padding: Padding
    possible: IntArray
    prices: Prices
    which: IntArray | None


def _make_case(stream: Stream, padding: Padding, possible: IntArray, prices: Prices) -> _Case:
    scenario = stream.scenario
    if scenario.is_open and scenario.most > 1:
        return _Case(stream, padding, possible, prices, None)
    single = np.arange(scenario.count), np.ones(scenario.count, dtype=np.int64)
    shapes = shapes_of(stream, *single, padding) if scenario.is_open else stream.shapes(padding)
    number_of = {tuple(shape): number for number, shape in enumerate(possible.tolist())}
    which = np.array([number_of[tuple(shape)] for shape in shapes.tolist()], dtype=np.int64)
    return _Case(stream, padding, possible, prices, which)


def _serve(case: _Case, z: FloatArray) -> tuple[Served, IntArray]:
    """One stream as it is served where errors are `z` standard deviations, and the shape of each batch by number."""
    stream, scenario, duration_s = case.stream, case.stream.scenario, case.prices.duration_s * _factors(case.prices, z)
    if case.which is not None:
        own_s = duration_s[case.which]
        if scenario.is_open:
            return serve_one_by_one(stream.arrival_s, own_s), case.which
        return serve_back_to_back(stream.sizes, own_s), case.which
    number_of = {tuple(shape): number for number, shape in enumerate(case.possible.tolist())}
    seconds: list[float] = duration_s.tolist()
    tokens, new = stream.tokens.tolist(), stream.new_tokens.tolist()
    which: list[int] = []

    def service(first: int, after: int) -> float:
        shape = case.padding.shape(after - first, max(tokens[first:after]), max(new[first:after]))
        which.append(number_of[shape])
        return seconds[which[-1]]

    served = serve_in_batches(stream.arrival_s, scenario.most, scenario.window_s, service)
    return served, np.array(which, dtype=np.int64)


def _metrics(case: _Case, z: FloatArray, idle_power_w: float) -> dict[str, float | None]:
    served, which = _serve(case, z)
    joules = (case.prices.energy_j * _factors(case.prices, z))[which]
    energy_j = of.gross_energy_j(served, joules, idle_power_w)
    times = of.time_metrics(case.stream, served)
    count = case.stream.scenario.count
    return times | of.energy_metrics(energy_j, idle_power_w, float(served.ended_s[-1]), count)


def _factors(prices: Prices, z: FloatArray) -> FloatArray:
    """By what each shape's energy and duration are off, its errors `z` standard deviations: host-bound, others."""
    own = np.where(prices.host_bound > 0.5, z[0], z[1])
    factors: FloatArray = np.exp(own / _Z_OF_90 * np.where(own > 0, prices.up, prices.down))
    return factors


def _estimate(values: list[float | None]) -> Estimate:
    """The first is the answer; the others are draws."""
    first, *draws = values
    if first is None:
        return NOT_MEASURED
    low, high = np.percentile([draw for draw in draws if draw is not None], (5.0, 95.0))
    return Estimate(first, min(float(low), first), max(float(high), first))


def _notes(table: PriceTable, served: Served, stream: Stream, padding: Padding) -> tuple[str, ...]:
    found = [f"intervals by {DRAWS} draws; times have the intervals of energies"]
    if table.points < table.asked:
        found.append(f"{table.points} of {table.asked} shapes were priced, those between them by straight lines")
    if padding.rows > 1:
        found.append(f"{padding.rows} inputs share a row: smaller batches are filled up")
    if stream.scenario.is_open and _waits_grow(served.instance_began_s - stream.arrival_s):
        found.append("more comes than is served: waits grow for as long as the stream")
    return tuple(found)


def _waits_grow(waits_s: FloatArray) -> bool:
    """Whether those of the last third wait much longer than those of the middle one."""
    third = len(waits_s) // 3
    return third > 0 and float(waits_s[-third:].mean()) > _GROWING * float(waits_s[third:-third].mean())
