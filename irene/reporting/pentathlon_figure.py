"""Pentathlons as a figure: a panel for each of the five metrics, a line for each model, no scale hidden by another."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irene.errors import BadInput
from irene.files import write_whole
from irene.units import format_quantity

if TYPE_CHECKING:
    from irene.scenarios.pentathlon import Pentathlon

# Okabe and Ito's colours, told apart by colour-blind readers; one for each scenario.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000")
_MARKS = {"predicted": "o", "measured": "X"}
_PANELS = {
    "throughput_per_s": ("throughput, more is better", "/s"),
    "latency_p95_s": ("latency, 95th percentile", "s"),
    "device_memory_bytes": ("peak memory", "B"),
    "energy_per_instance_j": ("energy an instance", "J"),
    "parameters": ("parameters", ""),
}
_WIDE = 20
_OPTIONS: dict[str, dict[str, Any]] = {".png": {"dpi": 150}, ".svg": {"metadata": {"Date": None}}}


def draw_pentathlons(found: Sequence[Pentathlon], path: Path) -> None:
    """Write the figure as PNG or SVG, by the suffix of `path`. The same values give the same bytes.

    Raises BadInput for another suffix, and where matplotlib is missing.
    """
    suffix = path.suffix.lower()
    if suffix not in _OPTIONS:
        raise BadInput(f"{path}: expected a figure's file to end in .png or .svg, got {suffix or 'nothing'}.")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise BadInput("--figure needs matplotlib, which is not installed: pip install matplotlib.") from None
    models = list(dict.fromkeys(one.model for one in found))
    kinds = list(dict.fromkeys((one.scenario.name, one.source) for one in found))
    colors = {name: _COLORS[i % len(_COLORS)] for i, name in enumerate(dict.fromkeys(name for name, _ in kinds))}
    with rc_context({"svg.hashsalt": "irene"}):
        figure = Figure(figsize=(14, 1.4 + 0.16 * len(models) * max(2, len(kinds))), layout="constrained")
        panels = figure.subplots(1, len(_PANELS), sharey=True)
        for axes, (metric, (title, unit)) in zip(panels, _PANELS.items(), strict=True):
            for one in found:
                _draw_one(axes, one, metric, models, kinds, colors)
            _scale(axes, [one.metrics[metric].value for one in found])
            axes.set_title(title, fontsize=10)
            axes.xaxis.set_major_formatter(lambda value, _, unit=unit: format_quantity(value, unit).rstrip())
            axes.tick_params(axis="x", labelrotation=30, labelsize=8)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="both", color="#dddddd", linewidth=0.6)
            axes.set_axisbelow(True)
        panels[0].set_yticks(range(len(models)), models)
        panels[0].set_ylim(len(models) - 0.5, -0.5)
        handles, labels = panels[0].get_legend_handles_labels()
        by_label = dict(zip(labels, handles, strict=True))
        figure.legend(
            by_label.values(), by_label.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=8
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix[1:], **_OPTIONS[suffix])
    write_whole(path, buffer.getvalue())


def _draw_one(
    axes: Any, one: Pentathlon, metric: str, models: list[str], kinds: list[tuple[str, str]], colors: dict[str, str]
) -> None:
    estimate = one.metrics[metric]
    if estimate.value is None:
        return
    kind = (one.scenario.name, one.source)
    place = models.index(one.model) + 0.6 * ((kinds.index(kind) + 0.5) / len(kinds) - 0.5)
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    axes.errorbar(
        [estimate.value], [place], xerr=[[estimate.value - low], [high - estimate.value]], color=colors[kind[0]],
        fmt=_MARKS[one.source], markersize=4, capsize=2, linewidth=1, label=f"{kind[0]}, {kind[1]}",
    )  # fmt: skip


def _scale(axes: Any, values: Sequence[float | None]) -> None:
    """From zero where bars can be told apart so, else by powers of ten."""
    known = [value for value in values if value]
    if known and max(known) > _WIDE * min(known):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
    else:
        axes.set_xlim(left=0, right=1.15 * max(known, default=1.0))
        axes.locator_params(axis="x", nbins=4)
