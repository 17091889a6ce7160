"""Example inputs of a transformers model, from its config and a workload: shapes and chosen token ids, no data."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection
from typing import Any

import torch

from irene.errors import BadInput
from irene.model_tree.workload import Workload
from irene.tracing.known_values import set_uniform

_IMAGE_SIZE = 224  # what vision models are trained on unless they say otherwise
_SEQ_LEN = 128
TOKEN_ID = 5  # neither padding, nor end of sequence, nor mask in any known vocabulary


def build_inputs(
    config: Any,
    main_input_name: str,
    workload: Workload,
    device: torch.device,
    seed: int = 0,
    takes: Collection[str] = (),
) -> dict[str, torch.Tensor]:
    """Keyword arguments of `forward`: token ids (batch, seq), pixels or audio, as the config says.

    `takes` names the parameters of `forward`: a model of two towers wants text and pixels. On a real device token ids
    are drawn at random, never constant; on meta they carry a known value. Raises BadInput for a config that does not
    say how large its audio is.
    """
    make = _Maker(config, workload, device, seed)
    try:
        if main_input_name in ("pixel_values", "pixel_values_videos"):
            inputs = {main_input_name: make.pixels()}
        elif main_input_name == "input_features":
            inputs = {main_input_name: make.features()}
        elif main_input_name == "input_values":
            inputs = {main_input_name: make.waveform()}
        elif main_input_name == "inputs" and "input_ids" not in takes and takes:
            inputs = {main_input_name: make.noise((workload.batch_size, make.seq_len, config.d_model))}
        else:
            inputs = {"input_ids": make.token_ids(make.seq_len)}
        if getattr(config, "is_encoder_decoder", False) and ("decoder_input_ids" in takes or not takes):
            inputs["decoder_input_ids"] = make.token_ids(workload.decoder_seq_len or make.seq_len, 1)
        is_contrastive = {"return_loss", "pixel_values"} <= set(takes) or getattr(config, "model_type", "") == "clip"
        if is_contrastive and "pixel_values" not in inputs:
            inputs["pixel_values"] = make.pixels(2)
        return inputs
    except AttributeError as error:
        raise BadInput(f"Cannot tell the inputs of this {config.model_type} model from its config: {error}.") from None


def build_pixels(config: Any, workload: Workload) -> torch.Tensor:
    """Pixels on meta, one image a sample, as large as the config says."""
    return _Maker(config, workload, torch.device("meta"), 0).pixels()


class _Maker:
    """Tensors of the sizes that one config and workload ask for."""

    def __init__(self, config: Any, workload: Workload, device: torch.device, seed: int) -> None:
        self.config, self.workload, self.device, self.seed = config, workload, device, seed

    @property
    def seq_len(self) -> int:
        return default_seq_len(self.config) if self.workload.seq_len is None else self.workload.seq_len

    def token_ids(self, length: int, seed: int = 0) -> torch.Tensor:
        return _token_ids((self.workload.batch_size, length), self.config, self.device, self.seed + seed)

    def noise(self, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
        return _noise(shape, torch_dtype(self.workload.dtype), self.device, self.seed + seed)

    def pixels(self, seed: int = 0) -> torch.Tensor:
        """(batch, channels, height, width), of videos (batch, frames, channels, height, width)."""
        vision = getattr(self.config, "vision_config", None) or self.config
        size = getattr(vision, "image_size", None)
        if size is None:
            size = _IMAGE_SIZE
            warnings.warn(f"The config does not say how large images are: {size} x {size} pixels.", stacklevel=5)
        frames = getattr(vision, "num_frames", None)
        lead = (self.workload.batch_size,) if frames is None else (self.workload.batch_size, frames)
        return self.noise((*lead, getattr(vision, "num_channels", 3), *_pair(size)), seed)

    def features(self) -> torch.Tensor:
        """Mel features: Whisper's (batch, bins, frames), other models' (batch, frames, bins) of ten seconds."""
        config = self.config
        if _is_whisper_like(config):
            return self.noise((self.workload.batch_size, config.num_mel_bins, 2 * config.max_source_positions))
        parts = (config, getattr(config, "encoder_config", None), getattr(config, "audio_config", None))
        names = ("num_mel_bins", "input_feat_per_channel", "feature_projection_input_dim")
        sizes = [size for part in parts for name in names if (size := getattr(part, name, None)) is not None]
        if not sizes:
            raise AttributeError(f"none of {', '.join(names)}")
        return self.noise((self.workload.batch_size, 1000, sizes[0]))

    def waveform(self) -> torch.Tensor:
        """One second at 16 kHz (batch, samples); of spectrogram models (batch, frames, mel bins)."""
        if hasattr(self.config, "frequency_stride"):
            return self.noise((self.workload.batch_size, self.config.max_length, self.config.num_mel_bins))
        return self.noise((self.workload.batch_size, 16_000))


def _is_whisper_like(config: Any) -> bool:
    """Whether features are laid out as Whisper's: two frames a position of the encoder."""
    return hasattr(config, "max_source_positions") and hasattr(config, "num_mel_bins")


def parameters_of(module: torch.nn.Module) -> tuple[str, ...]:
    """Names of the parameters of a module's `forward`."""
    return tuple(inspect.signature(module.forward).parameters)


def torch_dtype(name: str) -> torch.dtype:
    """float32 and tf32 are the same storage; the difference is a setting of the matrix products."""
    dtype: torch.dtype = getattr(torch, "float32" if name == "tf32" else name)
    return dtype


def check_positions(config: Any, workload: Workload) -> None:
    """A sequence beyond learned absolute positions is an error; beyond another position limit, a warning."""
    limit = _position_limit(config)
    if limit is None or workload.seq_len is None:
        return
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


def default_seq_len(config: Any) -> int:
    """128 tokens, or as many as the model has positions for: what is meant where no length is given."""
    return min(_SEQ_LEN, _position_limit(config) or _SEQ_LEN)


def _position_limit(config: Any) -> int | None:
    text = getattr(config, "text_config", None) or config
    names = ("max_position_embeddings", "n_positions", "max_target_positions")
    limit = next((value for name in names if (value := getattr(text, name, None))), None)
    if not isinstance(limit, int) or limit < 1:
        return None
    return limit - config.pad_token_id - 1 if config.model_type in _OFFSET_POSITIONS else limit


# Position ids of RoBERTa and its kin start after the padding id.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert"}
_LEARNED_POSITIONS = {
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "albert", "gpt2", "openai-gpt", "opt",
    "bart", "mobilebert", "mbart", "biogpt", "gpt_bigcode", "gpt_neo", "blenderbot", "clip", "whisper",
}  # fmt: skip


def _token_ids(shape: tuple[int, int], config: Any, device: torch.device, seed: int) -> torch.Tensor:
    if device.type == "meta":
        ids = torch.empty(shape, dtype=torch.int64, device=device)
        vocabulary = getattr(config, "vocab_size", None)
        known = min(TOKEN_ID, vocabulary - 1) if isinstance(vocabulary, int) and vocabulary > 0 else TOKEN_ID
        set_uniform(ids, known)
        return ids
    vocabulary = getattr(config, "vocab_size", None) or config.get_text_config().vocab_size
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocabulary, shape, generator=generator)
    for name in ("pad_token_id", "eos_token_id", "bos_token_id"):
        special = getattr(config, name, None)
        for token in special if isinstance(special, list | tuple) else [special]:  # some end in one of several
            if isinstance(token, int):
                ids[ids == token] = TOKEN_ID
    return ids.to(device)


def _noise(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, seed: int) -> torch.Tensor:
    if device.type == "meta":
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, list | tuple):
        return int(size[0]), int(size[1])
    return int(size), int(size)
