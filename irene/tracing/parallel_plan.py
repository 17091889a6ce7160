"""Which part of a model goes where under tensor parallelism: the library's own plan, or Megatron's rule.

A plan names modules and parameters, layer numbers as `*`, with a style each. Most decoders of transformers bring one
(`tp_plan`), and that is what `tp_plan="auto"` runs. Where there is none, projections into heads and into the wide
middle of a feed-forward block are cut by columns, the ones back by rows, with one all-reduce behind each (Shoeybi et
al., "Megatron-LM", 2019, section 3); embeddings and head stay whole on every rank.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from irene.errors import BadInput

STYLES = (
    "colwise", "colwise_rep", "colwise_gather_output", "rowwise", "rowwise_rep", "rowwise_split_input",
    "embedding_rowwise", "embedding_colwise", "packed_colwise", "packed_rowwise", "moe_tp_experts", "mla_kv_a_proj",
    "all_reduce", "moe_identity_expert", "replicated_with_grad_allreduce", "local_params", "replicate",
)  # fmt: skip
"""The styles of transformers' plans that are followed here, by their names there."""
MEGATRON = "Split by Megatron's rule, as transformers has no plan for it: embeddings and head are whole on each GPU."

# Projections of architectures without a plan of the library's, by the end of their paths. 'fused' holds queries, keys
# and values one after the other, 'gated' two halves, each to be cut.
_COLUMNS = (
    "query", "key", "value", "q", "k", "v", "q_proj", "k_proj", "v_proj", "q_lin", "k_lin", "v_lin", "fc1", "lin1",
    "wi", "wi_0", "wi_1", "intermediate.dense", "c_fc", "dense_h_to_4h", "up_proj", "gate_proj", "query_key_value",
    "ffn",
)  # fmt: skip
_ROWS = (
    "attention.output.dense", "output.dense", "out_proj", "o_proj", "o", "out_lin", "fc2", "lin2", "wo", "c_proj",
    "dense_4h_to_h", "self_attention.dense", "down_proj", "Wo", "attention.dense",
    "ffn_output",
)  # fmt: skip
_FUSED, _GATED = ("c_attn", "Wqkv"), ("Wi",)
_HEAD_COUNTS = (
    "num_attention_heads", "num_key_value_heads", "encoder_attention_heads", "decoder_attention_heads", "num_heads",
    "n_head", "n_heads",
)  # fmt: skip


def find_plan(model: Any, gpus: int) -> tuple[dict[str, str], bool]:
    """The style of each module and parameter of a model by its path, and whether that is the library's own plan.

    Raises BadInput for heads that cannot be divided among `gpus`, for a style that is not followed, and for a model of
    which no projection is known.
    """
    generic = dict(getattr(model, "_tp_plan", None) or {})
    is_own = not generic
    require_heads(model.config, gpus, all_of_them=is_own or _cuts_keys(generic))
    plan = megatron_plan(model) if is_own else _expand(model, generic)
    if not plan:
        raise BadInput(
            f"{type(model).__name__}: transformers has no plan to split it among GPUs, and none of its projections is "
            "one that is known here. Predict it on one GPU."
        )
    unknown = sorted(set(plan.values()) - {*STYLES, "fused", "heads"})
    if unknown:
        raise BadInput(f"{type(model).__name__}: its plan splits by {unknown[0]!r}, which is not followed here.")
    return plan, not is_own


def require_heads(config: Any, gpus: int, all_of_them: bool) -> None:
    """Raise BadInput where a number of attention heads cannot be divided; of key-value heads if `all_of_them`."""
    text = config.get_text_config(decoder=True)
    for part in (config,) if text is config else (config, text):
        for name in _HEAD_COUNTS:
            heads = getattr(part, name, None)
            if not isinstance(heads, int) or isinstance(heads, bool) or ("key_value" in name and not all_of_them):
                continue
            what = name.removeprefix("num_").removeprefix("n_").replace("_", " ")
            what = {"heads": "attention heads", "head": "attention heads"}.get(what, what)
            if gpus > heads:
                raise BadInput(f"gpus: {gpus} GPUs cannot share {heads} {what} of this {part.model_type} model.")
            if heads % gpus:
                fitting = [n for n in range(2, min(heads, 16) + 1) if heads % n == 0]
                advice = f"; give {', '.join(map(str, fitting[:4]))}" if fitting else ""
                raise BadInput(
                    f"gpus: {heads} {what} of this {part.model_type} model cannot be divided among {gpus} GPUs{advice}."
                )


def _cuts_keys(generic: Mapping[str, str]) -> bool:
    """Whether a plan cuts the projection of keys without gathering it again."""
    fused = ("k_proj", "qkv_proj", "query_key_value")
    return any(style == "colwise" and path.rpartition(".")[2] in fused for path, style in generic.items())


def _expand(model: Any, generic: Mapping[str, str]) -> dict[str, str]:
    """A plan with layer numbers: as transformers applies it, parameters before the module that holds them."""
    plan: dict[str, str] = {}
    for path, module in model.named_modules():
        own = generic.get(_without_numbers(path))
        for name in module._parameters:
            full = f"{path}.{name}" if path else name
            style = generic.get(_without_numbers(full)) or own
            if style is not None and module._parameters[name] is not None:
                plan[full] = style
        if own is not None:
            plan[path] = own
    return plan


def _without_numbers(path: str) -> str:
    return re.sub(r"\.\d+(?=\.|$)", ".*", path)


def megatron_plan(model: torch.nn.Module) -> dict[str, str]:
    """Columns in, rows out, of every block whose projections are known by name; else nothing."""
    plan: dict[str, str] = {}
    for path, module in model.named_modules():
        if not hasattr(module, "weight") or getattr(module.weight, "dim", lambda: 0)() != 2:
            continue
        style = _style_of(path, module)
        if style:
            plan |= {f"{path}.{name}": style for name, held in module._parameters.items() if held is not None}
            plan[path] = style
    return plan


def _style_of(path: str, module: torch.nn.Module) -> str:
    if path.endswith("relative_attention_bias"):
        return "heads"
    is_projection = isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
    if "classif" in path or "head" in path:  # what stands behind the blocks is whole
        return ""
    for style, ends in (
        ("fused", _FUSED), ("packed_colwise", _GATED), ("rowwise", _ROWS), ("colwise", _COLUMNS),
    ):  # fmt: skip
        if is_projection and any(path.endswith(f".{end}") for end in ends):
            return style
    return ""
