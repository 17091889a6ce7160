"""An explanation as tables for people: where the joules go and why, then what would change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from irene.explanation.explanation import unit_of
from irene.model_tree.workload import describe_workload
from irene.reporting.fitting import Line, head
from irene.reporting.rendering import new_table
from irene.reporting.wording import describe_generation
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.explanation.explanation import Counterfactual, Explanation, Portion

TOP = 10
"""Rows of a list of portions; what is left out is one row '(other)'."""


def explanation_table(explanation: Explanation, top: int = TOP) -> RenderableType:
    """Header, the `top` nodes at the depth, layers, kinds, counterfactuals."""
    parts: list[Any] = [*head(*_header(explanation))]
    titles = {
        f"Nodes at depth {explanation.depth}, most energy first": explanation.nodes,
        "Layers": explanation.layers,
        "Kinds of primitives": explanation.kinds,
    }
    for title, portions in titles.items():
        parts += ["", title, _portions_table(portions, top, explanation.whole.energy_j)]
    if explanation.counterfactuals:
        unit = unit_of(explanation.counterfactuals)
        title = f"What would change it (predicted again; interval and 'sure' are of the ratio a {unit})"
        parts += ["", Line(title)]
        parts += [_counterfactuals_table(explanation.counterfactuals)]
    parts += [Line(f"not asked: {line}", 11) for line in explanation.not_asked]
    return Group(*parts)


def portion_rows(explanation: Explanation) -> list[dict[str, Any]]:
    """One flat row a portion, for CSV; `list` says which list it is in (each sums to the whole)."""
    rows = []
    lists = {"node": explanation.nodes, "layer": explanation.layers, "kind": explanation.kinds}
    for name, portions in lists.items():
        for portion in portions:
            row: dict[str, Any] = {"list": name}
            for key in ("label", "kind", "calls", "energy_j", "each_j", "share", "duration_s", "power_w"):
                row[key] = getattr(portion, key)
            row |= {f"{part}_j": joules for part, joules in portion.breakdown_j.items()}
            for key in ("flop", "traffic_bytes", "flop_per_byte", "bound", "why", "provenance"):
                row[key] = getattr(portion, key)
            rows.append(row)
    return rows


def _header(explanation: Explanation) -> list[str]:
    whole, (low, high) = explanation.whole, explanation.interval_j
    account = sorted(whole.breakdown_j.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name.replace('_', ' ')} {joules / (whole.energy_j or 1):.1%}" for name, joules in account)
    power = "" if whole.power_w is None else f", {format_quantity(whole.power_w, 'W')}"
    return [
        f"{explanation.model}: {describe_workload(explanation.workload)} on {explanation.device}",
        f"energy     {format_quantity(whole.energy_j, 'J')}"
        f"   90 % interval {format_quantity(low, 'J')} to {format_quantity(high, 'J')}",
        f"time       {format_quantity(whole.duration_s, 's')}{power}",
        *(describe_generation(explanation.generation) if explanation.generation else ()),
        f"bound      {whole.bound.replace('_', ' ') or '-'}: {whole.why}",
        f"goes to    {shares}",
        f"ridge      {explanation.ridge_flop_per_byte:.0f} FLOP/B in {explanation.workload.dtype}"
        + ("" if whole.flop_per_byte is None else f"; the model does {_format_intensity(whole.flop_per_byte)}"),
        f"predictor  {explanation.predictor}",
        *(f"note       {note}" for note in explanation.notes),
    ]


def _portions_table(portions: Sequence[Portion], top: int, total_j: float) -> Table:
    gives_way = ("each", "FLOP/B", "power", "bound")  # the last word, why, says the bound too
    table = new_table("energy", "share", "each", "power", "FLOP/B", "bound", first="where", gives_way=gives_way)
    table.add_column("why", overflow="fold")
    kept = {id(portion) for portion in sorted(portions, key=lambda portion: -portion.energy_j)[:top]}
    shown = [portion for portion in portions if id(portion) in kept]
    for portion in shown:
        table.add_row(
            portion.label,
            format_quantity(portion.energy_j, "J"),
            f"{portion.share:.1%}",
            f"{portion.calls} x {format_quantity(portion.each_j, 'J')}" if portion.calls > 1 else "",
            "-" if portion.power_w is None else format_quantity(portion.power_w, "W"),
            "-" if portion.flop_per_byte is None else _format_intensity(portion.flop_per_byte),
            portion.bound.removesuffix("_bound") or "-",
            portion.why,
        )
    left_j = total_j - sum(portion.energy_j for portion in shown)
    if len(shown) < len(portions):
        share = f"{left_j / total_j:.1%}" if total_j > 0 else "-"
        table.add_row(f"({len(portions) - len(shown)} others)", format_quantity(max(left_j, 0.0), "J"), share)
    return table


def _format_intensity(flop_per_byte: float) -> str:
    return f"{flop_per_byte:,.0f}" if flop_per_byte >= 100 else f"{flop_per_byte:.3g}"


def _counterfactuals_table(counterfactuals: Sequence[Counterfactual]) -> Table:
    unit = unit_of(counterfactuals)
    columns = ("energy", "time", "a call", f"a {unit}", "90 % interval", "sure")
    table = new_table(*columns, first="change", gives_way=("time", "energy", "sure"))
    for found in counterfactuals:
        ratio, low, high = found.ratio_for(unit)
        table.add_row(
            found.change,
            format_quantity(found.energy_j, "J"),
            format_quantity(found.duration_s, "s"),
            f"x {found.ratio:.2f}",
            f"x {ratio:.2f}",
            f"{low:.2f} to {high:.2f}",
            "yes" if found.is_significant else "no",
        )
    return table
