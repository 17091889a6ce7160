"""What a change would do, in a report: the same model predicted again with one thing changed, a row each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irene.explanation.explanation import unit_of
from irene.quoting import escape_html
from irene.reporting.report_sections import html_table, term, write_quantity

if TYPE_CHECKING:
    from irene.explanation.explanation import Explanation

_INTERVAL_TIP = "The 90 % interval of the ratio, in which errors that both predictions share cancel."


def changes_section(explanation: Explanation) -> str:
    """A table to unfold, its summary the change that saves most and is sure; '' where nothing can be changed."""
    changes = explanation.counterfactuals
    if not changes:
        return ""
    unit = unit_of(changes)
    ratios = {change.change: change.ratio_for(unit) for change in changes}
    rows = [
        [escape_html(change.change), f"<strong>{ratios[change.change][0]:.2f}</strong> times",
         "{:.2f} to {:.2f}".format(*ratios[change.change][1:]), "yes" if change.is_significant else "no",
         f"{change.ratio:.2f} times", write_quantity(change.energy_j), write_quantity(change.duration_s, "s")]
        for change in changes
    ]  # fmt: skip
    sure = [change.change for change in changes if change.is_significant and ratios[change.change][0] < 1]
    best = min(sure, key=lambda words: ratios[words][0], default="")
    saves = f": {best} takes {ratios[best][0]:.2f} times the joules of a {unit}" if best else ""
    head = [
        "change", f"joules of a {unit}", term("90 % interval", _INTERVAL_TIP),
        term("sure", "Whether that interval leaves out one."), "joules of a call", "energy", "time",
    ]  # fmt: skip
    return f"""<details><summary>What would change it{escape_html(saves)}</summary>
  <p class="lead">Predicted again with one thing changed.</p>
  {html_table(head, rows)}{_not_asked(explanation)}</details>"""


def _not_asked(explanation: Explanation) -> str:
    return "".join(f'<p class="note">Not asked: {escape_html(line)}</p>' for line in explanation.not_asked)
