"""A predictor fitted on rows that follow a law, and the one that comes with irene."""

from __future__ import annotations

import pandas as pd
import pytest

from irene.predictor.bundle import load_bundle, shipped_bundle
from irene.predictor.predictor import Predictor
from irene.predictor.training import fit
from tests.predictor.made_law import law_rows


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    return law_rows()


@pytest.fixture(scope="session")
def fitted(rows: pd.DataFrame) -> Predictor:
    return fit(rows)


@pytest.fixture(scope="session")
def shipped() -> Predictor:
    return load_bundle(shipped_bundle("h200"))
