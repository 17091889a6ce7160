"""scenarios: streams of requests and five metrics of each, measured on any machine and predicted without one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irene.scenarios.measuring_streams import measure_pentathlon
    from irene.scenarios.pentathlon import Pentathlon
    from irene.scenarios.pentathlon_files import load_pentathlon
    from irene.scenarios.predicting import predict_pentathlon
    from irene.scenarios.streams import Scenario

__all__ = ["Pentathlon", "Scenario", "load_pentathlon", "measure_pentathlon", "predict_pentathlon"]

_HOMES = {
    "Pentathlon": "pentathlon",
    "Scenario": "streams",
    "load_pentathlon": "pentathlon_files",
    "measure_pentathlon": "measuring_streams",
    "predict_pentathlon": "predicting",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # on first use: measuring must not import the predictor
        return getattr(importlib.import_module(f"irene.scenarios.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
