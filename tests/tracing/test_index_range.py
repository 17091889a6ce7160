"""Known indices outside of what they index are refused, whatever looks them up; unknown and assumed ones are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import MPNetConfig, RobertaConfig

import irene
from irene.errors import BadInput
from irene.tracing import trace

TABLE = torch.rand(6, 4)
LAST, BEYOND = torch.tensor([[0, 5, 3]]), torch.tensor([[0, 6, 3]])
LOOKUPS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "embedding": lambda table, ids: nn.functional.embedding(ids, table),
    "embedding_bag": lambda table, ids: nn.functional.embedding_bag(ids, table),
    "index": lambda table, ids: table[ids],
    "index after a dimension": lambda table, ids: table.t()[:, ids],
    "index_select": lambda table, ids: table.index_select(0, ids[0]),
    "gather": lambda table, ids: table.gather(0, ids.expand(4, 3).t()),
    "take": lambda table, ids: table[:, 0].take(ids),
    "scatter": lambda table, ids: table.scatter(0, ids.expand(4, 3).t(), 1.0),
    "index_add": lambda table, ids: table.index_add(0, ids[0], table[:3]),
    "index_put": lambda table, ids: table.index_put((ids[0],), table[0]),
    "one_hot": lambda table, ids: nn.functional.one_hot(ids, 6),
}


class Running(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function, self.table = function, nn.Parameter(TABLE)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.function(self.table, ids).clone()


@pytest.mark.parametrize("name", LOOKUPS)
def test_beyond_the_last_row_is_refused(name: str) -> None:
    module = Running(LOOKUPS[name])
    assert trace(module, LAST).root.children
    with pytest.raises((IndexError, RuntimeError)):
        module(BEYOND)
    with pytest.raises(BadInput, match=r"index 6 where indices go from -?\d to 5"):
        trace(module, BEYOND)


def test_below_the_first_row_too() -> None:
    with pytest.raises(BadInput, match="index -1"):
        trace(Running(LOOKUPS["embedding"]), torch.tensor([[0, -1]]))
    assert trace(Running(LOOKUPS["index"]), torch.tensor([[0, -6]])).root.children  # counted from the end
    with pytest.raises(BadInput, match="index -7"):
        trace(Running(LOOKUPS["index"]), torch.tensor([[0, -7]]))


def test_the_place_is_named_and_worked_out_positions_count() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(8, 4)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.table(ids.cumsum(1) + 2)

    assert trace(Positions(), torch.ones(1, 5, dtype=torch.long)).root.children
    with pytest.raises(BadInput, match="Module 'table' looks up index 8"):
        trace(Positions(), torch.ones(1, 6, dtype=torch.long))


def test_what_depends_on_weights_or_is_assumed_is_not_held_against_a_table() -> None:
    def route(table: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return table[table.argmax(-1)[:3]] + table[:3][(table[:, 0] > 0.5).long() * 0].sum(0)

    assert trace(Running(route), LAST).root.children


@pytest.mark.parametrize(("kind", "longest"), [(MPNetConfig, 60), (RobertaConfig, 60)])
def test_positions_of_a_config_that_no_list_names(kind: type, longest: int) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = kind(vocab_size=3, max_position_embeddings=62, pad_token_id=1, **sizes)
    assert irene.predict(config, seq_len=longest).energy_j > 0
    with pytest.raises(BadInput):
        irene.predict(config, seq_len=longest + 1)
    with pytest.raises(BadInput):
        irene.sweep(config, batch_sizes=[1], seq_lens=[8, 16, longest + 1])
