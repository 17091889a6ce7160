"""How many modules of a model with random weights give next to nothing, as initialised and with settled batch norms.

python experiments/new-families/signals.py

Without a GPU (half a minute), in float32: what is below the smallest number of float16 would be a zero there.
"""

from __future__ import annotations

import torch
from transformers import AutoModel

from irene.measuring.settling import SETTLING_BATCH, settle_batch_norms
from irene.model_tree.workload import Workload
from irene.tracing.inputs import build_inputs
from irene.tracing.sources import load_config

MODELS = (
    "google/efficientnet-b0", "google/mobilenet_v2_1.0_224", "apple/mobilevit-small", "facebook/levit-128S",
    "facebook/regnet-y-040", "microsoft/cvt-13",
)  # fmt: skip
_LEAST = 6e-8  # of float16, subnormal ones counted
_MOST_OF_IT = 0.9


def main() -> None:
    print("| model | faded as initialised % | faded when settled % |\n| --- | --- | --- |")
    for name in MODELS:
        torch.manual_seed(0)
        config = load_config(name)
        model = AutoModel.from_config(config).eval()
        pixels = build_inputs(
            config, model.main_input_name, Workload(batch_size=SETTLING_BATCH, dtype="float32"), torch.device("cpu")
        )
        before = count_faded_pct(model, pixels)
        settle_batch_norms(model, pixels)
        print(f"| {name} | {before:.0f} | {count_faded_pct(model, pixels):.0f} |")


def count_faded_pct(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> float:
    """The share of innermost modules nine tenths of whose output is below `_LEAST`."""
    faded: list[bool] = []

    def look(_: object, __: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.is_floating_point():
            faded.append(float((output.abs() < _LEAST).float().mean()) > _MOST_OF_IT)

    hooks = [module.register_forward_hook(look) for module in model.modules() if not list(module.children())]
    with torch.no_grad():
        model(**inputs)
    for hook in hooks:
        hook.remove()
    return 100.0 * sum(faded) / len(faded)


if __name__ == "__main__":
    main()
