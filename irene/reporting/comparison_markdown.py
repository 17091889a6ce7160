"""A comparison as Markdown: for a file, or for a comment on GitHub with what is long folded away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from irene.explanation.gate import MEASURES
from irene.model_tree.workload import describe_workload
from irene.reporting.comparison_table import fold_contributions, rounding_j, signed
from irene.reporting.markdown import escape_cell
from irene.reporting.phases_table import COLUMNS, phase_cells
from irene.reporting.wording import describe_interval
from irene.units import format_quantity
from irene.version import __version__

if TYPE_CHECKING:
    from irene.explanation.comparison import Comparison, Contribution
    from irene.explanation.gate import Gate

MARK = "<!-- irene compare -->"
"""The first line of a comment: by it the one that is there already is found."""
_MOST_ROWS = 30


def comparison_to_markdown(comparison: Comparison, gate: Gate | None = None, *, for_github: bool = False) -> str:
    """Totals, every pair, and by layer what each other entry adds to the base; with what a gate said on top."""
    lines = [MARK] if for_github else []
    lines += ["### Predicted energy", ""]
    if gate is not None:
        lines += [f"**{'Failed' if gate.failed else 'Passed'}** `--fail-above {100 * gate.fail_above:g}%`", ""]
        lines += [*(f"- {escape_cell(line)}" for line in gate.lines()), ""]
    lines += [*_totals(comparison), "", f"Ranked by joules {MEASURES[comparison.ranked_by]}, least first.", ""]
    lines += _phases(comparison)
    lines += [*_pairs(comparison), ""]
    for difference in comparison.differences:
        if difference.base == comparison.base.name:
            title = f"{escape_cell(difference.other)} - {escape_cell(difference.base)} by layer"
            table = _layers(list(fold_contributions(difference.by_layer)), rounding_j(difference))
            if for_github:
                lines += [f"<details><summary>{title}</summary>", "", *table, "", "</details>", ""]
            else:
                lines += [f"#### {title}", "", *table, ""]
    lines += [f"- note: {escape_cell(note)}" for note in comparison.notes]
    described = {f"{describe_workload(entry.workload)} on {entry.device}" for entry in comparison.entries}
    lines += ["", f"{escape_cell('; '.join(sorted(described)))}. Predicted with irene {__version__}, not measured.", ""]
    return "\n".join(lines)


def _totals(comparison: Comparison) -> list[str]:
    lines = ["| | energy | 90 % interval | time | power | rank |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for entry in comparison.entries:
        cells = [
            escape_cell(entry.name),
            f"**{format_quantity(entry.energy_j, 'J')}**",
            describe_interval(*entry.interval_j),
            format_quantity(entry.duration_s, "s"),
            "-" if entry.power_w is None else format_quantity(entry.power_w, "W"),
            str(comparison.ranking.index(entry.name) + 1),
        ]
        lines.append(_row(cells))
    return lines


def _phases(comparison: Comparison) -> list[str]:
    """Of generations: a row for each phase, and one for a token."""
    rows = [
        _row([escape_cell(entry.name) if at == 0 else "", *cells])
        for entry in comparison.entries if entry.generation
        for at, cells in enumerate(phase_cells(entry.generation))
    ]  # fmt: skip
    return [_row(["", *COLUMNS]), "| --- | --- | ---: | ---: | ---: | ---: |", *rows, ""] if rows else []


def _pairs(comparison: Comparison) -> list[str]:
    lines = [
        "| pair | difference | ratio | 90 % interval | larger than the uncertainty |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for pair in comparison.differences:
        low, high = pair.interval_ratio
        cells = [
            f"{escape_cell(pair.other)} - {escape_cell(pair.base)}",
            signed(pair.energy_j, rounding_j(pair)), f"x {pair.ratio:.3g}",
            f"{low:.3g} to {high:.3g}", "yes" if pair.is_significant else "no",
        ]  # fmt: skip
        lines.append(_row(cells))
    return lines


def _layers(parts: Sequence[Contribution], least_j: float) -> list[str]:
    lines = ["| where | base | other | difference |", "| --- | ---: | ---: | ---: |"]
    shown = sorted(parts, key=lambda part: -abs(part.difference_j))[:_MOST_ROWS]
    for part in (part for part in parts if part in shown):
        sides = ("-" if side is None else format_quantity(side, "J") for side in (part.base_j, part.other_j))
        lines.append(_row([escape_cell(part.label), *sides, signed(part.difference_j, least_j)]))
    if len(shown) < len(parts):
        rest_j = sum(part.difference_j for part in parts) - sum(part.difference_j for part in shown)
        lines.append(_row([f"({len(parts) - len(shown)} others)", "", "", signed(rest_j, least_j)]))
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
