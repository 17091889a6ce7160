"""What issuing calls costs the reference host: measured per op, with two numbers learned from whole models.

An op launched alone in a tight loop is cheaper than the same op inside a model's Python, which costs about as much
before a dear op as before a cheap one: so many seconds for each call. A factor carries the speed of the hosts that the
rows were measured on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from irene.arrays import FloatArray
from irene.model_tree.graph import FlatTree
from irene.primitives.kinds import launches_kernel

_ROUNDS = 60
_LEAST_ERROR = 0.02  # relative: smaller ones weigh the same
_LEAST_SUM = 1e-3
_BETTER = 0.995


@dataclass(frozen=True, slots=True)
class HostModel:
    """Seconds per op name and per module call, times `factor`; and `call_s` of Python around each call."""

    costs_s: Mapping[str, float]
    launch_s: float
    view_s: float
    module_s: float
    factor: float = 1.0
    call_s: float = 0.0

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
        return self.factor * (np.array(leaves) + modules * self.module_s) + self.call_s


def make_host_model(costs_s: Mapping[str, float], module_call_s: float, launching: set[str]) -> HostModel:
    """A host model with factor 1; ops without a measurement take the median of those that launch, or do not.

    `launching` names the ops that launch kernels; `costs_s` must not be empty.
    """
    every = list(costs_s.values())
    launch = [cost_s for op, cost_s in costs_s.items() if op in launching] or every
    view = [cost_s for op, cost_s in costs_s.items() if op not in launching] or every
    return HostModel(dict(costs_s), float(np.median(launch)), float(np.median(view)), module_call_s)


def fit_to_models(
    issue_s: Sequence[float], calls: Sequence[int], measured_s: Sequence[float], families: Sequence[str]
) -> tuple[float, float]:
    """`factor` and `call_s` that make models right that wait for the host: the least mean error of logarithms.

    A row a model, shape (models,): the seconds by a HostModel of factor 1, how many calls it makes, and what was
    measured. Families weigh the same, however many models they have. Neither number is below zero; (1, 0) of no model.
    """
    if not len(measured_s):
        return 1.0, 0.0
    names = np.array(families)
    weights = 1.0 / np.array([(names == name).sum() for name in families])
    shares = np.column_stack([issue_s, calls]) / np.asarray(measured_s, dtype=np.float64)[:, None]
    (factor,), error = _least_absolute(shares[:, :1], weights)
    both, error_of_both = _least_absolute(shares, weights)
    # Where all models have dear and cheap calls in one proportion, nothing tells the two numbers apart.
    return (float(both[0]), float(both[1])) if error_of_both < _BETTER * error else (float(factor), 0.0)


def _least_absolute(shares: FloatArray, weights: FloatArray) -> tuple[FloatArray, float]:
    """Numbers that are not negative, one a column, with which each row of `shares` sums to nearly 1; and the error.

    Of logarithms, since half and twice are as wrong; relative errors would favour answers that are too low.
    """
    from scipy.optimize import nnls  # type: ignore[import-untyped]

    found, own, sums = np.zeros(shares.shape[1]), weights, np.ones(len(shares))
    for _ in range(_ROUNDS):  # least squares, weighted anew by the errors that are left
        found, _ = nnls(shares * np.sqrt(own)[:, None], np.sqrt(own))
        sums = np.maximum(shares @ found, _LEAST_SUM)
        own = weights / np.maximum(np.abs(sums - 1.0), _LEAST_ERROR) / sums
    return found, float(weights @ np.abs(np.log(sums)))
