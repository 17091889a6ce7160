"""tracing: a config, a name or an nn.Module becomes the tree of calls that it would make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irene.tracing.tracer import trace

__all__ = ["trace"]


def __getattr__(name: str) -> Any:
    if name == "trace":  # on first use: its torch takes more than a second to import
        from irene.tracing.tracer import trace

        return trace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
