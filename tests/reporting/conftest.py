"""Real predictions for reports: small, but with every part of the account and several kinds of operations."""

from __future__ import annotations

import pytest

import irene
from irene.predictor.prediction import Prediction


@pytest.fixture(scope="session")
def bert() -> Prediction:
    """Eager at batch 8: compute, memory, static and launch gap all have a share."""
    return irene.predict("bert-base-uncased", batch_size=8)


@pytest.fixture(scope="session")
def captured() -> Prediction:
    """The same in a captured graph: no launch gap, views without energy."""
    return irene.predict("bert-base-uncased", batch_size=8, execution="cuda_graph")
