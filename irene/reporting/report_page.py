"""A report as one self-contained HTML file: page, style, data, plotly.js and all, so that it opens without a network.

The headline, tables and assumptions are written here as HTML, so that they are there before any script runs; the
figures are drawn by `page/figures.js` from the data of `report_data`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from irene import __version__
from irene.reporting import wording
from irene.reporting.report_comparison import comparison
from irene.reporting.report_data import report_data
from irene.reporting.report_sections import assumptions, hero, tabs

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction
    from irene.reporting.footprint import Site


def render_report(
    predictions: Mapping[str, Prediction], site: Site | None = None, compared: Mapping[str, Any] | None = None
) -> str:
    """The page for one or several named predictions; the first named is the one that others are compared with.

    `compared` is `Comparison.to_json()` of the same names: with it the differences have intervals of their own.
    """
    several = len(predictions) > 1
    data = {
        "models": [report_data(prediction, name) for name, prediction in predictions.items()],
        "words": {
            "parts": wording.PARTS,
            "bounds": wording.BOUNDS,
            "provenances": wording.PROVENANCES,
            "kinds": wording.KINDS,
        },  # fmt: skip
    }
    heroes = [hero(prediction, site, hidden=i > 0) for i, prediction in enumerate(predictions.values())]
    return Template(_read("report.html")).substitute(
        version=__version__,
        title=f"Energy of {_escape_title(', '.join(predictions))}",
        css=_read("report.css"),
        compare_link='<a href="#compare">Comparison</a>' if several else "",
        compare=comparison(predictions, compared) if several else "",
        tabs=tabs(list(predictions)) if several else "",
        heroes="\n".join(heroes),
        assumptions=assumptions(predictions, site),
        data=_embed_json(data),
        plotly=_plotly(),
        javascript=_read("figures.js") + _read("report.js"),
    )


def _embed_json(data: Any) -> str:
    # '</script>' inside a name would end the element.
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _escape_title(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _plotly() -> str:
    """plotly.js, MIT-licensed, as the Python package carries it."""
    return resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")


def _read(name: str) -> str:
    return resources.files("irene.reporting").joinpath("page", name).read_text(encoding="utf-8")
