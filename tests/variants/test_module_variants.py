"""Variants of modules compute what their papers' equations say, and save the FLOP that these promise."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

import irene
from irene import variants
from irene.errors import BadInput
from irene.primitives.work import count_work
from irene.tracing.building import build_model
from irene.tracing.tracer import trace
from irene.variants.multiplexing import Demultiplexer, Multiplexer

BERT = "bert-base-uncased"


@cache
def flop(model: str, batch_size: int = 1) -> int:
    leaves = trace(model, seq_len=128, batch_size=batch_size).root.leaves
    return sum(count_work(leaf.call).matmul_flop for leaf in leaves if leaf.call is not None)


def tiny(variant: str) -> Any:
    torch.manual_seed(0)
    return build_model(irene.load_config(f"bert-tiny{variant}"), "base", torch.float32, "cpu")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", (2.00, 4.99, 9.98)),
        (",output=token", (1.90, 4.40, 7.87)),
        (",kind=contextual", (1.50, 2.74, 3.78)),
        (",kind=contextual,output=token", (1.45, 2.55, 3.43)),
    ],
)
def test_multiplexing_saves_the_flop_that_its_equations_say(settings: str, expected: tuple[float, ...]) -> None:
    alone = flop(BERT)
    for n, times in zip((2, 5, 10), expected, strict=True):
        assert alone / (flop(f"{BERT}+mux:n={n}{settings}", batch_size=n) / n) == pytest.approx(times, rel=0.01)


def test_hadamard_multiplexing_is_the_mean_of_products() -> None:
    mixer, e = Multiplexer(3, 4, ()), torch.randn(2, 3, 5, 4)
    expected = sum(e[:, i] * mixer.v[i] for i in range(3)) / 3
    torch.testing.assert_close(mixer(e), expected)


def test_contextual_multiplexing_adds_a_layer_over_length_and_one_over_inputs() -> None:
    class Twice(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x.flip(1)

    mixer, e = Multiplexer(3, 4, (Twice(), Twice())), torch.randn(2, 3, 5, 4)
    g = (e + 2 * e.flip(2)) * mixer.v[:, None, :]
    torch.testing.assert_close(mixer(e), (g + 2 * g.flip(1)).mean(dim=1))


def test_demultiplexing_sees_the_key_of_each_input_and_the_shared_state() -> None:
    parts, h = Demultiplexer(3, 4), torch.randn(2, 5, 4)
    apart = parts(h)
    alone = parts.blocks(torch.cat([parts.k[1], h[1, 2]]))
    assert apart.shape == (2, 3, 5, 4)
    torch.testing.assert_close(apart[1, 1, 2], alone)


def test_a_multiplexed_encoder_runs_and_wants_whole_rows() -> None:
    ids = torch.randint(0, 100, (6, 8))
    assert tiny("+mux:3")(ids).shape == (6, 128)
    assert tiny("+mux:n=3,kind=contextual,output=token")(ids).shape == (6, 8, 128)
    with pytest.raises(BadInput, match="a batch of 6 is no multiple"):
        tiny("+mux:5")(ids)
    with pytest.raises(BadInput, match="no multiple"):
        irene.predict("bert-tiny+mux:5", batch_size=6)
    with pytest.raises(BadInput, match="no bare encoder"):
        irene.predict("gpt2+mux:5", batch_size=5)


def test_low_rank_updates_begin_as_nothing_and_then_add_their_product() -> None:
    torch.manual_seed(0)
    base = torch.nn.ModuleDict({"query": torch.nn.Linear(6, 4), "other": torch.nn.Linear(6, 4)})
    weight, bias, x = base["query"].weight, base["query"].bias, torch.randn(3, 6)
    adapted = variants.lora(rank=2, alpha=6.0)(base)["query"]
    torch.testing.assert_close(adapted(x), x @ weight.T + bias)
    torch.nn.init.normal_(adapted.b.weight)
    torch.testing.assert_close(adapted(x), x @ (weight + 3.0 * adapted.b.weight @ adapted.a.weight).T + bias)
    assert type(base["other"]) is torch.nn.Linear


def test_scaling_vectors_multiply_keys_values_and_the_inner_feed_forward() -> None:
    module = tiny("+ia3")
    attention, output = module.encoder.layer[0].attention, module.encoder.layer[0].output
    x = torch.randn(2, 128)
    torch.nn.init.normal_(attention.self.key.l)
    key = attention.self.key
    torch.testing.assert_close(key(x), (x @ key.base.weight.T + key.base.bias) * key.l)
    assert not attention.self.key.before and output.dense.before
    assert type(attention.self.query) is type(attention.output.dense) is torch.nn.Linear


@pytest.mark.parametrize("variant", ["lora", "ia3"])
def test_merged_adapters_cost_exactly_nothing_and_unmerged_ones_little(variant: str) -> None:
    name = "bert-tiny"
    base, merged, apart = (irene.predict(f"{name}{v}") for v in ("", f"+{variant}:merged=yes", f"+{variant}"))
    assert merged.energy_j == base.energy_j and apart.energy_j > base.energy_j
    if variant == "lora":
        extra = 2 * 2 * 128 * 8 * (128 + 128) * 2  # layers, products, tokens, rank, in + out, FLOP
        assert flop("bert-tiny+lora:8") - flop(name) == extra


def test_adapters_need_layers_to_stand_beside() -> None:
    with pytest.raises(BadInput, match="has no linear layer named query"):
        irene.predict("gpt2+lora:8")
    with pytest.raises(BadInput, match="the rank must be 1 or more"):
        irene.predict("bert-tiny+lora:0")


def test_changes_of_modules_stack_in_order() -> None:
    assert tiny("+layers:1+lora:2+mux:3")(torch.randint(0, 100, (3, 8))).shape == (3, 128)
