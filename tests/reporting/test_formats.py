"""Files that read back as what was written."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from irene.predictor.prediction import Prediction
from irene.predictor.prediction_files import prediction_to_json
from irene.reporting.footprint import read_facility
from irene.reporting.formats import FILE_FORMATS, write_prediction


def as_text(data: str | bytes) -> str:
    assert isinstance(data, str)
    return data


def test_csv_and_parquet_read_back_as_the_frame(bert: Prediction) -> None:
    frame = bert.to_frame()
    from_csv = pd.read_csv(io.StringIO(as_text(write_prediction(bert, "csv"))), keep_default_na=False)
    binary = write_prediction(bert, "parquet")
    assert isinstance(binary, bytes)
    from_parquet = pd.read_parquet(io.BytesIO(binary))
    for read in (from_csv, from_parquet):
        pd.testing.assert_frame_equal(read, frame, check_dtype=False)
    assert from_parquet["energy_j"].dtype == np.float64


def test_json_has_a_footprint_only_when_asked(bert: Prediction) -> None:
    assert json.loads(as_text(write_prediction(bert, "json"))) == prediction_to_json(bert)
    facility = read_facility("100", None, None)
    asked = json.loads(as_text(write_prediction(bert, "json", facility)))
    assert asked.pop("footprint")["carbon_g"] == pytest.approx(100 * bert.energy_j / 3.6e6)
    assert asked == prediction_to_json(bert)


@pytest.mark.parametrize("file_format", sorted(FILE_FORMATS))
def test_a_path_with_odd_characters_survives(file_format: str, prediction: Prediction) -> None:
    import dataclasses

    tree = dataclasses.replace(prediction.tree, model='a|b "c" </script>\nd')
    odd = dataclasses.replace(prediction, tree=tree)
    assert write_prediction(odd, file_format)
