"""Config or module -> ModelTree, without weights: one forward pass on meta tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from irene.errors import BadInput, IreneError, UnknownName, Untraceable
from irene.model_tree.tree import ModelTree, Workload
from irene.tracing.building import build_model
from irene.tracing.encoding import DTYPE_NAMES
from irene.tracing.inputs import build_inputs, check_positions, torch_dtype
from irene.tracing.recorder import Recorder, recording

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

    Raises BadInput (and its kinds) for input that cannot be traced, with the reason.

    >>> tree = trace(torch.nn.Linear(4, 2), torch.zeros(3, 4))
    >>> [leaf.type for leaf in tree.root.leaves]
    ['aten.linear.default']
    """
    workload = Workload(batch_size, seq_len, decoder_seq_len, dtype, task, execution, new_tokens)
    if isinstance(model, torch.nn.Module):
        return _trace_module(model, example_inputs, workload)
    if example_inputs is not None:
        raise BadInput("example_inputs go with a torch.nn.Module; a config or a name takes batch_size and seq_len.")
    _check(workload)
    from irene.tracing.sources import load_config

    if isinstance(model, str | Path):
        return trace_config(load_config(str(model)), workload, str(model))
    return trace_config(model, workload, getattr(model, "name_or_path", "") or type(model).__name__)


def trace_config(config: Any, workload: Workload, name: str) -> ModelTree:
    """Trace a transformers config for a workload."""
    check_positions(config, workload)
    module = build_model(config, workload.task, torch_dtype(workload.dtype), "meta")
    inputs = build_inputs(module.config, module.main_input_name, workload, torch.device("meta"))
    workload = describe_inputs(workload, inputs)
    return ModelTree(record_call(module, (), inputs).root, name, workload, trace_versions())  # type: ignore[arg-type]


def describe_inputs(workload: Workload, inputs: Mapping[str, torch.Tensor]) -> Workload:
    """The workload as the inputs really are: no seq_len for pixels, a decoder length where there is a decoder."""
    decoder = inputs.get("decoder_input_ids")
    seq_len = workload.seq_len if "input_ids" in inputs else None
    return replace(workload, seq_len=seq_len, decoder_seq_len=None if decoder is None else int(decoder.shape[1]))


def record_call(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Recorder:
    """Run one call under the recorder; whatever the model raises becomes Untraceable with its place."""
    recorder = Recorder(module)
    try:
        with recording(recorder):
            module(*args, **kwargs)
    except IreneError:
        raise
    except Exception as error:  # a model's own code may raise anything
        where = recorder.last_path or "the root module"
        lines = str(error).strip().splitlines() or [""]
        raise Untraceable(f"Tracing stopped in '{where}': {type(error).__name__}: {lines[0][:300]}") from error
    return recorder


def _trace_module(module: torch.nn.Module, example_inputs: Any, workload: Workload) -> ModelTree:
    if example_inputs is None:
        raise BadInput("A torch.nn.Module needs example_inputs: a tensor, a tuple of arguments or a dict of keyword arguments.")
    args, kwargs = _as_arguments(example_inputs)
    meta: dict[int, torch.Tensor] = {}

    def to_meta(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return meta.setdefault(id(value), value.to("meta"))
        if isinstance(value, list | tuple):
            return type(value)(to_meta(item) for item in value)
        if isinstance(value, dict):
            return {key: to_meta(item) for key, item in value.items()}
        return value

    training = module.training
    module.eval()
    try:
        with _on_meta(module):
            root = record_call(module, to_meta(args), to_meta(kwargs)).root
    finally:
        module.train(training)
    assert root is not None
    floats = [p.dtype for p in module.parameters() if p.is_floating_point()] or [torch.float32]
    tensors = [t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor) and t.dim() > 0]
    batch = int(tensors[0].shape[0]) if tensors else 1
    workload = replace(workload, dtype=DTYPE_NAMES[floats[0]], batch_size=batch, seq_len=None, decoder_seq_len=None)
    return ModelTree(root, type(module).__name__, workload, trace_versions())


class _on_meta:
    """Swap a module's parameters and buffers for meta twins, and put them back; shared ones stay shared."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module
        self.saved: list[tuple[dict[str, Any], str, Any]] = []

    def __enter__(self) -> None:
        twins: dict[int, torch.Tensor] = {}
        for part in self.module.modules():
            for store in (part._parameters, part._buffers):
                for name, tensor in store.items():
                    if tensor is None:
                        continue
                    twin = twins.get(id(tensor))
                    if twin is None:
                        twin = tensor.detach().to("meta")
                        if isinstance(tensor, torch.nn.Parameter):
                            twin = torch.nn.Parameter(twin, requires_grad=tensor.requires_grad)
                        twins[id(tensor)] = twin
                    self.saved.append((store, name, tensor))
                    store[name] = twin

    def __exit__(self, *_: object) -> None:
        for store, name, tensor in self.saved:
            store[name] = tensor


def _as_arguments(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    if isinstance(example_inputs, torch.Tensor):
        return (example_inputs,), {}
    if isinstance(example_inputs, Sequence):
        return tuple(example_inputs), {}
    raise BadInput(f"example_inputs: expected a tensor, a tuple or a dict, got {type(example_inputs).__name__}.")


def _check(workload: Workload) -> None:
    for name in ("batch_size", "seq_len", "decoder_seq_len"):
        value = getattr(workload, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise BadInput(f"{name} must be a whole number of at least 1, got {value!r}.")
    if workload.dtype not in DTYPES:
        raise UnknownName("dtype", workload.dtype, DTYPES)
    if workload.execution not in EXECUTIONS:
        raise UnknownName("execution", workload.execution, EXECUTIONS)
    if workload.new_tokens:
        raise BadInput("Generations (new_tokens > 0) are not predicted yet; leave new_tokens at 0 for one forward pass.")


def trace_versions() -> tuple[tuple[str, str], ...]:
    """The library versions that shape a tree: a tree says which traced it."""
    import transformers

    return (("torch", torch.__version__.split("+")[0]), ("transformers", transformers.__version__))
