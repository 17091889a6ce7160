"""How rows are routed to experts, in a grouped product or a gather of weights: read from a real call, or for a replay.

A router sends each token to a few experts, and a grouped product multiplies the rows of each expert with its weights.
How many rows each gets is data, which no signature shows: it is in the offsets, where each expert's rows end.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from irene.errors import BadInput
from irene.model_tree.tree import Node
from irene.primitives.call import Call
from irene.primitives.expert_calls import GROUPED_PRODUCTS, is_expert_gather

# Below it, routing whole rows says more about the deviation than what was asked.
_LEAST_DEVIATION = 0.001


@dataclass(frozen=True, slots=True)
class ExpertLoads:
    """The share of experts that get any row, and the deviation of their rows over the mean; as a row names them."""

    busy_experts_pct: float
    expert_load_deviation: float


def describe_loads(loads: Sequence[int]) -> ExpertLoads:
    """What a row says of the rows that each expert gets; their sum is at least 1. The deviation is the population's.

    >>> describe_loads([6, 2, 0, 0])
    ExpertLoads(busy_experts_pct=50.0, expert_load_deviation=1.224744871391589)
    """
    mean = sum(loads) / len(loads)
    variance = sum((load - mean) ** 2 for load in loads) / len(loads)
    return ExpertLoads(100.0 * sum(load > 0 for load in loads) / len(loads), math.sqrt(variance) / mean)


def can_deviate(experts: int, deviation: float) -> bool:
    """Whether `experts` can be routed so unevenly: with all rows at one of them, the deviation is sqrt(experts - 1).

    >>> can_deviate(8, 2.0), can_deviate(4, 2.0)
    (True, False)
    """
    return experts > 1 and deviation >= _LEAST_DEVIATION and _gamma_shape(experts, deviation) > 0


def _gamma_shape(experts: int, deviation: float) -> float:
    # Gamma weights over their sum are a Dirichlet draw, whose squared deviation is (n - 1) / (n shape + 1) on average.
    # For many experts that is 1 / shape; for few it is much less.
    return ((experts - 1) / deviation**2 - 1) / experts


def draw_loads(rows: int, experts: int, deviation: float | None, seed: int) -> tuple[int, ...]:
    """How many of `rows` each expert gets: the same up to one, or with about this deviation over the mean.

    The same arguments give the same loads. Where rows are few the deviation is larger than asked, since rows are whole.
    Raises BadInput for a deviation that so many experts cannot have.

    >>> draw_loads(10, 4, None, seed=0), sum(draw_loads(10, 4, 1.0, seed=0))
    ((2, 3, 2, 3), 10)
    """
    if deviation is None:
        ends = [rows * expert // experts for expert in range(experts + 1)]
        return tuple(end - start for start, end in pairwise(ends))
    if not can_deviate(experts, deviation):
        most = math.sqrt(max(experts - 1, 0))
        raise BadInput(
            f"Loads of {experts} experts cannot deviate by {deviation} of their mean: expected {_LEAST_DEVIATION} or "
            f"more, and less than {most:.3g}. Leave this deviation out of the plan."
        )
    rng = random.Random(seed)
    weights = [rng.gammavariate(_gamma_shape(experts, deviation), 1.0) for _ in range(experts)]
    if not any(weights):  # so uneven that all are too small for a float: then one expert gets every row
        weights[rng.randrange(experts)] = 1.0
    shares = [rows * weight / sum(weights) for weight in weights]
    loads = [math.floor(share) for share in shares]
    largest_remainder_first = sorted(range(experts), key=lambda expert: loads[expert] - shares[expert])
    for expert in largest_remainder_first[: rows - sum(loads)]:
        loads[expert] += 1
    return tuple(loads)


def offsets_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A grouped product's offsets among its arguments, (experts,): where each one's rows end. None without any."""
    return kwargs.get("offs", args[2] if len(args) > 2 else None)


def choose_experts(rows: int, experts: int, seed: int) -> list[int]:
    """The expert of each row, all chosen equally often (up to one), in an order drawn at random.

    >>> sorted(choose_experts(4, 2, seed=0)), len(set(choose_experts(3, 8, seed=0)))
    ([0, 0, 1, 1], 3)
    """
    loads = draw_loads(rows, experts, None, seed)
    ids = [expert for expert, load in enumerate(loads) for _ in range(load)]
    random.Random(seed).shuffle(ids)
    return ids


def operand_loads(call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ExpertLoads | None:
    """The loads in the operands of `call`; None where nothing is routed to experts. Waits for the device."""
    if is_expert_gather(call):
        return describe_loads(torch.bincount(args[1][0], minlength=call.tensors[0].shape[0]).tolist())
    ends = offsets_of(args, kwargs) if call.op in GROUPED_PRODUCTS else None
    return None if ends is None else _mean_loads([ends])


def has_experts(root: Node) -> bool:
    """Whether anything in a call's tree is routed to experts by a grouped product or a gather of weights."""
    calls = (leaf.call for leaf in root.leaves if leaf.call is not None)
    return any(call.op in GROUPED_PRODUCTS or is_expert_gather(call) for call in calls)


def watch_expert_loads(call: Callable[[], object]) -> ExpertLoads | None:
    """The mean loads of all grouped products of one real call, which is made here; None where there is none.

    Where experts' weights are gathered, as in the steps of `generate`, the loads are those of the gathers alone. Some
    architectures run their experts in a loop: they have None too. The device is waited for after the call, not within
    it.
    """
    watcher = _RoutingWatcher()
    with torch.inference_mode(), watcher:
        call()
    return _mean_loads(watcher.gathered or watcher.ends)


class _RoutingWatcher(TorchDispatchMode):
    """Keeps where each expert's rows end, on the device: reading it at once would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[torch.Tensor] = []  # of grouped products
        self.gathered: list[torch.Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if str(func) in GROUPED_PRODUCTS and (ends := offsets_of(args, kwargs)) is not None:
            self.ends.append(ends.clone())
        elif str(func) == "aten.index.Tensor" and args[0].dim() == 3 and args[0].is_floating_point():
            indices = args[1]
            if len(indices) == 1 and indices[0] is not None and indices[0].dim() == 1:
                counts = torch.zeros(args[0].shape[0], dtype=torch.int64, device=args[0].device)
                counts.scatter_add_(0, indices[0].long(), torch.ones_like(indices[0], dtype=torch.int64))
                self.gathered.append(counts.cumsum(0))
        return func(*args, **kwargs)


def _mean_loads(ends: Sequence[torch.Tensor]) -> ExpertLoads | None:
    """Means over products, of those that got any row."""
    read = [each.tolist() for each in ends]
    routed = [[end - start for start, end in pairwise([0, *each])] for each in read]
    described = [describe_loads(loads) for loads in routed if sum(loads)]
    if not described:
        return None
    return ExpertLoads(
        math.fsum(each.busy_experts_pct for each in described) / len(described),
        math.fsum(each.expert_load_deviation for each in described) / len(described),
    )
