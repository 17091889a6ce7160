"""What issuing calls costs the reference host: measured per op, with one factor learned from whole models.

An op launched alone in a tight loop is cheaper than the same op inside a model's Python; the factor carries that, and
the speed of the hosts that the rows were measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from irene.arrays import FloatArray
from irene.model_tree.graph import FlatTree
from irene.primitives.kinds import launches_kernel


@dataclass(frozen=True, slots=True)
class HostModel:
    """Seconds per op name and per module call, times `factor`."""

    costs_s: Mapping[str, float]
    launch_s: float
    view_s: float
    module_s: float
    factor: float = 1.0

    def issue_s(self, flat: FlatTree) -> FloatArray:
        """Host seconds before each leaf is issued, its enclosing modules' calls included: shape (leaves,)."""
        cost_s: dict[str, float] = {}
        leaves = []
        for index in flat.leaf_index:
            call = flat.nodes[index].call
            assert call is not None
            if call.op not in cost_s:
                cost_s[call.op] = self.costs_s.get(call.op, self.launch_s if launches_kernel(call) else self.view_s)
            leaves.append(cost_s[call.op])
        # Modules entered since the leaf before: nodes between them in walk order, which is call order.
        modules = np.diff(flat.leaf_index, prepend=-1) - 1
        return self.factor * (np.array(leaves) + modules * self.module_s)


def make_host_model(costs_s: Mapping[str, float], module_call_s: float, launching: set[str]) -> HostModel:
    """A host model with factor 1; ops without a measurement take the median of those that launch, or do not.

    `launching` names the ops that launch kernels; `costs_s` must not be empty.
    """
    every = list(costs_s.values())
    launch = [cost_s for op, cost_s in costs_s.items() if op in launching] or every
    view = [cost_s for op, cost_s in costs_s.items() if op not in launching] or every
    return HostModel(dict(costs_s), float(np.median(launch)), float(np.median(view)), module_call_s)
