"""A comparison as tables for people: totals, every pair's difference, and which layers make it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from irene.explanation.gate import MEASURES
from irene.model_tree.workload import describe_workload
from irene.reporting.fitting import Line
from irene.reporting.phases_table import phases_table
from irene.reporting.rendering import new_table
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.explanation.comparison import Comparison, Contribution, Difference, Entry

# Neighbours whose joules differ by less than this on both sides are one row.
_ALIKE = 0.05


def comparison_table(comparison: Comparison, *, unfold: bool = False) -> RenderableType:
    """Totals and ranking, all pairs, then for every other entry what its layers and roles add to the base."""
    parts: list[Any] = [
        *map(Line, _describe_entries(comparison.entries)),
        "",
        _totals_table(comparison),
        f"ranked by joules {MEASURES[comparison.ranked_by]}, least first",
        "",
        *_phases(comparison),
        _pairs_table(comparison.differences),
    ]  # fmt: skip
    for difference in comparison.differences:
        if difference.base == comparison.base.name:
            title = f"{difference.other} - {difference.base} = {signed(difference.energy_j, rounding_j(difference))}"
            rows = list(difference.by_layer if unfold else fold_contributions(difference.by_layer))
            for by, contributions in (("role", list(difference.by_role)), ("layer", rows)):
                parts += ["", f"{title}, by {by}", _contributions_table(contributions, difference)]
    parts += [Line(f"note: {note}", 6) for note in comparison.notes]
    return Group(*parts)


def _phases(comparison: Comparison) -> list[Any]:
    generations = {entry.name: entry.generation for entry in comparison.entries if entry.generation}
    return [phases_table(generations), ""] if generations else []


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


def _describe_entries(entries: Sequence[Entry]) -> Iterator[str]:
    """What is common to all once, and then of each entry what its name does not say."""
    described = [f"{describe_workload(entry.workload)} on {entry.device}" for entry in entries]
    is_common = len(set(described)) == 1
    if is_common:
        yield f"all: {described[0]}"
    for entry, words in zip(entries, described, strict=True):
        own = ([] if entry.model == entry.name else [entry.model]) + ([] if is_common else [words])
        if own:
            yield f"{entry.name}: {', '.join(own)}"


def _totals_table(comparison: Comparison) -> Table:
    columns = ("energy", "90 % interval", "time", "power", "a sample", "a token", "bound", "rank")
    gives_way = ("bound", "a sample", "power", "a token", "rank", "time")
    table = new_table(*columns, first="name", gives_way=gives_way)
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
    columns = ("difference", "90 % interval", "ratio (90 % interval)", f"a {unit}", "larger than\nuncertainty")
    table = new_table(*columns, first="pair", gives_way=("90 % interval", f"a {unit}", "difference"))
    for pair in differences:
        (low_j, high_j), (low, high) = pair.interval_j, pair.interval_ratio
        least_j = rounding_j(pair)
        table.add_row(
            f"{pair.other} - {pair.base}",
            signed(pair.energy_j, least_j),
            f"{signed(low_j, least_j)} to {signed(high_j, least_j)}",
            f"x {pair.ratio:.3g} ({low:.3g} to {high:.3g})",
            f"x {pair.ratio * getattr(pair, f'factor_per_{unit}'):.3g}",
            "yes" if pair.is_significant else "no",
        )
    return table


def _contributions_table(parts: Sequence[Contribution], difference: Difference) -> Table:
    total_j, least_j = difference.energy_j, rounding_j(difference)
    columns = ("base", "other", "difference", "of it", "aligned by")
    table = new_table(*columns, first="where", gives_way=("aligned by", "of it"))
    for part in parts:
        table.add_row(
            part.label,
            "-" if part.base_j is None else format_quantity(part.base_j, "J"),
            "-" if part.other_j is None else format_quantity(part.other_j, "J"),
            signed(part.difference_j, least_j),
            # 0.0 has no sign to show
            f"{round(part.difference_j / total_j, 3) + 0.0:.1%}" if abs(total_j) > least_j else "-",
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


def rounding_j(difference: Difference) -> float:
    """What sums of floats may leave of no difference: a billionth of the larger side."""
    sides = ((part.base_j or 0.0, part.other_j or 0.0) for part in difference.by_role)
    return 1e-9 * max(map(sum, zip(*sides, strict=True)), default=0.0)


def signed(joules: float, least_j: float) -> str:
    """Joules with their sign; below `least_j` they are none.

    >>> signed(0.5, 1e-9), signed(-1.28e-15, 1e-9)
    ('+500 mJ', '0 J')
    """
    shown_j = joules if abs(joules) >= least_j else 0.0
    return f"{'+' if shown_j > 0 else ''}{format_quantity(shown_j, 'J')}"
