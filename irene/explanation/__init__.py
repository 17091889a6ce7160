"""explanation: why a prediction is what it is, what would change it, and how two of them differ.

Pure functions from predictions to frozen values; `irene.reporting` prints them. Light to import, like the predictor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irene.explanation.comparing import compare
    from irene.explanation.explaining import explain

__all__ = ["compare", "explain"]

_HOMES = {"compare": "irene.explanation.comparing", "explain": "irene.explanation.explaining"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
