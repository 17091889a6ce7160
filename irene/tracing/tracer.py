"""Config or module -> ModelTree, without weights: one forward pass on meta tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from irene.errors import BadInput
from irene.model_tree.quantization import text_alone, twin_note
from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.tracing.attention import position_bias_notes
from irene.tracing.building import build_model
from irene.tracing.convolution_layout import notes_of_layouts
from irene.tracing.expanding import record_few_layers
from irene.tracing.generation import plain_tokens, trace_continuation
from irene.tracing.inputs import build_inputs, check_positions, default_seq_len, parameters_of, torch_dtype
from irene.tracing.modules import trace_module
from irene.tracing.named_attention import attention_notes
from irene.tracing.precision import choose_dtype, notes_of, notes_of_surroundings
from irene.tracing.quantization import describe_program, describe_quantization, describe_unpriced, without_quantization
from irene.tracing.recording import Prepared, record_afresh
from irene.tracing.sharding import sharding_notes
from irene.tracing.sources import NamedConfig, read_source
from irene.tracing.towers import add_images, towers_left_out


def trace(
    model: Any,
    example_inputs: Any = None,
    *,
    task: str = "base",
    batch_size: int = 1,
    seq_len: int | None = None,
    decoder_seq_len: int | None = None,
    dtype: Any = None,
    execution: str = "eager",
    new_tokens: int = 0,
    images: int | None = None,
    context_len: int = 0,
    cache: str = "dynamic",
    cache_len: int | None = None,
    gpus: int = 1,
) -> ModelTree:
    """Trace a model into the tree of calls that one forward pass makes.

    `model` is a name or path, a transformers config, or a `torch.nn.Module` with `example_inputs` (a tensor, a tuple of
    positional or a mapping of keyword arguments; its own dtype and batch size count then). No weights are loaded.
    `dtype` is a name or torch's own: bfloat16 unless told; a module has to be of it already. `seq_len` is 128 unless
    told, or as many tokens as the model has positions for.
    The path of a tree saved by `irene tree --format json` gives that tree, with the workload that it was traced for.

    Raises BadInput (and its kinds) for input that cannot be traced, with the reason.

    >>> tree = trace(torch.nn.Linear(4, 2), torch.zeros(3, 4))
    >>> [leaf.type for leaf in tree.root.leaves]
    ['aten.linear.default']
    """
    model = read_source(model)
    if isinstance(model, ModelTree):
        if example_inputs is not None:
            raise BadInput("A saved tree takes no example_inputs: they go with a torch.nn.Module.")
        return model
    workload = Workload(
        batch_size=batch_size, seq_len=seq_len, decoder_seq_len=decoder_seq_len, dtype=choose_dtype(model, dtype),
        task=task, execution=execution, new_tokens=new_tokens, images=images,
        context_len=context_len, cache=cache, cache_len=cache_len, gpus=gpus,
    )  # fmt: skip
    return trace_model(model, workload, example_inputs)


def trace_model(model: Any, workload: Workload, example_inputs: Any = None) -> ModelTree:
    """As `trace`, for a model that is read and a workload that is built: of a module, in its own dtype."""
    if workload.gpus > 1 and isinstance(model, torch.nn.Module):
        raise BadInput("gpus (several) is of a name or a config: how a module of one's own is split is not known here.")
    if workload.new_tokens:
        raise BadInput("A generation (new_tokens > 0) is several passes and no one tree; 'irene predict' takes it.")
    if isinstance(model, torch.nn.Module):
        if workload.context_len:
            raise BadInput("context_len is of a name or a config; a module has its cache among example_inputs.")
        if example_inputs is None and hasattr(getattr(model, "config", None), "model_type"):
            return trace_pretrained(model, workload)
        found, workload, notes = trace_module(model, example_inputs, workload)
        root = found.root
        notes = (*notes_of(model), *notes, *notes_of_layouts(root.leaves), *notes_of_surroundings())
        return ModelTree(root, type(model).__name__, workload, trace_versions(), notes, memory=found.memory)
    if example_inputs is not None:
        raise BadInput("example_inputs go with a torch.nn.Module; a config or a name takes batch_size and seq_len.")
    named = find_config(model)
    return trace_config(named.config, workload, named.name)


def find_config(model: Any) -> NamedConfig:
    """The config of a model that is read, with a name for it. Raises BadInput for what has none."""
    if isinstance(model, NamedConfig):
        return model
    if not hasattr(model, "model_type"):
        kinds = "a name, a path, a transformers config or a torch.nn.Module"
        raise BadInput(f"Expected a model as {kinds}, got {type(model).__name__}.")
    return NamedConfig(lambda: model, getattr(model, "name_or_path", "") or type(model).__name__)


def dense_twin(model: Any, dtype: str) -> tuple[Any, str]:
    """A model that is read, without the quantisation of its weights, and a note of it; a module as it is."""
    if isinstance(model, torch.nn.Module):
        return model, ""
    named = find_config(model)
    quantization = describe_quantization(named.config)
    if not quantization:
        return named, ""
    dense = without_quantization(named.config)
    return NamedConfig(lambda: dense, named.name), twin_note(dtype, quantization)


def trace_pretrained(model: Any, workload: Workload) -> ModelTree:
    """Trace a transformers model that exists, with the inputs that its config says."""
    workload = with_length(model.config, workload)
    check_positions(model.config, workload)
    meta, takes = torch.device("meta"), parameters_of(model)
    inputs = build_inputs(model.config, model.main_input_name, workload, meta, takes=takes)
    tree = trace_model(model, workload, inputs)
    return replace(tree, workload=describe_inputs(workload, inputs))


def trace_config(config: Any, workload: Workload, name: str, skips_layers: bool = True) -> ModelTree:
    """Trace a transformers config for a workload.

    Where it `skips_layers`, of equal layers three and the last are run (`irene.tracing.expanding`).
    """
    workload = with_length(config, workload)
    if workload.context_len:
        return trace_with_context(config, workload, name)
    check_positions(config, workload)
    given: dict[str, torch.Tensor] = {}
    made: list[torch.nn.Module] = []

    def prepare() -> Prepared:
        module = build_model(config, workload.task, torch_dtype(workload.dtype), "meta", workload.gpus)
        meta, takes = torch.device("meta"), parameters_of(module)
        inputs = build_inputs(module.config, module.main_input_name, workload, meta, takes=takes)
        given.update(add_images(module, inputs, workload))
        made[:] = [module]
        return Prepared(module, (), given)

    found = (record_few_layers(prepare) if skips_layers else None) or record_afresh(prepare)
    root = found.root
    notes = (*found.notes, *attention_notes(config), *position_bias_notes(config, root.leaves))
    notes = (*notes, *notes_of_layouts(root.leaves), *notes_of_surroundings())
    notes = (*sharding_notes(made[0]), *notes)
    left_out = towers_left_out(made[0], {node.path for node in root.walk()})
    if left_out and workload.images == 0:
        notes, left_out = (*notes, text_alone(left_out)), ""
    workload = describe_inputs(workload, given)
    return with_quantization(
        ModelTree(root, name, workload, trace_versions(), notes, left_out=left_out, memory=found.memory), config
    )


def trace_with_context(config: Any, workload: Workload, name: str) -> ModelTree:
    """Trace one pass that finds `workload.context_len` tokens in the key-value cache.

    It is a decode step, or a later part of a prompt; the text alone, and a bare pass: `generate` does more between its
    steps.
    """
    longest = workload.context_len + (workload.seq_len or 1)
    check_positions(config, plain_tokens(workload, longest))
    found = trace_continuation(config, workload)
    notes = (*found.notes, *attention_notes(config), *notes_of_surroundings())
    return with_quantization(
        ModelTree(found.root, name, workload, trace_versions(), notes, memory=found.memory), config
    )


def with_quantization(tree: ModelTree, config: Any) -> ModelTree:
    """The tree, with what it says of quantised weights: the program that it shows, or that it shows a dense twin."""
    program, unpriced = describe_program(config), describe_unpriced(config)
    notes = (*tree.notes, program) if program else tree.notes
    shown = describe_quantization(config) if program else ""
    return replace(tree, notes=notes, quantization=unpriced, stored_as=shown)


def with_length(config: Any, workload: Workload) -> Workload:
    """The workload with the default length where none was given."""
    return workload if workload.seq_len is not None else replace(workload, seq_len=default_seq_len(config))


def describe_inputs(workload: Workload, inputs: Mapping[str, torch.Tensor]) -> Workload:
    """The workload as the inputs really are: no seq_len for pixels, a decoder length where there is a decoder."""
    decoder = inputs.get("decoder_input_ids")
    seq_len = workload.seq_len if "input_ids" in inputs else None
    if set(inputs) == {"input_ids", "pixel_values"} and not workload.images and decoder is None:
        images = int(inputs["pixel_values"].shape[0]) // workload.batch_size
        workload = replace(workload, images=images)
    return replace(workload, seq_len=seq_len, decoder_seq_len=None if decoder is None else int(decoder.shape[1]))


def trace_versions() -> tuple[tuple[str, str], ...]:
    """The library versions that shape a tree: a tree says which traced it."""
    import transformers

    return (("torch", torch.__version__.split("+")[0]), ("transformers", transformers.__version__))
