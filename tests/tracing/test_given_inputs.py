"""Modules as people have them: inputs in any container, devices named inside, programs that were made of modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence
from transformers import AutoModel, BatchEncoding

from irene.errors import BadInput, Untraceable
from irene.tracing import trace
from tests.tracing.tiny_models import tiny_config

ROWS = torch.zeros(2, 8)
HERE = "cuda" if torch.cuda.is_available() else "cpu"


class Function(nn.Module):
    """A function as a module, with a linear layer of eight beside it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(8, 8), function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


@dataclass(frozen=True)
class Batch:
    x: torch.Tensor


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (lambda self, batch: self.linear(batch["x"]), (BatchEncoding({"x": ROWS}),)),
        (lambda self, x: self.linear(x), BatchEncoding({"x": ROWS})),
        (lambda self, batch: self.linear(batch.x), (Batch(ROWS),)),
        (lambda self, batch: self.linear(batch.x), Batch(ROWS)),
    ],
)
def test_containers(function: Callable[..., Any], inputs: Any) -> None:
    (leaf,) = trace(Function(function), inputs).root.leaves
    assert leaf.name == "linear#0"


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_packed_sequences(kind: type[nn.Module]) -> None:
    packed = pack_sequence([torch.zeros(5, 8), torch.zeros(3, 8)])
    for inputs in (packed, (packed,)):
        tree = trace(kind(8, 4), inputs)
        assert [leaf.name for leaf in tree.root.leaves][-1] == f"{kind.__name__.lower()}#0"
        assert tree.workload.batch_size == 2, "sequences, not the eight steps that they have together"
    pack = Function(lambda self, x, n: pack_padded_sequence(self.linear(x), n, True, enforce_sorted=False).data)
    leaves = list(trace(pack, (torch.zeros(2, 5, 8), torch.tensor([3, 5]))).root.leaves)
    shapes = [leaf.call.outputs[0].shape for leaf in leaves if leaf.call is not None and "pack" in leaf.name]
    assert shapes == [(8, 8)]


@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: self.linear(x) + torch.arange(8, device=HERE),
        lambda self, x: self.linear(self.linear(x).to(HERE)),
        lambda self, x: self.linear(x).masked_fill(torch.ones(2, 8, dtype=torch.bool, device=torch.device(HERE)), 0.0),
        lambda self, x: self.linear(x) + torch.zeros(8).to("cuda"),
        lambda self, x: self.linear(x.cuda()),
    ],
)
def test_a_device_that_a_model_names_is_the_gpu(function: Callable[..., Any]) -> None:
    tree = trace(Function(function), ROWS)
    assert "names its device itself" in tree.notes[0]
    assert all(leaf.call.outputs[0].shape[-1] == 8 for leaf in tree.root.leaves if leaf.call is not None)


def test_what_mixes_devices_on_any_machine_is_refused() -> None:
    with pytest.raises(Untraceable, match="mixes tensors of the CPU with the model's"):
        trace(Function(lambda self, x: self.linear(x) + torch.arange(8)), ROWS)
    with pytest.raises(Untraceable, match="reads the value"):
        trace(Function(lambda self, x: self.linear(x).cpu().tolist()), ROWS)


@pytest.mark.filterwarnings(r"ignore:`torch\.jit:DeprecationWarning")
def test_programs_made_of_modules() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    exported = torch.export.export(model, (ROWS,))
    programs = [torch.jit.script(model), torch.jit.trace(model, ROWS), torch.fx.symbolic_trace(model), exported]
    programs[0](ROWS)  # called before, as one tries it out
    for program in [*programs, exported.module()]:
        assert [leaf.name for leaf in trace(program, ROWS).root.leaves] == ["linear#0", "relu#0"]


def test_lazy_modules_are_refused_with_what_to_do() -> None:
    lazy = nn.Sequential(nn.LazyLinear(7))
    with pytest.raises(BadInput, match=r"0.weight .* is lazy \(uninitialised\): call it once"):
        trace(lazy, ROWS)
    lazy(ROWS)
    assert trace(lazy, ROWS).root.parameters == 63


def test_a_pretrained_model_brings_its_own_inputs() -> None:
    config = tiny_config("bert")
    with torch.device("meta"):
        model = AutoModel.from_config(config, dtype=torch.bfloat16).eval()
    tree, same = trace(model, batch_size=3, seq_len=7), trace(config, batch_size=3, seq_len=7)
    assert (tree.root, tree.workload) == (same.root, same.workload)
    with pytest.raises(BadInput, match="weights are bfloat16"):
        trace(model, dtype="float16")
    with pytest.raises(BadInput, match="needs example_inputs"):
        trace(nn.Linear(8, 8))


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_masks_without_data_are_taken_as_ones(architecture: str) -> None:
    model = AutoModel.from_config(tiny_config(architecture)).eval()
    real = {name: torch.ones(2, 6, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    tree = trace(model, {name: tensor.to("meta") for name, tensor in real.items()})
    assert "masks are taken as all ones" in tree.notes[0]
    assert tree.root == trace(model, real).root
