"""A gallery as one page for any static host: a table of many models to sort and filter, each with a link to its report.

The rows are HTML before any script runs; `page/gallery.js` sorts and filters them by the numbers in their cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING, Any

from irene.model_tree.workload import describe_workload
from irene.quoting import escape_html
from irene.reporting import wording
from irene.reporting.report_page import read_part
from irene.reporting.report_sections import write_quantity
from irene.version import __version__

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """One model at one workload; `report` is the address of its page. Numbers are SI, None where there are none."""

    model: str
    workload: str
    asked: str
    report: str
    parameters: int
    energy_j: float
    low_j: float
    high_j: float
    energy_per_sample_j: float
    energy_per_token_j: float | None
    duration_s: float
    power_w: float | None
    memory_bytes: int | None
    fits: bool | None
    bound: str
    provenance: str


def gallery_row(name: str, asked: str, prediction: Prediction, report: str) -> GalleryRow:
    """What a prediction is in the table; `asked` is the workload in the words that all models share."""
    low_j, high_j = prediction.interval_j
    return GalleryRow(
        model=name,
        workload=describe_workload(prediction.tree.workload),
        asked=asked,
        report=report,
        parameters=prediction.tree.root.parameters,
        energy_j=prediction.energy_j,
        low_j=low_j,
        high_j=high_j,
        energy_per_sample_j=wording.energy_per_sample_j(prediction),
        energy_per_token_j=wording.energy_per_token_j(prediction),
        duration_s=prediction.duration_s,
        power_w=prediction.power_w,
        memory_bytes=None if prediction.memory_bytes is None else prediction.memory_bytes["peak"],
        fits=prediction.fits,
        bound=prediction.bound,
        provenance=prediction.provenance,
    )


def render_gallery(rows: Sequence[GalleryRow], device: str, failed: Sequence[tuple[str, str]] = ()) -> str:
    """The page of the table; `failed` are models with the line that says why they have no numbers.

    >>> "No model has numbers" in render_gallery([], "NVIDIA H200")
    True
    """
    asked = dict.fromkeys(row.asked for row in rows)
    head = "".join(
        f'<th data-sort="{"text" if is_text else "number"}"><button type="button">{title}</button></th>'
        for title, is_text in _HEAD
    )
    refused = "".join(f"<dt>{escape_html(name)}</dt><dd>{escape_html(why)}</dd>" for name, why in failed)
    return Template(read_part("gallery.html")).substitute(
        version=__version__,
        css=read_part("report.css"),
        javascript=read_part("gallery.js"),
        device=escape_html(device),
        models=f"{len({row.model for row in rows}):,}",
        workloads="".join(f"<option>{escape_html(words)}</option>" for words in asked),
        head=head,
        rows="\n".join(map(_table_row, rows)) or f'<tr><td colspan="{len(_HEAD)}">No model has numbers.</td></tr>',
        failed=f'<section class="card"><h2>Without numbers</h2><dl>{refused}</dl></section>' if refused else "",
    )


def name_files(names: Iterable[str]) -> dict[str, str]:
    """A file name for each model, of plain characters, no two alike.

    >>> name_files(["openai-community/gpt2", "openai-community gpt2", "../x"])
    {'openai-community/gpt2': 'openai-community-gpt2', 'openai-community gpt2': 'openai-community-gpt2-2', '../x': 'x'}
    """
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:100] or "model"
        taken, number = set(found.values()), 1
        while (file := plain if number == 1 else f"{plain}-{number}") in taken:
            number += 1
        found[name] = file
    return found


_HEAD = (
    ("model", True), ("workload", True), ("parameters", False), ("energy", False), ("per sample", False),
    ("per token", False), ("time", False), ("mean power", False), ("memory", False), ("bound", True),
    ("known from", True),
)  # fmt: skip


def _table_row(row: GalleryRow) -> str:
    token_j, power_w = row.energy_per_token_j, row.power_w
    interval = f"<small>{write_quantity(row.low_j)} to {write_quantity(row.high_j)}</small>"
    memory = "" if row.memory_bytes is None else write_quantity(row.memory_bytes, "B")
    if row.fits is False:
        memory += "<small>does not fit</small>"
    cells = [
        _cell(row.model, f'<a href="{escape_html(row.report)}">{escape_html(row.model)}</a>'),
        _cell(row.asked, f"{escape_html(row.asked)}<small>{escape_html(row.workload)}</small>"),
        _cell(row.parameters, write_quantity(row.parameters, "").rstrip()),
        _cell(row.energy_j, f"<strong>{write_quantity(row.energy_j)}</strong>{interval}"),
        _cell(row.energy_per_sample_j, write_quantity(row.energy_per_sample_j)),
        _cell(token_j, "–" if token_j is None else write_quantity(token_j)),
        _cell(row.duration_s, write_quantity(row.duration_s, "s")),
        _cell(power_w, "–" if power_w is None else write_quantity(power_w, "W")),
        _cell(row.memory_bytes, memory or "–"),
        _cell(row.bound, escape_html(row.bound.removesuffix("_bound")) or "–"),
        _cell(row.provenance, escape_html(row.provenance)),
    ]
    return f'<tr data-asked="{escape_html(row.asked)}">{"".join(cells)}</tr>'


def _cell(value: Any, html: str) -> str:
    """A cell that is sorted by its value; one without a value comes last."""
    return f'<td data-value="{"" if value is None else escape_html(str(value))}">{html}</td>'
