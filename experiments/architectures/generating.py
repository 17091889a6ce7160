"""A generation of one architecture from its default config: predict it, or ask transformers itself to generate."""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
from attempt import (
    BATCH_SIZE,
    LARGEST_REAL_RUN,
    LARGEST_SHORTENED_RUN,
    SEQ_LEN,
    count_parameters,
    default_config,
    shorten,
)

import irene
from irene.errors import BadInput, IreneError
from irene.model_tree.workload import Workload
from irene.tracing.building import build_model
from irene.tracing.generation import complete_generation_config
from irene.tracing.inputs import build_inputs

NEW_TOKENS = 4
TASKS = ("causal-lm", "seq2seq-lm")


def add_generation(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the walk with the columns of a generation, empty where the model cannot be built."""
    if row["outcome"] in ("no default", "cannot build"):
        return row
    work = Workload(batch_size=BATCH_SIZE, seq_len=SEQ_LEN, dtype=row["dtype"], task=row["task"])
    found = generate(default_config(row["model_type"]), work)
    if found["generation"] == "refused" and row["outcome"] == "cannot run":  # nor can it make one pass
        found |= {"generation": "cannot run", "generation_proof": row["proof"]}
    return row | found


def generate(config: Any, work: Workload) -> dict[str, Any]:
    """The columns of a generation: 'predicted', 'no decoder' (by default), 'cannot run' or 'refused', and why."""
    if work.task == "causal-lm" and getattr(config, "is_decoder", True) is False:
        return {"generation": "no decoder"}
    asked = {"batch_size": work.batch_size, "seq_len": work.seq_len, "dtype": work.dtype, "task": work.task}
    start_s = time.perf_counter()
    try:
        found = _predict_text(config, asked)
    except Exception as error:
        refusal = str(error) if isinstance(error, IreneError) else f"INTERNAL {type(error).__name__}: {error}"
        seconds = time.perf_counter() - start_s
        fault = run_generate(config, work)
        outcome = "refused" if fault is None or isinstance(fault, MemoryError) else "cannot run"
        proof = "transformers generates" if fault is None else f"{type(fault).__name__}: {str(fault)[:200]}"
        return {
            "generation": outcome, "generation_reason": refusal.splitlines()[0], "generation_proof": proof,
            "generation_s": seconds,
        }  # fmt: skip
    answers = found.generation
    if answers is None or sum(phase.calls for phase in answers.phases if phase.name != "encode") != NEW_TOKENS:
        return {"generation": "refused", "generation_reason": "INTERNAL fewer steps than tokens"}
    return {
        "generation": "predicted", "generation_s": time.perf_counter() - start_s,
        "joules_per_output_token": answers.energy_per_output_token_j,
    }  # fmt: skip


def _predict_text(config: Any, asked: dict[str, Any]) -> irene.Prediction:
    """A generation; of the text alone where a model has towers that text does not reach."""
    try:
        return irene.predict(copy.deepcopy(config), new_tokens=NEW_TOKENS, **asked)
    except BadInput as error:
        if "images=0" not in str(error):
            raise
    return irene.predict(copy.deepcopy(config), new_tokens=NEW_TOKENS, images=0, **asked)


def run_generate(config: Any, work: Workload) -> Exception | None:
    """What transformers raises when it generates with two layers in float32 on the CPU; None if nothing."""
    config = copy.deepcopy(config)
    try:
        size = count_parameters(build_model(copy.deepcopy(config), work.task, torch.float32, "meta"))
        if size > LARGEST_REAL_RUN:
            shorten(config)
            size = count_parameters(build_model(copy.deepcopy(config), work.task, torch.float32, "meta"))
        if size > LARGEST_SHORTENED_RUN:
            return MemoryError("too large to be run here with two layers")
        model = build_model(config, work.task, torch.float32, "cpu")
        complete_generation_config(model)
        name = model.main_input_name if getattr(config, "is_encoder_decoder", False) else "input_ids"
        inputs = build_inputs(model.config, name, work, torch.device("cpu"))
        inputs.pop("decoder_input_ids", None)
        count = {"min_new_tokens": NEW_TOKENS, "max_new_tokens": NEW_TOKENS}
        with torch.inference_mode():
            model.generate(**inputs, **count, do_sample=False, num_beams=1, pad_token_id=0)
    except Exception as error:
        return error
    return None
