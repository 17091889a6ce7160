"""A sweep as a table for people: one row a point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from irene.reporting.rendering import new_table
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.predictor.sweep_values import Sweep


def sweep_table(sweep: Sweep) -> RenderableType:
    """Header, then energy, time, power and what limits it at every point; lengths only where there are any."""
    shared = sweep.workloads[0]
    lengths = [name for name in ("seq_len", "decoder_seq_len") if getattr(shared, name) is not None]
    titles = {"seq_len": "tokens", "decoder_seq_len": "decoder tokens"}
    table = new_table(
        "batch", *(titles[name] for name in lengths), "energy", "90 % interval", "time", "power", "per sample"
    )
    table.add_column("bound", no_wrap=True)
    table.add_column("provenance", no_wrap=True)
    for row in sweep.rows():
        low, high = (format_quantity(row[name], "J") for name in ("low_j", "high_j"))
        table.add_row(
            str(row["batch_size"]),
            *(str(row[name]) for name in lengths),
            format_quantity(row["energy_j"], "J"),
            f"{low} to {high}",
            format_quantity(row["duration_s"], "s"),
            "-" if row["power_w"] is None else format_quantity(row["power_w"], "W"),
            format_quantity(row["energy_j"] / row["batch_size"], "J"),
            row["bound"].removesuffix("_bound"),
            row["provenance"],
        )
    return Group(
        f"{sweep.model}: {len(sweep)} points, {shared.dtype}, {shared.task}, {shared.execution} on {sweep.device}",
        f"predictor  {sweep.predictor.name} {sweep.predictor.version}, trained on {sweep.predictor.trained_on}",
        "",
        table,
    )
