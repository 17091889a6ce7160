"""From a routing that was asked for to the loads of each call: which experts are busy, and how many rows each gets.

Each token goes to `top_k` experts, to expert e with the chance q_e, the same for every token: q_e is its share of the
rows times `top_k`. Of T tokens expert e gets a binomial number of rows, with mean T q_e and variance T q_e (1 - q_e);
it gets none with the chance (1 - q_e)^T.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from irene.arrays import FloatArray
from irene.errors import BadInput
from irene.leaves.leaf_table import LeafTable
from irene.model_tree.expert_routing import BALANCED, expert_shares
from irene.predictor.load_imbalance import TYPICAL_LOADS, Loads
from irene.primitives.call import Call
from irene.primitives.expert_calls import count_rows_and_experts, find_top_k


@dataclass(frozen=True, slots=True, eq=False)
class RoutedLoads:
    """Loads that follow from each expert's chance: `chances` (layers, experts) of one token, of `tokens`.

    What is said is the mean over layers.
    """

    tokens: int
    chances: FloatArray

    @property
    def busy_share(self) -> float:
        """The share of experts that get any row: sum of 1 - (1 - q_e)^T over all, over their number."""
        return float(-np.expm1(self.tokens * np.log1p(-np.minimum(self.chances, 1 - 1e-15))).mean())

    @property
    def deviation(self) -> float:
        """Root of the mean squared deviation of the rows of all experts over their mean.

        With k the number of experts a token goes to: E/(T k^2) (k - sum q^2) + E/k^2 sum q^2 - 1, all q_e of a layer.
        """
        experts, squares = self.chances.shape[1], (self.chances**2).sum(axis=1)
        k = self.chances.sum(axis=1)
        squared = experts / (self.tokens * k**2) * (k - squares) + experts / k**2 * squares - 1.0
        return float(np.sqrt(np.maximum(squared, 0.0).mean()))

    def count_blocks(self, mean_rows: int, block_rows: int) -> float:
        """Mean number of blocks of `block_rows` of a busy expert, the rows of each taken to be normal."""
        from scipy.special import ndtr  # type: ignore[import-untyped]

        mean = self.tokens * self.chances
        spread = np.sqrt(np.maximum(mean * (1.0 - self.chances), 1e-12))
        most = int(np.ceil((mean + 6.0 * spread).max() / block_rows))
        # One more block for each that is passed, and one for every busy expert.
        more = sum(float(ndtr((mean - block * block_rows) / spread).mean()) for block in range(1, most + 1))
        return 1.0 + more / self.busy_share


def loads_of(table: LeafTable, routing: str) -> list[Loads]:
    """The loads of each row of a table: those of a routing, or the typical ones where it is 'balanced'."""
    if routing == BALANCED:
        return [TYPICAL_LOADS] * len(table.calls)
    top_k = find_top_k(table.calls)
    return [_loads_of(call, routing, top_k) for call in table.calls]


def require_experts(calls: Iterable[Call], routing: str, model: str) -> None:
    """Raise BadInput where a routing is asked for and no call has rows for experts."""
    if routing != BALANCED and not any(count_rows_and_experts(call) for call in calls):
        raise BadInput(
            f"{model}: expert_routing is of models that route tokens to experts by grouped products or gathers of "
            "weights, and this one does not; leave it 'balanced'."
        )


def _loads_of(call: Call, routing: str, top_k: dict[int, int]) -> Loads:
    routed = count_rows_and_experts(call)
    if routed is None:
        return TYPICAL_LOADS
    rows, experts = routed
    k = top_k.get(experts, 1)
    if rows % k:  # rows of a share of the experts, or padded
        k = 1
    return _routed_loads(routing, rows // k, experts, k)


@lru_cache(maxsize=4096)
def _routed_loads(routing: str, tokens: int, experts: int, top_k: int) -> RoutedLoads:
    chances = [chances_of(shares, top_k) for shares in expert_shares(routing, experts)]
    return RoutedLoads(tokens, np.array(chances))


def chances_of(shares: Sequence[float] | FloatArray, top_k: int) -> FloatArray:
    """The chance of each expert that a token goes to it, `top_k` in all: its share, but a token goes to none twice.

    What is above one goes to the others by their shares. Where fewer have a share than `top_k`, the rest stay at 0.

    >>> chances_of([0.6, 0.2, 0.2], 2).tolist(), chances_of([0.5, 0.25, 0.25], 2).tolist()
    ([1.0, 0.5, 0.5], [1.0, 0.5, 0.5])
    """
    given = np.asarray(shares, dtype=np.float64)
    chances = np.zeros(len(given))
    is_sure = np.zeros(len(given), dtype=np.bool_)
    while True:
        rest = np.where(is_sure, 0.0, given)
        left = top_k - int(is_sure.sum())
        if left <= 0 or not rest.sum() > 0:
            return np.where(is_sure, 1.0, 0.0)
        chances = np.where(is_sure, 1.0, rest / rest.sum() * left)
        if not (chances > 1.0 + 1e-12).any():
            return np.minimum(chances, 1.0)
        is_sure |= chances >= 1.0
