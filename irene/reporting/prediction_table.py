"""A prediction as a table for people: the whole model first, then where the joules go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table

from irene.model_tree.folding import FoldedRow, fold
from irene.model_tree.graph import FloatArray
from irene.predictor.prediction import PROVENANCES
from irene.reporting import wording
from irene.reporting.footprint import Site
from irene.reporting.rendering import new_table
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

SMALLEST_SHARE = 0.001
"""What is below this share of the whole energy has no row of its own."""


NARROW = 100
"""Terminals with fewer columns get a table without intervals and provenance; the header has those of the model."""


def prediction_table(
    prediction: Prediction, depth: int = 3, width: int | None = None, site: Site | None = None
) -> RenderableType:
    """Header and tree, for a terminal of `width` columns if it goes to one; grams and money only for a `site`.

    The rows below a row add up to its energy: what is too small to show, and what a module uses beside its children, is
    the row '(other)'.
    """
    is_narrow = width is not None and width < NARROW
    more = () if is_narrow else ("90 % interval", "provenance")
    table = new_table("energy", "share", "time", "power", "bound", *more, first="node")
    _add_rows(table, prediction, fold(prediction.flat, depth), is_narrow)
    return Group(*_header(prediction), *_describe_footprint(prediction, site), "", table)


def _describe_footprint(prediction: Prediction, site: Site | None) -> list[str]:
    if site is None:
        return []
    lines = wording.describe_footprint(prediction.energy_j, site)
    words = ", ".join(f"{what} {much}" for what, much in lines)
    return [f"{wording.PER_CALLS:,} calls   {words}", f"assumed    {wording.describe_site(site)}"]


def _header(prediction: Prediction) -> list[str]:
    low, high = prediction.interval_j
    power_w = prediction.power_w
    parts = sorted(prediction.breakdown_j.items(), key=lambda item: -item[1])
    shares = sorted(prediction.provenance_shares.items(), key=lambda item: -item[1])
    total_j = prediction.energy_j or 1.0
    name = prediction.predictor
    return [
        f"{prediction.tree.model}: {wording.describe_workload(prediction)} on {prediction.device}",
        f"energy     {format_quantity(prediction.energy_j, 'J')}"
        f"   90 % interval {format_quantity(low, 'J')} to {format_quantity(high, 'J')}",
        f"time       {format_quantity(prediction.duration_s, 's')}"
        + ("" if power_w is None else f"   mean power {format_quantity(power_w, 'W')}"),
        "goes to    " + ", ".join(f"{part.replace('_', ' ')} {joules / total_j:.1%}" for part, joules in parts),
        "known from " + ", ".join(f"{kind} {share:.1%}" for kind, share in shares if share > 0),
        f"predictor  {name.name} {name.version}, trained on {name.trained_on}",
    ]


def _add_rows(table: Table, prediction: Prediction, row: FoldedRow, is_narrow: bool) -> None:
    values, nodes = prediction.values, row.indices
    energy_j, duration_s = _sum(values.energy_j, row), _sum(values.duration_s, row)
    cells = [
        "  " * row.depth + row.label,
        format_quantity(energy_j, "J"),
        f"{energy_j / (prediction.energy_j or 1.0):.1%}",
        format_quantity(duration_s, "s"),
        format_quantity(energy_j / duration_s, "W") if duration_s > 0 else "-",
        values.bound[max(nodes, key=lambda index: float(values.energy_j[index]))].removesuffix("_bound") or "-",
    ]
    if not is_narrow:
        low, high = (format_quantity(_sum(joules, row), "J") for joules in (values.low_j, values.high_j))
        cells += [f"{low} to {high}", max((values.provenance[index] for index in nodes), key=PROVENANCES.index)]
    table.add_row(*cells)
    least_j = SMALLEST_SHARE * prediction.energy_j
    shown = [child for child in row.children if _sum(values.energy_j, child) >= least_j > 0]
    for child in shown:
        _add_rows(table, prediction, child, is_narrow)
    other_j = energy_j - sum(_sum(values.energy_j, child) for child in shown)
    if row.children and other_j > 1e-4 * prediction.energy_j:
        share = f"{other_j / prediction.energy_j:.1%}"
        table.add_row("  " * (row.depth + 1) + "(other)", format_quantity(other_j, "J"), share)


def _sum(values: FloatArray, row: FoldedRow) -> float:
    return float(values[row.indices].sum())
