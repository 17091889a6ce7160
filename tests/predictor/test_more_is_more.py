"""Twice the samples, the tokens or the layers never costs fewer joules."""

from __future__ import annotations

import random
from typing import Any

import pytest

import irene
from irene.tracing.bundled_models import find_bundled, list_bundled

# One of each recipe that differs in its kernels: encoder, decoders, sliding window, experts, encoder-decoder.
NAMES = ("bert-tiny", "bert-base-uncased", "gpt2", "HuggingFaceTB/SmolLM-135M", "Qwen/Qwen3-0.6B", "t5-small",
         "bigscience/bloom-560m", "mobilebert-uncased")  # fmt: skip
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")
DTYPES = ("bfloat16", "float16", "float32", "tf32")
MOST_OF_A_TYPE = 3  # models of one type differ in widths alone; the experiment takes them all
OWN_RULES: dict[str, dict[str, Any]] = {"fnet": {"dtype": "float32"}}  # transforms have no kernel in 16 bits
OF_ONE_LENGTH = ("nystromformer",)  # segments of 16 tokens: its 1,024 positions, no more and no fewer


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


def cut(name: str, layers: int) -> Any:
    """The model with so many layers, since they repeat."""
    config = config_of(name)
    for field in LAYERS:
        if isinstance(vars(config).get(field), int):
            setattr(config, field, layers)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[0]] * layers
    return config


@pytest.mark.filterwarnings("ignore:The config does not say how large images are:UserWarning")
@pytest.mark.parametrize("part", range(6))
def test_twice_as_much_of_any_bundled_model_never_costs_less(part: int) -> None:
    """From 32 tokens on; experiments/more-is-more says how it is with fewer, and at random workloads."""
    of_type: dict[str, list[str]] = {}
    for bundled in list_bundled():
        if bundled.model_type in OF_ONE_LENGTH:
            continue
        of_type.setdefault(bundled.model_type, []).append(bundled.name)
    chosen = [(kind, name) for kind, names in sorted(of_type.items()) for name in names[:MOST_OF_A_TYPE]]
    rng, falls = random.Random(part), []
    for kind, name in chosen[part::6]:
        workload: dict[str, Any] = {"batch_size": rng.choice((1, 2, 3, 8)), "seq_len": rng.choice((32, 38))}
        workload |= {"dtype": rng.choice(DTYPES), "execution": rng.choice(("eager", "cuda_graph"))}
        workload |= {"dequantized": True} | OWN_RULES.get(kind, {})
        doubled = {field: workload | {field: 2 * workload[field]} for field in ("batch_size", "seq_len")}
        once = irene.predict(cut(name, 1), **workload).energy_j
        twice = {field: irene.predict(cut(name, 1), **more).energy_j for field, more in doubled.items()}
        twice["layers"] = irene.predict(cut(name, 2), **workload).energy_j
        falls += [f"{name} {workload}: twice the {field}" for field, energy_j in twice.items() if energy_j < once]
    assert falls == []
