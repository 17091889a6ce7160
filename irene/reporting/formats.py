"""Every file that one prediction can become: the formats of `irene predict --format`, but for the terminal's table."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction
    from irene.reporting.footprint import Facility


def write_prediction(prediction: Prediction, file_format: str, facility: Facility | None = None) -> str | bytes:
    """The prediction in a format of `FILE_FORMATS`; bytes where it is binary.

    Grams and money of a `facility` go into JSON, Markdown and the model card; the other formats hold joules only.
    """
    return FILE_FORMATS[file_format](prediction, facility)


def _to_json(prediction: Prediction, facility: Facility | None) -> str:
    from irene.predictor.prediction_files import prediction_to_json

    data = prediction_to_json(prediction)
    if facility is not None:
        from irene.reporting.footprint import footprint_of

        data["footprint"] = {**asdict(facility), **asdict(footprint_of(prediction.energy_j, facility))}
    return json.dumps(data)


def _to_csv(prediction: Prediction, facility: Facility | None) -> str:
    from irene.reporting.export import rows_to_csv

    return rows_to_csv(list(prediction.rows()))


def _to_parquet(prediction: Prediction, facility: Facility | None) -> bytes:
    buffer = io.BytesIO()
    prediction.to_frame().to_parquet(buffer, index=False)
    return buffer.getvalue()


def _to_trace(prediction: Prediction, facility: Facility | None) -> str:
    from irene.reporting.trace_event import prediction_to_trace

    return json.dumps(prediction_to_trace(prediction), separators=(",", ":"))


def _to_speedscope(prediction: Prediction, facility: Facility | None) -> str:
    from irene.reporting.speedscope import prediction_to_speedscope

    return json.dumps(prediction_to_speedscope(prediction), separators=(",", ":"))


def _to_markdown(prediction: Prediction, facility: Facility | None) -> str:
    from irene.reporting.markdown import prediction_to_markdown

    return prediction_to_markdown(prediction, facility)


def _to_model_card(prediction: Prediction, facility: Facility | None) -> str:
    from irene.reporting.markdown import prediction_to_model_card

    return prediction_to_model_card(prediction, facility)


def _to_irene_2021(prediction: Prediction, facility: Facility | None) -> str:
    from irene.reporting.irene_2021_tree import prediction_to_irene_2021

    return json.dumps(prediction_to_irene_2021(prediction), separators=(",", ":"))


# A new format is one more line here; the command line offers what it finds.
FILE_FORMATS: dict[str, Callable[[Prediction, Facility | None], str | bytes]] = {
    "json": _to_json,
    "csv": _to_csv,
    "parquet": _to_parquet,
    "perfetto": _to_trace,
    "speedscope": _to_speedscope,
    "markdown": _to_markdown,
    "model-card": _to_model_card,
    "irene-2021": _to_irene_2021,
}
