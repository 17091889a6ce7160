"""A report as one self-contained HTML file: page, style, data and scripts, so that it opens without a network.

The headline, tables and assumptions are written here as HTML, so that they are there before any script runs; the
figures are drawn by the scripts in `page` from the data of `report_data`. They are few and small: a charting library
would be fifty times the rest of the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from irene.account import parts_of
from irene.quoting import escape_html
from irene.reporting import wording
from irene.reporting.report_changes import changes_section
from irene.reporting.report_comparison import comparison
from irene.reporting.report_data import report_data
from irene.reporting.report_pentathlon import pentathlon_section
from irene.reporting.report_sections import assumptions, hero, tabs
from irene.version import __version__

if TYPE_CHECKING:
    from irene.explanation.explanation import Explanation
    from irene.predictor.prediction import Prediction
    from irene.reporting.footprint import Facility
    from irene.scenarios.pentathlon import Pentathlon

_SCRIPTS = ("drawing.js", "icicle.js", "charts.js", "finding.js", "report.js")


def render_report(
    predictions: Mapping[str, Prediction], facility: Facility | None = None,
    compared: Mapping[str, Any] | None = None, pentathlons: Sequence[Pentathlon] = (), *,
    explanations: Mapping[str, Explanation] | None = None, home: str = "",
) -> str:  # fmt: skip
    """The page for one or several named predictions; the first named is the one that others are compared with.

    `compared` is `Comparison.to_json()` of the same names: with it the differences have intervals of their own.
    `pentathlons` are what `irene bench` says of the same models, `explanations` what `irene explain` does: with them
    the page says what a change would do. `home` is an address to ask another question at.
    """
    several = len(predictions) > 1
    data = {
        "models": [report_data(prediction, name) for name, prediction in predictions.items()],
        "words": {
            "parts": {part: wording.PARTS[part] for part in parts_of(max(p.ranks for p in predictions.values()))},
            "bounds": wording.BOUNDS,
            "provenances": wording.PROVENANCES,
            "kinds": wording.KINDS,
        },  # fmt: skip
    }
    whys = explanations or {}
    heroes = [
        hero(prediction, facility, changes_section(whys[name]) if name in whys else "", hidden=i > 0)
        for i, (name, prediction) in enumerate(predictions.items())
    ]
    return Template(read_part("report.html")).substitute(
        version=__version__,
        title=f"Energy of {escape_html(', '.join(predictions))}",
        css=read_part("report.css"),
        home_link=f'<a href="{escape(home)}">Another question</a>' if home else "",
        compare_link='<a href="#compare">Comparison</a>' if several else "",
        compare=comparison(predictions, compared) if several else "",
        pentathlon_link='<a href="#pentathlon">Streams</a>' if pentathlons else "",
        pentathlon=pentathlon_section(pentathlons),
        tabs=tabs(list(predictions)) if several else "",
        heroes="\n".join(heroes),
        assumptions=assumptions(predictions, facility),
        data=_embed_json(data),
        javascript="".join(map(read_part, _SCRIPTS)),
    )


def _embed_json(data: Any) -> str:
    # '</script>' inside a name would end the element; what is no ASCII may command who prints the file.
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def read_part(name: str) -> str:
    """A file of `page`: of what pages are put together."""
    return resources.files("irene.reporting").joinpath("page", name).read_text(encoding="utf-8")
