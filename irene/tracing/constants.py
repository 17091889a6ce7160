"""Numbers that Python hands to torch, or reads out of a tensor, below the level that a dispatch mode sees.

`torch.tensor(3.0, device=...)` fills memory without an operator call, `x[:, [-1, 0]]` makes a tensor of the list, and
`f"{x}"` reads a number. While a model is recorded these few ways are watched, so that the numbers stay known and the
operators that the profiler shows for them are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch

from irene.tracing.known_values import Expression, set_expression

RecordConstruction = Callable[[list[Any], torch.device], None]


@contextmanager
def watched_constants(record_construction: RecordConstruction) -> Iterator[None]:
    """Constants made inside have known values; each list used as an index is given to `record_construction`."""
    with ExitStack() as stack:
        tensor_of = torch.tensor
        for owner, name in ((torch, "tensor"), (torch, "as_tensor"), (torch.Tensor, "new_tensor")):
            make = _remembering(getattr(owner, name), tensor_of, data_at=0 if owner is torch else 1)
            stack.enter_context(mock.patch.object(owner, name, make))
        for name in ("__getitem__", "__setitem__"):
            index = _indexing(getattr(torch.Tensor, name), record_construction)
            stack.enter_context(mock.patch.object(torch.Tensor, name, index))
        stack.enter_context(mock.patch.object(torch.Tensor, "__format__", _format(torch.Tensor.__format__)))
        yield


def _remembering(
    make: Callable[..., torch.Tensor], tensor_of: Callable[..., torch.Tensor], data_at: int
) -> Callable[..., torch.Tensor]:
    def remember(*args: Any, **kwargs: Any) -> torch.Tensor:
        tensor = make(*args, **kwargs)
        if tensor.is_meta and len(args) > data_at and not isinstance(args[data_at], torch.Tensor):
            set_expression(tensor, Expression(tensor_of, (args[data_at],), {"dtype": tensor.dtype, "device": "cpu"}))
        return tensor

    return remember


def _indexing(method: Callable[..., Any], record_construction: RecordConstruction) -> Callable[..., Any]:
    def index(tensor: torch.Tensor, places: Any, *value: Any) -> Any:
        if isinstance(places, list | tuple | range):
            for part in places if isinstance(places, tuple) else (places,):
                if isinstance(part, list | tuple | range) and not any(isinstance(i, torch.Tensor) for i in part):
                    record_construction(list(part), tensor.device)
        return method(tensor, places, *value)

    return index


def _format(method: Callable[..., str]) -> Callable[..., str]:
    """A number in a text: torch writes that of a tensor with data, and only 'meta' for one without."""

    def write(tensor: torch.Tensor, spec: str) -> str:
        return format(tensor.item(), spec) if tensor.is_meta and tensor.dim() == 0 else method(tensor, spec)

    return write
