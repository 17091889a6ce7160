"""Kernels whose power has a regressor of its own beside the one for all: which they are, and what it sees of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from irene.leaves.attention_power import ATTENTION_REGRESSORS, attention_power_matrix, attention_power_names
from irene.leaves.convolution_power import (
    CONVOLUTION_REGRESSORS,
    convolution_power_matrix,
    convolution_power_names,
)
from irene.leaves.leaf_table import LeafTable

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OwnPower:
    """Answers for the rows of `regressors` (of time) from columns `names`.

    `matrix` makes them, shape (members, columns), of a table, its rows `members` and their burst seconds.
    """

    regressors: tuple[str, ...]
    names: tuple[str, ...]
    matrix: Callable[[LeafTable, NDArray[np.int64], FloatArray], FloatArray]

    def members(self, table: LeafTable) -> NDArray[np.int64]:
        """The rows of `table` that it answers for: those that launch a kernel."""
        return np.flatnonzero(np.isin(np.array(table.regressors, dtype=np.str_), self.regressors) & table.launches)


OWN_POWER: Mapping[str, OwnPower] = MappingProxyType({
    **{
        name: OwnPower((name,), attention_power_names(), partial(attention_power_matrix, name))
        for name in ATTENTION_REGRESSORS
    },
    "convolution": OwnPower(CONVOLUTION_REGRESSORS, convolution_power_names(), convolution_power_matrix),
})  # fmt: skip
