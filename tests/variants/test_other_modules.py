"""Soft prompts, prefixes, matrix embeddings and text-to-text models compute what their papers' equations say."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
import torch

import irene
from irene.cli.main import run
from irene.errors import BadInput
from irene.tracing.building import build_model
from irene.variants.matrix_embeddings import multiply_in_order


def tiny(variant: str, name: str = "bert-tiny") -> Any:
    torch.manual_seed(0)
    return build_model(irene.load_config(f"{name}{variant}"), "base", torch.float32, "cpu")


IDS = torch.randint(3, 90, (2, 8), generator=torch.Generator().manual_seed(1))


def test_a_soft_prompt_stands_before_the_embedded_words() -> None:
    module = tiny("+prompt:3")
    words = module.model.embeddings.word_embeddings(IDS)
    both = torch.cat([module.prompt.weight.expand(2, 3, 128), words], dim=1)
    with torch.inference_mode():
        found, expected = module(IDS)[0], module.model(inputs_embeds=both)[0]
    assert found.shape == (2, 11, 128)
    torch.testing.assert_close(found, expected)


def test_a_prefix_is_seen_by_every_query_and_adds_no_position() -> None:
    """By hand: attention of the first layer over [learned keys ; own keys]."""
    module = tiny("+prefix:3")
    attention = module.model.encoder.layer[0].attention.self
    with torch.inference_mode():
        hidden = module.model.embeddings(input_ids=IDS, **_cached(3))
        own = module.prefix.weight.view(3, 4, 2, 64)  # tokens, keys and values of two layers, heads, head size
        keys, values = (
            torch.cat([own[:, at].expand(2, 3, 2, 64), make(hidden).view(2, 8, 2, 64)], dim=1)
            for at, make in ((0, attention.key), (1, attention.value))
        )
        queries = attention.query(hidden).view(2, 8, 2, 64)
        scores = torch.softmax(torch.einsum("bqhd,bkhd->bhqk", queries, keys) / 8.0, dim=-1)
        expected = torch.einsum("bhqk,bkhd->bqhd", scores, values).reshape(2, 8, 128)
        seen: list[torch.Tensor] = []
        attention.register_forward_hook(lambda *given: seen.append(given[2][0]))
        found = module(IDS)[0]
    assert found.shape == (2, 8, 128)
    torch.testing.assert_close(seen[0], expected)


def _cached(length: int) -> dict[str, Any]:
    """How this transformers counts positions after a cache."""
    return {"position_ids": torch.arange(length, length + 8)[None]}


def test_matrices_are_multiplied_in_both_orders_beside_a_mean() -> None:
    module = tiny("+cmow:size=4,vector=6")
    with torch.inference_mode():
        found = module(IDS)
    for row, ids in zip(found, IDS, strict=True):
        ahead = reduce(torch.matmul, [module.forwards.weight[i].view(4, 4) for i in ids])
        back = reduce(torch.matmul, [module.backwards.weight[i].view(4, 4) for i in reversed(ids)])
        torch.testing.assert_close(row[:16], ahead.flatten())
        torch.testing.assert_close(row[16:32], back.flatten())
        torch.testing.assert_close(row[32:], module.vectors.weight[ids].mean(0))


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_pairs_keep_the_order(length: int) -> None:
    matrices = torch.randn(2, length, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(multiply_in_order(matrices), reduce(torch.matmul, matrices.unbind(1)))


def test_an_encoder_decoder_has_half_of_the_layers_on_each_side_or_all() -> None:
    base = irene.load_config("bert-base-uncased")
    half, whole = (irene.load_config(f"bert-base-uncased+encoder-decoder:{b}") for b in ("parameters", "flop"))
    assert (half.num_layers, half.num_decoder_layers, whole.num_layers) == (6, 6, 12)
    assert (half.d_model, half.d_ff, half.num_heads, half.d_kv) == (768, 3072, 12, 64)
    assert half.vocab_size == base.vocab_size
    assert irene.variants.encoder_decoder()(base).to_dict() == half.to_dict()
    sizes = [sum(p.numel() for p in build_model(c, "base", torch.bfloat16, "meta").parameters()) for c in (base, half)]
    assert sizes[1] / sizes[0] == pytest.approx(1.1, abs=0.1), "the decoder attends twice"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("t5-small+prompt", "no encoder or decoder of transformers alone"),
        ("bert-tiny+prefix:0", "1 token or more"),
        ("bert-tiny+cmow:0", "sizes of 1 or more"),
        ("t5-small+encoder-decoder", "is one already"),
        ("bert-tiny+layers:3+encoder-decoder", "3 layers have no half"),
        ("bert-tiny+prompt:500", "512"),
    ],
)
def test_what_cannot_be_exits_2(name: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", name, "--seq-len", "64"]) == 2
    said = capsys.readouterr().err.strip()
    assert problem in said and said.count("\n") == 0


def test_they_generate_nothing_and_say_so() -> None:
    with pytest.raises(BadInput, match="generates no tokens"):
        irene.predict("gpt2+prompt", new_tokens=4)


@pytest.mark.parametrize("variant", ["moe:experts=4", "prompt:4", "prefix:4", "cmow", "encoder-decoder"])
def test_each_composes_with_another(variant: str) -> None:
    assert irene.predict(f"bert-tiny+layers:2+{variant}", seq_len=32).energy_j > 0
    assert irene.predict(f"bert-tiny+{variant}", seq_len=32, batch_size=2).energy_j > 0
