"""Checkpoints with quantised weights: traced and priced as the program that is named, dense where that is asked for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import irene
from irene.cli.main import run
from irene.predictor.prediction_files import prediction_to_json
from irene.tracing.quantization import describe_quantization
from tests.tracing.tiny_models import tiny_config

_GROUP = {"num_bits": 8, "type": "float", "strategy": "channel", "dynamic": False}
_TOKENS = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}


def compressed(weights: dict[str, Any], activations: dict[str, Any] | None) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": _GROUP | weights, "input_activations": activations}
    return {
        "quant_method": "compressed-tensors",
        "format": "x",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


# How it is described, the operator of its products, and its settings.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "fp8 (fmt e4m3, weight_block_size 128 x 128, activation_scheme dynamic)": ("_scaled_mm", {
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128],
    }),
    "fp8 (activation_scheme static)": ("_scaled_mm", {"quant_method": "fp8", "activation_scheme": "static"}),
    "fbgemm_fp8": ("_scaled_mm", {"quant_method": "fbgemm_fp8"}),
    "gptq (bits 4, group_size 128)": ("matmul", {
        "quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True,
    }),
    "gptq (bits 4, group_size -1)": ("matmul", {"quant_method": "gptq", "bits": 4, "group_size": -1}),
    "awq (bits 4, group_size 64)": ("matmul", {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm"}),
    "bitsandbytes (4 bits, bnb_4bit_quant_type nf4)": ("linear", {
        "quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
    }),
    "bitsandbytes (8 bits)": ("_int_mm", {"load_in_8bit": True, "llm_int8_threshold": 6.0}),
    "compressed-tensors (format x)": ("_scaled_mm", compressed({}, _TOKENS)),
}  # fmt: skip
AQLM = {"quant_method": "aqlm", "nbits_per_codebook": 16}


def write_config(folder: Path, **more: Any) -> Path:
    wide = {"hidden_size": 128, "intermediate_size": 256, "num_key_value_heads": 2, "head_dim": 32}
    path = folder / "config.json"
    path.write_text(json.dumps(tiny_config("llama", **wide).to_dict() | more))
    return path


def names(tree: irene.ModelTree) -> Counter[str]:
    return Counter(leaf.call.name for leaf in tree.root.leaves if leaf.call is not None)


@pytest.mark.parametrize("words", KINDS)
def test_every_kind_is_priced_as_its_program(words: str, tmp_path: Path) -> None:
    operator, settings = KINDS[words]
    dense = irene.trace(write_config(tmp_path), seq_len=8)
    path = write_config(tmp_path, quantization_config=settings)
    prediction = irene.predict(path, seq_len=8)
    tree = prediction.tree
    assert (tree.quantization, tree.stored_as) == ("", words)
    assert names(tree)[operator] - names(dense)[operator] >= (14 if operator != "linear" else 0)
    assert names(tree)["linear"] == (14 if operator == "linear" else 0)
    (note,) = [note for note in tree.notes if note.startswith("Quantised weights")]
    assert words in note and prediction_to_json(prediction)["notes"]
    assert tree.memory and dense.memory and tree.memory.weights < dense.memory.weights
    twin = irene.predict(path, seq_len=8, dequantized=True)
    assert twin.tree.root == dense.root and twin.energy_j == irene.predict(dense).energy_j
    assert len(twin.tree.notes) == 1 and words in twin.tree.notes[0]


@pytest.mark.parametrize(
    ("weights", "activations", "operator"),
    [
        ({"type": "int"}, {"num_bits": 8, "type": "int", "strategy": "token"}, "_int_mm"),
        ({"type": "int"}, None, "linear"),
        ({"type": "int", "num_bits": 4, "group_size": 64}, None, "linear"),
        ({"strategy": "tensor"}, _TOKENS | {"strategy": "tensor", "dynamic": False}, "_scaled_mm"),
        ({"num_bits": 4}, _TOKENS, ""),
    ],
)
def test_schemes_of_compressed_tensors(
    weights: dict[str, Any], activations: Any, operator: str, tmp_path: Path
) -> None:
    tree = irene.trace(write_config(tmp_path, quantization_config=compressed(weights, activations)), seq_len=8)
    assert names(tree)[operator or "linear"] == 14
    assert bool(tree.stored_as) == bool(operator) and bool(tree.quantization) != bool(operator)


def test_modules_that_are_not_converted_stay_dense(tmp_path: Path) -> None:
    settings = {"quant_method": "fp8", "modules_to_not_convert": ["model.layers.*.self_attn", "up_proj"]}
    found = names(irene.trace(write_config(tmp_path, quantization_config=settings), seq_len=8))
    assert (found["_scaled_mm"], found["linear"]) == (4, 10)


def test_what_is_not_modelled_is_refused_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, quantization_config=AQLM)
    tree = irene.trace(path, seq_len=8)
    assert (tree.quantization, tree.stored_as) == ("aqlm", "")
    for again in (path, tree):
        with pytest.raises(irene.BadInput, match="aqlm.*--dequantized"):
            irene.predict(again, **({"seq_len": 8} if again is path else {}))
    for command in ("predict", "explain", "sweep"):
        arguments = [command, str(path), "--seq-len", "8"]
        assert run(arguments) == 2
        assert "aqlm" in capsys.readouterr().err
    assert run([*arguments, "--dequantized"]) == 0
    assert "Dequantized" in capsys.readouterr().out


def test_settings_of_a_part_count_and_those_that_are_off_do_not() -> None:
    part = {"text_config": {"quantization_config": {"quant_method": "mxfp4"}}}
    assert describe_quantization(part) == "mxfp4"
    assert describe_quantization({"compression_config": {"format": "int-quantized"}}).endswith("int-quantized)")
    off = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": False}
    for settings in (off, {}, None):
        assert describe_quantization({"quantization_config": settings}) == ""


def test_saved_trees_and_predictions_remember(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(write_config(tmp_path, quantization_config=KINDS["fbgemm_fp8"][1]))
    tree, saved = str(tmp_path / "tree.json"), str(tmp_path / "prediction.json")
    assert run(["tree", config, "--seq-len", "8", "--format", "json", "--output", tree]) == 0
    assert irene.load_tree(tree).stored_as == "fbgemm_fp8"
    assert run(["predict", tree, "--format", "json", "--output", saved]) == 0
    assert run(["predict", tree, "--dequantized"]) == 2
    assert "saved tree shows the program" in capsys.readouterr().err
    for command in (["predict", tree], ["predict", saved], ["compare", saved, tree]):
        assert run(command) == 0
        assert "Quantised weights" in capsys.readouterr().out


def test_a_sweep_says_what_predict_says(tmp_path: Path) -> None:
    path = write_config(tmp_path, quantization_config=KINDS["fbgemm_fp8"][1])
    grid = irene.sweep(path, batch_sizes=[1, 4], seq_lens=[8, 16])
    again = irene.predict(path, batch_size=4, seq_len=16).energy_j
    assert float(grid.values.energy_j[-1]) == pytest.approx(again, rel=1e-6)
    assert any("Quantised weights" in note for note in grid.notes)


def test_experts_of_mxfp4_are_unpacked_in_every_call() -> None:
    """gpt-oss-20b as released: 12.8 GB of experts in four bits and scales, the rest in bfloat16."""
    base = "gpt-oss-20b+layers:2"
    tree, dense = irene.predict(base, seq_len=16).tree, irene.predict(base, seq_len=16, dequantized=True).tree
    assert tree.memory and dense.memory and tree.stored_as == "mxfp4" and not dense.stored_as
    experts = 2 * 32 * 2880 * (5760 + 2880)  # of two layers
    saved = dense.memory.weights - tree.memory.weights
    assert saved == pytest.approx(experts * (2 - 4.25 / 8), rel=1e-4)
    assert names(tree)["ldexp"] == 4 and names(dense)["ldexp"] == 0
    assert names(tree)["_grouped_mm"] == names(dense)["_grouped_mm"] == 4


def test_deepseek_v3_by_blocks_and_its_experts_by_rows() -> None:
    base = "deepseek-v3+layers:4"  # three dense ones, one of experts
    tree = irene.predict(base, seq_len=16).tree
    found = names(tree)
    assert found["_scaled_grouped_mm"] == 2 and found["_grouped_mm"] == 0
    assert found["_scaled_mm"] == 4 * 5 + 3 * 3 + 3, "attention, dense feed-forwards, the shared expert"
    products = [leaf.call for leaf in tree.root.leaves if leaf.call is not None and leaf.call.name == "_scaled_mm"]
    assert {call.tensors[2].shape[-1] * 128 for call in products} == {call.tensors[0].shape[-1] for call in products}
    assert tree.memory and tree.memory.weights < 0.6 * sum_dense(base)


def sum_dense(name: str) -> int:
    memory = irene.predict(name, seq_len=16, dequantized=True).tree.memory
    assert memory is not None
    return memory.weights


def test_fused_kernels_of_packed_weights_are_asked_for_by_name(tmp_path: Path) -> None:
    from irene.variants import kernels

    path = write_config(tmp_path, quantization_config=KINDS["awq (bits 4, group_size 64)"][1])
    prediction = irene.predict(kernels("fused")(irene.load_config(str(path))), seq_len=8)
    assert names(prediction.tree)["four_bit_linear"] == 14 and prediction.provenance_shares["fallback"] > 0
    assert any("fused kernel" in note for note in prediction.tree.notes)


def test_several_gpus_share_no_weights_in_low_precision(tmp_path: Path) -> None:
    path = write_config(tmp_path, quantization_config=KINDS["fbgemm_fp8"][1])
    with pytest.raises(irene.BadInput, match="share no weights in low precision"):
        irene.predict(path, seq_len=8, gpus=2)
