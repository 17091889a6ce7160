"""Pentathlons as tables for people: for each scenario one of speed and one of what it costs, a row a model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from irene.reporting.fitting import Line
from irene.reporting.footprint import footprint_of
from irene.reporting.rendering import new_table
from irene.scenarios.pentathlon import METRICS
from irene.units import KILOWATT_HOUR_J, format_quantity

if TYPE_CHECKING:
    from irene.reporting.footprint import Facility
    from irene.scenarios.pentathlon import Estimate, Pentathlon

_NOT_MEASURED = "-"
_PER = 1000
"""Grams and money of one instance are too small to read."""


def pentathlon_table(found: Sequence[Pentathlon], facility: Facility | None = None) -> RenderableType:
    """The tables of some Pentathlons, those of one scenario together."""
    parts: list[RenderableType] = []
    for _, group in itertools.groupby(found, key=lambda one: one.scenario):
        rows = list(group)
        parts += [
            Line(f"{describe_scenario(rows[0])}; {', '.join(dict.fromkeys(map(_source, rows)))}"),
            "",
            _speed(rows),
            "",
            _cost(rows, facility),
            "",
        ]
        parts += [Line(f"note       {note}", 11) for note in dict.fromkeys(note for row in rows for note in row.notes)]
        parts += [Line(f"ended      {row.model}: {row.error}", 11) for row in rows if row.error]
        parts += [""]
    return Group(*parts[:-1])


def pentathlon_rows(found: Sequence[Pentathlon]) -> Iterator[dict[str, Any]]:
    """One flat dict for each: every metric with its interval, None where it was not measured."""
    for one in found:
        row: dict[str, Any] = {"model": one.model, "scenario": one.scenario.name, "source": one.source}
        row |= {"device": one.device, "meter": one.meter, "instances": one.instances, "batches": one.batches}
        for name in METRICS:
            estimate = one.metrics[name]
            row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        yield row


def describe_scenario(one: Pentathlon) -> str:
    """A scenario in words, with its stream."""
    scenario = one.scenario
    words = [f"{scenario.count:,} instances"]
    words += [f"batches of {scenario.most}"] if scenario.name in ("fixed_batch", "offline") else []
    words += [f"batches of Poisson({scenario.most})"] if scenario.name == "poisson_batch" else []
    words += [f"{scenario.rate_per_s:g} a second, up to {scenario.most} together"] if scenario.is_open else []
    words += [f"window {format_quantity(scenario.window_s, 's')}"] if scenario.window_s else []
    lengths, new = one.settings.get("lengths"), one.settings.get("new_lengths")
    words += [f"tokens {lengths}"] if lengths else []
    words += [f"new tokens {new}"] if new else []
    return f"{scenario.name}: {', '.join(words)}"


def _speed(rows: Sequence[Pentathlon]) -> RenderableType:
    columns = ("instances", "90 % interval", "tokens", "latency", "p50", "p95", "p99", "waiting", "busy")
    table = new_table(*columns, first="model", gives_way=("p50", "waiting", "tokens", "90 % interval", "p95", "busy"))
    for title, row in zip(_names(rows), rows, strict=True):
        m = row.metrics
        table.add_row(
            title, _of(m["throughput_per_s"], "/s"), _interval(m["throughput_per_s"], "/s"),
            _of(m["token_throughput_per_s"], "/s"),
            *(_of(m[name], "s") for name in METRICS if name.startswith("latency")), _of(m["waiting_mean_s"], "s"),
            _NOT_MEASURED if m["utilization"].value is None else f"{m['utilization'].value:.0%}",
        )  # fmt: skip
    return table


def _cost(rows: Sequence[Pentathlon], facility: Facility | None) -> RenderableType:
    titles = ["an instance", "90 % interval", "net of idle", "Wh", "power", "memory", "host", "parameters"]
    titles += [] if facility is None or facility.carbon_intensity_g_per_kwh is None else [f"CO2e/{_PER}"]
    titles += [] if facility is None or facility.price_per_kwh is None else [f"cost/{_PER}"]
    gives_way = ("host", "Wh", "net of idle", "power", "90 % interval", *titles[8:])
    table = new_table(*titles, first="model", gives_way=gives_way)
    for title, row in zip(_names(rows), rows, strict=True):
        m = row.metrics
        joules = m["energy_per_instance_j"].value
        watt_hours = None if joules is None else 1000 * joules / KILOWATT_HOUR_J
        cells = [
            _of(m["energy_per_instance_j"], "J"), _interval(m["energy_per_instance_j"], "J"),
            _of(m["net_energy_per_instance_j"], "J"),
            _NOT_MEASURED if watt_hours is None else format_quantity(watt_hours, "Wh"),
            _of(m["power_w"], "W"), _of(m["device_memory_bytes"], "B"), _of(m["host_memory_bytes"], "B"),
            _of(m["parameters"], ""),
        ]  # fmt: skip
        table.add_row(title, *cells, *_footprint(joules, facility))
    return table


def _footprint(joules: float | None, facility: Facility | None) -> list[str]:
    if facility is None:
        return []
    found = None if joules is None else footprint_of(_PER * joules, facility)
    cells = []
    if facility.carbon_intensity_g_per_kwh is not None:
        grams = None if found is None else found.carbon_g
        cells.append(_NOT_MEASURED if grams is None else format_quantity(grams, "g"))
    if facility.price_per_kwh is not None:
        cost = None if found is None else found.cost
        cells.append(_NOT_MEASURED if cost is None else f"{cost:.3g}")
    return cells


def _source(row: Pentathlon) -> str:
    return f"{row.source} on {row.device}"


def _names(rows: Sequence[Pentathlon]) -> list[str]:
    """Each row's model, with where it is from if rows differ in that."""
    differ = len(set(map(_source, rows))) > 1
    return [f"{row.model}{f', {_source(row)}' if differ else ''}{' (cut short)' if row.error else ''}" for row in rows]


def _of(estimate: Estimate, unit: str) -> str:
    return _NOT_MEASURED if estimate.value is None else format_quantity(estimate.value, unit).rstrip()


def _interval(estimate: Estimate, unit: str) -> str:
    if estimate.low is None or estimate.high is None:
        return _NOT_MEASURED
    return f"{format_quantity(estimate.low, unit)} to {format_quantity(estimate.high, unit)}"
