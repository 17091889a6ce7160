"""Batch norms of random weights, settled: signals keep their size, and nothing else of the model changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import MobileNetV2Config

from irene.measuring.plan import ModelCase
from irene.measuring.settling import SETTLING_BATCH, batch_norms, settle_batch_norms
from irene.measuring.targets import build, prepare
from irene.model_tree.workload import Workload

CPU = torch.device("cpu")
DEPTH = 6


class Stack(torch.nn.Module):
    """Convolutions whose weights and scales are as small as many libraries draw them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList()
        for _ in range(DEPTH):
            conv, norm = torch.nn.Conv2d(4, 4, 3, padding=1, bias=False), torch.nn.BatchNorm2d(4, momentum=0.03)
            torch.nn.init.normal_(conv.weight, 0.0, 0.02)
            torch.nn.init.normal_(norm.weight, 0.0, 0.02)
            self.layers.append(torch.nn.Sequential(conv, norm))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            pixels = self.dropout(layer(pixels))
        return pixels


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_signals_fade_without_and_keep_their_size_with(pixels: torch.Tensor) -> None:
    torch.manual_seed(0)
    stack = Stack().eval()
    assert float(stack(pixels).std()) < 1e-12
    settle_batch_norms(stack, {"pixels": pixels})
    assert float(stack(pixels).std()) == pytest.approx(1.0, abs=0.15)


@torch.no_grad()
def test_statistics_are_those_of_what_comes_in_evaluation(pixels: torch.Tensor) -> None:
    torch.manual_seed(0)
    stack = Stack().eval()
    settle_batch_norms(stack, {"pixels": pixels})
    for conv, norm in stack.layers:
        seen = conv(pixels)
        # Within a thousandth: in training a norm divides by the variance of all, in evaluation by that of a sample.
        torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(norm.running_var, seen.var((0, 2, 3)), rtol=3e-3, atol=0.0)
        pixels = norm(seen)


def test_modes_and_momentum_stay_even_if_the_model_fails(pixels: torch.Tensor) -> None:
    stack = Stack().eval()
    with pytest.raises(RuntimeError):
        settle_batch_norms(stack, {"pixels": pixels[:, :3]})
    assert not any(module.training for module in stack.modules())
    assert {norm.momentum for norm in batch_norms(stack)} == {0.03}


def test_a_model_to_be_measured_is_settled_and_traced_as_it_was(tmp_path: Path) -> None:
    config = MobileNetV2Config(image_size=32, depth_multiplier=0.25, architectures=["MobileNetV2Model"])
    config.save_pretrained(tmp_path)
    built = build(str(tmp_path), "base", "float32", CPU, 0)
    before = [norm.running_var.clone() for norm in batch_norms(built.module)]
    target = prepare(built, ModelCase(str(tmp_path), Workload(batch_size=1, dtype="float32")), CPU, 0)
    assert all((old != norm.running_var).all() for old, norm in zip(before, batch_norms(built.module), strict=True))
    assert target.tree.workload.batch_size == 1 < SETTLING_BATCH
    last: dict[str, torch.Tensor] = {}
    batch_norms(built.module)[-1].register_forward_hook(lambda _, __, out: last.update(out=out))
    target.run()
    assert float(last["out"].detach().std()) > 0.1
