"""A comparison as tables for people: totals, every pair's difference, and which layers make it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from irene.reporting.explanation_table import describe_workload
from irene.reporting.rendering import new_table
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.explanation.comparison import Comparison, Contribution, Difference

# Neighbours whose joules differ by less than this on both sides are one row.
_ALIKE = 0.05
_MEASURES = {"energy_j": "a call", "energy_per_token_j": "a token", "energy_per_sample_j": "a sample"}


def comparison_table(comparison: Comparison, *, unfold: bool = False) -> RenderableType:
    """Totals and ranking, all pairs, then for every other entry what its layers and roles add to the base."""
    parts: list[Any] = [
        *(f"{entry.name}: {entry.model}, {describe_workload(entry.workload)} on {entry.device}"
          for entry in comparison.entries),
        "",
        _totals_table(comparison),
        f"ranked by joules {_MEASURES[comparison.ranked_by]}, least first",
        "",
        _pairs_table(comparison.differences),
    ]  # fmt: skip
    for difference in comparison.differences:
        if difference.base == comparison.base.name:
            title = f"{difference.other} - {difference.base} = {_signed(difference.energy_j)}"
            parts += ["", f"{title}, by role", _contributions_table(list(difference.by_role), difference.energy_j)]
            rows = list(difference.by_layer if unfold else fold_contributions(difference.by_layer))
            parts += ["", f"{title}, by layer", _contributions_table(rows, difference.energy_j)]
    parts += [f"note: {note}" for note in comparison.notes]
    return Group(*parts)


def contribution_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat row for each part of each pair, for CSV; `list` is 'layer' or 'role', each sums to the difference."""
    return [
        {
            "base": difference.base, "other": difference.other, "list": name, "label": part.label,
            "aligned_by": part.aligned_by, "base_j": part.base_j, "other_j": part.other_j,
            "difference_j": part.difference_j,
        }
        for difference in comparison.differences
        for name, parts in (("layer", difference.by_layer), ("role", difference.by_role))
        for part in parts
    ]  # fmt: skip


def fold_contributions(parts: Sequence[Contribution]) -> Iterator[Contribution]:
    """Neighbouring layers of nearly equal joules as one, 'encoder.layer.0-11', summed."""
    group: list[Contribution] = []
    for part in parts:
        if group and not _are_alike(group[0], part):
            yield _sum(group)
            group = []
        group.append(part)
    if group:
        yield _sum(group)


def _totals_table(comparison: Comparison) -> Table:
    table = new_table("energy", "90 % interval", "time", "power", "a sample", "a token", "bound", "rank", first="name")
    for entry in comparison.entries:
        low, high = entry.interval_j
        table.add_row(
            entry.name,
            format_quantity(entry.energy_j, "J"),
            f"{format_quantity(low, 'J')} to {format_quantity(high, 'J')}",
            format_quantity(entry.duration_s, "s"),
            "-" if entry.power_w is None else format_quantity(entry.power_w, "W"),
            format_quantity(entry.energy_per_sample_j, "J"),
            "-" if entry.energy_per_token_j is None else format_quantity(entry.energy_per_token_j, "J"),
            entry.bound.removesuffix("_bound") or "-",
            str(comparison.ranking.index(entry.name) + 1),
        )
    return table


def _pairs_table(differences: Sequence[Difference]) -> Table:
    unit = "sample" if any(pair.factor_per_token is None for pair in differences) else "token"
    columns = ("difference", "90 % interval", "ratio", "90 % interval", f"a {unit}", "larger than the uncertainty")
    table = new_table(*columns, first="pair")
    for pair in differences:
        (low_j, high_j), (low, high) = pair.interval_j, pair.interval_ratio
        table.add_row(
            f"{pair.other} - {pair.base}",
            _signed(pair.energy_j),
            f"{_signed(low_j)} to {_signed(high_j)}",
            f"x {pair.ratio:.3g}",
            f"{low:.3g} to {high:.3g}",
            f"x {pair.ratio * getattr(pair, f'factor_per_{unit}'):.3g}",
            "yes" if pair.is_significant else "no",
        )
    return table


def _contributions_table(parts: Sequence[Contribution], total_j: float) -> Table:
    table = new_table("base", "other", "difference", "of it", "aligned by", first="where")
    for part in parts:
        table.add_row(
            part.label,
            "-" if part.base_j is None else format_quantity(part.base_j, "J"),
            "-" if part.other_j is None else format_quantity(part.other_j, "J"),
            _signed(part.difference_j),
            f"{round(part.difference_j / total_j, 3) + 0.0:.1%}" if total_j else "-",  # 0.0 has no sign to show
            part.aligned_by,
        )
    return table


def _are_alike(first: Contribution, part: Contribution) -> bool:
    if part.aligned_by != first.aligned_by or _without_number(part.label) != _without_number(first.label):
        return False
    pairs = ((first.base_j, part.base_j), (first.other_j, part.other_j))
    return all((a is None) == (b is None) and abs((a or 0) - (b or 0)) <= _ALIKE * abs(a or 0) for a, b in pairs)


def _without_number(label: str) -> str:
    return re.sub(r"\d+$", "", label)


def _sum(group: Sequence[Contribution]) -> Contribution:
    first, last = group[0], group[-1]
    if len(group) == 1:
        return first
    number = last.label[len(_without_number(last.label)) :]
    base_j, other_j = (
        None if getattr(first, side) is None else sum(getattr(part, side) for part in group)
        for side in ("base_j", "other_j")
    )
    label = f"{first.label}-{number} (x{len(group)})"
    difference_j = sum(part.difference_j for part in group)
    return replace(first, label=label, base_j=base_j, other_j=other_j, difference_j=difference_j)


def _signed(joules: float) -> str:
    return f"{'+' if joules > 0 else ''}{format_quantity(joules, 'J')}"
