"""predictor: a tree of calls becomes joules. Light to import: its parts load on the first use of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irene.predictor.calibrating import calibrate
    from irene.predictor.entry import predict, sweep, train

__all__ = ["calibrate", "predict", "sweep", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # on first use: importing irene imports no numpy
        from irene.predictor import calibrating, entry

        return calibrating.calibrate if name == "calibrate" else getattr(entry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
