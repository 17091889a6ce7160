"""PEFT's own modules make the same calls as ours: LoRA, (IA)3, soft prompts and prefixes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import irene
from irene.primitives.kinds import launches_kernel
from irene.tracing.building import build_model

peft: Any = pytest.importorskip("peft", reason="PEFT comes with the extra 'test'")

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")  # PEFT asks transformers by older names

_BERT_SITES = {"target_modules": ["query", "value"]}
_CASES = {
    "lora:rank=4": lambda: peft.LoraConfig(r=4, lora_alpha=16, task_type="FEATURE_EXTRACTION", **_BERT_SITES),
    "ia3": lambda: peft.IA3Config(
        target_modules=r".*(key|value|layer\.\d+\.output\.dense)", feedforward_modules=r".*output\.dense",
        task_type="FEATURE_EXTRACTION",
    ),
    "prompt:5": lambda: peft.PromptTuningConfig(num_virtual_tokens=5, task_type="FEATURE_EXTRACTION"),
    "prefix:5": lambda: peft.PrefixTuningConfig(num_virtual_tokens=5, task_type="FEATURE_EXTRACTION"),
}  # fmt: skip


def launches(module: torch.nn.Module, ids: torch.Tensor) -> list[str]:
    """What is launched, in order; which tensors count as weights differs by who registers them."""
    tree = irene.trace(module.eval(), {"input_ids": ids})
    calls = [leaf.call for leaf in tree.root.leaves if leaf.call is not None]
    return [call.signature.replace('",1]}', '"]}') for call in calls if launches_kernel(call)]


@pytest.mark.parametrize("variant", _CASES)
def test_the_same_calls(variant: str) -> None:
    config, ids = irene.load_config("bert-tiny"), torch.randint(3, 90, (2, 8))
    own = build_model(irene.load_config(f"bert-tiny+{variant}"), "base", torch.float32, "cpu")
    theirs = peft.get_peft_model(build_model(config, "base", torch.float32, "cpu"), _CASES[variant]())
    assert launches(own, ids) == launches(theirs, ids)
