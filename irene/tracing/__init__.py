"""tracing: a config, a name or an nn.Module becomes the tree of calls that it would make."""

from __future__ import annotations

from typing import Any


def trace(model: Any, example_inputs: Any = None, **workload: Any) -> Any:
    """See `irene.tracing.tracer.trace`; torch is imported on the first call, not on import."""
    from irene.tracing.tracer import trace as trace_model

    return trace_model(model, example_inputs, **workload)


__all__ = ["trace"]
