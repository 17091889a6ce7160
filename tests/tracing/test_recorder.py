"""The recorder: every call once, in its place, with what it read; torch is asked once for each distinct call."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from irene.errors import Untraceable
from irene.model_tree.tree import Node
from irene.primitives.call import TensorSpec
from irene.tracing.encoding import storage_key
from irene.tracing.module_index import ModuleIndex
from irene.tracing.recording import record_call


class Running(nn.Module):
    def __init__(self, function: Any, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(self, *args)


def record(function: Any, *args: Any, parts: tuple[nn.Module, ...] = ()) -> Node:
    return record_call(Running(function, *parts).to("meta"), args, {})


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def names(root: Node) -> list[str]:
    return [leaf.name for leaf in root.leaves]


def test_calls_are_counted_by_operator_in_each_module_call() -> None:
    part = Running(lambda _, x: x.relu() + x.relu())
    root = record(lambda m, x: m.parts[0](m.parts[0](x.relu())), meta(2), parts=(part,))
    assert names(root) == ["relu#0", "relu#0", "relu#1", "add#0", "relu#0", "relu#1", "add#0"]
    assert [(c.path, c.call_index, c.kind) for c in root.children[1:]] == [
        ("parts.0", 0, "module"),
        ("parts.0", 1, "module"),
    ]
    assert root.kind == "model"


def test_views_copies_and_writes() -> None:
    def run(_: Any, x: torch.Tensor) -> None:
        x.transpose(0, 1).reshape(6)  # a copy: transposed rows do not lie in one piece
        x.reshape(6)
        x.to(torch.float32)
        x.to(torch.float64)
        x.add_(1)
        x.contiguous()  # answered before it reaches the dispatcher

    root = record(run, meta(2, 3))
    is_view = [(leaf.call.name, leaf.call.is_view) for leaf in root.leaves if leaf.call]
    assert is_view == [
        ("transpose", True), ("reshape", False), ("reshape", True), ("to", True), ("to", False), ("add_", False),
    ]  # fmt: skip


def test_in_place_operators_with_other_names_write() -> None:
    def run(_: Any, x: torch.Tensor) -> None:
        x &= x
        torch.add(x, 1, out=x)

    assert [leaf.call.is_view for leaf in record(run, meta(2, dtype=torch.int64)).leaves if leaf.call] == [False, False]


def test_equal_calls_are_one_object_and_answers_are_those_of_torch() -> None:
    def run(_: Any, x: torch.Tensor) -> torch.Tensor:
        for _step in range(20):
            x = (x.transpose(0, 1) * 2.0).softmax(-1).transpose(0, 1).matmul(torch.ones(3, 3, device="meta"))
        return x

    root = record(run, meta(2, 3))
    leaves = list(root.leaves)
    assert len({id(leaf.call) for leaf in leaves}) <= 10 < len(leaves)
    with torch.inference_mode():
        assert leaves[-1].call is not None
        assert leaves[-1].call.outputs[0].shape == run(None, torch.ones(2, 3, device="meta")).shape


def test_an_output_that_depends_on_data_is_asked_for_each_time() -> None:
    def run(_: Any, x: torch.Tensor) -> None:
        for counts in ([1, 2], [3, 3]):
            x.repeat_interleave(torch.tensor(counts), dim=0)

    calls = [leaf.call for leaf in record(run, meta(2, 4)).leaves if leaf.call is not None]
    repeats = [call for call in calls if call.name == "repeat_interleave"]
    assert [call.outputs[0].shape for call in repeats] == [(3, 4), (6, 4)]


def test_tensors_made_from_numbers_show_all_their_steps() -> None:
    """On a device a mode sees the last step alone, on the CPU the last two; the profiler shows four, both times."""
    for device in ("meta", "cpu"):
        root = record(lambda _, x, device=device: [torch.tensor([1.5], device=device) for _ in range(2)], meta(1))
        assert [leaf.call.name for leaf in root.leaves if leaf.call] == ["empty", "to", "lift_fresh", "detach_"] * 2


def test_what_modules_made_on_the_fly_call_stands_under_their_caller() -> None:
    root = record(lambda _, x: nn.ReLU()(x), meta(1))
    assert [(c.kind, c.path, c.type) for c in root.children] == [("primitive", "", "aten.relu.default")]


def test_weights_are_marked_also_behind_views() -> None:
    linear = nn.Linear(3, 3)
    linear.register_buffer("mask", torch.ones(3))

    def run(module: Any, x: torch.Tensor) -> Any:
        part = module.parts[0]
        return x @ part.weight.t() + part.mask + part.bias

    root = record(run, meta(2, 3), parts=(linear,))
    calls = [leaf.call for leaf in root.leaves if leaf.call is not None]
    marks = {call.name: [spec.weight for spec in call.tensors] for call in calls}
    assert marks == {"t": [True], "matmul": [False, True], "add": [False, True]}
    ids = [leaf.weight_ids for leaf in root.leaves]
    assert ids[0] == ids[1] and len({*ids}) == 3


def test_outputs_of_several_tensors() -> None:
    root = record(lambda _, x: x.topk(2), meta(2, 3))
    (leaf,) = root.leaves
    assert leaf.call is not None
    assert leaf.call.outputs == (TensorSpec((2, 2), (2, 1), "float32"), TensorSpec((2, 2), (2, 1), "int64"))


def test_what_takes_the_place_of_a_freed_weight_is_no_weight() -> None:
    """A model that casts a weight as it runs frees the old one; memory is given out again."""
    linear = torch.nn.Linear(64, 64, device="meta")
    index = ModuleIndex(linear)
    linear.weight.data = linear.weight.data.double()
    made = [torch.empty(64, 64, device="meta") for _ in range(200)]
    assert not any(storage_key(tensor) in index.weights for tensor in made)


def test_a_recorded_module_keeps_no_hooks_and_its_own_come_after() -> None:
    order: list[str] = []
    module = nn.Sequential(nn.Linear(2, 2), nn.TransformerEncoderLayer(4, 2, batch_first=True)).to("meta").eval()
    module[0].register_forward_pre_hook(lambda _, args: order.append("own") or (args[0] * 2,))
    kinds = [type(part) for part in module.modules()]
    root = record_call(module[:1], (meta(1, 2),), {})
    assert [leaf.path for leaf in root.leaves] == ["0", "0"] and order == ["own"]
    with pytest.raises(Untraceable):
        record_call(module, (meta(1, 3),), {})
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]
    assert sum(hooks) == 1 and [type(part) for part in module.modules()] == kinds
