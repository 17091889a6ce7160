"""The Pentathlon in a report: for each scenario the five metrics of every model, as a table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from irene.quoting import escape_html
from irene.reporting.pentathlon_table import describe_scenario
from irene.reporting.report_sections import INTERVAL_TIP, html_table, term, write_quantity

if TYPE_CHECKING:
    from irene.scenarios.pentathlon import Pentathlon

_HEAD = {
    "throughput_per_s": ("throughput", "/s"),
    "latency_p95_s": ("latency, 95th percentile", "s"),
    "device_memory_bytes": ("peak memory", "B"),
    "energy_per_instance_j": ("energy an instance", "J"),
    "net_energy_per_instance_j": ("net of idle", "J"),
    "parameters": ("parameters", ""),
}


def pentathlon_section(found: Sequence[Pentathlon]) -> str:
    """The section, those of one scenario together; '' of none."""
    if not found:
        return ""
    parts = [_one_scenario(list(group)) for _, group in itertools.groupby(found, key=lambda one: one.scenario)]
    notes = "".join(
        f'<p class="note">{escape_html(note)}</p>' for note in dict.fromkeys(n for one in found for n in one.notes)
    )
    return f"""<section class="card" id="pentathlon">
  <h2>Under streams of requests</h2>
  <p class="lead">The five metrics of the Efficiency Pentathlon, each with its {term("90 % interval", INTERVAL_TIP)}.
    Energy is gross, idle gaps between requests included.</p>
  {"".join(parts)}{notes}
</section>"""


def _one_scenario(rows: Sequence[Pentathlon]) -> str:
    head = ["model", *(title for title, _ in _HEAD.values())]
    cells = [[escape_html(one.model), *(_cell(one, name, unit) for name, (_, unit) in _HEAD.items())] for one in rows]
    return f"<h3>{escape_html(describe_scenario(rows[0]))}</h3>{html_table(head, cells)}"


def _cell(one: Pentathlon, name: str, unit: str) -> str:
    estimate = one.metrics[name]
    if estimate.value is None:
        return "–"
    text = write_quantity(estimate.value, unit).rstrip()
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text}<small>{write_quantity(estimate.low, unit)} to {write_quantity(estimate.high, unit)}</small>"
