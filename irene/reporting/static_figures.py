"""The report's figures as PNG and SVG files, drawn by matplotlib from the same data: no browser, no network."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irene.errors import BadInput
from irene.files import write_whole
from irene.reporting import wording
from irene.reporting.report_data import PARTS, report_data
from irene.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from irene.predictor.prediction import Prediction

# Paul Tol's high-contrast scheme, as on the page: told apart by colour-blind readers and in grey.
COLORS = {
    "compute": "#004488",
    "memory": "#ddaa33",
    "static": "#bbbbbb",
    "launch_gap": "#bb5566",
    "communication": "#009988",
}
_INK, _SOFT = "#1c2330", "#5a6474"
_LEVELS = 5
_LEAST_LABELLED_SHARE = 0.06
_KIND_MARKS = {
    "gemm": ("#0072b2", "o"), "attention": ("#d55e00", "D"), "grouped_gemm": ("#56b4e9", "h"), "norm": ("#009e73", "s"),
    "convolution": ("#cc79a7", "*"), "softmax": ("#f0e442", "p"), "activation": ("#e69f00", "^"),
    "elementwise": ("#000000", "P"), "reduction": ("#999999", "X"),
}  # fmt: skip


_FORMATS: dict[str, dict[str, Any]] = {".png": {"dpi": 150}, ".svg": {"metadata": {"Date": None}}}


def write_figures(predictions: Mapping[str, Prediction], directory: Path) -> list[Path]:
    """Write every figure of every prediction as PNG and SVG; returns the files.

    Raises BadInput where matplotlib is missing, CannotWrite where the folder cannot be written.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise BadInput("--figures needs matplotlib, which is not installed: pip install matplotlib.") from None
    models = [report_data(prediction, name) for name, prediction in predictions.items()]
    drawings: dict[str, tuple[Callable[[Axes, Any], None], Any, tuple[float, float]]] = {}
    for model in models:
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", model["name"]).strip("-") or "model"
        tall = 1.2 + 0.32 * len(model["kinds"]["kind"])
        drawings[f"{slug}-icicle"] = (draw_icicle, model, (10, 5.5))
        drawings[f"{slug}-layers"] = (draw_layers, model, (10, 4))
        drawings[f"{slug}-kinds"] = (draw_kinds, model, (10, tall))
        drawings[f"{slug}-roofline"] = (draw_roofline, model, (10, 4.5))
    if len(models) > 1:
        drawings["comparison"] = (draw_comparison, models, (10, 1.2 + 0.5 * len(models)))
    written: list[Path] = []
    for name, (draw, data, size) in drawings.items():
        # No date and no random ids inside: the same prediction gives the same bytes.
        with rc_context({"svg.hashsalt": "irene"}):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure.subplots(), data)
            for suffix, options in _FORMATS.items():
                buffer = io.BytesIO()
                figure.savefig(buffer, format=suffix[1:], **options)
                written.append(directory / (name + suffix))
                write_whole(written[-1], buffer.getvalue())
    return written


def draw_icicle(axes: Axes, model: Mapping[str, Any]) -> None:
    """The first levels of the tree: a row's height is its energy, its children stand to its right."""
    rows = model["rows"]
    total_j = model["energy_j"] or 1.0
    top, level = [0.0], [0]
    filled = [0.0] * len(rows["label"])  # joules of the children placed so far
    for index in range(1, len(rows["label"])):
        above = rows["parent"][index]
        top.append(top[above] + filled[above])
        level.append(level[above] + 1)
        filled[above] += rows["energy_j"][index]
    for index, label in enumerate(rows["label"]):
        height = rows["energy_j"][index]
        if level[index] >= _LEVELS or height <= 0:
            continue
        part = max(PARTS, key=lambda name: rows[f"{name}_j"][index])
        weight = 0.25 + 0.75 * rows[f"{part}_j"][index] / height
        color = _mix(COLORS[part], weight)
        axes.bar(
            level[index] + 0.5, height, bottom=top[index], width=1.0, color=color, edgecolor="white", linewidth=0.6
        )
        if height / total_j >= _LEAST_LABELLED_SHARE:
            text = f"{label}\n{format_quantity(height, 'J')}"
            ink = (
                "white"
                if 0.2126 * color[0] ** 2.2 + 0.7152 * color[1] ** 2.2 + 0.0722 * color[2] ** 2.2 < 0.2
                else _INK
            )
            axes.text(
                level[index] + 0.04, top[index] + height / 2, text, va="center", fontsize=8, color=ink, clip_on=True
            )
    axes.set(ylim=(total_j, 0), xlim=(0, min(_LEVELS, max(level) + 1)))
    axes.axis("off")
    _name(axes, model)


def draw_layers(axes: Axes, model: Mapping[str, Any]) -> None:
    """One stacked bar for each layer."""
    layers = model["layers"]
    places = list(range(len(layers["label"])))
    _stack(axes.bar, places, {part: layers[f"{part}_j"] for part in PARTS}, bottom="bottom")
    step = -(-len(places) // 24)
    ticks = places[::step]
    axes.set_xticks(ticks, [".".join(layers["label"][i].split(".")[-2:]) for i in ticks], rotation=45, ha="right")
    axes.set(ylabel="energy of one call")
    _finish(axes, axes.yaxis)
    _name(axes, model)


def draw_kinds(axes: Axes, model: Mapping[str, Any]) -> None:
    """One stacked bar for each kind of operation."""
    kinds = model["kinds"]
    _stack(
        axes.barh,
        [wording.KINDS[kind] for kind in kinds["kind"]],
        {part: kinds[f"{part}_j"] for part in PARTS},
        bottom="left",
    )
    axes.invert_yaxis()
    axes.set(xlabel="energy of one call")
    _finish(axes, axes.xaxis)
    _name(axes, model)


def draw_comparison(axes: Axes, models: Sequence[Mapping[str, Any]]) -> None:
    """One stacked bar for each model, with the 90 % interval of its energy."""
    names = [model["name"] for model in models]
    _stack(
        axes.barh,
        names,
        {part: [model["breakdown_j"].get(part, 0.0) for model in models] for part in PARTS},
        bottom="left",
    )
    energy_j = [model["energy_j"] for model in models]
    below = [model["energy_j"] - model["interval_j"][0] for model in models]
    above = [model["interval_j"][1] - model["energy_j"] for model in models]
    axes.errorbar(energy_j, names, xerr=[below, above], fmt="o", color=_INK, capsize=4, markersize=5)
    axes.invert_yaxis()
    axes.set(xlabel="energy of one call, 90 % interval")
    _finish(axes, axes.xaxis)


def draw_roofline(axes: Axes, model: Mapping[str, Any]) -> None:
    """Operations that calculate, under the roofs of memory and arithmetic."""
    roof, rows = model["roofline"], model["rows"]
    low, high = min([0.1, *roof["intensity"]]) / 2, max([2000.0, *roof["intensity"]]) * 2
    roofs = [(f"matrix products in {roof['dtype']}", roof["peak_flop_per_s"], "-")]
    if roof["vector_flop_per_s"] != roof["peak_flop_per_s"]:
        roofs.append(("other arithmetic", roof["vector_flop_per_s"], ":"))
    bandwidth = roof["bytes_per_s"]
    for words, peak, style in roofs:
        axes.plot([low, peak / bandwidth, high], [low * bandwidth, peak, peak], style, color=_SOFT, linewidth=1.2)
        label = f"{words}: {format_quantity(peak, 'FLOP/s')}"
        axes.text(high, peak * 1.1, label, ha="right", va="bottom", fontsize=8, color=_SOFT)
    for kind in dict.fromkeys(roof["kind"]):
        at = [i for i, other in enumerate(roof["kind"]) if other == kind]
        share = [rows["energy_j"][roof["row"][i]] / (model["energy_j"] or 1.0) for i in at]
        color, marker = _KIND_MARKS.get(kind, ("#777777", "o"))
        axes.scatter(
            [roof["intensity"][i] for i in at], [roof["flop_per_s"][i] for i in at], s=[20 + 600 * s for s in share],
            c=color, marker=marker, label=wording.KINDS[kind], alpha=0.85, edgecolors="white",
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(low, high))
    _name(axes, model)
    axes.set(xlabel="arithmetic intensity (FLOP per byte moved)", ylabel="speed while running")
    legend = axes.legend(frameon=False, fontsize=8, loc="lower right")
    handles: Any = legend.legend_handles
    for handle in handles:
        handle.set_sizes([40])
    _finish(axes, axes.yaxis, "FLOP/s", legend=False)


def _stack(bar: Callable[..., Any], places: Sequence[Any], parts: Mapping[str, Sequence[float]], bottom: str) -> None:
    start = [0.0] * len(places)
    for part, joules in parts.items():
        if part == "communication" and not any(joules):  # of one GPU
            continue
        bar(places, joules, **{bottom: start}, color=COLORS[part], label=part.replace("_", " "))
        start = [a + b for a, b in zip(start, joules, strict=True)]


def _finish(axes: Axes, axis: Any, unit: str = "J", *, legend: bool = True) -> None:
    axis.set_major_formatter(lambda value, _: format_quantity(value, unit))
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False, ncols=4, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1))


def _name(axes: Axes, model: Mapping[str, Any]) -> None:
    title = f"{model['name']}: {format_quantity(model['energy_j'], 'J')}, {model['workload']}"
    axes.set_title(title, loc="right", fontsize=9, color=_SOFT)


def _mix(color: str, weight: float) -> tuple[float, float, float]:
    """A colour on white: weight 1 is the colour, 0 is white."""
    red, green, blue = (1 + (int(color[at : at + 2], 16) / 255 - 1) * weight for at in (1, 3, 5))
    return red, green, blue
