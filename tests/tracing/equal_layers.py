"""A stack of layers that are equal by all that can be seen of them."""

from __future__ import annotations

import torch
from transformers import BertConfig


class Layer(torch.nn.Module):
    def __init__(self, number: int, special: int) -> None:
        super().__init__()
        self.layer_idx, self.special, self.linear = number, special, torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear(x)
        return x.relu() if self.layer_idx == self.special and x.shape[1] > 4 else x


class Stack(torch.nn.Module):
    """Equal layers by all that can be seen of them, of which one does something else with long inputs."""

    main_input_name = "input_ids"

    def __init__(self, special: int) -> None:
        super().__init__()
        self.config = BertConfig()
        self.embed = torch.nn.Embedding(100, 8)
        self.layers = torch.nn.ModuleList([Layer(i, special) for i in range(6)])

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x)
        return x
