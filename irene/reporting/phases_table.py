"""The phases of generations side by side: joules and seconds of each and of a token, with their 90 % intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

from irene.reporting.rendering import new_table
from irene.reporting.wording import describe_interval
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.predictor.phases import GenerationAnswers

COLUMNS = ("phase", "energy", "90 % interval", "time", "90 % interval of time")


def phases_table(generations: Mapping[str, GenerationAnswers]) -> Table:
    """A row for each phase of each named generation, then one for a token: its joules, and the time between two."""
    table = new_table(*COLUMNS, first="name", gives_way=(COLUMNS[4], COLUMNS[2]))
    for name, answers in generations.items():
        for at, cells in enumerate(phase_cells(answers)):
            table.add_row(name if at == 0 else "", *cells)
    return table


def phase_cells(answers: GenerationAnswers) -> list[list[str]]:
    """The cells below `COLUMNS` of one generation; '-' is the time of a token that comes after none."""
    rows = [
        [
            f"{phase.name} (x{phase.calls})" if phase.calls > 1 else phase.name,
            format_quantity(phase.energy_j, "J"), describe_interval(*phase.interval_j),
            format_quantity(phase.duration_s, "s"), describe_interval(*phase.interval_s, "s"),
        ]
        for phase in answers.phases
    ]  # fmt: skip
    step_s, step_interval_s = answers.time_per_output_token_s, answers.time_per_output_token_interval_s
    token = format_quantity(answers.energy_per_output_token_j, "J")
    interval = describe_interval(*answers.energy_per_output_token_interval_j)
    times = ["-", "-"]
    if step_s is not None and step_interval_s is not None:
        times = [format_quantity(step_s, "s"), describe_interval(*step_interval_s, "s")]
    return [*rows, ["a token", token, interval, *times]]
