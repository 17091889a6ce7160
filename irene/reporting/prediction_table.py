"""A prediction as a table for people: the whole model first, then where the joules go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table

from irene.arrays import FloatArray
from irene.model_tree.folding import FoldedRow, fold
from irene.model_tree.workload import describe_workload
from irene.predictor.bounds import bound_of, mean_power_w
from irene.predictor.node_values import PROVENANCES
from irene.reporting import wording
from irene.reporting.fitting import head
from irene.reporting.footprint import Facility
from irene.reporting.rendering import new_table
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

SMALLEST_SHARE = 0.001
"""What is below this share of the whole energy has no row of its own."""


def prediction_table(prediction: Prediction, depth: int = 3, facility: Facility | None = None) -> RenderableType:
    """Header and tree; grams and money only for a `facility`.

    The rows below a row add up to its energy: what is too small to show, and what a module uses beside its children, is
    the row '(other)'.
    """
    columns = ("energy", "share", "time", "power", "bound", "90 % interval", "provenance")
    table = new_table(*columns, first="node", gives_way=("provenance", "90 % interval", "bound", "power", "time"))
    _add_rows(table, prediction, fold(prediction.flat, depth))
    return Group(*head(*_header(prediction), *_describe_footprint(prediction, facility)), "", table)


def _describe_footprint(prediction: Prediction, facility: Facility | None) -> list[str]:
    if facility is None:
        return []
    lines = wording.describe_footprint(prediction.energy_j, facility)
    words = ", ".join(f"{what} {much}" for what, much in lines)
    return [f"{wording.PER_CALLS:,} calls   {words}", f"assumed    {wording.describe_facility(facility)}"]


def _header(prediction: Prediction) -> list[str]:
    low, high = prediction.interval_j
    power_w = prediction.power_w
    parts = sorted(prediction.breakdown_j.items(), key=lambda item: -item[1])
    shares = sorted(prediction.provenance_shares.items(), key=lambda item: -item[1])
    total_j = prediction.energy_j or 1.0
    name = prediction.predictor
    return [
        f"{prediction.tree.model}: {describe_workload(prediction.tree.workload)} on {prediction.device}",
        f"energy     {format_quantity(prediction.energy_j, 'J')}"
        f"   90 % interval {format_quantity(low, 'J')} to {format_quantity(high, 'J')}",
        f"time       {format_quantity(prediction.duration_s, 's')}"
        + ("" if power_w is None else f"   mean power {format_quantity(power_w, 'W')}"),
        *(wording.describe_generation(prediction.generation) if prediction.generation else ()),
        *_describe_memory(prediction),
        *_describe_ranks(prediction),
        "goes to    " + ", ".join(f"{part.replace('_', ' ')} {joules / total_j:.1%}" for part, joules in parts),
        "known from " + ", ".join(f"{kind} {share:.1%}" for kind, share in shares if share > 0),
        f"predictor  {name.name} {name.version}, trained on {name.trained_on}",
        *(f"note       {note}" for note in prediction.tree.notes),
    ]


def _describe_ranks(prediction: Prediction) -> list[str]:
    """Of several GPUs, that the tree below shows one of them."""
    if prediction.ranks == 1:
        return []
    one_j = format_quantity(float(prediction.values.energy_j[0]), "J")
    return [f"ranks      {prediction.ranks} GPUs, tensor parallel: {one_j} each; the tree shows one"]


def _describe_memory(prediction: Prediction) -> list[str]:
    if prediction.memory_bytes is None:
        return []
    sizes = {name.replace("_", " "): format_quantity(size, "B") for name, size in prediction.memory_bytes.items()}
    peak = sizes.pop("peak")
    words = ", ".join(f"{name} {size}" for name, size in sizes.items() if not size.startswith("0 "))
    where = " of each GPU" if prediction.ranks > 1 else ""
    return [
        f"memory     {peak} at the peak{where} ({words})" + ("" if prediction.fits else ", more than the device has")
    ]


def _add_rows(table: Table, prediction: Prediction, row: FoldedRow) -> None:
    values, nodes, whole_j = prediction.values, row.indices, float(prediction.values.energy_j[0])
    energy_j, duration_s = _sum(values.energy_j, row), _sum(values.duration_s, row)
    power_w = mean_power_w(prediction.device, energy_j, duration_s)
    cells = [
        "  " * row.depth + row.label,
        format_quantity(energy_j, "J"),
        f"{energy_j / (whole_j or 1.0):.1%}",
        format_quantity(duration_s, "s"),
        "-" if power_w is None else format_quantity(power_w, "W"),
        bound_of(values, nodes, prediction.device).removesuffix("_bound") or "-",
    ]
    low, high = (format_quantity(_sum(joules, row), "J") for joules in (values.low_j, values.high_j))
    cells += [f"{low} to {high}", max((values.provenance[index] for index in nodes), key=PROVENANCES.index)]
    table.add_row(*cells)
    least_j = SMALLEST_SHARE * whole_j
    shown = [child for child in row.children if _sum(values.energy_j, child) >= least_j > 0]
    for child in shown:
        _add_rows(table, prediction, child)
    other_j = energy_j - sum(_sum(values.energy_j, child) for child in shown)
    if row.children and other_j > 1e-4 * whole_j:
        share = f"{other_j / whole_j:.1%}"
        table.add_row("  " * (row.depth + 1) + "(other)", format_quantity(other_j, "J"), share)


def _sum(values: FloatArray, row: FoldedRow) -> float:
    return float(values[row.indices].sum())
