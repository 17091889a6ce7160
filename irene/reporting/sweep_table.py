"""A sweep as a table for people: one row a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from irene.reporting.fitting import head
from irene.reporting.rendering import new_table
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.predictor.sweep_values import Sweep


def sweep_table(sweep: Sweep) -> RenderableType:
    """Header, then energy, time, power and what limits it at every point; lengths only where there are any."""
    shared = sweep.workloads[0]
    lengths = [name for name in ("seq_len", "decoder_seq_len") if getattr(shared, name) is not None]
    titles = {"seq_len": "tokens", "decoder_seq_len": "decoder tokens"}
    own = ("new tokens", "per token", "first after", "then each") if sweep.answers else ()
    columns = ("batch", *(titles[name] for name in lengths), *own[:1], "energy", "90 % interval", *own[1:], "time")
    columns += ("power", *(() if own else ("per sample",)))
    table = new_table(*columns, gives_way=("provenance", "per sample", "bound", "power", "time"))
    table.add_column("bound", no_wrap=True)
    table.add_column("provenance", no_wrap=True)
    for row in sweep.rows():
        low, high = (format_quantity(row[name], "J") for name in ("low_j", "high_j"))
        table.add_row(
            str(row["batch_size"]),
            *(str(row[name]) for name in lengths),
            *([str(row["new_tokens"])] if own else []),
            format_quantity(row["energy_j"], "J"),
            f"{low} to {high}",
            *(_answers(row) if own else []),
            format_quantity(row["duration_s"], "s"),
            "-" if row["power_w"] is None else format_quantity(row["power_w"], "W"),
            *([] if own else [format_quantity(row["energy_j"] / row["batch_size"], "J")]),
            row["bound"].removesuffix("_bound"),
            row["provenance"],
        )
    return Group(
        *head(
            f"{sweep.model}: {len(sweep)} points, {shared.dtype}, {shared.task}, {shared.execution} on {sweep.device}",
            f"predictor  {sweep.predictor.name} {sweep.predictor.version}, trained on {sweep.predictor.trained_on}",
            *(f"note       {note}" for note in sweep.notes),
        ),
        "",
        table,
    )


def _answers(row: dict[str, Any]) -> list[str]:
    step_s = row["time_per_output_token_s"]
    return [
        format_quantity(row["energy_per_output_token_j"], "J"),
        format_quantity(row["time_to_first_token_s"], "s"),
        "-" if step_s is None else format_quantity(step_s, "s"),
    ]
