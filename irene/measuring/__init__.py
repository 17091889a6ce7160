"""measuring: a plan becomes rows, on a machine with an NVIDIA GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irene.measuring.collecting import collect

__all__ = ["collect"]


def __getattr__(name: str) -> Any:
    if name == "collect":  # on first use: its torch takes more than a second to import
        from irene.measuring.collecting import collect

        return collect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
