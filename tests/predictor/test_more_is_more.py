"""Twice the samples, the tokens or the layers never costs fewer joules."""

from __future__ import annotations

from typing import Any

import pytest

import irene
from irene.tracing.bundled_models import find_bundled

# One of each recipe that differs in its kernels: encoder, decoders, sliding window, experts, encoder-decoder.
NAMES = ("bert-tiny", "bert-base-uncased", "gpt2", "HuggingFaceTB/SmolLM-135M", "Qwen/Qwen3-0.6B", "t5-small",
         "bigscience/bloom-560m", "mobilebert-uncased")  # fmt: skip
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers")


def config_of(name: str) -> Any:
    bundled = find_bundled(name)
    assert bundled is not None
    return bundled.build_config()


@pytest.mark.parametrize("execution", ["eager", "cuda_graph"])
@pytest.mark.parametrize("name", NAMES)
def test_twice_as_much_never_costs_less(name: str, execution: str) -> None:
    def energy_j(model: Any = name, batch_size: int = 2, seq_len: int = 96) -> float:
        return irene.predict(model, batch_size=batch_size, seq_len=seq_len, execution=execution).energy_j

    deeper = config_of(name)
    for layers in LAYERS:
        if layers in vars(deeper):
            setattr(deeper, layers, 2 * getattr(deeper, layers))
    if getattr(deeper, "layer_types", None):
        deeper.layer_types = list(deeper.layer_types) * 2
    once = energy_j()
    assert energy_j(batch_size=4) >= once
    assert energy_j(seq_len=192) >= once
    assert energy_j(deeper) > 1.3 * once  # the embedding and the head alone are not doubled
