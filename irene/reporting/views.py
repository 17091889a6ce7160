"""Who answers `irene.showing`: each value's HTML, rows and figure, by the tables that the commands print."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from irene.explanation.comparison import Comparison
from irene.explanation.explanation import Explanation
from irene.model_tree.tree import ModelTree
from irene.predictor.phases import GenerationAnswers
from irene.predictor.prediction import Prediction
from irene.predictor.sweep_values import Sweep
from irene.reporting.comparison_table import comparison_table, contribution_rows
from irene.reporting.explanation_table import explanation_table, portion_rows
from irene.reporting.html_tables import renderable_to_html
from irene.reporting.phases_table import COLUMNS, phase_cells
from irene.reporting.plots import plot
from irene.reporting.prediction_table import prediction_table
from irene.reporting.rendering import simple_table
from irene.reporting.sweep_table import sweep_table
from irene.reporting.work_table import work_rows, work_table

if TYPE_CHECKING:
    import pandas


def to_html(value: Any) -> str:
    """The value's table as HTML."""
    return renderable_to_html(table_of(value))


def to_frame(value: Any) -> pandas.DataFrame:
    """The value's rows, those of its CSV."""
    import pandas

    return pandas.DataFrame(rows_of(value))


def to_figure(value: Any) -> Any:
    """The value's plotly figure."""
    return plot(value)


@singledispatch
def table_of(value: Any) -> RenderableType:
    """What the command prints of a value. Raises TypeError for a class that no command prints."""
    raise TypeError(f"irene has no table of a {type(value).__name__}.")


table_of.register(Prediction, prediction_table)
table_of.register(Explanation, explanation_table)
table_of.register(Comparison, comparison_table)
table_of.register(Sweep, sweep_table)
table_of.register(ModelTree, work_table)


@table_of.register
def _(value: GenerationAnswers) -> RenderableType:
    return simple_table(COLUMNS, phase_cells(value))


@singledispatch
def rows_of(value: Any) -> list[dict[str, Any]]:
    """Flat rows of a value. Raises TypeError for a class that has none."""
    raise TypeError(f"irene has no rows of a {type(value).__name__}.")


rows_of.register(Explanation, portion_rows)
rows_of.register(Comparison, contribution_rows)
rows_of.register(ModelTree, work_rows)


@rows_of.register
def _(value: Prediction) -> list[dict[str, Any]]:
    return list(value.rows())


@rows_of.register
def _(value: Sweep) -> list[dict[str, Any]]:
    return list(value.rows())


@rows_of.register
def _(value: GenerationAnswers) -> list[dict[str, Any]]:
    keys = ("name", "calls", "energy_j", "duration_s")
    return [
        {key: getattr(phase, key) for key in keys}
        | {"low_j": phase.interval_j[0], "high_j": phase.interval_j[1]}
        | {"low_s": phase.interval_s[0], "high_s": phase.interval_s[1]}
        for phase in value.phases
    ]
