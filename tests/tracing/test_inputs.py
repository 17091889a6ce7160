"""Inputs made from configs: alike on meta and on a device, never constant there, and never too long."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig

from irene.errors import BadInput
from irene.model_tree.workload import Workload
from irene.tracing import trace
from irene.tracing.building import build_model
from irene.tracing.bundled_models import find_bundled
from irene.tracing.inputs import build_inputs, check_positions, parameters_of
from tests.tracing.tiny_models import ARCHITECTURES, tiny_config

CPU, META = torch.device("cpu"), torch.device("meta")


def main_input(architecture: str) -> str:
    return "pixel_values" if architecture == "vit" else "input_ids"


@pytest.mark.parametrize("architecture", ["bert", "t5", "bart", "vit"])
def test_alike_on_meta_and_on_a_device(architecture: str) -> None:
    config, workload = tiny_config(architecture), Workload(batch_size=3, seq_len=8, decoder_seq_len=5)
    real, meta = (build_inputs(config, main_input(architecture), workload, device) for device in (CPU, META))
    assert real.keys() == meta.keys()
    for name, tensor in real.items():
        assert (tensor.shape, tensor.dtype) == (meta[name].shape, meta[name].dtype)
        assert len(tensor.unique()) > 4, "constant data would draw less power"
    assert ("decoder_input_ids" in real) == (architecture in ("t5", "bart"))
    if "decoder_input_ids" in real:
        assert real["decoder_input_ids"].shape == (3, 5)


@given(st.integers(0, 1000), st.lists(st.integers(0, 15), max_size=3, unique=True))
@settings(max_examples=40, deadline=None)
def test_token_ids_are_drawn_again_from_a_seed_and_never_end_the_text(seed: int, ends: list[int]) -> None:
    ends = [end for end in ends if end != 5]
    config = tiny_config("llama", vocab_size=16, pad_token_id=3, eos_token_id=ends or None)
    first, second = (
        build_inputs(config, "input_ids", Workload(batch_size=4, seq_len=64), CPU, seed)["input_ids"] for _ in range(2)
    )
    assert torch.equal(first, second)
    assert first.min() >= 0 and first.max() < 16
    assert not set(first.flatten().tolist()) & {1, 3, *ends}


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "whisper", "clip"])
def test_limits_are_those_where_the_model_really_stops(architecture: str) -> None:
    """Independent: a model with learned positions fails when it is really run with one token more."""
    if architecture == "vit":
        return
    config = _config_with_limits(architecture)
    limit = 125 if architecture == "roberta" else 126
    model = build_model(config, "base", torch.float32, "cpu")
    for length in (limit, limit + 1, limit + 2, limit + 3):
        workload = Workload(batch_size=1, seq_len=length, dtype="float32")
        inputs = build_inputs(config, model.main_input_name, workload, CPU)
        try:
            with torch.inference_mode():
                model(**inputs)
            runs = True
        except (IndexError, ValueError, RuntimeError):
            runs = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if runs:
                check_positions(config, workload)
            else:
                with pytest.raises(BadInput, match=f"{length} is beyond the .* learned positions"):
                    check_positions(config, workload)


def _config_with_limits(architecture: str) -> AutoConfig:
    if architecture == "whisper":
        sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
        sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_source_positions": 9}
        return AutoConfig.for_model("whisper", **sizes, max_target_positions=128, num_mel_bins=8)
    if architecture == "clip":
        part = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        text = part | {"vocab_size": 99, "max_position_embeddings": 128, "eos_token_id": 2}
        return AutoConfig.for_model("clip", text_config=text, vision_config=part | {"image_size": 32})
    return tiny_config(architecture)


def test_beyond_other_limits_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="129 is beyond the 128 positions"):
        check_positions(tiny_config("llama"), Workload(batch_size=1, seq_len=129))
    with pytest.raises(BadInput, match="200 is beyond"):
        check_positions(tiny_config("bart"), Workload(batch_size=1, seq_len=16, decoder_seq_len=200))


def test_offset_of_padding_counts() -> None:
    roberta = find_bundled("roberta-base")
    assert roberta is not None
    check_positions(roberta.build_config(), Workload(batch_size=1, seq_len=512))
    with pytest.raises(BadInput, match="at most 512"):
        check_positions(roberta.build_config(), Workload(batch_size=1, seq_len=513))


def test_a_config_that_does_not_say_its_input_size() -> None:
    with pytest.warns(UserWarning, match="224 x 224"):
        inputs = build_inputs(AutoConfig.for_model("segformer"), "pixel_values", Workload(), META)
    assert inputs["pixel_values"].shape == (1, 3, 224, 224)
    with pytest.raises(BadInput, match="bert model from its config: none of num_mel_bins"):
        build_inputs(tiny_config("bert"), "input_features", Workload(), META)


@pytest.mark.parametrize(
    ("model_type", "shapes"),
    [
        ("siglip", {"input_ids": (2, 16), "pixel_values": (2, 3, 224, 224)}),
        ("videomae", {"pixel_values": (2, 16, 3, 224, 224)}),
        ("speech_to_text", {"input_features": (2, 1000, 80), "decoder_input_ids": (2, 16)}),
        ("whisper", {"input_features": (2, 80, 3000), "decoder_input_ids": (2, 16)}),
        ("audio-spectrogram-transformer", {"input_values": (2, 1024, 128)}),
        ("moonshine", {"input_values": (2, 16000), "decoder_input_ids": (2, 16)}),
        ("perceiver", {"inputs": (2, 16, 768)}),
    ],
)
def test_inputs_of_every_kind_fit_the_model(model_type: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """That they fit is for the model to say: it traces."""
    config, workload = AutoConfig.for_model(model_type), Workload(batch_size=2, seq_len=16, dtype="float32")
    model = build_model(config, "base", torch.float32, "meta")
    inputs = build_inputs(config, model.main_input_name, workload, META, takes=parameters_of(model))
    assert {name: tuple(tensor.shape) for name, tensor in inputs.items()} == shapes
    assert trace(config, batch_size=2, seq_len=16, dtype="float32").root.children
