"""Config or module -> ModelTree, without weights: one forward pass on meta tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from irene.errors import BadInput, UnknownName
from irene.model_tree.serialization import is_saved_tree, load_tree
from irene.model_tree.tree import ModelTree, Workload
from irene.tracing.building import build_model
from irene.tracing.inputs import build_inputs, check_positions, parameters_of, torch_dtype
from irene.tracing.modules import trace_module
from irene.tracing.recording import record_with_notes
from irene.tracing.sources import load_config

DTYPES = ("float32", "tf32", "float16", "bfloat16")
EXECUTIONS = ("eager", "cuda_graph")


def trace(
    model: Any,
    example_inputs: Any = None,
    *,
    task: str = "base",
    batch_size: int = 1,
    seq_len: int | None = 128,
    decoder_seq_len: int | None = None,
    dtype: str = "bfloat16",
    execution: str = "eager",
    new_tokens: int = 0,
) -> ModelTree:
    """Trace a model into the tree of calls that one forward pass makes.

    `model` is a name or path, a transformers config, or a `torch.nn.Module` with `example_inputs` (a tensor, a tuple of
    positional or a mapping of keyword arguments; its own dtype and batch size count then). No weights are loaded.
    The path of a tree saved by `irene tree --format json` gives that tree, with the workload that it was traced for.

    Raises BadInput (and its kinds) for input that cannot be traced, with the reason.

    >>> tree = trace(torch.nn.Linear(4, 2), torch.zeros(3, 4))
    >>> [leaf.type for leaf in tree.root.leaves]
    ['aten.linear.default']
    """
    workload = Workload(batch_size, seq_len, decoder_seq_len, dtype, task, execution, new_tokens)
    check_workload(workload)
    if isinstance(model, torch.nn.Module):
        root, workload, notes = trace_module(model, example_inputs, workload)
        return ModelTree(root, type(model).__name__, workload, trace_versions(), notes)
    if example_inputs is not None:
        raise BadInput("example_inputs go with a torch.nn.Module; a config or a name takes batch_size and seq_len.")
    if isinstance(model, str | Path):
        if is_saved_tree(model):
            return load_tree(model)
    elif not hasattr(model, "model_type"):
        kinds = "a name, a path, a transformers config or a torch.nn.Module"
        raise BadInput(f"Expected a model as {kinds}, got {type(model).__name__}.")
    config, name = find_config(model)
    return trace_config(config, workload, name)


def find_config(model: Any) -> tuple[Any, str]:
    """The transformers config behind a name or path, or the one given, and a name for it."""
    if isinstance(model, str | Path):
        return load_config(str(model)), str(model)
    return model, getattr(model, "name_or_path", "") or type(model).__name__


def trace_config(config: Any, workload: Workload, name: str) -> ModelTree:
    """Trace a transformers config for a workload."""
    check_positions(config, workload)
    module = build_model(config, workload.task, torch_dtype(workload.dtype), "meta")
    meta, takes = torch.device("meta"), parameters_of(module)
    inputs = build_inputs(module.config, module.main_input_name, workload, meta, takes=takes)
    workload = describe_inputs(workload, inputs)
    root, notes = record_with_notes(module, (), inputs)
    return ModelTree(root, name, workload, trace_versions(), notes)


def describe_inputs(workload: Workload, inputs: Mapping[str, torch.Tensor]) -> Workload:
    """The workload as the inputs really are: no seq_len for pixels, a decoder length where there is a decoder."""
    decoder = inputs.get("decoder_input_ids")
    seq_len = workload.seq_len if "input_ids" in inputs else None
    return replace(workload, seq_len=seq_len, decoder_seq_len=None if decoder is None else int(decoder.shape[1]))


def check_workload(workload: Workload) -> None:
    """Raise BadInput for sizes, a dtype or an execution that no trace can have."""
    for name in ("batch_size", "seq_len", "decoder_seq_len"):
        value = getattr(workload, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise BadInput(f"{name} must be a whole number of at least 1, got {value!r}.")
    if workload.dtype not in DTYPES:
        raise UnknownName("dtype", workload.dtype, DTYPES)
    if workload.execution not in EXECUTIONS:
        raise UnknownName("execution", workload.execution, EXECUTIONS)
    if workload.new_tokens:
        raise BadInput("Generations (new_tokens > 0) are not predicted yet; leave new_tokens at 0.")


def trace_versions() -> tuple[tuple[str, str], ...]:
    """The library versions that shape a tree: a tree says which traced it."""
    import transformers

    return (("torch", torch.__version__.split("+")[0]), ("transformers", transformers.__version__))
