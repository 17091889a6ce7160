"""Every value as an interactive figure: what `.plot()` returns, drawn by plotly with the report's colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from html import escape
from typing import Any

from irene.explanation.comparison import Comparison
from irene.explanation.explanation import Explanation
from irene.model_tree.folding import fold
from irene.model_tree.graph import flatten
from irene.model_tree.tree import ModelTree
from irene.predictor.phases import GenerationAnswers
from irene.predictor.prediction import Prediction
from irene.predictor.sweep_values import Sweep
from irene.quoting import escape_controls
from irene.reporting.report_data import PARTS, number_rows, report_data
from irene.reporting.static_figures import COLORS
from irene.reporting.work_table import work_rows

_ONE_COLOR = "#004488"


@singledispatch
def plot(value: Any) -> Any:
    """The `plotly.graph_objects.Figure` of a value. Raises TypeError for a class that has none."""
    raise TypeError(f"irene has no figure of a {type(value).__name__}.")


@plot.register
def _(value: Prediction) -> Any:
    rows = report_data(value, value.tree.model)["rows"]
    colors = []
    for index in range(len(rows["label"])):
        largest = max(PARTS, key=lambda part: rows[f"{part}_j"][index])
        colors.append(COLORS[largest])
    return _icicle(value.tree.model, rows["label"], rows["parent"], rows["energy_j"], "J", colors)


@plot.register
def _(value: ModelTree) -> Any:
    rows = list(number_rows(fold(flatten(value), 1000)))
    flop = [row["flop"] for row in work_rows(value)]
    labels, parents = [row.label for row, _ in rows], [above for _, above in rows]
    return _icicle(value.model, labels, parents, [sum(flop[i] for i in row.indices) for row, _ in rows], "FLOP")


@plot.register
def _(value: Explanation) -> Any:
    return _bars(
        value.model, [portion.label for portion in value.layers], [portion.breakdown_j for portion in value.layers]
    )


@plot.register
def _(value: Comparison) -> Any:
    figure = _bars("energy of a call", [entry.name for entry in value.entries], [e.breakdown_j for e in value.entries])
    figure.data[-1].error_y = {  # at the top of the last bar of each stack stands the whole
        "type": "data", "symmetric": False, "color": "#5a6474",
        "array": [entry.interval_j[1] - entry.energy_j for entry in value.entries],
        "arrayminus": [entry.energy_j - entry.interval_j[0] for entry in value.entries],
    }  # fmt: skip
    return figure


@plot.register
def _(value: GenerationAnswers) -> Any:
    import plotly.graph_objects as go

    names, joules = [phase.name for phase in value.phases], [phase.energy_j for phase in value.phases]
    return _finish(go.Figure(go.Bar(x=_names(names), y=joules, marker_color=_ONE_COLOR)), "energy by phase", "J")


@plot.register
def _(value: Sweep) -> Any:
    import plotly.graph_objects as go

    points = list(value.rows())
    by_length = len({point["seq_len"] for point in points}) > 1
    along, other, title = ("seq_len", "batch_size", "tokens") if by_length else ("batch_size", "seq_len", "batch size")
    figure = go.Figure()
    for key in dict.fromkeys(point[other] for point in points):
        line = [point for point in points if point[other] == key]
        name = f"{'batch' if by_length else 'tokens'} {key}"
        joules = [point["energy_j"] / point["batch_size"] for point in line]
        figure.add_scatter(x=[point[along] for point in line], y=joules, name=name, mode="lines+markers")
    figure.update_xaxes(title=title, type="log")
    figure.update_yaxes(type="log")
    return _finish(figure, f"{value.model}: energy of one sample", "J")


def _icicle(
    title: str, labels: Sequence[str], parents: Sequence[int], values: Sequence[float], unit: str,
    colors: Sequence[str] | None = None,
) -> Any:  # fmt: skip
    """A row is as large as its value; what its children leave over stays empty beside them."""
    import plotly.graph_objects as go

    own = list(map(float, values))
    for index, above in enumerate(parents):
        if above >= 0:
            own[above] -= values[index]
    trace = go.Icicle(
        ids=[str(index) for index in range(len(labels))],
        labels=_names(labels),
        parents=["" if above < 0 else str(above) for above in parents],
        values=[max(0.0, value) for value in own],
        branchvalues="remainder",
        customdata=list(values),
        hovertemplate=f"%{{label}}<br>%{{customdata:.3s}}{unit}, %{{percentRoot:.1%}}<extra></extra>",
        marker={"colors": list(colors)} if colors else {},
        tiling={"orientation": "v"},
        maxdepth=4,
    )
    return _finish(go.Figure(trace), title, "")


def _bars(title: str, names: Sequence[str], accounts: Sequence[Mapping[str, float]]) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    for part in PARTS:
        joules = [account.get(part, 0.0) for account in accounts]
        figure.add_bar(x=_names(names), y=joules, name=part.replace("_", " "), marker_color=COLORS[part])
    figure.update_layout(barmode="stack")
    return _finish(figure, title, "J")


def _finish(figure: Any, title: str, unit: str) -> Any:
    figure.update_layout(title=_name(title), template="plotly_white", margin={"t": 50, "l": 10, "r": 10, "b": 10})
    if unit:
        figure.update_yaxes(ticksuffix=unit, exponentformat="SI")
    return figure


def _names(names: Iterable[str]) -> list[str]:
    return [_name(name) for name in names]


def _name(name: str) -> str:
    return escape(escape_controls(name), quote=False)  # plotly reads a little HTML in its texts
