"""Example inputs as the arguments of a call, and what is known of those without data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from irene.errors import BadInput
from irene.tracing.inputs import parameters_of
from irene.tracing.known_values import Expression, expression_of, set_expression

ASSUMED = "Inputs without data: masks are taken as all ones, token ids as those of ordinary words."


def as_arguments(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments: keywords in a mapping, positions in a tuple or list, else one."""
    if example_inputs is None:
        raise BadInput(
            "A torch.nn.Module needs example_inputs: a tensor, a tuple of arguments or a dict of keyword arguments."
        )
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    is_one = isinstance(example_inputs, torch.Tensor | PackedSequence) or dataclasses.is_dataclass(example_inputs)
    if is_one:
        return (example_inputs,), {}
    if isinstance(example_inputs, list | tuple):
        return tuple(example_inputs), {}
    raise BadInput(f"example_inputs: expected a tensor, a tuple or a dict, got {type(example_inputs).__name__}.")


def batch_of(arguments: Iterable[Any], tensors: Iterable[torch.Tensor]) -> int:
    """How many samples a call gets: sequences that are packed, else rows of the first tensor."""
    packed = next((value for value in arguments if isinstance(value, PackedSequence)), None)
    if packed is not None:
        return int(packed.batch_sizes[0])
    return next((int(tensor.shape[0]) for tensor in tensors if tensor.dim() > 0), 1)


def assume_values(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """Give masks and token ids that came on meta the values that any real call would have; a note where one was."""
    assumed = False
    for name, tensor in _named(module, args, kwargs):
        if not tensor.is_meta or tensor.is_floating_point() or expression_of(tensor) is not None:
            continue
        value = 1 if "mask" in name else 5 if name.endswith("input_ids") else None
        if value is not None:
            make = Expression(torch.full, (tuple(tensor.shape), value), {"dtype": tensor.dtype})
            set_expression(tensor, make)
            assumed = True
    return (ASSUMED,) if assumed else ()


def _named(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors among the arguments, by the name of their parameter or of the key that they have in a mapping."""
    try:
        names = parameters_of(module)
    except ValueError:  # a traced program has no signature
        names = ()
    for name, value in (*zip(names, args, strict=False), *kwargs.items()):
        held = value.items() if isinstance(value, Mapping) else ((name, value),)
        yield from ((key, item) for key, item in held if isinstance(item, torch.Tensor))
