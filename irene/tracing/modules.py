"""Any torch.nn.Module with example inputs -> its tree: meta twins of its weights go in, and come out again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

from irene.errors import BadInput
from irene.model_tree.tree import Node, Workload
from irene.tracing.encoding import dtype_name
from irene.tracing.known_values import set_value
from irene.tracing.recording import record_with_notes


def trace_module(
    module: torch.nn.Module, example_inputs: Any, workload: Workload
) -> tuple[Node, Workload, tuple[str, ...]]:
    """The tree of one call in eval mode, its workload as the inputs say, and notes; the module is left as it was.

    Weights count as unknown. The inputs and buffers are known, so that a question about a mask can be answered.
    """
    args, kwargs = _as_arguments(example_inputs)
    twins: dict[int, torch.Tensor] = {}
    meta_args, meta_kwargs = tree_map(
        lambda value: _twin(value, twins) if isinstance(value, torch.Tensor) else value, (args, kwargs)
    )
    with _evaluating(module), _on_meta(module):
        root, notes = record_with_notes(module, meta_args, meta_kwargs)
    floats = [p.dtype for p in module.parameters() if p.is_floating_point()] or [torch.float32]
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.dim() > 0]
    batch_size = int(tensors[0].shape[0]) if tensors else 1
    dtype = dtype_name(floats[0])
    workload = replace(workload, dtype=dtype, batch_size=batch_size, seq_len=None, decoder_seq_len=None)
    return root, workload, notes


def _as_arguments(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if example_inputs is None:
        raise BadInput(
            "A torch.nn.Module needs example_inputs: a tensor, a tuple of arguments or a dict of keyword arguments."
        )
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, torch.Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, list | tuple):
        return tuple(example_inputs), {}
    raise BadInput(f"example_inputs: expected a tensor, a tuple or a dict, got {type(example_inputs).__name__}.")


def _twin(tensor: torch.Tensor, twins: dict[int, torch.Tensor]) -> torch.Tensor:
    """The meta twin of a tensor, the same for the same tensor. A parameter's is one too, and holds no known value."""
    twin = twins.get(id(tensor))
    if twin is None:
        twin = tensor.detach().to("meta")
        if isinstance(tensor, torch.nn.Parameter):
            twin = torch.nn.Parameter(twin, requires_grad=tensor.requires_grad)
        elif not tensor.is_meta:
            set_value(twin, tensor.detach())
        twins[id(tensor)] = twin
    return twin


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, flag in training.items():
            part.training = flag


@contextmanager
def _on_meta(module: torch.nn.Module) -> Iterator[None]:
    """Swap parameters and buffers for meta twins, and put them back; shared ones stay shared."""
    twins: dict[int, torch.Tensor] = {}
    saved: list[tuple[torch.nn.Module, str, torch.Tensor]] = []
    try:
        for part in module.modules():
            for name, tensor in [*part._parameters.items(), *part._buffers.items()]:
                if tensor is not None:
                    saved.append((part, name, tensor))
                    setattr(part, name, _twin(tensor, twins))  # not past __setattr__: an LSTM keeps a second list
        yield
    finally:
        for part, name, tensor in saved:
            setattr(part, name, tensor)
