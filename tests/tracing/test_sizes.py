"""Sizes: none allocates, what nobody can mean is refused, and a path that chance decides is said."""

from __future__ import annotations

import json
import random
import resource
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from irene.errors import BadConfig, BadInput, Untraceable
from irene.tracing import trace
from irene.tracing.config_sizes import check_sizes
from irene.tracing.known_values import set_uniform
from irene.tracing.sources import load_config
from tests.tracing.tiny_models import tiny_config


def test_token_ids_are_never_allocated() -> None:
    trace(tiny_config("bert"), batch_size=2, seq_len=128)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tree = trace(tiny_config("bert"), batch_size=10**7, seq_len=128)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB; ids would take 10 GB
    assert next(iter(tree.root.leaves)).call is not None


def test_tokens_beyond_any_machine_are_refused() -> None:
    with pytest.raises(BadInput, match=r"128,000,000,000,000 tokens in one pass are beyond any machine"):
        trace(tiny_config("bert"), batch_size=10**12, seq_len=128)


def test_values_of_too_many_numbers_are_not_worked_out() -> None:
    class Asks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if (x > 0).all() else -x

    x = torch.empty(10**7, 128, device="meta", dtype=torch.int64)
    set_uniform(x, 5)
    from irene.tracing.recording import record_call

    with pytest.raises(Untraceable, match="1,280,000,000 numbers, too many to work out"):
        record_call(Asks(), (x,), {})


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("bert", {"num_hidden_layers": -1}),
        ("gpt2", {"n_layer": -1}),
        ("t5", {"num_layers": -1}),
        ("bert", {"num_attention_heads": -4}),
        ("bert", {"max_position_embeddings": 0}),
        ("llama", {"max_position_embeddings": 0}),
        ("gpt2", {"n_positions": 0}),
    ],
)
def test_negative_counts_and_no_positions(architecture: str, changes: dict[str, int]) -> None:
    ((name, value),) = changes.items()
    with pytest.raises(BadConfig, match=f"{name} = {value}; expected at least"):
        trace(tiny_config(architecture, **changes), seq_len=16)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**400},
        {"hidden_size": 10**13},
        {"num_experts": 10**6},
        {"depths": [1, 10**9]},
        {"vision_config": {"num_hidden_layers": 10**9}},
    ],
)
def test_sizes_that_would_never_be_built_are_refused_before_any_class_sees_them(
    changes: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "bert", **changes}))
    name = [*changes, "num_hidden_layers"]["vision_config" in changes]
    with pytest.raises(BadConfig, match=f"config.json: This bert config has {name} = .*; expected at most [0-9,]+[.]$"):
        load_config(str(path))


def test_a_config_without_an_end_is_refused() -> None:
    config: dict[str, object] = {}
    config["text_config"] = config
    with pytest.raises(BadConfig, match="more than 20 objects inside each other"):
        check_sizes(config)


class Chance(nn.Module):
    def __init__(self, draw: Callable[[], float], decides: bool) -> None:
        super().__init__()
        self.layers, self.draw, self.decides = nn.ModuleList(nn.Linear(4, 4) for _ in range(8)), draw, decides

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            if self.draw() < 0.5 or not self.decides:
                x = layer(x)
        return x


DRAWS = {
    "random": random.random,
    "numpy": numpy.random.random,
    "torch": lambda: float(torch.rand(())),
    "like what is known": lambda: float(torch.rand_like(torch.zeros((), device="meta"))),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_path_that_chance_decides_is_said(draw: Callable[[], float]) -> None:
    said = "Its path depends on random numbers"
    assert said in " ".join(trace(Chance(draw, True), torch.zeros(2, 4)).notes)
    assert said not in " ".join(trace(Chance(draw, False), torch.zeros(2, 4)).notes)
    assert said not in " ".join(trace(nn.Linear(4, 4), torch.zeros(2, 4)).notes)
