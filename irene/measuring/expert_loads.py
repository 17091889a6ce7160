"""How rows are dealt to the experts of a grouped product: read from a real call, or drawn for a replay.

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

GROUPED_PRODUCTS = frozenset({"aten._grouped_mm.default", "transformers.grouped_mm_fallback.default"})
# Below it, dealing whole rows says more about the deviation than what was asked.
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
    """Whether `experts` can be dealt so unevenly: with all rows at one of them, the deviation is sqrt(experts - 1).

    >>> can_deviate(8, 2.0), can_deviate(4, 2.0)
    (True, False)
    """
    return experts > 1 and deviation >= _LEAST_DEVIATION and _gamma_shape(experts, deviation) > 0


def _gamma_shape(experts: int, deviation: float) -> float:
    # Gamma weights over their sum are a Dirichlet draw, whose squared deviation is (n - 1) / (n shape + 1) on average.
    # For many experts that is 1 / shape; for few it is much less.
    return ((experts - 1) / deviation**2 - 1) / experts


def deal_rows(rows: int, experts: int, deviation: float | None, seed: int) -> tuple[int, ...]:
    """How many of `rows` each expert gets: the same up to one, or with about this deviation over the mean.

    The same arguments give the same loads. Where rows are few the deviation is larger than asked, since rows are whole.
    Raises BadInput for a deviation that so many experts cannot have.

    >>> deal_rows(10, 4, None, seed=0), sum(deal_rows(10, 4, 1.0, seed=0))
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


def operand_loads(op: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ExpertLoads | None:
    """The loads in the operands of one call of `op`; None where it is no grouped product. Waits for the device."""
    ends = offsets_of(args, kwargs) if op in GROUPED_PRODUCTS else None
    return None if ends is None else _mean_loads([ends])


def watch_expert_loads(call: Callable[[], object]) -> ExpertLoads | None:
    """The mean loads of all grouped products of one real call, which is made here; None where there is none.

    Some architectures run their experts otherwise, in a loop or as a batched product: they have None too. The device
    is waited for after the call, not within it.
    """
    watcher = _OffsetsWatcher()
    with torch.inference_mode(), watcher:
        call()
    return _mean_loads(watcher.ends)


class _OffsetsWatcher(TorchDispatchMode):
    """Keeps a copy of the offsets of every grouped product, on the device: reading them at once would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[torch.Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if str(func) in GROUPED_PRODUCTS and (ends := offsets_of(args, kwargs)) is not None:
            self.ends.append(ends.clone())
        return func(*args, **kwargs)


def _mean_loads(ends: Sequence[torch.Tensor]) -> ExpertLoads | None:
    """Means over products, of those that got any row."""
    read = [each.tolist() for each in ends]
    dealt = [[end - start for start, end in pairwise([0, *each])] for each in read]
    described = [describe_loads(loads) for loads in dealt if sum(loads)]
    if not described:
        return None
    return ExpertLoads(
        math.fsum(each.busy_experts_pct for each in described) / len(described),
        math.fsum(each.expert_load_deviation for each in described) / len(described),
    )
