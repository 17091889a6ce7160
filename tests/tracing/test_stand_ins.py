"""A stand-in is traced: the caller's module, cache and containers stay as they were, whatever a forward writes."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from transformers import DynamicCache

from irene.errors import Untraceable
from irene.tracing import trace
from irene.tracing.building import build_model
from irene.tracing.stand_ins import StandIns
from tests.tracing.tiny_models import tiny_config


@dataclass
class Batch:
    ids: torch.Tensor
    scale: float = 2.0


class Keeps(nn.Module):
    """Writes wherever a module can: late buffers, attributes, lists, dicts, a counter, an object, a closure."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.mask: torch.Tensor | None = None
        self.seen: list[torch.Tensor] = []
        self.by_size: dict[int, torch.Tensor] = {}
        self.batch = Batch(torch.ones(4))
        self.calls = 0
        outside: list[torch.Tensor] = []
        self.outside = outside
        self.linear.register_forward_hook(lambda *_: outside.append(_[2]))
        self.through_closure = lambda x: self.linear(x)  # noqa: PLW0108 - the closure is what is tested

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.mask is None:
            self.mask = torch.ones(4, 4, device=x.device).tril()
            self.register_buffer("late", self.mask + 1)
        y = self.through_closure(x) @ self.mask + self.batch.ids
        self.seen.append(y)
        self.by_size.setdefault(4, y)
        self.batch.ids = y[0]
        self.calls += 1
        return y


def pointers(module: nn.Module) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("fails", [False, True])
def test_a_module_that_keeps_things_keeps_none_of_the_trace(fails: bool) -> None:
    module, x = Keeps().eval(), torch.randn(3, 4)
    before, attributes = pointers(module), set(vars(module))
    if fails:
        module.by_size[4] = 0  # type: ignore[assignment]
        with pytest.raises(Untraceable):
            trace(module, torch.randn(3, 5))
        del module.by_size[4]
    else:
        names = [leaf.type.split(".")[1] for leaf in trace(module, x).root.leaves]
        assert names == ["ones", "tril", "add", "linear", "matmul", "add", "select"]
    assert (module.mask, module.seen, module.by_size, module.calls, module.outside) == (None, [], {}, 0, [])
    assert pointers(module) == before and set(vars(module)) == attributes and not module.batch.ids.is_meta
    y = module(x)
    assert not y.is_meta and torch.equal(y, module.linear(x) @ torch.ones(4, 4).tril() + 1)
    y.sum().backward()


@pytest.mark.parametrize(
    ("stop", "seen"),
    [(KeyboardInterrupt, KeyboardInterrupt), (SystemExit, Untraceable)],  # a forward does not end the caller's program
)
def test_whatever_stops_a_trace_leaves_nothing_behind(stop: type[BaseException], seen: type[BaseException]) -> None:
    class Stops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.linear(x)
            raise stop

    module = Stops()
    with pytest.raises(seen):
        trace(module, torch.zeros(2, 4))
    assert not module.linear(torch.zeros(2, 4)).is_inference() and not module.linear.weight.is_meta
    assert not module.linear._forward_hooks and not torch.overrides._get_current_function_mode_stack()
    assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()


def test_a_cache_as_input_is_a_decode_step_and_does_not_grow() -> None:
    model = build_model(tiny_config("llama"), "base", torch.float32, "cpu")
    cache = DynamicCache(config=model.config)
    model(torch.ones(2, 10, dtype=torch.int64), past_key_values=cache)
    keys = cache.layers[0].keys
    tree = trace(model, {"input_ids": torch.ones(2, 1, dtype=torch.int64), "past_key_values": cache})
    (attention, _) = [leaf.call for leaf in tree.root.leaves if leaf.call and leaf.call.name.startswith("scaled_dot")]
    assert [tensor.shape[2] for tensor in attention.tensors[:3]] == [1, 11, 11]
    assert cache.get_seq_length() == 10 and cache.layers[0].keys is keys and not keys.is_meta
    assert tree.workload.batch_size == 2


def test_containers_of_any_kind() -> None:
    class Reads(nn.Module):
        def forward(self, batch: Any, named: Any) -> torch.Tensor:
            return batch.ids * batch.scale + named["x"]

    x = torch.zeros(3, 4)
    tree = trace(Reads(), (Batch(x), UserDict({"x": x})))
    assert [leaf.type for leaf in tree.root.leaves] == ["aten.mul.Tensor", "aten.add.Tensor"]
    assert tree.workload.batch_size == 3


def test_what_is_met_twice_has_one_stand_in() -> None:
    tensor, module = torch.ones(2), nn.Linear(2, 2)
    own: dict[str, Any] = {"module": module, "method": module.forward, "b": tensor, "a": (tensor, "text")}
    own["itself"] = own
    made = StandIns().of(OrderedDict(own))
    assert list(made) == list(own) and made["a"][0] is made["b"] and made["b"].is_meta
    assert made["method"].__self__ is made["module"] is not module and made["itself"]["itself"] is made["itself"]
    assert made["module"].weight.is_meta and isinstance(made["module"].weight, nn.Parameter)


def test_what_cannot_be_copied_is_shared() -> None:
    class Slotted:
        __slots__ = ("__hidden", "x")

        def __init__(self) -> None:
            self.x, self.__hidden = torch.ones(2), [1]

        @property
        def hidden(self) -> list[int]:
            return self.__hidden

    generator, slotted = torch.Generator(), Slotted()
    made = StandIns().of({"generator": generator, "type": Slotted, "slotted": slotted, "dtype": torch.float16})
    assert made["generator"] is generator and made["type"] is Slotted and made["dtype"] is torch.float16
    assert made["slotted"].x.is_meta and made["slotted"].hidden == [1] and not slotted.x.is_meta


def test_nothing_is_compiled() -> None:
    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole, self.itself = torch.compile(nn.Linear(4, 4)), nn.Linear(4, 4)
            self.itself.compile()
            self.scale = torch.compile(lambda x: x * self.whole.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scale(self.itself(self.whole(x)))

    torch.compiler.reset()
    tree = trace(torch.compile(Inside()), torch.zeros(4, 4))
    assert [leaf.type.split(".")[1] for leaf in tree.root.leaves] == ["linear", "linear", "mul"]
    assert not torch._dynamo.utils.counters["frames"]
