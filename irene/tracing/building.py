"""A transformers config -> the model of a task, on meta (no memory) or on a real device."""

from __future__ import annotations

import copy
from typing import Any

from irene.errors import BadConfig, BadInput, UnknownName

TASK_CLASSES = {
    "base": "AutoModel",
    "causal-lm": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    "image-classification": "AutoModelForImageClassification",
    "sequence-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
}


def build_model(config: Any, task: str, dtype: Any, device: str) -> Any:
    """The model of a task with the library's own initialisation, in eval mode, on a device ('meta': no memory)."""
    import torch
    import transformers

    if task not in TASK_CLASSES:
        raise UnknownName("task", task, TASK_CLASSES)
    auto_class = getattr(transformers, TASK_CLASSES[task])
    try:
        with torch.device(device):
            model = auto_class.from_config(copy.deepcopy(config), dtype=dtype).eval()  # it writes into what it gets
        kind = torch.device(device).type
        astray = any(tensor.device.type != kind for tensor in (*model.parameters(), *model.buffers()))
        return model.to(device) if astray else model  # some classes make a weight without asking where
    except torch.cuda.OutOfMemoryError:  # no fault of the config
        raise
    except Exception as error:  # any check of any of the library's model classes
        if "Unrecognized configuration class" in str(error):
            message = f"A {config.model_type} model has no task {task!r} in transformers; try another --task."
            raise BadInput(message) from None
        raise BadConfig(f"transformers cannot build this {config.model_type} config: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
