"""Models of images and text: their images come from the config; a tower that no input reaches is not priced unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

import irene
from irene.cli.main import run
from irene.model_tree.serialization import tree_to_json
from irene.model_tree.tree import ModelTree

TEXT = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 100}  # fmt: skip
VISION = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
CLIP = VISION | {"model_type": "clip_vision_model", "image_size": 56, "patch_size": 14, "projection_dim": 64}


def llava() -> Any:
    return AutoConfig.for_model("llava", image_token_index=99, text_config=TEXT, vision_config=CLIP)


def qwen_vl() -> Any:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2}
    text = TEXT | {"model_type": "qwen2_vl_text", "num_key_value_heads": 4, "rope_parameters":
                   {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}  # fmt: skip
    return AutoConfig.for_model("qwen2_vl", text_config=text, vision_config=vision)


def qwen_audio() -> Any:
    audio = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
    text = {**TEXT, "model_type": "qwen2", "num_key_value_heads": 4}
    return AutoConfig.for_model("qwen2_audio", audio_config=audio, text_config=text)


def tokens_of(tree: ModelTree) -> int:
    """Positions of the language model: rows of its first query projection."""
    leaves = (leaf for leaf in tree.root.leaves if "language_model" in leaf.path and leaf.name == "linear#0")
    return next(leaf.call.outputs[0].shape[1] for leaf in leaves if leaf.call is not None)


@pytest.mark.parametrize(("images", "batch_size"), [(None, 1), (None, 3), (2, 1), (2, 3)])
def test_images_stand_before_the_text(images: int | None, batch_size: int) -> None:
    tree = irene.trace(llava(), seq_len=8, batch_size=batch_size, images=images)
    assert tokens_of(tree) == 16 * (images or 1) + 8  # an image of 56 x 56 pixels is 16 patches
    assert sum(leaf.name.startswith("conv2d") for leaf in tree.root.leaves) == 1
    assert (tree.workload.images, tree.workload.seq_len, tree.left_out) == (images or 1, 8, "")


def test_the_text_alone_is_priced_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    llava().save_pretrained(tmp_path)
    model = str(tmp_path / "config.json")
    for command in ("predict", "explain", "sweep"):
        assert run([command, model, "--seq-len", "8", "--images", "0"]) == 0
        assert "The text alone, as asked: vision_tower is left out." in capsys.readouterr().out
    assert run(["predict", model, "--seq-len", "8"]) == 0
    assert "1 image a sample" in capsys.readouterr().out
    alone, both = (irene.predict(model, seq_len=8, images=n) for n in (0, 1))
    assert tokens_of(alone.tree) == 8 and alone.energy_j < both.energy_j


@pytest.mark.parametrize(("config", "tower"), [(qwen_vl, "visual"), (qwen_audio, "audio_tower")])
def test_towers_without_inputs_are_refused(config: Any, tower: str, tmp_path: Path) -> None:
    tree = irene.trace(config(), seq_len=8)
    assert tree.left_out == tower
    for again in (tree, config()):
        with pytest.raises(irene.BadInput, match=f"{tower}.*--images 0"):
            irene.predict(again)
    with pytest.raises(irene.BadInput, match=tower):
        irene.sweep(config(), batch_sizes=[1, 2], seq_lens=[8])
    assert tower in irene.predict(config(), seq_len=8, images=0).tree.notes[-1]
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(tree_to_json(tree)))
    assert irene.load_tree(path) == tree


def test_two_towers_that_both_run_are_whole() -> None:
    assert irene.trace("openai/clip-vit-base-patch32").left_out == ""
    with pytest.raises(irene.BadInput, match="images must be a whole number"):
        irene.trace(llava(), images=-1)
