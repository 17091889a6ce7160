"""A transformers config -> the model of a task, on meta (no memory) or on a real device."""

from __future__ import annotations

from typing import Any

from irene.errors import BadConfig, BadInput, UnknownName, in_one_line
from irene.tracing.config_sizes import check_sizes
from irene.tracing.default_dtype import building_on, place
from irene.tracing.forked import alone_in_a_child
from irene.tracing.library import load_transformers
from irene.tracing.named_attention import with_own_attention
from irene.tracing.quantization import apply_quantization, without_quantization
from irene.variants.low_precision.making import require_wide
from irene.variants.registry import apply_module_changes

TASK_CLASSES = {
    "base": ("AutoModel",),
    "causal-lm": ("AutoModelForCausalLM",),
    "masked-lm": ("AutoModelForMaskedLM",),
    "seq2seq-lm": ("AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq"),
    "image-text-to-text": ("AutoModelForImageTextToText",),
    "image-classification": ("AutoModelForImageClassification",),
    "audio-classification": ("AutoModelForAudioClassification",),
    "ctc": ("AutoModelForCTC",),
    "sequence-classification": ("AutoModelForSequenceClassification",),
    "token-classification": ("AutoModelForTokenClassification",),
    "question-answering": ("AutoModelForQuestionAnswering",),
}
"""The library's classes for each task; the first that has the model's architecture builds it."""


def build_model(config: Any, task: str, dtype: Any, device: str, gpus: int = 1) -> Any:
    """The model of a task with the library's own initialisation, in eval mode, on a device ('meta': no memory).

    Quantised weights are those of the program that is priced for them, or dense where none is modelled; on meta its
    attention is torch's own. Of several `gpus` it is the share of the first.
    """
    import torch

    if task not in TASK_CLASSES:
        raise UnknownName("task", task, TASK_CLASSES)
    check_sizes(config)
    auto_class = class_for(config, task)
    if auto_class is None:
        known = ", ".join(name for name in TASK_CLASSES if class_for(config, name) is not None)
        raise BadInput(f"A {config.model_type} model has no task {task!r} in transformers; it has: {known or 'none'}.")
    try:
        with building_on(device), torch.device(device), alone_in_a_child():
            # a copy: the library writes into what it gets
            dense = without_quantization(config)
            plain = with_own_attention(dense) if device == "meta" else dense
            model = auto_class.from_config(plain, dtype=dtype, trust_remote_code=False)
            model = apply_module_changes(apply_quantization(model, config), config).eval()
        placed = place(model, device, dtype)
        if gpus > 1:
            from irene.tracing.sharding import shard_model

            require_wide(placed)
            shard_model(placed, gpus)
        return placed
    except (torch.cuda.OutOfMemoryError, BadInput):  # no fault of the config; said by a variant
        raise
    except Exception as error:  # any check of any of the library's model classes
        raise BadConfig(f"transformers cannot build this {config.model_type} config: {in_one_line(error)}") from None


def class_for(config: Any, task: str) -> Any:
    """The library's class that builds a config for a task; None where it has none."""
    transformers = load_transformers(*TASK_CLASSES[task])
    classes = (getattr(transformers, name, None) for name in TASK_CLASSES[task])
    return next((found for found in classes if found is not None and type(config) in found._model_mapping), None)
