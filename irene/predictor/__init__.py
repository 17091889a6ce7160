"""predictor: a tree of calls becomes joules. Light to import: heavy packages are loaded on the first call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from irene.predictor.prediction import Prediction


def predict(model: Any, example_inputs: Any = None, **options: Any) -> Prediction:
    """See `irene.predictor.entry.predict_model`."""
    from irene.predictor.entry import predict_model

    return predict_model(model, example_inputs, **options)


def train(dataset_dir: str | Path, output: str | Path, **options: Any) -> Path:
    """See `irene.predictor.entry.train_predictor`."""
    from irene.predictor.entry import train_predictor

    return train_predictor(dataset_dir, output, **options)


__all__ = ["predict", "train"]
