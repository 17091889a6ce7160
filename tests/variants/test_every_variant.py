"""Every variant works by name from the command line and from Python, composes with another, and refuses in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import irene
from irene import variants
from irene.cli.main import run
from irene.variants.registry import VARIANTS
from tests.tracing.tiny_models import tiny_config

LLAMA, MISTRAL = "meta-llama/Llama-3.2-1B+layers:1", "mistralai/Mistral-7B-v0.1+layers:1"
# An example of each, and another change that it composes with; on bert-tiny where nothing else is said.
EXAMPLES = {
    "layers": "layers:2+shared", "width": "width:64+layers:1", "heads": "heads:4+lora", "ffn": "ffn:256+moe:experts=4",
    "vocab": "vocab:1000+mux:2", "tie": "tie:no+layers:1", "set": "set:hidden_act=relu+ffn:64", "shared": "shared+ia3",
    "gqa": "gqa:2+fp8", "mqa": "mqa+int4:nf4", "window": "window:16+layers:1", "long": "long:1024+layers:1",
    "attention": "attention:eager+mux:2", "mux": "mux:2+lora", "lora": "lora:4+ia3", "ia3": "ia3+layers:1",
    "moe": "moe:experts=4+lora", "prompt": "prompt:4+lora", "prefix": "prefix:4+fp8", "cmow": "vocab:500+cmow",
    "encoder-decoder": "layers:2+encoder-decoder", "fp8": "fp8+lora", "int8": "int8+mux:2", "int4": "int4+layers:1",
    "lut": "lut+lora", "sparse": "sparse+mux:2", "kernels": "kernels:fused+layers:1",
}  # fmt: skip


@pytest.fixture(scope="module")
def awq(tmp_path_factory: pytest.TempPathFactory) -> str:
    wide = {"hidden_size": 128, "intermediate_size": 256, "num_key_value_heads": 2, "head_dim": 32}
    settings = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
    path = tmp_path_factory.mktemp("awq") / "config.json"
    path.write_text(json.dumps(tiny_config("llama", **wide).to_dict() | settings))
    return str(path)


def test_each_has_an_example() -> None:
    variants.load_all()
    assert set(EXAMPLES) == set(VARIANTS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_by_name_and_in_python(name: str, awq: str, tmp_path: Path) -> None:
    base = {"gqa": LLAMA, "mqa": LLAMA, "window": MISTRAL, "kernels": awq}.get(name, "bert-tiny")
    text, saved = f"{base}+{EXAMPLES[name]}", str(tmp_path / "saved.json")
    assert run(["predict", text, "--batch-size", "2", "--seq-len", "32", "--format", "json", "--output", saved]) == 0
    config = irene.load_config(base)
    for part in EXAMPLES[name].split("+"):
        variant, _, values = part.partition(":")
        named = [piece.partition("=")[::2] for piece in values.split(",") if "=" in piece]
        plain = [piece for piece in values.split(",") if piece and "=" not in piece]
        config = getattr(variants, variant.replace("-", "_"))(*plain, **dict(named))(config)
    again = irene.predict(config, batch_size=2, seq_len=32)
    assert again.energy_j == irene.load_prediction(saved).energy_j > 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["bert-base-uncased+heads:5"], "5 heads do not divide the width 768"),
        (["bert-tiny+mux:5", "--batch-size", "6"], "a batch of 6 is no multiple of it (pad it)"),
        (["bert-tiny+cmow+moe"], "has no feed-forward that experts could replace"),
        (["bert-tiny+set:intermediate_size=511+int4"], "a layer of 511"),
        (["bert-tiny+fp8+set:hidden_size=200,num_attention_heads=2"], "multiples of 16"),
        (["gpt2+mux:2", "--batch-size", "2"], "is no bare encoder"),
    ],
)
def test_what_is_impossible_exits_2_with_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", *arguments, "--seq-len", "32"]) == 2
    said = capsys.readouterr().err.strip()
    assert problem in said and "\n" not in said
