"""Operators whose shape follows from values: as large as in a real run where values are known, refused where not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from irene.errors import Untraceable
from irene.model_tree.graph import flatten
from irene.primitives.call import Call, TensorSpec
from irene.primitives.read_backs import reads_back
from irene.primitives.traffic import count_traffic_bytes
from irene.tracing import trace
from irene.tracing.known_values import _balanced

KNOWN = torch.tensor([[3, 0, 1, 1], [0, 2, 0, 5]])
PROGRAMS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "nonzero": lambda x, ids: ids.nonzero(),
    "nonzero of a question": lambda x, ids: (ids > 1).nonzero(as_tuple=True)[1],
    "where": lambda x, ids: torch.where(ids)[0],
    "unique": lambda x, ids: ids.unique(),
    "unique_consecutive": lambda x, ids: ids.flatten().unique_consecutive(),
    "bincount": lambda x, ids: ids.flatten().bincount(),
    "masked_select": lambda x, ids: x.masked_select(ids > 0),
    "index by a mask": lambda x, ids: x[ids > 0],
    "index of a known one by a mask": lambda x, ids: ids[ids > 0],
    "repeat_interleave": lambda x, ids: x[0].repeat_interleave(ids[0]),
    "list": lambda x, ids: x[:, : ids.flatten().tolist()[3]],
    "host": lambda x, ids: x[:, : int(ids.cpu().numpy()[1, 1])],
    "text": lambda x, ids: x[:, : int(f"{ids[1, 1]}")],
    "constant": lambda x, ids: x[:, : torch.tensor([1, 2], device=x.device)[1].item()],
    "new constant": lambda x, ids: x[:, : int(x.new_tensor(2.0).item())],
    "assigned": lambda x, ids: _assign(torch.ones_like(ids), ids).nonzero(),
}


def _assign(target: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    target[ids > 0] = 0
    return target


class Running(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function, self.scale = function, nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.function(x * self.scale, ids).clone()


@pytest.mark.parametrize("program", PROGRAMS)
def test_as_large_as_in_a_real_run(program: str) -> None:
    """Independent: the same function on the CPU, with data."""
    module, inputs = Running(PROGRAMS[program]), (torch.randn(2, 4), KNOWN)
    last = list(trace(module, inputs).root.leaves)[-1].call
    assert last is not None and last.outputs[0].shape == module(*inputs).shape


READ_BACK = {name for name in PROGRAMS if name not in ("text", "constant", "new constant")}


@pytest.mark.parametrize("program", sorted(READ_BACK))
def test_the_host_waits_for_what_it_reads(program: str) -> None:
    leaves = list(trace(Running(PROGRAMS[program]), (torch.randn(2, 4), KNOWN)).root.leaves)
    waiting = [leaf for leaf in leaves if reads_back(leaf.call)]
    assert waiting and all(leaf.type == f"{leaf.call.op}[host wait]" for leaf in waiting)


def test_numbers_on_the_host_and_questions_on_the_device_are_no_wait() -> None:
    leaves = trace(
        Running(lambda x, ids: x + torch.arange(3).sum().item() * (ids > 0).any()), (torch.randn(2, 4), KNOWN)
    )
    assert not any(reads_back(leaf.call) for leaf in leaves.root.leaves)


def test_each_wait_keeps_the_queue_from_filling(shipped) -> None:
    """The same calls, one of them read back in each layer: the GPU waits for the host after each."""

    class Reading(nn.Module):
        def __init__(self, reads: bool) -> None:
            super().__init__()
            self.layers, self.reads = nn.ModuleList(nn.Linear(2048, 2048) for _ in range(8)), reads

        def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = layer(x)
                x = x[:, : ids.max().item()] if self.reads else x[:, : 2048 + 0 * ids.max().dim()]
            return x

    args = (torch.zeros(8192, 2048, dtype=torch.bfloat16), torch.tensor([2048]))
    plain, reading = (shipped.predict(trace(Reading(reads).bfloat16(), args)) for reads in (False, True))
    assert plain.breakdown_j["launch_gap"] == 0 < reading.breakdown_j["launch_gap"]
    assert reading.duration_s > plain.duration_s


@pytest.mark.parametrize("program", [name for name in PROGRAMS if "constant" not in name and "assigned" not in name])
def test_refused_where_values_depend_on_weights(program: str) -> None:
    def swap(x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return PROGRAMS[program](x, (x * 9).long())

    with pytest.raises(Untraceable, match="depends on its data cannot be traced"):
        trace(Running(swap), (torch.randn(2, 4), KNOWN))


class Experts(nn.Module):
    """A router and a loop over the experts that it chose, as models without a grouped product write it."""

    def __init__(self, experts: int, chosen: int) -> None:
        super().__init__()
        self.router, self.chosen = nn.Linear(8, experts), chosen
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(experts))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights, indices = self.router(x).softmax(-1).topk(self.chosen, dim=-1)
        y = torch.zeros_like(x)
        mask = nn.functional.one_hot(indices, len(self.experts)).permute(2, 1, 0)
        for number in mask.sum(dim=(-1, -2)).nonzero():
            place, rows = torch.where(mask[number[0]])
            y.index_add_(0, rows, self.experts[int(number)](x[rows]) * weights[rows, place, None])
        return y


def test_experts_are_chosen_equally_often() -> None:
    tree = trace(Experts(4, 2), torch.randn(6, 8))
    rows = [leaf.call.args[0].shape[0] for leaf in tree.root.leaves if leaf.path.startswith("experts") and leaf.call]  # type: ignore[union-attr]
    assert rows == [3, 3, 3, 3], "six rows, two experts each, among four"
    assert "chosen equally often" in tree.notes[0]
    assert trace(nn.Linear(2, 2), torch.zeros(1, 2)).notes == ()


@pytest.mark.parametrize(("shape", "places"), [((6, 2), 4), ((5, 3), 7), ((1,), 3), ((2, 3, 4), 4)])
def test_balanced_choices(shape: tuple[int, ...], places: int) -> None:
    choices = _balanced(shape, places)
    counts = choices.flatten().bincount(minlength=places)
    assert choices.shape == shape and counts.max() - counts.min() <= 1
    rows = choices.reshape(-1, shape[-1]).tolist()
    assert len(shape) < 2 or all(len(set(row)) == len(row) for row in rows), "a row never takes one expert twice"


class Sends(nn.Module):
    """Numbers made on the host go to the device: from a tensor there, and from Python's own."""

    def __init__(self, non_blocking: bool) -> None:
        super().__init__()
        self.layer, self.non_blocking = nn.Linear(4, 4), non_blocking

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        places = torch.arange(4).float().to(x.device, non_blocking=self.non_blocking)
        empty = torch.tensor([], device=x.device)
        return self.layer(x + places + torch.tensor([1.0], device=x.device) + empty.numel())


@pytest.mark.parametrize("non_blocking", [True, False])
def test_what_is_sent_to_the_device_waits(non_blocking: bool) -> None:
    calls = [node.call for node in flatten(trace(Sends(non_blocking), torch.zeros(2, 4))).nodes if node.call]
    sent = [call for call in calls if any(tensor.on_host for tensor in call.tensors)]
    assert [call.op for call in sent] == ["aten.to.dtype_layout", "aten.to.device"]
    assert [reads_back(call) for call in sent] == [not non_blocking, True]
    assert [call for call in calls if reads_back(call) and call not in sent] == []
    assert [Call.from_json(json.loads(call.signature)) for call in sent] == sent
    assert not any(tensor.on_host for call in calls if call not in sent for tensor in call.tensors)


def test_what_comes_from_the_host_is_no_traffic_of_the_device() -> None:
    x = TensorSpec((4,), (1,), "float32", on_host=True)
    assert count_traffic_bytes(Call("aten.to.device", (x, "device"), (), (replace(x, on_host=False),))) == 16
