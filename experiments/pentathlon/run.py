"""Predict every case, set what was measured beside it, and write tables and a figure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cases import FOLDER, Plan, load_cases

from irene.files import write_whole
from irene.reporting.marked_text import write_between_marks
from irene.reporting.pentathlon_figure import draw_pentathlons
from irene.scenarios import Pentathlon, Scenario, load_pentathlon, predict_pentathlon
from irene.units import format_quantity

GOALS = {  # metric: (title, unit, most per cent off)
    "energy_per_instance_j": ("energy an instance", "J", 10.0),
    "throughput_per_s": ("instances", "/s", 10.0),
    "latency_p95_s": ("p95 latency", "s", 15.0),
    "device_memory_bytes": ("memory", "B", 6.0),
    "parameters": ("parameters", "", 0.0),
}
Key = tuple[str, str]


def main() -> None:
    plan = load_cases()
    measured = {(one.model, one.scenario.name): one for one in load_measured()}
    for name, cases in (("models", plan.models), ("variants", plan.variants)):
        predicted = list(predict(plan, cases))
        write_whole(FOLDER / f"{name}.json", json.dumps([one.to_json() for one in predicted], indent=1) + "\n")
        beside = [measured[key_of(one)] for one in predicted if key_of(one) in measured]
        draw_pentathlons([*predicted, *beside], FOLDER / f"{name}.svg")
        begin, end = (f"<!-- {name}: {mark} -->" for mark in ("begin", "end"))
        write_between_marks(FOLDER / "README.md", tabulate(predicted, measured), begin, end)
    everything = [key for key in measured if key[0] in {case["model"] for case in plan.models}]
    text = judge(measured, everything) if everything else "Not measured yet: see the command above."
    write_between_marks(FOLDER / "README.md", text, "<!-- errors: begin -->", "<!-- errors: end -->")


def predict(plan: Plan, cases: list[dict[str, Any]]) -> Iterable[Pentathlon]:
    for case in cases:
        settings = {name: value for name, value in case.items() if name != "model"}
        for name in plan.scenarios:
            open_ended = (
                {"rate_per_s": plan.rate_per_s, "window_s": plan.window_s} if name == "poisson_arrivals" else {}
            )
            scenario = Scenario(name=name, **open_ended)
            print(case["model"], name, flush=True)
            yield predict_pentathlon(case["model"], scenario, lengths=plan.lengths, pad_to=plan.pad_to, **settings)


def load_measured() -> list[Pentathlon]:
    return [load_pentathlon(path) for path in sorted((FOLDER / "measured").glob("*.json"))]


def key_of(one: Pentathlon) -> Key:
    return one.model, one.scenario.name


def tabulate(predicted: list[Pentathlon], measured: dict[Key, Pentathlon]) -> str:
    """A row a model and scenario: predicted with its interval, and measured behind it where there is a measurement."""
    titles = [title for title, _, _ in GOALS.values()]
    lines = ["| model | scenario | " + " | ".join(titles) + " |", "| --- | --- |" + " ---: |" * len(titles)]
    for one in predicted:
        beside = measured.get(key_of(one))
        cells = [describe(one, beside, metric, unit) for metric, (_, unit, _) in GOALS.items()]
        lines.append(
            f"| {one.model.split('/')[-1].removesuffix('.json')} | {one.scenario.name} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


def describe(one: Pentathlon, beside: Pentathlon | None, metric: str, unit: str) -> str:
    estimate = one.metrics[metric]
    if estimate.value is None:
        return "-"
    text = format_quantity(estimate.value, unit).rstrip()
    if estimate.low is not None and estimate.high is not None:
        text += f" ({format_quantity(estimate.low, unit)} to {format_quantity(estimate.high, unit)})"
    seen = None if beside is None else beside.value(metric)
    return (
        text
        if not seen
        else f"{text}; measured {format_quantity(seen, unit).rstrip()}, {off(estimate.value, seen):+.1f} %"
    )


def off(predicted: float, measured: float) -> float:
    return 100.0 * (predicted / measured - 1.0)


def judge(measured: dict[Key, Pentathlon], keys: list[Key]) -> str:
    """The mean absolute error of each metric over the cases, beside its goal."""
    predicted = {tuple(entry_key(entry)): entry for entry in json.loads((FOLDER / "models.json").read_text("utf-8"))}
    lines = ["| metric | cases | mean error % | worst % | goal % |", "| --- | --- | --- | --- | --- |"]
    for metric, (title, _, goal) in GOALS.items():
        errors = []
        for key in keys:
            said, seen = predicted[key]["metrics"][metric]["value"], measured[key].value(metric)
            if said is not None and seen:
                errors.append(abs(off(said, seen)))
        if errors:
            lines.append(
                f"| {title} | {len(errors)} | {sum(errors) / len(errors):.1f} | {max(errors):.1f} | {goal:g} |"
            )
    return "\n".join(lines)


def entry_key(entry: dict[str, Any]) -> Key:
    return entry["model"], entry["scenario"]["name"]


if __name__ == "__main__":
    main()
