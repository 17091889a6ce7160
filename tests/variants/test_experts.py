"""Mixtures of experts: token by token as their papers' equations say, with capacity, where there is a place."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import irene
from irene.errors import BadInput, UnknownName
from irene.primitives.work import count_work
from irene.tracing.building import build_model
from irene.tracing.tracer import trace
from irene.variants.experts import Gated, Mixture, ResidualMixture
from irene.variants.feed_forwards import FeedForward, find_feed_forwards
from tests.tracing.tiny_models import tiny_config


def place(width: int = 4, inner: int = 6, gated: bool = False) -> FeedForward:
    return FeedForward(width, inner, gated, not gated, torch.nn.functional.gelu, torch.zeros(1), lambda new: None)


def by_hand(moe: Mixture, x: torch.Tensor) -> torch.Tensor:
    """One token after the other: independent of buffers and slots."""
    tokens, own = x.reshape(-1, x.shape[-1]), moe.experts
    shares = torch.softmax(tokens @ moe.router.weight.T, dim=-1)
    most = math.ceil(moe.capacity * moe.chosen * len(tokens) / moe.count)
    ranked = [sorted(range(moe.count), key=lambda e, t=t: -shares[t, e].item())[: moe.chosen] for t in range(len(x))]
    loads, answer = [0] * moe.count, torch.zeros_like(tokens)
    for choice in range(moe.chosen):
        for t, token in enumerate(tokens):
            expert = ranked[t][choice]
            loads[expert] += 1
            if loads[expert] > most:
                continue
            inner = token @ own.w1[expert]
            if own.gate is None:
                inner = torch.nn.functional.gelu(inner + own.b1[expert, 0])
            else:
                inner = torch.nn.functional.gelu(token @ own.gate[expert]) * inner
            made = inner @ own.w2[expert] + (own.b2[expert, 0] if own.b2 is not None else 0)
            total = sum(shares[t, e] for e in ranked[t]) if moe.chosen > 1 else 1.0
            answer[t] += made * shares[t, expert] / total
    return answer.reshape(x.shape)


@pytest.mark.parametrize(("count", "chosen", "capacity"), [(3, 1, 0.5), (3, 1, 4.0), (4, 2, 1.0), (2, 2, 1.0)])
@pytest.mark.parametrize("gated", [False, True])
def test_each_token_meets_its_experts_until_they_are_full(
    count: int, chosen: int, capacity: float, gated: bool
) -> None:
    torch.manual_seed(1)
    moe, x = Mixture(count, chosen, capacity, place(gated=gated)), torch.randn(12, 4)
    if moe.experts.b1 is not None:
        torch.nn.init.normal_(moe.experts.b1)
    torch.testing.assert_close(moe(x), by_hand(moe, x))
    if capacity < 1:
        assert (moe(x) == 0).all(dim=-1).any(), "some are over, and give nothing"


def test_a_residual_mixture_weighs_a_dense_feed_forward_and_an_expert() -> None:
    moe, x = ResidualMixture(Mixture(3, 1, 4.0, place()), place()), torch.randn(2, 5, 4)
    c = torch.softmax(moe.coefficient(x), dim=-1)
    own = moe.dense
    dense = torch.nn.functional.gelu(x @ own.w1[0] + own.b1[0, 0]) @ own.w2[0] + own.b2[0, 0]
    expected = c[..., :1] * dense + c[..., 1:] * by_hand(moe.mixture, x.reshape(10, 4)).reshape(x.shape)
    torch.testing.assert_close(moe(x), expected)


def test_the_dense_layers_of_glam_are_gated_linear_units() -> None:
    gated, x = Gated(place()), torch.randn(3, 4)
    inner = torch.nn.functional.gelu((x @ gated.w1.weight.T) * (x @ gated.v.weight.T))
    torch.testing.assert_close(gated(x), inner @ gated.w2.weight.T)


def kinds(variant: str) -> list[tuple[str, int]]:
    module = build_model(irene.load_config(f"bert-base-uncased+{variant}"), "base", torch.bfloat16, "meta")
    found = [layer.output.dense for layer in module.encoder.layer]
    return [(type(part).__name__, getattr(getattr(part, "mixture", part), "count", 0)) for part in found]


def test_every_second_layer_is_sparse_and_a_pyramid_widens_at_its_end() -> None:
    assert kinds("moe:experts=8") == [("Linear", 0), ("Mixture", 8)] * 6
    assert kinds("moe:glam") == [("Gated", 0), ("Mixture", 64)] * 6
    late = [("Linear", 0), ("ResidualMixture", 64)]
    assert kinds("moe:pr-moe") == [("Linear", 0), ("ResidualMixture", 32)] * 4 + late * 2


def test_experts_do_the_work_of_capacity_whatever_their_number() -> None:
    def flop(name: str) -> int:
        leaves = trace(name, seq_len=128, batch_size=4).root.leaves
        return sum(count_work(leaf.call).matmul_flop for leaf in leaves if leaf.call is not None)

    base, width, tokens = flop("bert-base-uncased"), 768, 512
    dense = 2 * tokens * width * 3072 * 2  # of one layer
    router = 2 * tokens * width * 32
    assert flop("bert-base-uncased+moe:experts=32,capacity=1.25") - base == 6 * (dense // 4 + router)
    assert flop("bert-base-uncased+moe:experts=32,k=2,capacity=1") - base == 6 * (dense + router)


@pytest.mark.parametrize(
    "name", ["gpt2", "llama", "distilbert", "opt", "t5", "bart", "albert", "gpt_neox", "vit", "phi3", "mixtral"]
)
def test_feed_forwards_are_found_by_their_shape_and_replaced_whole(name: str) -> None:
    from irene.variants import moe

    config = tiny_config(name)
    module = build_model(config, "base", torch.float32, "cpu")
    found = find_feed_forwards(module)
    if name in ("phi3", "mixtral"):  # one fused product; experts already
        assert not found
        return
    layers = {"t5": 4, "bart": 3, "albert": 1}.get(name, 2)
    assert [(own.width, own.inner) for own in found] == [(32, 128 if name == "gpt2" else 64)] * layers
    assert found[0].is_gated == (name == "llama")
    changed = moe(experts=4)(module)
    assert any(isinstance(part, Mixture) for part in changed.modules())
    given: dict[str, Any] = {"input_ids": torch.randint(3, 90, (2, 8))}
    if name in ("t5", "bart"):
        given["decoder_input_ids"] = given["input_ids"]
    if name == "vit":
        given = {"pixel_values": torch.randn(1, 3, 32, 32)}
    with torch.inference_mode():
        assert changed(**given)[0].isfinite().all()


def test_what_cannot_be_is_said() -> None:
    for text, problem in (("k=3,experts=2", "1 <= k <= experts"), ("capacity=0", "capacity above 0")):
        with pytest.raises(BadInput, match=problem):
            irene.trace(f"bert-tiny+moe:{text}")
    with pytest.raises(UnknownName, match="glam"):
        irene.trace("bert-tiny+moe:glum")
    with pytest.raises(BadInput, match="no feed-forward that experts could replace"):
        irene.trace("bert-tiny+cmow+moe")
