"""Layers that repeat: which are twins, which calls are not run, and what a module has in it."""

from __future__ import annotations

import torch

from irene.tracing.module_index import list_modules, list_tensors
from irene.tracing.recording import record_call, record_with_notes
from irene.tracing.repeats import Repeats
from irene.tracing.twins import find_twins
from tests.tracing.equal_layers import Stack


def test_layers_that_repeat_are_run_once() -> None:
    with torch.device("meta"):
        module = Stack(special=-1)
    ids = torch.zeros(2, 9, dtype=torch.int64, device="meta")
    repeats = Repeats(find_twins(module))
    short = record_with_notes(module, (ids,), {}, repeats).root
    assert len(list(short.leaves)) == 2
    assert repeats.of == {(f"layers.{i}", 0): ("layers.0", 0) for i in range(1, 6)}
    assert record_call(module, (ids,), {}) == record_call(Stack(special=-1).to("meta"), (ids,), {})  # left as it was


class Counted(torch.nn.Module):
    """Layers that are told by a tensor which one they are; each such tensor is gone before the next but one is made."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([Told() for _ in range(8)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for number, layer in enumerate(self.layers):
            place = torch.full((), number, device=x.device)
            x = layer(x, place)
        return x


class Told(torch.nn.Module):
    def forward(self, x: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        return x.relu() if int(place) % 3 else x.tanh()


def test_a_tensor_in_the_place_of_one_that_is_gone_is_another() -> None:
    module, x = Counted(), torch.zeros(2, 8, device="meta")
    repeats = Repeats(find_twins(module))
    short = record_with_notes(module, (x,), {}, repeats).root
    assert len(repeats.twins.layers) == 8 and not repeats.of
    assert short == record_call(module, (x,), {})


def test_layers_of_other_settings_are_no_twins() -> None:
    module = Stack(special=-1)
    module.layers[2].linear = torch.nn.Linear(8, 8, bias=False)
    module.layers[4].extra = 0.5
    assert len(find_twins(module).layers) == 4


def test_modules_are_listed_as_torch_lists_them() -> None:
    module = Stack(special=-1)
    module.layers[2] = module.layers[0]
    module.nothing = None
    assert list_modules(module) == list(module.named_modules())
    tensors = [*module.parameters(), *module.buffers()]
    found = list_tensors(part for _, part in list_modules(module))
    assert len(found) == len(tensors) and all(a is b for a, b in zip(found, tensors, strict=True))
