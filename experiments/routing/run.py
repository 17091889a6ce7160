"""How unevenly do routers of untrained mixtures of experts route their tokens? Writes the table in README.md.

python experiments/routing/run.py
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import AutoModel

from irene.dataset.summary import to_markdown
from irene.reporting.marked_text import write_between_marks
from irene.tracing.bundled_models import find_bundled

HERE = Path(__file__).resolve().parent
MODELS = {  # how many layers: as many as fit in memory
    "mistralai/Mixtral-8x7B-v0.1": 2, "deepseek-ai/DeepSeek-V2-Lite": 4, "Qwen/Qwen1.5-MoE-A2.7B": 4,
    "Qwen/Qwen3-30B-A3B": 4,
}  # fmt: skip
TOKENS = (128, 512)


def main() -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    table = pd.DataFrame([row for name, layers in MODELS.items() for row in routed_tokens(name, layers)])
    write_between_marks(HERE / "README.md", to_markdown(table))


def routed_tokens(name: str, layers: int) -> Iterator[dict[str, Any]]:
    """A row for each number of tokens: over the layers, the share of experts with any token, and how loads vary."""
    bundled = find_bundled(name)
    assert bundled is not None
    config = bundled.build_config()
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    model = AutoModel.from_config(config, dtype=torch.bfloat16).eval()
    chosen: list[torch.Tensor] = []
    routers = [module for path, module in model.named_modules() if path.endswith("mlp.gate")]
    for router in routers:
        router.register_forward_hook(lambda module, inputs, output: chosen.append(experts_of(output)))
    experts = routers[0].weight.shape[0]
    for tokens in TOKENS:
        chosen.clear()
        with torch.inference_mode():
            model(torch.randint(0, config.vocab_size, (1, tokens)))
        loads = [torch.bincount(each.flatten(), minlength=experts).double() for each in chosen]
        hit = [float((load > 0).double().mean()) * 100 for load in loads]
        spread = [float(load.std() / load.mean()) for load in loads]
        yield {
            "model": name, "experts": experts, "a token's": config.num_experts_per_tok, "tokens": tokens,
            "experts with tokens, %: each layer": " ".join(f"{share:.0f}" for share in hit),
            "deviation over mean load: each layer": " ".join(f"{value:.1f}" for value in spread),
        }  # fmt: skip


def experts_of(output: Any) -> torch.Tensor:
    """The experts of each token, among the tensors that a router answers with: the one of whole numbers."""
    return next(part for part in output if not part.is_floating_point())


if __name__ == "__main__":
    main()
