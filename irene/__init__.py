"""irene predicts how many joules a Transformer uses, and says where they go, without the hardware.

>>> import irene
>>> prediction = irene.predict("bert-base-uncased", batch_size=8, seq_len=128)  # doctest: +SKIP
>>> prediction.energy_j, prediction.node("encoder.layer.0.attention").share  # doctest: +SKIP

Names load on first use: importing irene imports neither torch nor numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from irene.errors import (
    BadBundle,
    BadConfig,
    BadDataset,
    BadInput,
    IreneError,
    MeterError,
    NoMeasurement,
    NotSupported,
    UnknownName,
    Untraceable,
)
from irene.showing import answer_by
from irene.version import __version__

if TYPE_CHECKING:
    from irene.explanation import compare, explain
    from irene.explanation.comparison import Comparison
    from irene.explanation.explanation import Explanation
    from irene.model_tree.serialization import load_tree
    from irene.predictor import predict, sweep
    from irene.predictor.prediction import Prediction
    from irene.predictor.prediction_files import load_prediction, save_prediction
    from irene.predictor.runtime import RuntimeFeatures
    from irene.predictor.sweep_values import Sweep
    from irene.tracing import trace
    from irene.tracing.sources import load_config

__all__ = [
    "BadBundle",
    "BadConfig",
    "BadDataset",
    "BadInput",
    "Comparison",
    "Explanation",
    "IreneError",
    "MeterError",
    "NoMeasurement",
    "NotSupported",
    "Prediction",
    "RuntimeFeatures",
    "Sweep",
    "UnknownName",
    "Untraceable",
    "__version__",
    "compare",
    "explain",
    "load_config",
    "load_prediction",
    "load_tree",
    "predict",
    "save_prediction",
    "sweep",
    "trace",
]

_HOMES = {
    "Comparison": "irene.explanation.comparison",
    "Explanation": "irene.explanation.explanation",
    "Prediction": "irene.predictor.prediction",
    "RuntimeFeatures": "irene.predictor.runtime",
    "Sweep": "irene.predictor.sweep_values",
    "compare": "irene.explanation",
    "explain": "irene.explanation",
    "load_config": "irene.tracing.sources",
    "load_prediction": "irene.predictor.prediction_files",
    "load_tree": "irene.model_tree.serialization",
    "predict": "irene.predictor",
    "save_prediction": "irene.predictor.prediction_files",
    "sweep": "irene.predictor",
    "trace": "irene.tracing",
}


answer_by(lambda: importlib.import_module("irene.reporting.views"))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'irene' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
