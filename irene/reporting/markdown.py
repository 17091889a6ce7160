"""A prediction as Markdown: a snippet for an issue or a README, and the energy part of a Hugging Face model card.

The card's front matter follows https://huggingface.co/docs/hub/model-cards-co2: `co2_eq_emissions` holds grams of CO2
(`emissions`), `source`, `training_type`, `geographical_location` and `hardware_used`. The Hub means the emissions of
training; these are of one call, so `training_type` is left out and `source` says what was counted.
"""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

from irene.hardware.devices import load_device
from irene.model_tree.folding import FoldedRow, fold
from irene.model_tree.workload import describe_workload
from irene.quoting import escape_controls
from irene.reporting import wording
from irene.reporting.footprint import Facility, footprint_of
from irene.reporting.phases_table import COLUMNS, phase_cells
from irene.units import format_quantity
from irene.version import __version__

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

SMALLEST_SHARE = 0.01
_MARKS = re.compile(r"[|`\[\]*]")
_DEPTH = 3


def prediction_to_markdown(prediction: Prediction, facility: Facility | None = None) -> str:
    """Tables of the whole call, of the phases of a generation, and of the parts that use most of its energy."""
    title = f"### Predicted energy of `{escape_controls(prediction.tree.model).replace('`', chr(39))}`"
    return "\n".join(
        [title, "", *_summary(prediction, facility), "", *_phases(prediction), *_parts(prediction), "",
         _footnote(prediction), ""]
    )  # fmt: skip


def prediction_to_model_card(prediction: Prediction, facility: Facility | None = None) -> str:
    """Front matter and a section; without a carbon intensity there is no front matter, since it knows grams only."""
    front: list[str] = []
    if facility is not None and facility.carbon_intensity_g_per_kwh is not None:
        call = wording.name_of_call(prediction)
        source = (
            f"irene {__version__}, predicted: one {call} ({describe_workload(prediction.tree.workload)}), "
            f"{format_quantity(prediction.energy_j, 'J')} of GPU board energy; {wording.describe_facility(facility)}. "
            "Inference, not training."
        )
        texts = {"source": source}
        texts |= {"geographical_location": facility.country} if facility.country else {}
        texts |= {"hardware_used": f"1 x {load_device(prediction.device).title}"}
        # A JSON text is a YAML text. A number needs its point: YAML 1.1 takes 5e-05 for a word.
        lines = [f"  emissions: {footprint_of(prediction.energy_j, facility).carbon_g:.3e}"]
        lines += [f"  {key}: {json.dumps(value)}" for key, value in texts.items()]
        front = ["---", "co2_eq_emissions:", *lines, "---", ""]
    heading = "## Energy of inference"
    return "\n".join([*front, heading, "", *_summary(prediction, facility), "", _footnote(prediction), ""])


def _summary(prediction: Prediction, facility: Facility | None) -> list[str]:
    low, high = prediction.interval_j
    total_j = prediction.energy_j or 1.0
    token_j, power_w = wording.energy_per_token_j(prediction), prediction.power_w
    parts = sorted(prediction.breakdown_j.items(), key=lambda item: -item[1])
    rows = [
        (f"Energy of one {wording.name_of_call(prediction)}", format_quantity(prediction.energy_j, "J")),
        ("90 % interval", wording.describe_interval(low, high)),
        ("Time", format_quantity(prediction.duration_s, "s")),
        ("Mean power", "-" if power_w is None else format_quantity(power_w, "W")),
        ("Energy per sample", format_quantity(wording.energy_per_sample_j(prediction), "J")),
        ("Energy per token", "-" if token_j is None else format_quantity(token_j, "J")),
        ("Goes to", ", ".join(f"{part.replace('_', ' ')} {joules / total_j:.0%}" for part, joules in parts)),
        ("Workload", describe_workload(prediction.tree.workload)),
        ("Device", load_device(prediction.device).title),
    ]
    rows += [("Note", note) for note in prediction.tree.notes]
    if facility is not None:
        lines = wording.describe_footprint(prediction.energy_j, facility)
        rows += [(f"{what.capitalize()} of {wording.PER_CALLS:,} calls", much) for what, much in lines]
        rows += [("Assumed", wording.describe_facility(facility))]
    (name, energy), *others = rows
    first = f"| {name} | **{escape_cell(energy)}** |"
    return ["| | |", "| --- | --- |", first, *(f"| {name} | {escape_cell(value)} |" for name, value in others)]


def _phases(prediction: Prediction) -> list[str]:
    """Of a generation: a row for each phase, and one for a token."""
    if prediction.generation is None:
        return []
    rows = [COLUMNS, ("---", "---:", "---:", "---:", "---:"), *phase_cells(prediction.generation)]
    return [*("| " + " | ".join(cells) + " |" for cells in rows), ""]


def _parts(prediction: Prediction) -> list[str]:
    lines = ["| part | energy | share | time |", "| --- | ---: | ---: | ---: |"]

    def add(row: FoldedRow) -> None:
        energy_j = float(prediction.summed.energy_j[row.indices].sum())
        share = energy_j / (prediction.energy_j or 1.0)
        if share < SMALLEST_SHARE:
            return
        duration_s = float(prediction.summed.duration_s[row.indices].sum())
        indent = "&nbsp;&nbsp;" * row.depth
        cells = [format_quantity(energy_j, "J"), f"{share:.1%}", format_quantity(duration_s, "s")]
        lines.append(f"| {indent}{escape_cell(row.label)} | " + " | ".join(cells) + " |")
        for child in row.children:
            add(child)

    add(fold(prediction.flat, _DEPTH))
    return lines


def _footnote(prediction: Prediction) -> str:
    name = prediction.predictor
    described = escape_cell(f"{name.name} {name.version}, trained on {name.trained_on}")
    return (
        f"Predicted with irene {__version__} ({described}). "
        "Gross GPU board energy in steady state; the host, the power supply and cooling are not in it."
    )


def escape_cell(text: str) -> str:
    """Text in a cell: no HTML, no link, no end of the cell."""
    plain = escape_controls(text.replace("\n", " ")).replace("\\", "\\\\")
    return _MARKS.sub(r"\\\g<0>", html.escape(plain, quote=False))
