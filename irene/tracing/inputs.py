"""Example inputs of a transformers model, from its config and a workload: shapes and chosen token ids, no data."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from irene.errors import BadInput
from irene.model_tree.tree import Workload
from irene.tracing.known_values import set_value

_TOKEN_ID = 5  # neither padding, nor end of sequence, nor mask in any known vocabulary


def build_inputs(
    config: Any, main_input_name: str, workload: Workload, device: torch.device, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Keyword arguments of `forward`: token ids (batch, seq), pixels or audio, as the config says.

    On a real device token ids are drawn at random, never constant; on meta they carry a known value. Raises BadInput
    for a config that does not say how large its images or audio are.
    """
    try:
        return _build_inputs(config, main_input_name, workload, device, seed)
    except AttributeError as error:
        raise BadInput(f"Cannot tell the inputs of this {config.model_type} model from its config: {error}.") from None


def _build_inputs(
    config: Any, main_input_name: str, workload: Workload, device: torch.device, seed: int
) -> dict[str, torch.Tensor]:
    batch = workload.batch_size
    dtype = torch_dtype(workload.dtype)
    if main_input_name == "pixel_values":
        vision = getattr(config, "vision_config", None) or config
        height, width = _pair(vision.image_size)
        return {"pixel_values": _noise((batch, getattr(vision, "num_channels", 3), height, width), dtype, device, seed)}
    if main_input_name == "input_features":
        frames = 2 * config.max_source_positions
        inputs = {"input_features": _noise((batch, config.num_mel_bins, frames), dtype, device, seed)}
        shape = (batch, workload.decoder_seq_len or workload.seq_len or 1)
        return inputs | {"decoder_input_ids": _token_ids(shape, config, device, seed + 1)}
    if main_input_name == "input_values":
        return {"input_values": _noise((batch, 16_000), dtype, device, seed)}
    seq_len = workload.seq_len
    if seq_len is None:
        raise BadInput("This model reads tokens: give a sequence length (seq_len), at least 1.")
    inputs = {"input_ids": _token_ids((batch, seq_len), config, device, seed)}
    if getattr(config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = _token_ids((batch, workload.decoder_seq_len or seq_len), config, device, seed + 1)
    if getattr(config, "model_type", "") == "clip":
        height, width = _pair(config.vision_config.image_size)
        inputs["pixel_values"] = _noise((batch, 3, height, width), dtype, device, seed + 2)
    return inputs


def torch_dtype(name: str) -> torch.dtype:
    """float32 and tf32 are the same storage; the difference is a setting of the matrix products."""
    dtype: torch.dtype = getattr(torch, "float32" if name == "tf32" else name)
    return dtype


def check_positions(config: Any, workload: Workload) -> None:
    """A sequence beyond learned absolute positions is an error; beyond another position limit, a warning."""
    text = getattr(config, "text_config", None) or config
    names = ("max_position_embeddings", "n_positions", "max_target_positions")
    limit = next((value for name in names if (value := getattr(text, name, None))), None)
    if limit is None or workload.seq_len is None:
        return
    if config.model_type in _OFFSET_POSITIONS:
        limit = limit - config.pad_token_id - 1
    longest = max(workload.seq_len, workload.decoder_seq_len or 0)
    if longest <= limit:
        return
    if config.model_type in _LEARNED_POSITIONS:
        raise BadInput(
            f"Sequence length {longest} is beyond the {limit} learned positions of this {config.model_type} model; "
            f"give at most {limit}."
        )
    message = f"Sequence length {longest} is beyond the {limit} positions that the model was made for."
    warnings.warn(message, stacklevel=3)


# Position ids of RoBERTa and its kin start after the padding id.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert"}
_LEARNED_POSITIONS = {
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "albert", "gpt2", "openai-gpt", "opt",
    "bart", "mobilebert", "mbart", "biogpt", "gpt_bigcode", "gpt_neo", "blenderbot", "clip", "whisper",
}  # fmt: skip


def _token_ids(shape: tuple[int, int], config: Any, device: torch.device, seed: int) -> torch.Tensor:
    if device.type == "meta":
        ids = torch.empty(shape, dtype=torch.int64, device=device)
        set_value(ids, torch.full(shape, _TOKEN_ID))
        return ids
    vocabulary = getattr(config, "vocab_size", None) or config.get_text_config().vocab_size
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocabulary, shape, generator=generator)
    for name in ("pad_token_id", "eos_token_id", "bos_token_id"):
        special = getattr(config, name, None)
        for token in special if isinstance(special, list | tuple) else [special]:  # some end in one of several
            if isinstance(token, int):
                ids[ids == token] = _TOKEN_ID
    return ids.to(device)


def _noise(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, seed: int) -> torch.Tensor:
    if device.type == "meta":
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, list | tuple):
        return int(size[0]), int(size[1])
    return int(size), int(size)
