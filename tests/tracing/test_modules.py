"""Any torch.nn.Module traces from example inputs, and is afterwards what it was before."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from irene.errors import BadInput, UnknownName, Untraceable
from irene.model_tree.tree import ModelTree
from irene.tracing import trace
from irene.tracing.building import build_model
from tests.tracing.tiny_models import tiny_config

Pair = namedtuple("Pair", ["left", "right"])


class Wrapped(nn.Module):
    """A linear layer, and whatever a test wants to do with what it returns."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(self.linear(x))


class Block(nn.Module):
    """Written by hand: one layer called twice, a buffer, a dropout, a dict as output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("scale", torch.ones(8))

    def forward(self, x: torch.Tensor, *, twice: bool = True) -> dict[str, Any]:
        y = self.layer(x)
        y = self.layer(y) if twice else y
        return {"y": self.dropout(self.norm(y)) * self.scale, "pair": (x, y)}


def ops(tree: ModelTree) -> list[str]:
    return [leaf.call.name for leaf in tree.root.leaves if leaf.call is not None]


def test_linear() -> None:
    tree = trace(nn.Linear(16, 4), torch.zeros(3, 16))
    (leaf,) = tree.root.leaves
    assert leaf.call is not None and leaf.call.op == "aten.linear.default"
    assert [spec.weight for spec in leaf.call.tensors] == [False, True, True]
    assert leaf.call.outputs[0].shape == (3, 4)
    assert (tree.model, tree.root.parameters) == ("Linear", 68)
    assert (tree.workload.batch_size, tree.workload.dtype, tree.workload.seq_len) == (3, "float32", None)


def test_block_called_twice() -> None:
    tree = trace(Block(), (torch.randn(5, 8),))
    assert ops(tree) == ["linear", "relu", "linear", "relu", "batch_norm", "dropout", "mul"]
    assert [(n.path, n.call_index) for n in tree.root.children if n.path == "layer"] == [("layer", 0), ("layer", 1)]
    linears = [leaf for leaf in tree.root.leaves if leaf.call and leaf.call.name == "linear"]
    assert linears[0].weight_ids == linears[1].weight_ids and len(linears[0].weight_ids) == 2
    assert ops(trace(Block(), {"x": torch.randn(5, 8), "twice": False})).count("linear") == 1


def test_multihead_attention() -> None:
    x = torch.randn(2, 5, 16)
    tree = trace(nn.MultiheadAttention(16, 4, batch_first=True), {"query": x, "key": x, "value": x})
    assert "_transform_bias_rescale_qkv" in ops(tree)  # asked for weights, it multiplies by itself
    with_mask = trace(nn.MultiheadAttention(16, 4, bias=False), (x, x, x))  # no fast path without a bias
    assert ops(with_mask).count("linear") == 2


def test_lstm_whose_weights_stand_in_two_lists() -> None:
    module = nn.LSTM(4, 8)
    assert "lstm" in ops(trace(module, torch.randn(3, 2, 4)))
    assert all(a is b for a, b in zip(module._flat_weights, module.parameters(), strict=True))


def test_module_stays_as_it_was() -> None:
    module = Block()
    module.norm.eval()  # frozen, in a model that trains
    module.layer[0].bias.requires_grad_(False)
    module.tied = nn.Linear(8, 8)
    module.tied.weight = module.layer[0].weight  # type: ignore[assignment]
    before = {name: (id(t), t.clone()) for name, t in (*module.named_parameters(), *module.named_buffers())}
    flags = {name: part.training for name, part in module.named_modules()}
    for fails in (False, True):
        inputs = torch.randn(5, 7 if fails else 8)
        if fails:
            with pytest.raises(Untraceable):
                trace(module, inputs)
        else:
            trace(module, inputs)
        after = dict((*module.named_parameters(), *module.named_buffers()))
        assert {name: id(t) for name, t in after.items()} == {name: key for name, (key, _) in before.items()}
        assert all(torch.equal(after[name], value) for name, (_, value) in before.items())
        assert {name: part.training for name, part in module.named_modules()} == flags
        assert module.tied.weight is module.layer[0].weight and not module.layer[0].bias.requires_grad
        assert not nn.modules.module._global_forward_hooks and not nn.modules.module._global_forward_pre_hooks
    assert module(torch.randn(5, 8))["y"].shape == (5, 8)


def test_tied_weights_are_one_weight() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    module[1].weight = module[0].weight
    assert len({leaf.weight_ids for leaf in trace(module, torch.zeros(2, 4)).root.leaves}) == 1


def test_inputs_of_any_structure() -> None:
    class Nested(nn.Module):
        def forward(self, pair: Any, named: dict[str, Any], text: str) -> Any:
            assert text == "as it is" and isinstance(pair, Pair)
            return pair.left + named["x"][0]

    x = torch.zeros(2, 3)
    assert ops(trace(Nested(), (Pair(x, None), {"x": [x]}, "as it is"))) == ["add"]


def test_a_question_about_the_inputs_is_answered() -> None:
    """Transformers asks whether a mask hides anything: then another path is taken, with an explicit mask."""
    model = build_model(tiny_config("llama"), "base", torch.float32, "cpu")
    ids = torch.randint(3, 99, (2, 8))
    mask = torch.ones(2, 8, dtype=torch.int64)
    open_tree = trace(model, {"input_ids": ids, "attention_mask": mask})
    mask[0, :3] = 0
    padded_tree = trace(model, {"input_ids": ids, "attention_mask": mask})

    def masks(tree: ModelTree) -> list[object]:
        calls = [leaf.call for leaf in tree.root.leaves if leaf.call and leaf.call.name.startswith("scaled_dot")]
        return [call.args[3] if len(call.args) > 3 else call.kwarg("attn_mask") for call in calls]

    assert masks(open_tree) == [None, None]
    assert None not in masks(padded_tree)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x if x.sum() > 0 else -x, "The root module reads the value of a tensor that depends on weights"),
        (lambda x: int(x.argmax()), "reads the value of a tensor that depends on weights"),
        (lambda x: x[x > 0], "The root module reads the value of a tensor that depends on weights"),
        (torch.nonzero, "reads the value"),
        (torch.unique, "reads the value"),
        (lambda x: x.tolist(), "reads the value"),
        (lambda x: x.cpu(), "reads the value"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
        (lambda x: x @ torch.zeros(7, 7, device="meta"), "The root module cannot be traced: RuntimeError"),
    ],
)
def test_what_depends_on_data_says_so(function: Callable[[Any], Any], words: str) -> None:
    with pytest.raises(Untraceable, match=words) as caught:
        trace(Wrapped(function), torch.randn(2, 4))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 450


def test_an_error_says_in_which_module_it_happened() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), Wrapped(lambda x: x.sum().item())), nn.ReLU())
    with pytest.raises(Untraceable, match=r"Module '1\.1' reads"):
        trace(model, torch.randn(2, 4))
    with pytest.raises(Untraceable, match=r"Module '0' cannot be traced: RuntimeError"):
        trace(model, torch.randn(2, 5))


def test_dtypes_that_are_rare_and_those_that_cannot_be_counted() -> None:
    tree = trace(Wrapped(lambda x: (x * 1j).to(torch.complex128)), torch.zeros(2, 4))
    assert [leaf.call.outputs[0].dtype for leaf in tree.root.leaves if leaf.call][-2:] == ["complex64", "complex128"]
    uint4: torch.dtype = vars(torch)["uint4"]
    with pytest.raises(UnknownName, match="Unknown dtype 'uint4'"):
        trace(Wrapped(lambda x: torch.empty(4, dtype=uint4, device=x.device)), torch.zeros(2, 4))


def test_a_generator_has_no_address_in_its_call() -> None:
    generator = torch.Generator()
    random = Wrapped(lambda x: torch.rand(3, generator=generator, device="cpu"))
    assert trace(random, torch.zeros(2, 4)) == trace(random, torch.zeros(2, 4))


def test_example_inputs_are_needed_and_checked() -> None:
    with pytest.raises(BadInput, match="needs example_inputs"):
        trace(nn.Linear(2, 2))
    with pytest.raises(BadInput, match="expected a tensor, a tuple or a dict, got str"):
        trace(nn.Linear(2, 2), "x")
    with pytest.raises(BadInput, match="go with a torch.nn.Module"):
        trace(tiny_config("bert"), torch.zeros(1))
