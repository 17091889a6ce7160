"""The bottleneck figures, as SVG: parts of the six models; attention against feed-forward; batch size and length."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pandas as pd
from shares import REST, VIEWS

matplotlib.use("svg")
import matplotlib.pyplot as plt

COLOURS = {
    "attention": "#3b6fb6", "feed-forward": "#e08a2e", "embeddings": "#5aa469", "products with weights": "#6d597a",
    "products of attention": "#3b6fb6", "softmax": "#9ec1e6", "layer norm": "#e56b6f", "embedding tables": "#5aa469",
    **dict.fromkeys(REST.values(), "#b0b0b0"),
}  # fmt: skip
STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none",
    "svg.hashsalt": "irene",  # the same data give the same file
}  # fmt: skip
SIZES = (8, 16, 24, 32)


def draw_figures(shares: pd.DataFrame, folder: Path) -> None:
    """Write parts.svg, attention-against-feed-forward.svg and batch-and-length.svg."""
    folder.mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        for name, draw in (
            ("parts", draw_parts),
            ("attention-against-feed-forward", draw_ratio),
            ("batch-and-length", draw_tokens),
        ):
            figure = draw(shares)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
            plt.close(figure)


def draw_parts(shares: pd.DataFrame) -> plt.Figure:
    """Share of each part, mean over batch sizes and lengths; predicted (pale) under measured."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.4), sharex=True, sharey=True)
    for row, (view, parts) in zip(axes, VIEWS.items(), strict=True):
        for axis, (device, rows) in zip(row, shares[shares["view"] == view].groupby("device"), strict=True):
            _draw_bars(axis, rows, [*parts, REST[view]])
            axis.set_title(f"device {device}, by {view}: % of the model's energy")
        row[0].legend(ncols=3, loc="upper left", bbox_to_anchor=(0, -0.08), frameon=False)
    axes[0][0].invert_yaxis()
    figure.subplots_adjust(hspace=0.42)
    return figure


def _draw_bars(axis: plt.Axes, rows: pd.DataFrame, parts: list[str]) -> None:
    models = list(dict.fromkeys(rows["model"]))
    for column, offset, alpha in (("measured_j", -0.2, 1.0), ("predicted_j", 0.2, 0.55)):
        whole = rows.groupby(["model", "batch_size", "seq_len"])[column].transform("sum")
        share = (100 * rows[column] / whole).groupby([rows["model"], rows["part"]]).mean().unstack().loc[models]
        left = 0.0 * share[parts[0]]
        for part in parts:
            label = part if column == "measured_j" else None
            places = [i + offset for i in range(len(models))]
            axis.barh(places, share[part], 0.38, left, color=COLOURS[part], alpha=alpha, label=label)
            left = left + share[part]
    axis.set_yticks(range(len(models)), models)


def draw_ratio(shares: pd.DataFrame) -> plt.Figure:
    """Measured attention over feed-forward against length, a line a batch size, a panel a model."""
    return _draw_panels(
        shares,
        lambda wide: wide["attention"] / wide["feed-forward"],
        "attention / feed-forward",
        line_at=1.0,
    )


def draw_tokens(shares: pd.DataFrame) -> plt.Figure:
    """Measured joules a token against length, a line a batch size, a panel a model."""
    return _draw_panels(
        shares,
        lambda wide: 1000 * wide.sum(axis=1) / [batch * length for _, batch, length in wide.index],
        "mJ a token",
    )


def _draw_panels(shares: pd.DataFrame, quantity, label: str, line_at: float | None = None) -> plt.Figure:
    models = list(dict.fromkeys(shares["model"]))
    figure, axes = plt.subplots(2, len(models), figsize=(13, 4.6), sharex=True, sharey="row", squeeze=False)
    for row, (device, rows) in zip(axes, shares.groupby("device"), strict=True):
        modules = rows[rows["view"] == "module"]
        wide = modules.pivot_table(index=["model", "batch_size", "seq_len"], columns="part", values="measured_j")
        values = quantity(wide)
        for axis, model in zip(row, models, strict=True):
            for batch, shade in zip(SIZES, (0.35, 0.55, 0.75, 0.95), strict=True):
                line = values.loc[model].loc[batch]
                axis.plot(line.index, line, color=plt.cm.viridis(1 - shade), marker=".", label=f"batch {batch}")
            if line_at is not None:
                axis.axhline(line_at, color="#888888", linewidth=0.6)
            if device == 1:
                axis.set_title(model, fontsize=9)
            else:
                axis.set_xlabel("tokens")
        row[0].set_ylabel(f"device {device}\n{label}")
    axes[0][0].legend(frameon=False, fontsize=7)
    return figure
