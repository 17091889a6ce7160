"""How a value shows itself in a notebook: one door below, which `irene.reporting` answers from above every value.

Imports only go down, and a prediction stands below the tables of predictions. So the package itself, which stands
above both, hands in who answers; nothing is imported before a value is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas


class Views(Protocol):
    """What answers: `irene.reporting.views`."""

    def to_html(self, value: Any) -> str:
        """The value as HTML."""

    def to_frame(self, value: Any) -> Any:
        """The value's rows as a pandas DataFrame."""

    def to_figure(self, value: Any) -> Any:
        """The value as a plotly figure."""


_load: list[Callable[[], Any]] = []


def answer_by(load: Callable[[], Any]) -> None:
    """Take who answers from here on: `load` imports and returns it when the first value is shown."""
    _load[:] = [load]


class Shown:
    """A value with `_repr_html_`, `plot` and `to_frame`; a class may have a `to_frame` of its own.

    >>> import irene
    >>> "<table" in irene.trace("bert-tiny")._repr_html_()
    True
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(_views().to_html(self))

    def plot(self) -> Any:
        """A plotly figure (`plotly.graph_objects.Figure`) of where the joules go, of a tree where the FLOP go."""
        return _views().to_figure(self)

    def to_frame(self) -> pandas.DataFrame:
        """The rows of the command's CSV as a pandas DataFrame, numbers in full and in SI units."""
        frame: pandas.DataFrame = _views().to_frame(self)
        return frame


def _views() -> Views:
    views: Views = _load[0]()
    return views
