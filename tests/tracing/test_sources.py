"""What MODEL may be, and one clear error for everything else."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from irene.errors import BadConfig, BadInput, UnknownName
from irene.tracing import trace
from irene.tracing.building import build_model
from irene.tracing.sources import load_config
from tests.tracing.tiny_models import tiny_config


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("qwen2").to_dict()))
    return tmp_path


def test_a_directory_and_a_file(directory: Path) -> None:
    for spelling in (directory, directory / "config.json"):
        assert load_config(str(spelling)).to_dict() == tiny_config("qwen2").to_dict()
        assert trace(spelling, seq_len=4).root.type == "Qwen2Model"


def test_a_bundled_name() -> None:
    assert load_config("gpt2").model_type == "gpt2"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("bert-bas-uncased", "bert-base-uncased"),
        ("GPT-2", "gpt2"),
        ("meta-llama/Llama-3.1-8", "meta-llama/Llama-3.1-8B"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(monkeypatch: pytest.MonkeyPatch, name: str, nearest: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnknownName) as caught:
        load_config(name)
    assert f"Unknown model {name!r}. Did you mean {nearest!r}? 'irene models' lists" in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 5000, "a b", "~nobody/x", "\0", "org/name/more"])
def test_names_that_no_file_system_takes(name: str) -> None:
    with pytest.raises(UnknownName, match="Unknown model"):
        load_config(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("\xff", "is no UTF-8 text"),
        ("[]", "no 'model_type' in it"),
        ("{}", "no 'model_type' in it"),
        ('{"model_type": "brt"}', "Did you mean 'bert'"),
        ('{"model_type": []}', "Unknown model_type"),
        ('{"model_type": "bert", "hidden_size": "wide"}', "cannot build this"),
        ('{"model_type": "bert", "hidden_size": 30}', "multiple of the number of attention"),
        ('{"model_type": "bert", "num_attention_heads": 0}', "ZeroDivisionError"),
        ('{"model_type": "bert", "vocab_size": -3}', "vocab_size = -3"),
        ('{"model_type": "gpt2", "activation_function": "gelo"}', "gelo"),
    ],
)
def test_a_broken_config(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadConfig, match=words) as caught:
        trace(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_config(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "other.json"):
        with pytest.raises(BadConfig, match="No such file"):
            load_config(str(path))


def test_any_damage_is_bad_input_or_a_model(tmp_path: Path) -> None:
    text = json.dumps(tiny_config("llama").to_dict())
    path = tmp_path / "config.json"
    for seed in range(60):
        path.write_text(json.dumps(_damage(json.loads(text), random.Random(seed))))
        with contextlib.suppress(BadInput):
            trace(path, seq_len=4)


def _damage(data: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    data[rng.choice(sorted(data))] = rng.choice([None, -1, 0, 1.5, "", "x", [], {}, [None], True, 7])
    return data


def test_a_task_that_the_architecture_does_not_have() -> None:
    with pytest.raises(BadInput, match="bert model has no task 'image-classification'"):
        build_model(tiny_config("bert"), "image-classification", torch.float32, "meta")


@pytest.mark.parametrize(
    ("architecture", "task", "name"),
    [
        ("bert", "masked-lm", "BertForMaskedLM"),
        ("llama", "causal-lm", "LlamaForCausalLM"),
        ("t5", "seq2seq-lm", "T5ForConditionalGeneration"),
        ("vit", "image-classification", "ViTForImageClassification"),
    ],
)
def test_tasks_have_their_heads(architecture: str, task: str, name: str) -> None:
    tree = trace(tiny_config(architecture), task=task, seq_len=8)
    assert (tree.root.type, tree.workload.task) == (name, task)


def test_a_built_model_is_in_eval_mode_and_its_own() -> None:
    config = tiny_config("gpt2")
    model = build_model(config, "base", torch.bfloat16, "cpu")
    assert not any(part.training for part in model.modules())
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.config is not config


@pytest.mark.parametrize(
    ("model", "task", "root", "lengths"),
    [
        ("openai/whisper-tiny", "seq2seq-lm", "WhisperForConditionalGeneration", (None, 128)),
        ("openai/whisper-tiny", "audio-classification", "WhisperForAudioClassification", (None, None)),
        ("openai/whisper-tiny", "causal-lm", "WhisperForCausalLM", (128, None)),
        ("facebook/wav2vec2-base", "ctc", "Wav2Vec2ForCTC", (None, None)),
        ("openai/clip-vit-base-patch32", "base", "CLIPModel", (77, None)),
    ],
)
def test_tasks_and_lengths_of_speech_and_pictures(
    model: str, task: str, root: str, lengths: tuple[int | None, int | None]
) -> None:
    tree = trace(model, task=task)
    assert (tree.root.type, tree.workload.seq_len, tree.workload.decoder_seq_len) == (root, *lengths)
    with pytest.raises(BadInput, match="it has: base, .*" + task.replace("base", "image")):
        trace(model, task="masked-lm")
